//! The things hookfast remembers. Plain data: no behaviour but what follows from the data itself.

mod configuration;
mod event;
mod secret;

pub use configuration::{
    Application, Disabled, Endpoint, EndpointSecrets, EventType, OldSecret, OnDead, Ordering, Principal, Scope,
    Signing, Token,
};
pub use event::{Attempt, CallerKey, Event, NewEvent, Route, Trigger};
pub use secret::SecretText;

//! The things hookfast remembers. Plain data: no behaviour but what follows from the data itself.

mod configuration;
mod event;
mod origin;
mod secret;

pub use configuration::{
    AppThrottle, Application, Disabled, Endpoint, EndpointSecrets, EventType, OldSecret, OnDead, Ordering, Principal,
    Scope, Signing, Token,
};
pub use event::{Attempt, CallerKey, Event, NewEvent, Route, Trigger};
pub use origin::{Name, Origin};
pub use secret::SecretText;

//! What a back-end shows of itself to be tested: how it is opened, and the ports of what was opened.

use hookfast_core::ports::{
    Accept, Applications, BoxFuture, Dispatch, Emitters, Endpoints, EventTypes, Exclusive, Maintenance, Queue, Reading,
    Replays, Tokens,
};
use hookfast_core::{Clock, IdGenerator};
use std::path::PathBuf;
use std::sync::Arc;

/// Where and with what a store is opened.
#[derive(Clone)]
pub struct Place {
    /// A directory of its own. Opening the same one again is a restart.
    pub dir: PathBuf,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// A new generator; the store makes it resume after the highest id it knows.
    pub ids: Arc<IdGenerator>,
    /// The engine's side.
    pub dispatch: Arc<dyn Dispatch>,
}

/// Why a store could not be opened.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// A store under test.
pub trait Backend: 'static {
    /// A place belongs to one process: while a store is open, opening it again is an error.
    const EXCLUSIVE: bool;

    /// It keeps the promises of order.
    const ORDERS: bool;

    /// Can its tests run here? When not, that has been said with [`crate::skip`].
    fn can_run() -> bool {
        true
    }

    /// What a place needs besides its directory, and what ends with it: nothing, or a database.
    type Ground: Send + Sync;

    /// Ground for a new place.
    fn ground() -> Self::Ground;

    /// Opens the store, making it when the place is empty. It is a new incarnation, and it answers once whatever earlier
    /// incarnations of this place held is recovered.
    fn open(ground: &Self::Ground, place: Place) -> BoxFuture<'static, Result<Opened, OpenError>>;
}

/// An open store.
pub struct Opened {
    /// Making events durable.
    pub accept: Arc<dyn Accept>,
    /// Claiming and settling.
    pub queue: Arc<dyn Queue>,
    /// Applications.
    pub applications: Arc<dyn Applications>,
    /// Endpoints.
    pub endpoints: Arc<dyn Endpoints>,
    /// Event types.
    pub event_types: Arc<dyn EventTypes>,
    /// Tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Reading.
    pub reading: Arc<dyn Reading>,
    /// Resend and recover.
    pub replays: Arc<dyn Replays>,
    /// Duties.
    pub maintenance: Arc<dyn Maintenance>,
    /// Emitters.
    pub emitters: Arc<dyn Emitters>,
    /// Work that one node does at a time.
    pub exclusive: Arc<dyn Exclusive>,
    close: Box<dyn FnOnce() + Send>,
}

impl Opened {
    /// From one thing that implements every port. `close` writes what was taken and lets go of the place; it may
    /// block.
    pub fn new<S>(store: &Arc<S>, close: impl FnOnce() + Send + 'static) -> Self
    where
        S: Accept + Queue + Applications + Endpoints + EventTypes + Tokens + Reading + Replays + Maintenance,
        S: Emitters + Exclusive + 'static,
    {
        Self {
            accept: Arc::clone(store) as _,
            queue: Arc::clone(store) as _,
            applications: Arc::clone(store) as _,
            endpoints: Arc::clone(store) as _,
            event_types: Arc::clone(store) as _,
            tokens: Arc::clone(store) as _,
            reading: Arc::clone(store) as _,
            replays: Arc::clone(store) as _,
            maintenance: Arc::clone(store) as _,
            emitters: Arc::clone(store) as _,
            exclusive: Arc::clone(store) as _,
            close: Box::new(close),
        }
    }

    /// Closes it: the end of its incarnation.
    pub async fn close(self) {
        let Self { close, .. } = self;
        tokio::task::spawn_blocking(close).await.unwrap();
    }
}

//! A promise of `Emitters` in a world with so many of them that each back-end makes them by its own means.

use crate::{Backend, World};
use hookfast_core::ports::{EMITTERS_MAX, NewEmitter};
use hookfast_core::{AppId, EndpointId, Error};

/// So many emitters are to be there when [`no_more_emitters_run_than_may`] begins.
pub const THERE: usize = EMITTERS_MAX - 1;

/// Starts one at this endpoint; the answer is whether it is new.
///
/// # Errors
/// As the store says.
pub async fn start<B: Backend>(world: &World<B>, app: AppId, endpoint: EndpointId) -> Result<bool, Error> {
    let new = NewEmitter { app, endpoint, interval_ns: 5_000_000_000, count: None, event_types: Vec::new() };
    Ok(world.store().emitters.start_emitter(new).await?.is_new)
}

/// One more may be started, no further one, and one again when an endpoint of one of those that run is deleted.
///
/// # Panics
/// When it is not so.
pub async fn no_more_emitters_run_than_may<B: Backend>(world: &World<B>, app: AppId, one_of_those: EndpointId) {
    let (last, over) = (world.endpoint(app).await.id, world.endpoint(app).await.id);
    assert!(start(world, app, last).await.unwrap());
    let refused = start(world, app, over).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { code: "too_many_emitters", .. }), "{refused:?}");
    assert!(!start(world, app, last).await.unwrap());
    world.store().endpoints.delete_endpoint(app, one_of_those).await.unwrap();
    assert!(start(world, app, over).await.unwrap());
    assert_eq!(world.store().emitters.emitters().await.unwrap().len(), EMITTERS_MAX);
}

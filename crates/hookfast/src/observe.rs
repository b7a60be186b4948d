//! Lets somebody watch what the pipeline does, from between its parts: what intake accepted, what became of each
//! delivery. Costs nothing when nobody watches, as it is then not built in.

use hookfast_core::model::{AppThrottle, Endpoint};
use hookfast_core::ports::{Accepted, BoxFuture, Delivery, Dispatch, Intake, Settlement, Submission, Wanted};
use hookfast_core::{AppId, EndpointId, Result, UnixMs};
use std::sync::Arc;

/// Is told what happened, after it is durable. Must be quick: it is called by the threads that do the work.
pub(crate) trait Observer: Send + Sync {
    /// An event was accepted.
    fn accepted(&self, event: &Submission, accepted: Accepted);
    /// These deliveries were tried, ended, or put back.
    fn settled(&self, settlements: &[Settlement]);
}

/// Intake that tells an observer.
pub(crate) struct ObservedIntake {
    /// The real one.
    pub(crate) inner: Arc<dyn Intake>,
    /// Who is told.
    pub(crate) observer: Arc<dyn Observer>,
}

impl Intake for ObservedIntake {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        Box::pin(async move {
            // The body is not copied: it is shared bytes.
            let accepted = self.inner.submit(event.clone()).await?;
            self.observer.accepted(&event, accepted);
            Ok(accepted)
        })
    }
}

/// The engine's side of the store that tells an observer.
pub(crate) struct ObservedDispatch {
    /// The real one.
    pub(crate) inner: Arc<dyn Dispatch>,
    /// Who is told.
    pub(crate) observer: Arc<dyn Observer>,
}

impl Dispatch for ObservedDispatch {
    fn reserve(&self, wanted: &[Wanted<'_>], granted: &mut Vec<bool>) {
        self.inner.reserve(wanted, granted);
    }
    fn unreserve(&self, wanted: &[Wanted<'_>], granted: &[bool]) {
        self.inner.unreserve(wanted, granted);
    }
    fn hand_over(&self, deliveries: Vec<(Arc<Endpoint>, Delivery)>) {
        self.inner.hand_over(deliveries);
    }
    fn settled(&self, settlements: Vec<Settlement>) {
        self.observer.settled(&settlements);
        self.inner.settled(settlements);
    }
    fn queued(&self, waiting: &[(Arc<Endpoint>, UnixMs)]) {
        self.inner.queued(waiting);
    }
    fn endpoint_changed(&self, endpoint: &Arc<Endpoint>) {
        self.inner.endpoint_changed(endpoint);
    }
    fn app_throttle_changed(&self, app: AppId, throttle: AppThrottle) {
        self.inner.app_throttle_changed(app, throttle);
    }
    fn endpoint_removed(&self, endpoint: EndpointId) {
        self.inner.endpoint_removed(endpoint);
    }
}

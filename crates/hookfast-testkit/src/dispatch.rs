//! The engine's side of a store, as a test sees it: grants slots as told and records all that the store says.

use hookfast_core::delivery::DeliveryKey;
use hookfast_core::model::{AppThrottle, Endpoint};
use hookfast_core::ports::{Delivery, Dispatch, Settlement, Wanted};
use hookfast_core::{AppId, EndpointId, UnixMs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which wishes for a memory slot are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// All.
    All,
    /// None: every delivery is born as a queue row.
    None,
    /// Every second one.
    EverySecond,
}

/// What the store said so far.
#[derive(Debug, Default)]
pub struct Record {
    /// Handed over and not taken by the test yet.
    pub handed: Vec<(Arc<Endpoint>, Delivery)>,
    /// Settlements that are durable.
    pub settled: Vec<Settlement>,
    /// Endpoints with rows, and when the earliest is due.
    pub queued: Vec<(EndpointId, UnixMs)>,
    /// Changed endpoints.
    pub changed: Vec<Arc<Endpoint>>,
    /// Changed throttles of applications.
    pub throttled: Vec<(AppId, AppThrottle)>,
    /// Removed endpoints.
    pub removed: Vec<EndpointId>,
    wishes: u64,
    granted: u64,
    given_back: u64,
    used: u64,
}

impl Record {
    /// Slots that were granted and neither used nor given back.
    #[must_use]
    pub fn slots_open(&self) -> u64 {
        self.granted - self.given_back - self.used
    }

    /// Has this delivery been settled?
    #[must_use]
    pub fn is_settled(&self, key: DeliveryKey) -> bool {
        self.settled.iter().any(|settlement| settlement.key == key)
    }
}

/// A [`Dispatch`] that records.
#[derive(Debug)]
pub struct RecordingDispatch {
    grants: Mutex<Grants>,
    record: Mutex<Record>,
    changes: watch::Sender<u64>,
}

impl RecordingDispatch {
    /// One that grants as told.
    #[must_use]
    pub fn new(grants: Grants) -> Arc<Self> {
        let (changes, _) = watch::channel(0);
        Arc::new(Self { grants: Mutex::new(grants), record: Mutex::default(), changes })
    }

    /// Grants otherwise from now on.
    pub fn set_grants(&self, grants: Grants) {
        *self.grants.lock().unwrap() = grants;
    }

    /// How it grants.
    pub fn grants(&self) -> Grants {
        *self.grants.lock().unwrap()
    }

    /// What was recorded. Not to be held while waiting.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the record has what `look` looks for.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Record) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(&mut self.record()) {
                return found;
            }
            let change = tokio::time::timeout_at(deadline, changes.changed()).await;
            assert!(change.is_ok(), "waited {} s in vain for {what}", PATIENCE.as_secs());
        }
    }

    /// Waits for `count` deliveries to be handed over and takes all there are.
    pub async fn take_handed(&self, count: usize) -> Vec<Delivery> {
        let what = format!("{count} deliveries to be handed over");
        let taken =
            self.until(&what, |record| (record.handed.len() >= count).then(|| std::mem::take(&mut record.handed)));
        taken.await.into_iter().map(|(_, delivery)| delivery).collect()
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record());
        self.changes.send_modify(|version| *version += 1);
    }
}

impl Dispatch for RecordingDispatch {
    fn reserve(&self, wanted: &[Wanted<'_>], granted: &mut Vec<bool>) {
        let grants = self.grants();
        self.note(|record| {
            for _ in wanted {
                record.wishes += 1;
                let yes = match grants {
                    Grants::All => true,
                    Grants::None => false,
                    Grants::EverySecond => record.wishes % 2 == 0,
                };
                record.granted += u64::from(yes);
                granted.push(yes);
            }
        });
    }

    fn unreserve(&self, _: &[Wanted<'_>], granted: &[bool]) {
        self.note(|record| record.given_back += granted.iter().filter(|yes| **yes).count() as u64);
    }

    fn hand_over(&self, deliveries: Vec<(Arc<Endpoint>, Delivery)>) {
        self.note(|record| {
            record.used += deliveries.len() as u64;
            record.handed.extend(deliveries);
        });
    }

    fn settled(&self, settlements: Vec<Settlement>) {
        self.note(|record| record.settled.extend(settlements));
    }

    fn queued(&self, waiting: &[(Arc<Endpoint>, UnixMs)]) {
        self.note(|record| record.queued.extend(waiting.iter().map(|(endpoint, due)| (endpoint.id, *due))));
    }

    fn endpoint_changed(&self, endpoint: &Arc<Endpoint>) {
        self.note(|record| record.changed.push(Arc::clone(endpoint)));
    }

    fn app_throttle_changed(&self, app: AppId, throttle: AppThrottle) {
        self.note(|record| record.throttled.push((app, throttle)));
    }

    fn endpoint_removed(&self, endpoint: EndpointId) {
        self.note(|record| record.removed.push(endpoint));
    }
}

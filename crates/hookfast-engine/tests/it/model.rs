//! A model of the store behind the engine's ports: rows, claims with fencing, settlements that are confirmed later by
//! a writer of their own. It checks the engine: nothing is settled twice, or without being held.

use hookfast_core::delivery::{Cause, DeliveryKey, DeliveryState};
use hookfast_core::model::{AppThrottle, Attempt, Disabled, Endpoint, Trigger};
use hookfast_core::ports::{
    BoxFuture, Claim, ClaimWanted, Delivery, Dispatch, HealthMark, Hold, Outcome, Outgoing, Queue, Settlement, Waiting,
    Wanted,
};
use hookfast_core::{AppId, EndpointId, Error, Result, UnixMs};
use hookfast_engine::Dispatcher;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) delivery: Delivery,
    pub(crate) is_held: bool,
}

#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) endpoints: HashMap<EndpointId, Arc<Endpoint>>,
    pub(crate) rows: BTreeMap<DeliveryKey, Row>,
    pub(crate) held: HashMap<DeliveryKey, Hold>,
    pub(crate) ends: HashMap<DeliveryKey, (DeliveryState, Cause)>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) marks: Vec<HealthMark>,
    pub(crate) settlements: usize,
    pub(crate) faults: Vec<String>,
    pub(crate) claims: usize,
    /// Claims fail while set.
    pub(crate) claims_fail: bool,
    pub(crate) is_unsure: bool,
    /// Nothing is confirmed while set.
    pub(crate) frozen: bool,
    inbox: Vec<Settlement>,
    inbox_marks: Vec<HealthMark>,
}

pub(crate) struct Model {
    state: Mutex<Rows>,
    work: Notify,
    dispatcher: Arc<Dispatcher>,
}

impl Model {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), work: Notify::new(), dispatcher })
    }

    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.state.lock().unwrap()
    }

    pub(crate) fn add_endpoint(&self, endpoint: &Arc<Endpoint>) {
        self.rows().endpoints.insert(endpoint.id, Arc::clone(endpoint));
    }

    /// Commits deliveries as the store's writer does: reserve, commit, hand over or queue.
    pub(crate) fn commit(&self, event: &Arc<Outgoing>, to: &[Arc<Endpoint>], now: UnixMs) {
        let body_bytes = event.body_bytes();
        let wanted: Vec<Wanted<'_>> = to.iter().map(|endpoint| Wanted { endpoint, body_bytes }).collect();
        let mut granted = Vec::new();
        self.dispatcher.reserve(&wanted, &mut granted);
        assert_eq!(granted.len(), to.len());
        let (mut handed, mut queued) = (Vec::new(), Vec::new());
        {
            let mut rows = self.rows();
            for (endpoint, granted) in to.iter().zip(granted) {
                let key = DeliveryKey { event: event.id, endpoint: endpoint.id, run: 0 };
                let hold = if granted { Hold::Memory { handoff: 1 } } else { Hold::Queue { lease_no: 0 } };
                let event = Arc::clone(event);
                let delivery = Delivery {
                    key,
                    event,
                    hold,
                    tries: 0,
                    crashes: 0,
                    due: now,
                    trigger: Trigger::Scheduled,
                    retention_days: 30,
                };
                if granted {
                    rows.held.insert(key, hold);
                    handed.push((Arc::clone(endpoint), delivery));
                } else {
                    rows.rows.insert(key, Row { delivery, is_held: false });
                    queued.push((Arc::clone(endpoint), now));
                }
            }
        }
        if !handed.is_empty() {
            self.dispatcher.hand_over(handed);
        }
        if !queued.is_empty() {
            self.dispatcher.queued(&queued);
        }
    }

    /// Changes an endpoint's configuration.
    pub(crate) fn change(&self, id: EndpointId, change: impl FnOnce(&mut Endpoint)) {
        let changed = {
            let mut rows = self.rows();
            let mut endpoint = Endpoint::clone(&rows.endpoints[&id]);
            change(&mut endpoint);
            endpoint.updated_at = endpoint.updated_at.plus_ms(1);
            let endpoint = Arc::new(endpoint);
            rows.endpoints.insert(id, Arc::clone(&endpoint));
            endpoint
        };
        self.dispatcher.endpoint_changed(&changed);
    }

    /// Changes what an application allows its endpoints.
    pub(crate) fn change_app(&self, app: AppId, throttle: AppThrottle) {
        for endpoint in self.rows().endpoints.values_mut().filter(|endpoint| endpoint.app == app) {
            Arc::make_mut(endpoint).app_throttle = throttle;
        }
        self.dispatcher.app_throttle_changed(app, throttle);
    }

    pub(crate) fn remove(&self, id: EndpointId) {
        {
            let mut rows = self.rows();
            rows.endpoints.remove(&id);
            let gone: Vec<_> =
                rows.rows.iter().filter(|(key, row)| key.endpoint == id && !row.is_held).map(|(key, _)| *key).collect();
            for key in gone {
                rows.rows.remove(&key);
                rows.ends.insert(key, (DeliveryState::Cancelled, Cause::EndpointDeleted));
            }
        }
        self.dispatcher.endpoint_removed(id);
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.rows().frozen = frozen;
        self.work.notify_one();
    }

    /// The writer: commits what was given and confirms it.
    pub(crate) async fn write(self: Arc<Self>) {
        loop {
            self.work.notified().await;
            // A commit takes a moment, in which more may come.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            let (settlements, marks) = {
                let mut rows = self.rows();
                if rows.frozen {
                    continue;
                }
                let batch = (std::mem::take(&mut rows.inbox), std::mem::take(&mut rows.inbox_marks));
                batch.0.iter().for_each(|one| rows.apply(one));
                batch
            };
            for mark in marks {
                self.apply_mark(mark);
            }
            if !settlements.is_empty() {
                self.dispatcher.settled(settlements);
            }
        }
    }

    fn apply_mark(&self, mark: HealthMark) {
        self.rows().marks.push(mark);
        match mark {
            HealthMark::FailingSince(id, since) => self.set_failing(id, Some(since)),
            HealthMark::Recovered(id) => self.set_failing(id, None),
            HealthMark::Disable(id, reason) => self.disable(id, reason),
        }
    }

    fn set_failing(&self, id: EndpointId, since: Option<UnixMs>) {
        let mut rows = self.rows();
        if let Some(endpoint) = rows.endpoints.get_mut(&id) {
            Arc::make_mut(endpoint).failing_since = since;
        }
    }

    fn disable(&self, id: EndpointId, reason: Disabled) {
        if self.rows().endpoints.contains_key(&id) {
            self.change(id, |endpoint| endpoint.disabled = Some(reason));
        }
    }
}

impl Rows {
    fn apply(&mut self, one: &Settlement) {
        self.settlements += 1;
        match self.held.remove(&one.key) {
            Some(hold) if hold == one.hold => {}
            other => self.faults.push(format!("settled {:?} with {:?}, held {other:?}", one.key, one.hold)),
        }
        self.attempts.extend(one.attempt.clone());
        if self.ends.contains_key(&one.key) {
            self.faults.push(format!("{:?} settled after its end", one.key));
        }
        match one.outcome {
            Outcome::End(state, cause) => {
                self.rows.remove(&one.key);
                self.ends.insert(one.key, (state, cause));
            }
            Outcome::Retry { .. } | Outcome::Wait { .. } if !self.endpoints.contains_key(&one.key.endpoint) => {
                self.rows.remove(&one.key);
                self.ends.insert(one.key, (DeliveryState::Cancelled, Cause::EndpointDeleted));
            }
            Outcome::Retry { due } | Outcome::Wait { due } => {
                let lease_no = match one.hold {
                    Hold::Memory { .. } => 0,
                    Hold::Queue { lease_no } => lease_no,
                };
                let event = Outgoing {
                    id: one.key.event,
                    event_type: "t".into(),
                    content_type: None,
                    body: Some(bytes::Bytes::from(vec![b'x'; one.body_bytes])),
                };
                let delivery = Delivery {
                    key: one.key,
                    event: Arc::new(event),
                    hold: Hold::Queue { lease_no },
                    tries: one.tries,
                    crashes: one.crashes,
                    due,
                    trigger: Trigger::Scheduled,
                    retention_days: one.retention_days,
                };
                self.rows.insert(one.key, Row { delivery, is_held: false });
            }
        }
    }

    fn claim_for(&mut self, want: &ClaimWanted, now: UnixMs) -> Claim {
        let mut free: Vec<(UnixMs, DeliveryKey)> = self
            .rows
            .iter()
            .filter(|(key, row)| key.endpoint == want.endpoint && !row.is_held)
            .map(|(key, row)| (row.delivery.due, *key))
            .collect();
        free.sort();
        let due = free.iter().take(want.rows_max as usize).take_while(|(due, _)| *due <= now).count();
        let mut deliveries = Vec::new();
        for (_, key) in &free[..due] {
            let Some(row) = self.rows.get_mut(key) else { continue };
            let Hold::Queue { lease_no } = row.delivery.hold else { continue };
            row.is_held = true;
            row.delivery.hold = Hold::Queue { lease_no: lease_no + 1 };
            self.held.insert(*key, row.delivery.hold);
            deliveries.push(row.delivery.clone());
        }
        Claim {
            endpoint: want.endpoint,
            deliveries,
            next_due: free.get(due).map(|(due, _)| *due),
            elsewhere_until: None,
        }
    }
}

impl Queue for Model {
    fn settle(&self, settlements: Vec<Settlement>) {
        self.rows().inbox.extend(settlements);
        self.work.notify_one();
    }

    fn claim(&self, wanted: Vec<ClaimWanted>, now: UnixMs) -> BoxFuture<'_, Result<Vec<Claim>>> {
        Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            let claims = {
                let mut rows = self.rows();
                rows.claims += 1;
                if rows.claims_fail {
                    return Err(Error::Unavailable { reason: "away".into() });
                }
                wanted.iter().map(|want| rows.claim_for(want, now)).collect()
            };
            // Between the commit and the answer others commit too.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            Ok(claims)
        })
    }

    fn waiting(&self, after: Option<EndpointId>, limit: u32) -> BoxFuture<'_, Result<Vec<Waiting>>> {
        Box::pin(async move {
            let rows = self.rows();
            let mut dues: BTreeMap<EndpointId, UnixMs> = BTreeMap::new();
            for (key, row) in rows.rows.iter().filter(|(_, row)| !row.is_held) {
                let due = dues.entry(key.endpoint).or_insert(row.delivery.due);
                *due = row.delivery.due.min(*due);
            }
            let later = dues.into_iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
            let known = later.filter_map(|(id, due)| Some(Waiting { endpoint: rows.endpoints.get(&id)?.clone(), due }));
            Ok(known.take(limit as usize).collect())
        })
    }

    fn may_try(&self) -> bool {
        !self.rows().is_unsure
    }

    fn mark(&self, marks: Vec<HealthMark>) {
        self.rows().inbox_marks.extend(marks);
        self.work.notify_one();
    }
}

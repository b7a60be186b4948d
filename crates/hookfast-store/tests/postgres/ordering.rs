//! Order where several nodes accept, claim and settle at the same time: of each key one row is out, in the order in which
//! they were accepted. Must not know how the store does it.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::own_duties::{PostgresWorld, another_node, in_a_world};
use bytes::Bytes;
use hookfast_core::delivery::Cause;
use hookfast_core::model::{NewEvent, OnDead, Ordering};
use hookfast_core::ports::{Accept, Claim, ClaimWanted, Delivery, EndpointPatch, Outcome, Queue, Settlement};
use hookfast_core::{AppId, EndpointId, EventId};
use hookfast_testkit::Grants;
use hookfast_testkit::world::eventually;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KEYS: usize = 5;
const PRODUCERS: usize = 3;
const EVENTS_PER_PRODUCER: usize = 100;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

async fn ordered(world: &PostgresWorld, app: AppId, on_dead: OnDead) -> EndpointId {
    world.endpoint_with(app, |new| new.ordering = Some(Ordering { pointer: None, on_dead })).await.id
}

/// An event whose body is its key.
fn keyed(world: &PostgresWorld, app: AppId, key: &str) -> NewEvent {
    let body = Bytes::copy_from_slice(key.as_bytes());
    NewEvent { ordering_key: Some(key.to_owned()), body, ..world.event(app) }
}

fn key_of(delivery: &Delivery) -> Bytes {
    delivery.event.body.clone().unwrap()
}

pub(crate) async fn claim(world: &PostgresWorld, queue: &Arc<dyn Queue>, endpoint: EndpointId) -> Claim {
    claim_some(world, queue, endpoint, 100).await
}

pub(crate) async fn claim_some(
    world: &PostgresWorld,
    queue: &Arc<dyn Queue>,
    endpoint: EndpointId,
    rows_max: u32,
) -> Claim {
    let wanted = vec![ClaimWanted { endpoint, rows_max }];
    queue.claim(wanted, world.now()).await.unwrap().remove(0)
}

/// The one delivery that a node is given; other nodes' rows may still have to become free.
pub(crate) async fn claim_one(world: &PostgresWorld, queue: &Arc<dyn Queue>, endpoint: EndpointId) -> Delivery {
    let given = eventually("a row to be given", async || claim_some(world, queue, endpoint, 1).await.deliveries.pop());
    given.await
}

/// Sends events of all keys one after the other, through these nodes in turn; answers them with their keys, in this order.
async fn produce(world: &PostgresWorld, app: AppId, nodes: &[&Arc<dyn Accept>]) -> Vec<(usize, EventId)> {
    let mut sent = Vec::new();
    for n in 0..EVENTS_PER_PRODUCER {
        let event = keyed(world, app, &(n % KEYS).to_string());
        sent.push((n % KEYS, event.id));
        let node = nodes[n / KEYS % nodes.len()];
        assert!(node.accept(vec![event]).await.remove(0).is_ok());
    }
    sent
}

/// What all nodes see of the deliveries.
#[derive(Default)]
struct Seen {
    out: HashSet<Bytes>,
    delivered: Vec<EventId>,
    tries: usize,
}

impl Seen {
    fn give(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            assert!(self.out.insert(key_of(delivery)), "two rows of one key are out");
        }
    }

    /// Every third try fails.
    fn settle(&mut self, world: &PostgresWorld, delivery: &Delivery) -> Settlement {
        self.out.remove(&key_of(delivery));
        self.tries += 1;
        if self.tries.is_multiple_of(3) {
            return world.tried(delivery, Cause::Status, Outcome::Retry { due: world.now() });
        }
        self.delivered.push(delivery.key.event);
        world.delivered(delivery)
    }
}

/// Claims and settles on one node until everything is delivered.
async fn consume(world: &PostgresWorld, queue: &Arc<dyn Queue>, endpoint: EndpointId, seen: &Mutex<Seen>) {
    let start = Instant::now();
    let left = || PRODUCERS * EVENTS_PER_PRODUCER - seen.lock().unwrap().delivered.len();
    while left() > 0 {
        assert!(start.elapsed() < PATIENCE, "{} were not delivered", left());
        let deliveries = claim(world, queue, endpoint).await.deliveries;
        seen.lock().unwrap().give(&deliveries);
        tokio::task::yield_now().await;
        let settlements = deliveries.iter().map(|delivery| seen.lock().unwrap().settle(world, delivery)).collect();
        queue.settle(settlements);
    }
}

#[test]
fn each_key_keeps_its_order_whichever_nodes_accept_and_deliver() {
    in_a_world(Grants::None, async |world| {
        let other = another_node(&world).await;
        let app = world.app().await.id;
        let endpoint = ordered(&world, app, OnDead::Block).await;
        let both = [&world.store().accept, &other.accept];
        let seen = Mutex::default();
        let (one, two, three, (), ()) = tokio::join!(
            produce(&world, app, &both[..1]),
            produce(&world, app, &both[1..]),
            produce(&world, app, &both),
            consume(&world, &world.store().queue, endpoint, &seen),
            consume(&world, &other.queue, endpoint, &seen),
        );
        let delivered = seen.into_inner().unwrap().delivered;
        assert_eq!(delivered.iter().collect::<HashSet<_>>().len(), PRODUCERS * EVENTS_PER_PRODUCER);
        let place = |event: EventId| delivered.iter().position(|one| *one == event).unwrap();
        for sent in [one, two, three] {
            for key in 0..KEYS {
                let places: Vec<_> = sent.iter().filter(|(of, _)| *of == key).map(|(_, event)| place(*event)).collect();
                assert!(places.is_sorted(), "key {key}: {places:?}");
            }
        }
        let nothing_is_left = async || {
            let left = "SELECT (SELECT count(*) FROM hookfast.queue) + (SELECT count(*) FROM hookfast.ordering)";
            (world.ground().psql(left).unwrap() == "0").then_some(())
        };
        eventually("the last settlements, and keys without rows to be forgotten", nothing_is_left).await;
        other.close().await;
    });
}

#[test]
fn the_first_of_a_key_stays_the_first_when_its_node_ends() {
    in_a_world(Grants::None, async |world| {
        let app = world.app().await.id;
        let endpoint = ordered(&world, app, OnDead::Block).await;
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(world.accept(keyed(&world, app, "k")).await);
        }
        let closed = another_node(&world).await;
        assert_eq!(claim(&world, &closed.queue, endpoint).await.deliveries.len(), 1);
        assert!(claim(&world, &world.store().queue, endpoint).await.deliveries.is_empty());
        closed.close().await;
        let first = claim_one(&world, &world.store().queue, endpoint).await;
        assert_eq!(first.key.event, sent[0]);
        world.settle(vec![world.untried(&first, Outcome::Wait { due: world.now() })]).await;

        let dead = another_node(&world).await;
        let stale = claim_one(&world, &dead.queue, endpoint).await;
        assert_eq!(stale.key.event, sent[0]);
        let declare = "UPDATE hookfast.nodes SET state = 2, ended_at = 0
                       WHERE incarnation = (SELECT max(incarnation) FROM hookfast.nodes)";
        world.ground().psql(declare).unwrap();
        dead.queue.settle(vec![world.delivered(&stale)]);
        for event in sent {
            let delivery = claim_one(&world, &world.store().queue, endpoint).await;
            assert_eq!(delivery.key.event, event);
            world.settle(vec![world.delivered(&delivery)]).await;
        }
        assert!(claim(&world, &world.store().queue, endpoint).await.deliveries.is_empty());
    });
}

/// Whichever of the two comes first, nothing is held up that nobody can free.
#[test]
fn a_delivery_that_dies_while_order_is_changed_holds_up_nothing_for_ever() {
    in_a_world(Grants::None, async |world| {
        let other = another_node(&world).await;
        let app = world.app().await.id;
        for round in 0..20 {
            let endpoint = ordered(&world, app, OnDead::Block).await;
            world.accept(keyed(&world, app, "k")).await;
            let second = world.accept(keyed(&world, app, "k")).await;
            let first = claim_one(&world, &world.store().queue, endpoint).await;
            let change = Some(Some(Ordering { pointer: None, on_dead: OnDead::Skip }));
            let patch = EndpointPatch { ordering: change, ..EndpointPatch::default() };
            // The delay of settlements makes them meet.
            let changed = async {
                tokio::time::sleep(Duration::from_micros(round * 500)).await;
                other.endpoints.update_endpoint(app, endpoint, patch).await.unwrap();
            };
            tokio::join!(world.settle(vec![world.dead(&first)]), changed);
            let next = claim(&world, &world.store().queue, endpoint).await.deliveries;
            assert_eq!(next.iter().map(|one| one.key.event).collect::<Vec<_>>(), [second], "round {round}");
            other.endpoints.delete_endpoint(app, endpoint).await.unwrap();
        }
        other.close().await;
    });
}

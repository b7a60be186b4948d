//! Nodes that are taken for dead while they are not: what they held comes to others once, and what they still do changes
//! nothing. A frozen node is one whose beat waits for a lock that the test holds. Must not know how the store fences.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::{PostgresBackend, open};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::NewEvent;
use hookfast_core::ports::{Accepted, BoxFuture, ClaimWanted, Delivery};
use hookfast_core::{AppId, EndpointId};
use hookfast_testkit::backend::OpenError;
use hookfast_testkit::postgres::TestDatabase;
use hookfast_testkit::world::eventually;
use hookfast_testkit::{Backend, Grants, Opened, Place, RecordingDispatch, World, run};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

/// After so long a silence a node is taken for dead here.
const LEASE_MS: u64 = 1_500;

/// The store with a short lease.
struct ShortLease;

impl Backend for ShortLease {
    const EXCLUSIVE: bool = PostgresBackend::EXCLUSIVE;
    const ORDERS: bool = PostgresBackend::ORDERS;
    type Ground = TestDatabase;
    fn ground() -> TestDatabase {
        PostgresBackend::ground()
    }
    fn open(ground: &TestDatabase, place: Place) -> BoxFuture<'static, Result<Opened, OpenError>> {
        open(ground, place, |config| config.lease_ms = LEASE_MS)
    }
}

/// A node that lives on, and one that will be taken for dead.
struct Two {
    world: World<ShortLease>,
    frozen: Opened,
    /// What the frozen node said to its engine.
    frozen_dispatch: Arc<RecordingDispatch>,
    /// The frozen node's incarnation: the newest.
    incarnation: i64,
}

/// Runs a test with two nodes, where there is a server.
fn with_two(test: impl AsyncFnOnce(Two)) {
    if PostgresBackend::can_run() {
        run(async { test(Two::new().await).await });
    }
}

impl Two {
    async fn new() -> Self {
        let world = World::<ShortLease>::new(Grants::None).await;
        let frozen_dispatch = RecordingDispatch::new(Grants::All);
        let place = Place { ids: Arc::default(), dispatch: Arc::clone(&frozen_dispatch) as _, ..world.place() };
        let frozen = ShortLease::open(world.ground(), place).await.unwrap();
        let newest = world.ground().psql("SELECT max(incarnation) FROM hookfast.nodes").unwrap();
        Self { world, frozen, frozen_dispatch, incarnation: newest.parse().unwrap() }
    }

    async fn session(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.world.ground().url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// From now on the node's beat stands still, as long as the answer is kept.
    async fn freeze(&self) -> Client {
        let session = self.session().await;
        let sql = format!("BEGIN; SELECT FROM hookfast.beats WHERE incarnation = {} FOR UPDATE", self.incarnation);
        session.batch_execute(&sql).await.unwrap();
        session
    }

    /// The node is dead for all others, whatever it thinks.
    fn declare_dead(&self) {
        let sql = format!("UPDATE hookfast.nodes SET state = 2, ended_at = 0 WHERE incarnation = {}", self.incarnation);
        self.world.ground().psql(&sql).unwrap();
    }

    /// Waits until a statement with this text waits for a lock.
    async fn lock_is_waited_for(&self, text: &str) {
        let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                   AND strpos(query, $1) > 0";
        let session = self.session().await;
        let waits = async || session.query_opt(sql, &[&text]).await.unwrap().map(drop);
        eventually("a statement to wait for a lock", waits).await;
    }

    async fn is_dead(&self) {
        let sql = format!("SELECT state FROM hookfast.nodes WHERE incarnation = {}", self.incarnation);
        let session = self.session().await;
        let dead = async || (session.query_one(&sql, &[]).await.unwrap().get::<_, i16>(0) == 2).then_some(());
        eventually("the silent node to be declared dead", dead).await;
    }

    /// The frozen node accepts this event; its commit is under way, and ends when the transaction of the answer does.
    async fn accept_slowly(&self, mut event: NewEvent) -> (Client, JoinHandle<Vec<hookfast_core::Result<Accepted>>>) {
        let holder = self.session().await;
        let sql =
            "BEGIN; INSERT INTO hookfast.uids SELECT no, 'held up', gen_random_uuid(), '' FROM hookfast.applications";
        holder.batch_execute(sql).await.unwrap();
        event.uid = Some("held up".to_owned());
        let accept = Arc::clone(&self.frozen.accept);
        let accepting = tokio::spawn(async move { accept.accept(vec![event]).await });
        self.lock_is_waited_for("INSERT INTO hookfast.uids").await;
        (holder, accepting)
    }

    /// An event of this application that the frozen node has in memory.
    async fn hold_one(&self, app: AppId) -> Delivery {
        self.frozen.accept.accept(vec![self.world.event(app)]).await.remove(0).unwrap();
        self.frozen_dispatch.take_handed(1).await.remove(0)
    }

    /// What the living node has to deliver to this endpoint.
    async fn taken_over(&self, endpoint: EndpointId) -> Delivery {
        let claim = async || self.world.claim(endpoint, 10).await.deliveries.pop();
        eventually("what the dead node had in memory", claim).await
    }
}

#[test]
fn what_a_dead_node_had_in_memory_is_delivered_by_another() {
    with_two(async |two| {
        let app = two.world.app().await.id;
        let endpoint = two.world.endpoint(app).await.id;
        let held = two.hold_one(app).await;
        two.declare_dead();
        assert_eq!(two.taken_over(endpoint).await.key, held.key);
    });
}

#[test]
fn a_node_that_was_declared_dead_settles_accepts_and_claims_nothing() {
    with_two(async |two| {
        let app = two.world.app().await.id;
        let endpoint = two.world.endpoint(app).await.id;
        let held = two.hold_one(app).await;
        two.declare_dead();
        two.taken_over(endpoint).await;
        two.frozen.queue.settle(vec![two.world.delivered(&held)]);
        let refused = two.world.event(app);
        let refused_id = refused.id.to_string();
        assert!(two.frozen.accept.accept(vec![refused]).await.remove(0).is_err(), "a dead node accepted an event");
        assert!(two.world.store().reading.event(app, &refused_id).await.is_err(), "a dead node stored an event");
        let state = two.world.state(app, held.key.event, endpoint).await;
        assert_eq!(state, DeliveryState::Pending, "a dead node settled what another one holds");
        two.world.accept_plain(app).await;
        let claim = two.frozen.queue.claim(vec![ClaimWanted { endpoint, rows_max: 10 }], two.world.now());
        let given = claim.await.map_or(0, |claims| claims.iter().map(|one| one.deliveries.len()).sum());
        assert_eq!(given, 0, "a dead node claimed a row");
    });
}

#[test]
fn what_a_node_has_under_way_is_not_stored_after_it_was_declared_dead() {
    with_two(async |two| {
        let app = two.world.app().await.id;
        let event = two.world.event(app);
        let id = event.id.to_string();
        let (holder, accepting) = two.accept_slowly(event).await;
        let _frozen = two.freeze().await;
        two.is_dead().await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        assert!(accepting.await.unwrap().remove(0).is_err(), "a dead node acknowledged an event");
        assert!(two.world.store().reading.event(app, &id).await.is_err(), "a dead node stored an event");
    });
}

#[test]
fn what_a_node_commits_while_it_is_declared_dead_is_delivered_by_another() {
    with_two(async |two| {
        let app = two.world.app().await.id;
        let endpoint = two.world.endpoint(app).await.id;
        let (holder, accepting) = two.accept_slowly(two.world.event(app)).await;
        let _frozen = two.freeze().await;
        two.lock_is_waited_for("UPDATE hookfast.nodes SET").await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        let accepted = accepting.await.unwrap().remove(0).unwrap();
        two.is_dead().await;
        assert_eq!(two.taken_over(endpoint).await.key.event, accepted.id);
    });
}

#[test]
fn a_node_whose_beat_is_not_confirmed_sends_nothing() {
    with_two(async |two| {
        assert!(two.frozen.queue.may_try());
        let _frozen = two.freeze().await;
        two.world.clock.advance_ms(LEASE_MS / 2 + 1);
        assert!(!two.frozen.queue.may_try(), "it may be taken for dead at any time");
    });
}

/// The proof of the proofs: with a bug planted, its test must fail.
#[cfg(feature = "failpoints")]
mod planted {
    use super::{Backend as _, PostgresBackend};

    fn is_caught(bug: &str, test: &str) {
        if !PostgresBackend::can_run() {
            return;
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let name = format!("{}::{test}", module_path!().split("::").nth(1).unwrap());
        let output = again.args(["--exact", &name]).env("HOOKFAST_PLANTED", bug).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && told.contains(" 1 failed;"), "{bug} passed: {told}");
    }

    #[test]
    fn planted_missing_hand_off_row_of_a_node_is_caught() {
        is_caught("no_handoff_row", "what_a_dead_node_had_in_memory_is_delivered_by_another");
    }

    #[test]
    fn planted_missing_fence_of_a_node_is_caught() {
        is_caught("no_fence", "a_node_that_was_declared_dead_settles_accepts_and_claims_nothing");
    }

    #[test]
    fn planted_key_share_is_caught() {
        is_caught("key_share", "what_a_node_has_under_way_is_not_stored_after_it_was_declared_dead");
    }

    #[test]
    fn planted_recovery_in_the_declaration_is_caught() {
        is_caught("recover_in_declaration", "what_a_node_commits_while_it_is_declared_dead_is_delivered_by_another");
    }

    #[test]
    fn planted_stale_sender_is_caught() {
        is_caught("stale_sender", "a_node_whose_beat_is_not_confirmed_sends_nothing");
    }
}

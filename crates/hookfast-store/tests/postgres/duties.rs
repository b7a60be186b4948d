//! What duties and resends do where several nodes share one database, and where the suite for every store cannot look.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::PostgresBackend;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::ports::{Duty, NewApplication, NodeState, OnExisting};
use hookfast_core::{AppId, Clock as _, EventId};
use hookfast_testkit::conformance::too_many;
use hookfast_testkit::world::{eventually, new_application};
use hookfast_testkit::{Backend as _, Grants, Opened, Place, RecordingDispatch, World, run};
use std::sync::Arc;

pub(super) type PostgresWorld = World<PostgresBackend>;

/// Runs a test with a store of its own, where there is a server.
pub(super) fn in_a_world(grants: Grants, test: impl AsyncFnOnce(PostgresWorld)) {
    if PostgresBackend::can_run() {
        run(async { test(World::new(grants).await).await });
    }
}

pub(super) async fn another_node(world: &PostgresWorld) -> Opened {
    let dispatch = RecordingDispatch::new(Grants::None);
    let place = Place { ids: Arc::default(), dispatch, ..world.place() };
    PostgresBackend::open(world.ground(), place).await.unwrap()
}

fn count(world: &PostgresWorld, rows: &str) -> u64 {
    world.ground().psql(&format!("SELECT count(*) FROM hookfast.{rows}")).unwrap().parse().unwrap()
}

async fn app_kept_for_a_week(world: &PostgresWorld) -> AppId {
    let new = NewApplication { retention_days: Some(7), ..new_application() };
    world.store().applications.create_application(new, OnExisting::Refuse, None).await.unwrap().value.id
}

async fn is_kept(world: &PostgresWorld, app: AppId, event: EventId) -> bool {
    world.store().reading.event(app, &event.to_string()).await.is_ok()
}

#[test]
fn a_duty_has_one_owner_until_that_one_ends() {
    in_a_world(Grants::None, async |world| {
        let other = another_node(&world).await;
        let count_one = "INSERT INTO hookfast.stats_log VALUES (1, 1, 1, 0, 0)";
        world.ground().psql(count_one).unwrap();
        assert_eq!(other.maintenance.step(Duty::RollUp).await.unwrap().rows, 1);
        world.ground().psql(count_one).unwrap();
        assert_eq!(world.run(Duty::RollUp).await, 0, "another node owns it");
        let nodes = world.store().maintenance.nodes().await.unwrap();
        let duties: Vec<_> = nodes.iter().map(|node| (node.state, node.duties.as_slice())).collect();
        assert_eq!(duties, [(NodeState::Alive, ["roll_up".to_owned()].as_slice()), (NodeState::Alive, &[])]);
        other.close().await;
        assert_eq!(world.run(Duty::RollUp).await, 1, "it is taken over");
        let nodes = world.store().maintenance.nodes().await.unwrap();
        let duties: Vec<_> = nodes.iter().map(|node| (node.state, node.duties.len())).collect();
        assert_eq!(duties, [(NodeState::Stopped, 0), (NodeState::Alive, 1)]);
        assert_eq!(world.ground().psql("SELECT success FROM hookfast.stats").unwrap(), "2");
    });
}

#[test]
fn exclusive_work_has_one_owner_until_that_one_ends_or_gives_it_up() {
    in_a_world(Grants::None, async |world| {
        let (other, exclusive) = (another_node(&world).await, &world.store().exclusive);
        assert!(other.exclusive.hold("emitters").await.unwrap() && other.exclusive.hold("redis").await.unwrap());
        assert!(!exclusive.hold("emitters").await.unwrap() && !exclusive.hold("redis").await.unwrap());
        let nodes = world.store().maintenance.nodes().await.unwrap();
        assert_eq!(nodes[0].duties, ["emitters", "redis"], "it is seen in the list of nodes");
        exclusive.release("redis").await.unwrap();
        assert!(!exclusive.hold("redis").await.unwrap(), "it is another node's to give up");
        other.exclusive.release("redis").await.unwrap();
        assert!(exclusive.hold("redis").await.unwrap() && !other.exclusive.hold("redis").await.unwrap());
        other.close().await;
        assert!(exclusive.hold("emitters").await.unwrap(), "it is taken over");
        let too_long = exclusive.hold(&"x".repeat(129)).await.unwrap_err();
        assert_eq!(too_long.kind(), hookfast_core::ErrorKind::Invalid);
    });
}

#[test]
fn no_more_emitters_run_than_may() {
    in_a_world(Grants::None, async |world| {
        let app = world.app().await.id;
        let first = world.endpoint(app).await.id;
        too_many::start(&world, app, first).await.unwrap();
        let fill = format!(
            "WITH made AS (
               INSERT INTO hookfast.endpoints (id, app, url, description, version, metadata, headers, secrets, signing,
                 created_at, updated_at)
               SELECT gen_random_uuid(), app, url, description, version, metadata, headers, secrets, signing, created_at,
                 updated_at FROM hookfast.endpoints, generate_series(1, {}) RETURNING no)
             INSERT INTO hookfast.emitters SELECT no, 1, NULL, '[]', 0, 0, 0, no FROM made",
            too_many::THERE - 1
        );
        world.ground().psql(&fill).unwrap();
        too_many::no_more_emitters_run_than_may(&world, app, first).await;
    });
}

#[test]
fn of_many_nodes_that_ask_at_once_one_becomes_the_owner() {
    in_a_world(Grants::None, async |world| {
        let others = [another_node(&world).await, another_node(&world).await];
        let nodes = || [world.store()].into_iter().chain(&others);
        for round in 0..10 {
            let name = format!("work {round}");
            let asked = futures_util::future::join_all(nodes().map(|node| node.exclusive.hold(&name))).await;
            assert_eq!(asked.iter().filter(|held| *held.as_ref().unwrap()).count(), 1);
        }
        for other in others {
            other.close().await;
        }
    });
}

#[test]
fn resends_of_one_delivery_at_once_queue_one_run() {
    in_a_world(Grants::None, async |world| {
        let other = another_node(&world).await;
        let app = world.app().await.id;
        let endpoint = world.endpoint(app).await.id;
        let event = world.accept_plain(app).await;
        let delivery = world.claim_one(endpoint).await;
        world.settle(vec![world.dead(&delivery)]).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let replays = if n % 2 == 0 { &other.replays } else { &world.store().replays };
            let replays = Arc::clone(replays);
            tasks.spawn(async move { replays.resend(app, event, endpoint, None).await });
        }
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        assert_eq!((count(&world, "queue"), count(&world, "queue WHERE run = 1 AND manual")), (1, 1));
        other.close().await;
    });
}

#[test]
fn a_stray_is_queued_and_counted_and_what_is_in_memory_is_none() {
    in_a_world(Grants::EverySecond, async |world| {
        let app = world.app().await.id;
        let endpoint = world.endpoint(app).await.id;
        for _ in 0..4 {
            world.accept_plain(app).await;
        }
        world.dispatch.take_handed(2).await;
        world
            .ground()
            .psql("DELETE FROM hookfast.queue WHERE event = (SELECT event FROM hookfast.queue LIMIT 1)")
            .unwrap();
        world.clock.advance_ms(3_500_000);
        assert_eq!(world.run(Duty::Audit).await, 0, "too young");
        world.clock.advance_ms(200_000);
        assert_eq!(world.run(Duty::Audit).await, 1);
        assert_eq!(world.run(Duty::Audit).await, 0, "once");
        assert_eq!(world.store().reading.totals().await.unwrap().strays, 1);
        assert_eq!(world.claim(endpoint, 10).await.deliveries.len(), 2);
    });
}

#[test]
fn a_stray_found_before_its_table_goes_ends_and_is_seen_for_a_day() {
    in_a_world(Grants::None, async |world| {
        let app = app_kept_for_a_week(&world).await;
        let endpoint = world.endpoint(app).await.id;
        let event = world.accept_plain(app).await;
        world.ground().psql("DELETE FROM hookfast.queue").unwrap();
        world.clock.advance_days(10);
        world.run(Duty::Retention).await;
        let found = world.destination(app, event, endpoint).await;
        assert_eq!((found.state, found.cause), (DeliveryState::Dead, Some(Cause::Expired)));
        world.clock.advance_ms(23 * 3_600_000);
        world.run(Duty::Retention).await;
        assert!(is_kept(&world, app, event).await);
        world.clock.advance_ms(2 * 3_600_000);
        world.run(Duty::Retention).await;
        assert!(!is_kept(&world, app, event).await);
        let totals = world.store().reading.totals().await.unwrap();
        assert_eq!((totals.strays, totals.purged_events), (1, 1));
        assert_eq!(count(&world, "purged WHERE retention_days = 7 AND events = 1"), 1);
    });
}

#[test]
fn a_leased_row_keeps_its_tables() {
    in_a_world(Grants::None, async |world| {
        let app = app_kept_for_a_week(&world).await;
        let endpoint = world.endpoint(app).await.id;
        let event = world.accept_plain(app).await;
        let held = world.claim_one(endpoint).await;
        world.clock.advance_days(10);
        world.run(Duty::Retention).await;
        assert!(is_kept(&world, app, event).await);
        world.settle(vec![world.delivered(&held)]).await;
        world.run(Duty::Retention).await;
        assert!(!is_kept(&world, app, event).await);
        assert_eq!((count(&world, "queue"), count(&world, "deliveries")), (0, 0));
    });
}

#[test]
fn rows_without_a_table_of_their_day_stop_nothing_and_go_in_their_time() {
    in_a_world(Grants::None, async |world| {
        let app = app_kept_for_a_week(&world).await;
        let today = world.now().0 / 86_400_000;
        let drop = format!("DROP TABLE hookfast.events_7_{today}, hookfast.events_7_{}", today + 1);
        world.ground().psql(&drop).unwrap();
        let event = world.accept_plain(app).await;
        assert_eq!(count(&world, "events_7_rest"), 1);
        assert_eq!(world.run(Duty::Partitions).await, 1, "tomorrow's can be made");
        assert_eq!(count(&world, &format!("events_7_{}", today + 1)), 0);
        let next = world.accept_plain(app).await;
        world.clock.advance_days(7);
        world.run_all_duties().await;
        assert!(is_kept(&world, app, event).await && is_kept(&world, app, next).await);
        world.clock.advance_days(2);
        world.run_all_duties().await;
        assert!(!is_kept(&world, app, event).await && !is_kept(&world, app, next).await);
        assert_eq!(world.store().reading.totals().await.unwrap().purged_events, 2);
    });
}

#[test]
fn a_table_that_somebody_reads_is_dropped_later() {
    in_a_world(Grants::None, async |world| {
        let app = app_kept_for_a_week(&world).await;
        let event = world.accept_plain(app).await;
        let endpoint = world.endpoint(app).await.id;
        world.clock.advance_days(10);
        let fresh = world.accept_plain(app).await;
        let ground = world.ground();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| ground.psql("SELECT count(*) FROM hookfast.events; SELECT pg_sleep(600)"));
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
                    let pid = eventually("the reader to sleep", async || {
                        Some(ground.psql(asleep).unwrap()).filter(|pid| !pid.is_empty())
                    });
                    let pid = pid.await;
                    world.run(Duty::Retention).await;
                    assert!(is_kept(&world, app, event).await);
                    ground.psql(&format!("SELECT pg_terminate_backend({pid})")).unwrap();
                });
            });
            assert!(reader.join().unwrap().is_err());
        });
        world.clock.advance_ms(601_000);
        world.run(Duty::Retention).await;
        assert!(!is_kept(&world, app, event).await && is_kept(&world, app, fresh).await);
        assert!(
            world.store().reading.destinations(app, fresh).await.unwrap().iter().any(|to| to.endpoint.id == endpoint)
        );
    });
}

#[test]
fn what_ended_long_ago_is_forgotten_but_the_highest_id_is_not() {
    in_a_world(Grants::None, async |mut world| {
        for _ in 0..3 {
            world.clock.advance_ms(1);
            world.restart().await;
        }
        world.ground().psql("UPDATE hookfast.changes SET at = now() - interval '6 minutes'").unwrap();
        world.clock.advance_days(3);
        let highest = "SELECT max(last_id) FROM hookfast.beats WHERE incarnation < 4";
        let last_id = world.ground().psql(highest).unwrap();
        world.ground().psql("UPDATE hookfast.beats SET last_id = 0 WHERE incarnation = 4").unwrap();
        world.run(Duty::Retention).await;
        let left =
            world.ground().psql("SELECT max(last_id) >= {} FROM hookfast.beats".replace("{}", &last_id).as_str());
        assert_eq!(left.unwrap(), "t");
        assert!((1..=2).contains(&count(&world, "nodes")));
        assert_eq!(count(&world, "nodes"), count(&world, "beats"));
        assert_eq!(world.store().maintenance.nodes().await.unwrap().len(), 1);
        let oldest_keys = world.clock.now().0 / 86_400_000 - 1;
        assert_eq!(
            world.ground().psql(&format!("SELECT to_regclass('hookfast.dedupe_{}') IS NULL", oldest_keys - 1)).unwrap(),
            "t"
        );
        assert_eq!(
            world.ground().psql(&format!("SELECT to_regclass('hookfast.dedupe_{oldest_keys}') IS NULL")).unwrap(),
            "f"
        );
    });
}

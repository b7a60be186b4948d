//! Caller keys of events as the day changes, on two nodes: a key is one event, whichever of them takes it, on whatever side
//! of midnight. Must not know how days are kept.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::own_duties::{PostgresWorld, another_node, in_a_world};
use hookfast_core::model::NewEvent;
use hookfast_core::{AppId, EventId, IdGenerator, UnixMs};
use hookfast_testkit::Grants;
use hookfast_testkit::world::eventually;
use std::sync::Arc;
use tokio_postgres::{Client, NoTls};

const DAY_MS: i64 = 86_400_000;

/// An event with this key, accepted so many milliseconds after the next midnight by the clock of its node.
fn keyed(world: &PostgresWorld, app: AppId, key: u8, after_ms: i64) -> NewEvent {
    let midnight = (world.now().0.div_euclid(DAY_MS) + 1) * DAY_MS;
    // Each node makes its own ids.
    let id = EventId::from_u128(IdGenerator::new().next(UnixMs(midnight + after_ms)));
    NewEvent { id, idempotency: Some([key; 16]), ..world.event(app) }
}

async fn session(world: &PostgresWorld) -> Client {
    let (client, connection) = tokio_postgres::connect(&world.ground().url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn waiting(session: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
               AND query LIKE '%INSERT INTO hookfast.dedupe%'";
    session.query_one(sql, &[]).await.unwrap().get(0)
}

#[test]
fn a_key_that_two_nodes_take_while_the_day_changes_is_one_event() {
    in_a_world(Grants::None, async |world| {
        let (other, app) = (another_node(&world).await, world.app().await.id);
        let (holder, looking) = (session(&world).await, session(&world).await);
        let sql =
            "BEGIN; INSERT INTO hookfast.uids SELECT no, 'held up', gen_random_uuid(), '' FROM hookfast.applications";
        holder.batch_execute(sql).await.unwrap();
        // Its commit has taken the key, and waits for the uid.
        let before = NewEvent { uid: Some("held up".to_owned()), ..keyed(&world, app, 1, -5) };
        let accept = Arc::clone(&other.accept);
        let first = tokio::spawn(async move { accept.accept(vec![before]).await.remove(0).unwrap() });
        eventually("the first to wait", async || (waiting(&looking).await == 1).then_some(())).await;
        let (accept, after) = (Arc::clone(&world.store().accept), keyed(&world, app, 1, 5));
        let second = tokio::spawn(async move { accept.accept(vec![after]).await.remove(0).unwrap() });
        let met = async || (second.is_finished() || waiting(&looking).await == 2).then_some(());
        eventually("the second to meet the first", met).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert!(!first.repeat && second.repeat, "{first:?} {second:?}");
        assert_eq!(first.id, second.id);
        other.close().await;
    });
}

#[test]
fn a_key_is_known_to_nodes_whose_clocks_are_on_two_sides_of_midnight() {
    in_a_world(Grants::None, async |world| {
        let (other, app) = (another_node(&world).await, world.app().await.id);
        let near = [-1, 0, 1, -20_000, 20_000];
        let pairs = near.iter().flat_map(|at| near.map(|then| (*at, then)));
        // One of them is not near midnight by its own clock.
        let far = [(-90_000, 20_000), (20_000, -90_000), (90_000, -20_000), (-20_000, 90_000)];
        for (key, (at, then)) in (1_u8..).zip(pairs.chain(far)) {
            let first = world.try_accept(keyed(&world, app, key, at)).await.unwrap();
            assert!(!first.repeat, "{at}");
            let again = other.accept.accept(vec![keyed(&world, app, key, then)]).await.remove(0).unwrap();
            assert!(again.repeat && again.id == first.id, "taken at {at} ms, again at {then} ms");
        }
        other.close().await;
    });
}

#[test]
fn a_key_taken_near_midnight_is_one_for_all_its_events_and_another_body_is_refused() {
    in_a_world(Grants::None, async |world| {
        let app = world.app().await.id;
        let first = world.accept(keyed(&world, app, 7, -10)).await;
        let other = NewEvent { body_hash: [2; 16], ..keyed(&world, app, 7, 10) };
        assert_eq!(world.try_accept(other).await.unwrap_err().kind(), hookfast_core::ErrorKind::Conflict);
        // Together in one commit.
        let both = vec![keyed(&world, app, 7, 20), keyed(&world, app, 8, 21), keyed(&world, app, 8, 22)];
        let answers = world.store().accept.accept(both).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!((answers[0].id, answers[0].repeat), (first, true));
        assert_eq!((answers[1].repeat, answers[2].repeat, answers[1].id == answers[2].id), (false, true, true));
        // A day later the key is known still.
        let late = world.try_accept(keyed(&world, app, 7, DAY_MS - 120_000)).await.unwrap();
        assert!(late.repeat && late.id == first);
    });
}

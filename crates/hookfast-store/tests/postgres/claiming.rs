//! What claiming and settling read, counted by the server itself: what they take, however much stands beside it, and
//! however long something keeps PostgreSQL from clearing away what is gone.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::own_duties::{PostgresWorld, in_a_world};
use hookfast_core::EndpointId;
use hookfast_core::ports::Outcome;
use hookfast_testkit::Grants;
use hookfast_testkit::world::eventually;

/// Rows of each table beside what is claimed.
const ROWS: u64 = 20_000;
/// Rows of a claim.
const CLAIMED: u32 = 100;

/// A history of finished deliveries, and a queue of newer events that is as long, of which every row is due.
const FILL: &str = "
  CREATE TEMP TABLE of AS SELECT e.*, n.no AS endpoint FROM hookfast.events e, hookfast.endpoints n;
  CREATE TEMP TABLE made AS SELECT overlay(id::text placing lpad(to_hex(g), 12, '0') from 25)::uuid AS id, g
    FROM of, generate_series(1, 40000) g;
  INSERT INTO hookfast.events SELECT m.id, retention_days, app, incarnation, event_type, NULL, channels, ordering_key,
      content_type, routed, body FROM of, made m;
  INSERT INTO hookfast.deliveries (event, endpoint, run, retention_days, state, cause, tries, attempt)
    SELECT m.id, endpoint, 0, retention_days, 2, 0, 1, m.id FROM of, made m WHERE m.g <= 20000;
  INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual)
    SELECT m.id, endpoint, 0, retention_days, m.g, 1, 0, false FROM of, made m WHERE m.g > 20000;
  ANALYZE hookfast.events; ANALYZE hookfast.deliveries; ANALYZE hookfast.queue;";

/// On tables of millions, of which it knows little, the planner joins whole tables sooner than here: so it is told to. That
/// is a matter of cost to it, and what costs much it compiles, which takes seconds.
const JOIN_WHOLE_TABLES: &str = "DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET enable_nestloop = off', current_database());
    EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$";

/// Index entries and rows read so far, by everybody. Backends report when they end at the latest, so the store's end first.
async fn read_so_far(world: &mut PostgresWorld) -> u64 {
    let backends = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hookfast'";
    let old = world.ground().psql(&format!("SELECT string_agg(pid::text, ',') {backends}")).unwrap();
    world.restart().await;
    let ask = |question: &str| world.ground().psql(question).unwrap().parse::<u64>().unwrap();
    let left = format!("SELECT count(*) {backends} AND pid IN ({old})");
    eventually("the end of the last store's backends", async || (ask(&left) == 0).then_some(())).await;
    ask("SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
              + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)")
}

/// Claims so many times and settles what it is given.
async fn deliver(world: &PostgresWorld, endpoint: EndpointId, claims: u32) {
    for _ in 0..claims {
        let deliveries = world.claim(endpoint, CLAIMED).await.deliveries;
        assert_eq!(deliveries.len(), CLAIMED as usize);
        world.settle(deliveries.iter().map(|one| world.delivered(one)).collect()).await;
    }
}

async fn filled(world: &mut PostgresWorld) -> EndpointId {
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await.id;
    world.accept_plain(app).await;
    let first = world.claim_one(endpoint).await;
    world.settle(vec![world.delivered(&first)]).await;
    world.ground().psql(FILL).unwrap();
    assert_eq!(world.ground().psql("SELECT count(*) FROM hookfast.queue").unwrap(), ROWS.to_string());
    world.ground().psql(JOIN_WHOLE_TABLES).unwrap();
    // A new node knows nothing of claims before.
    world.restart().await;
    endpoint
}

#[test]
fn a_claim_reads_what_it_takes_and_not_what_stands_beside_it() {
    in_a_world(Grants::None, async |mut world| {
        let endpoint = filled(&mut world).await;
        let before = read_so_far(&mut world).await;
        deliver(&world, endpoint, 10).await;
        let read = read_so_far(&mut world).await - before;
        // Each delivery is looked up in a few indexes; one look at a whole table would read as much again.
        let most = u64::from(CLAIMED) * 10 * 15;
        assert!(read < most && most < ROWS, "1,000 deliveries read {read} index entries and rows");
    });
}

#[test]
fn what_is_gone_and_cannot_be_cleared_away_is_not_read_again_and_again() {
    in_a_world(Grants::None, async |mut world| {
        let endpoint = filled(&mut world).await;
        let (client, connection) = tokio_postgres::connect(&world.ground().url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM hookfast.queue")
            .await
            .unwrap();
        let before = read_so_far(&mut world).await;
        deliver(&world, endpoint, 100).await;
        let read = read_so_far(&mut world).await - before;
        // Passing over all that was claimed before with every claim would make it 10,000 times 50 and more.
        let most = u64::from(CLAIMED) * 100 * 25;
        assert!(read < most, "10,000 deliveries beside an open transaction read {read} index entries and rows");
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn what_is_given_back_unsent_comes_first_again_though_newer_rows_were_claimed() {
    in_a_world(Grants::None, async |mut world| {
        let endpoint = filled(&mut world).await;
        let first = world.claim(endpoint, CLAIMED).await.deliveries;
        let newer = world.claim(endpoint, CLAIMED).await.deliveries;
        assert_eq!((first.len(), newer.len()), (CLAIMED as usize, CLAIMED as usize));
        let unsent = first.iter().map(|one| world.untried(one, Outcome::Wait { due: one.due })).collect();
        world.settle(unsent).await;
        let again = world.claim(endpoint, CLAIMED).await.deliveries;
        assert!(again.iter().map(|one| one.key).eq(first.iter().map(|one| one.key)), "newer ones were given");
    });
}

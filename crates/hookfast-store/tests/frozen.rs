//! Stores as earlier releases left them: dumps in `schema/`, with rows of every kind, restored and opened by this binary. What
//! they hold reads as it was, and what waits is delivered. The same rows, dumped anew, are what the next release freezes:
//! with `HOOKFAST_FREEZE=VERSION` they are written there.

#![expect(clippy::unwrap_used, reason = "the lints spare test functions, not what they call")]

use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::{CallerKey, EventType, Name, NewEvent, Origin, Principal, Scope, SecretText, Token};
use hookfast_core::ports::{BoxFuture, Duty, NewApplication, OnExisting};
use hookfast_core::{AppId, EndpointId, OrgId, TokenId, UnixMs};
use hookfast_store::postgres::{PostgresConfig, PostgresStore};
use hookfast_store::sqlite::{SqliteConfig, SqliteStore};
use hookfast_testkit::backend::OpenError;
use hookfast_testkit::postgres::{TestDatabase, database};
use hookfast_testkit::world::{eventually, first_page, new_application};
use hookfast_testkit::{Backend, Grants, Opened, Place, World, run, skip};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// The callers' ids of the events that wait, each in another way.
const WAITING: [&str; 3] = ["in memory", "leased", "queued"];
const KEY: [u8; 16] = [3; 16];
const TOKEN: [u8; 32] = [7; 32];
/// A class with few tables: the dump stays small.
const DAYS: u16 = 90;
/// In the dump a node lives that does not: after so long it is taken for dead.
const LEASE_MS: u64 = 1_500;

/// What a store begins with: nothing, the rows of a release, or those that were dumped a moment ago.
const EMPTY: u8 = 0;
const RELEASED: u8 = 1;
const DUMPED: u8 = 2;

struct Sqlite<const BEGIN: u8>;

impl Sqlite<DUMPED> {
    const DUMP: &OnceLock<String> = {
        static DUMP: OnceLock<String> = OnceLock::new();
        &DUMP
    };
}

impl<const BEGIN: u8> Backend for Sqlite<BEGIN> {
    const EXCLUSIVE: bool = true;
    const ORDERS: bool = true;
    type Ground = Option<String>;
    fn ground() -> Option<String> {
        begin::<BEGIN>(include_str!("schema/0.1.0.sqlite.sql"), Sqlite::DUMP)
    }
    fn open(dump: &Option<String>, place: Place) -> BoxFuture<'static, Result<Opened, OpenError>> {
        let (path, dump) = (place.dir.join("store.db"), dump.clone());
        Box::pin(async move {
            if let Some(dump) = dump.filter(|_| !path.exists()) {
                rusqlite::Connection::open(path)?.execute_batch(&dump)?;
            }
            let config = SqliteConfig { disk_reserve_bytes: 1 << 20, ..SqliteConfig::new(place.dir) };
            let fatal = Arc::new(|why: &str| eprintln!("the store ended: {why}"));
            let store = SqliteStore::open(config, place.clock, place.ids, place.dispatch, fatal)?;
            let closing = Arc::clone(&store);
            Ok(Opened::new(&store, move || closing.close()))
        })
    }
}

struct Postgres<const BEGIN: u8>;

impl Postgres<DUMPED> {
    const DUMP: &OnceLock<String> = {
        static DUMP: OnceLock<String> = OnceLock::new();
        &DUMP
    };
}

impl<const BEGIN: u8> Backend for Postgres<BEGIN> {
    const EXCLUSIVE: bool = false;
    const ORDERS: bool = true;
    type Ground = TestDatabase;
    fn can_run() -> bool {
        database().is_some()
    }
    fn ground() -> TestDatabase {
        let database = database().unwrap();
        if let Some(dump) = begin::<BEGIN>(include_str!("schema/0.1.0.postgres.sql"), Postgres::DUMP) {
            database.psql(&dump).unwrap();
        }
        database
    }
    fn open(ground: &TestDatabase, place: Place) -> BoxFuture<'static, Result<Opened, OpenError>> {
        let config = PostgresConfig {
            lease_ms: LEASE_MS,
            retention_classes_days: vec![DAYS],
            retention_days_default: DAYS,
            ..PostgresConfig::new(SecretText::new(ground.url()))
        };
        let fatal = Arc::new(|why: &str| eprintln!("the node ended: {why}"));
        Box::pin(async move {
            let store = PostgresStore::open(config, place.clock, place.ids, place.dispatch, fatal).await?;
            let closing = Arc::clone(&store);
            Ok(Opened::new(&store, move || closing.close()))
        })
    }
}

fn begin<const BEGIN: u8>(released: &str, dumped: &OnceLock<String>) -> Option<String> {
    match BEGIN {
        RELEASED => Some(released.to_owned()),
        DUMPED => dumped.get().cloned(),
        _ => None,
    }
}

/// Makes rows of every kind that outlives a node. What waits is left as it is when a node dies.
async fn fill<B: Backend>(world: &World<B>) {
    let (app, endpoint) = configure(world).await;
    let event = |uid: &str| NewEvent { uid: Some(uid.to_owned()), origin: Some(origin()), ..world.event(app) };

    let keyed = NewEvent { idempotency: Some(KEY), channels: vec!["eu".to_owned()], ..event("delivered") };
    world.accept(keyed).await;
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.retried(&delivery, 1_000)]).await;
    world.clock.advance_ms(1_000);
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.delivered(&delivery)]).await;
    world.accept(event("dead")).await;
    let delivery = world.claim_one(endpoint).await;
    world.settle(vec![world.dead(&delivery)]).await;
    world.run(Duty::RollUp).await;
    let recover = world.store().replays.recover(app, endpoint, UnixMs::ZERO, world.now().plus_ms(1), None);
    recover.await.unwrap();

    world.dispatch.set_grants(Grants::All);
    world.accept(event("at once")).await;
    let delivery = world.dispatch.take_handed(1).await.remove(0);
    world.settle(vec![world.delivered(&delivery)]).await;
    world.accept(event("in memory")).await;
    world.dispatch.set_grants(Grants::None);
    world.accept(event("leased")).await;
    world.claim_one(endpoint).await;
    world.accept(event("queued")).await;

    let gone = world.app().await.id;
    world.endpoint(gone).await;
    world.accept_plain(gone).await;
    world.store().applications.delete_application(gone).await.unwrap();
}

async fn configure<B: Backend>(world: &World<B>) -> (AppId, EndpointId) {
    let (org, now, store) = (OrgId::default_org(), world.now(), world.store());
    let metadata = BTreeMap::from([("plan".to_owned(), "large".to_owned())]);
    let new = NewApplication { uid: Some("shop".to_owned()), metadata, ..new_application() };
    let key = CallerKey { key_hash: [9; 16], body_hash: [9; 16] };
    let app = store.applications.create_application(new, OnExisting::Refuse, Some(key)).await.unwrap().value.id;
    let endpoint = world.endpoint_with(app, |new| {
        new.uid = Some("hooks".to_owned());
        new.headers = BTreeMap::from([("x-shop".to_owned(), "7".to_owned())]);
        new.event_types = Some(vec!["invoice.paid".to_owned()]);
    });
    let endpoint = endpoint.await.id;
    let new = EventType {
        org: org.clone(),
        name: "invoice.paid".to_owned(),
        description: "An invoice was paid".to_owned(),
        archived: false,
        deprecated: false,
        feature_flags: vec!["beta".to_owned()],
        group_name: Some("billing".to_owned()),
        schemas: Some("{\"1\":{}}".to_owned()),
        created_at: now,
        updated_at: now,
    };
    store.event_types.create_event_type(new, None).await.unwrap();
    let id = TokenId::from_u128(world.ids.next(now));
    let token = Token {
        id,
        name: "ci".to_owned(),
        caller: Name::of_token(id, "ci"),
        hash: TOKEN,
        principal: Principal { org, scope: Scope::Org },
        created_at: now,
        expires_at: None,
    };
    store.tokens.create_token(token).await.unwrap();
    (app, endpoint)
}

/// Where the events come in.
fn origin() -> Origin {
    Origin { source: Name::new("api"), by: Some(Name::new("jwt:org_1")) }
}

/// All that [`fill`] made is there, and what waits is delivered. The first release kept no origin.
async fn check<B: Backend>(world: World<B>, origin: Option<Origin>) {
    world.clock.advance_ms(3_600_000);
    let (org, store) = (OrgId::default_org(), world.store());
    let app = store.applications.application(&org, "shop").await.unwrap();
    assert_eq!(app.metadata["plan"], "large");
    let listed = store.applications.applications(org.clone(), first_page()).await.unwrap().items;
    assert_eq!(listed.len(), 1, "a deleted application came back");
    let endpoint = store.endpoints.endpoint(app.id, "hooks").await.unwrap();
    assert_eq!(endpoint.headers["x-shop"], "7");
    let kind = store.event_types.event_type(&org, "invoice.paid").await.unwrap();
    assert_eq!((kind.group_name.as_deref(), kind.feature_flags.len()), (Some("billing"), 1));
    assert_eq!(store.tokens.token(TOKEN).await.unwrap().name, "ci");
    assert_eq!(store.reading.event(app.id, "delivered").await.unwrap().origin, origin);
    check_history(&world, app.id, endpoint.id).await;

    let state = async |uid: &str| {
        let event = store.reading.event(app.id, uid).await.unwrap().id;
        world.state(app.id, event, endpoint.id).await
    };
    let deliver = async |uids: &[&str]| {
        for delivery in world.claim(endpoint.id, 10).await.deliveries {
            world.settle(vec![world.delivered(&delivery)]).await;
        }
        for uid in uids {
            if state(uid).await != DeliveryState::Delivered {
                return None;
            }
        }
        Some(())
    };
    eventually("what waited to be delivered", async || deliver(&WAITING).await).await;
    eventually("the recover task to go on", async || {
        world.run(Duty::Tasks).await;
        deliver(&["dead"]).await
    })
    .await;
    world.run_all_duties().await;
    // One more, on top of all that.
    let event = world.accept_plain(app.id).await;
    let delivery = world.claim_one(endpoint.id).await;
    assert_eq!(delivery.key.event, event);
}

async fn check_history<B: Backend>(world: &World<B>, app: AppId, endpoint: EndpointId) {
    let event = world.store().reading.event(app, "delivered").await.unwrap();
    assert_eq!(event.body.as_deref(), Some(world.event(app).body.as_ref()));
    assert_eq!(world.state(app, event.id, endpoint).await, DeliveryState::Delivered);
    let attempts = world.attempts(app, event.id).await;
    assert_eq!(attempts.iter().map(|one| (one.number, one.status)).collect::<Vec<_>>(), [(1, 0), (2, 200)]);
    let repeat = world.try_accept(NewEvent { idempotency: Some(KEY), ..world.event(app) }).await.unwrap();
    assert_eq!((repeat.id, repeat.repeat), (event.id, true));
    let at_once = world.store().reading.event(app, "at once").await.unwrap().id;
    assert_eq!(world.attempts(app, at_once).await.len(), 1);
    let dead = world.store().reading.event(app, "dead").await.unwrap().id;
    assert_eq!(world.attempts(app, dead).await[0].excerpt, "answer 503");
}

/// Writes a dump where releases are kept, when that is wanted.
fn freeze(dump: &str, kind: &str) {
    if let Ok(version) = std::env::var("HOOKFAST_FREEZE") {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schema/{version}.{kind}.sql"));
        std::fs::write(file, dump).unwrap();
    }
}

/// A database as SQL that makes it anew.
fn dump_of_sqlite(path: &Path) -> rusqlite::Result<String> {
    let conn = rusqlite::Connection::open(path)?;
    let mut dump = String::from("BEGIN;\n");
    let made = "SELECT type = 'table', name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
                ORDER BY type DESC, name";
    let mut made = conn.prepare(made)?;
    let mut rows = made.query([])?;
    while let Some(row) = rows.next()? {
        let (is_table, name, sql): (bool, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        dump.push_str(&format!("{sql};\n"));
        if is_table {
            let statement = conn.prepare(&format!("SELECT * FROM {name}"))?;
            let values = statement.column_names().map(|column| format!("quote({column})")).collect::<Vec<_>>();
            let values = values.join(" || ', ' || ");
            let sql = format!("SELECT 'INSERT INTO {name} VALUES (' || {values} || ');' FROM {name}");
            for insert in conn.prepare(&sql)?.query_map([], |row| row.get::<_, String>(0))? {
                dump.push_str(&(insert? + "\n"));
            }
        }
    }
    Ok(dump + "COMMIT;\n")
}

/// The same of a PostgreSQL database; `None` says that `pg_dump` is missing.
fn dump_of_postgres(url: &str) -> Option<String> {
    let args = ["--inserts", "--no-owner", "--no-privileges", "--schema=hookfast", url];
    let Ok(output) = Command::new("pg_dump").args(args).output() else {
        skip("no dump of a database: `pg_dump` is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let noise = ["--", "SET ", "SELECT pg_catalog.set_config", "\\"];
    let lines = text.lines().filter(|line| !line.is_empty() && !noise.iter().any(|start| line.starts_with(start)));
    Some(lines.fold(String::new(), |dump, line| dump + line + "\n"))
}

#[test]
fn a_directory_of_the_first_release_reads_as_it_was_and_goes_on() {
    run(async { check(World::<Sqlite<RELEASED>>::new(Grants::None).await, None).await });
}

#[test]
fn a_directory_dumped_now_reads_as_it_was_and_goes_on() {
    run(async {
        let world = World::<Sqlite<EMPTY>>::new(Grants::None).await;
        fill(&world).await;
        let dump = dump_of_sqlite(&world.place().dir.join("store.db")).unwrap();
        freeze(&dump, "sqlite");
        Sqlite::DUMP.set(dump).unwrap();
        check(World::<Sqlite<DUMPED>>::new(Grants::None).await, Some(origin())).await;
    });
}

#[test]
fn a_database_of_the_first_release_reads_as_it_was_and_goes_on() {
    if Postgres::<RELEASED>::can_run() {
        run(async { check(World::<Postgres<RELEASED>>::new(Grants::None).await, None).await });
    }
}

#[test]
fn a_database_dumped_now_reads_as_it_was_and_goes_on() {
    if !Postgres::<EMPTY>::can_run() {
        return;
    }
    run(async {
        let world = World::<Postgres<EMPTY>>::new(Grants::None).await;
        fill(&world).await;
        let Some(dump) = dump_of_postgres(&world.ground().url()) else { return };
        freeze(&dump, "postgres");
        Postgres::DUMP.set(dump).unwrap();
        check(World::<Postgres<DUMPED>>::new(Grants::None).await, Some(origin())).await;
    });
}

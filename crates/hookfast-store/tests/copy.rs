//! A store that has grown up in a directory is copied into a database: everything of it is there, also after the copy was
//! cut off, and nothing is mixed up.

#![expect(clippy::unwrap_used, reason = "the lints spare test functions, not what they call")]

use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::{EventType, Name, NewEvent, OnDead, Ordering, Origin, Principal, Scope, SecretText, Token};
use hookfast_core::ports::{BoxFuture, Duty, EmitterProgress, NewApplication, NewEmitter, OnExisting};
use hookfast_core::{AppId, Clock as _, ErrorKind, EventId, IdGenerator, OrgId, TokenId, UnixMs};
use hookfast_store::postgres::{PostgresConfig, PostgresStore};
use hookfast_store::sqlite::{SqliteConfig, SqliteStore};
use hookfast_store::{Copied, CopyProgress, Error, copy};
use hookfast_testkit::backend::OpenError;
use hookfast_testkit::postgres::{TestDatabase, database};
use hookfast_testkit::world::{any_attempt, any_event, first_page, new_application};
use hookfast_testkit::{Backend, Grants, ManualClock, Opened, Place, RecordingDispatch, World, run};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

const KEY: &str = "a key that both stores are sealed with";

struct Directory;

impl Backend for Directory {
    const EXCLUSIVE: bool = true;
    const ORDERS: bool = true;
    /// Outlives the world, to be copied from.
    type Ground = Arc<TempDir>;
    fn ground() -> Arc<TempDir> {
        Arc::new(tempfile::tempdir().unwrap())
    }
    fn open(ground: &Arc<TempDir>, place: Place) -> BoxFuture<'static, Result<Opened, OpenError>> {
        let (config, Place { clock, ids, dispatch, .. }) = (from(ground.path()), place);
        Box::pin(async move {
            let store =
                SqliteStore::open(config, clock, ids, dispatch, Arc::new(|why: &str| eprintln!("FATAL {why}")))?;
            Ok(Opened::new(&Arc::clone(&store), move || store.close()))
        })
    }
}

fn from(dir: &Path) -> SqliteConfig {
    let secret_key = Some(SecretText::new(KEY));
    SqliteConfig { secret_key, disk_reserve_bytes: 1 << 20, ..SqliteConfig::new(dir.to_owned()) }
}

fn to(database: &TestDatabase) -> PostgresConfig {
    PostgresConfig { secret_key: Some(SecretText::new(KEY)), ..PostgresConfig::new(SecretText::new(database.url())) }
}

async fn open_copy(database: &TestDatabase, clock: &Arc<ManualClock>) -> Result<Opened, Error> {
    let (ids, dispatch) = (Arc::<IdGenerator>::default(), RecordingDispatch::new(Grants::None));
    let fatal = Arc::new(|why: &str| eprintln!("FATAL {why}"));
    let store = PostgresStore::open(to(database), Arc::clone(clock) as _, ids, dispatch, fatal).await?;
    Ok(Opened::new(&Arc::clone(&store), move || store.close()))
}

/// A directory that was lived in, and what is to be asked about it.
struct Grown {
    dir: Arc<TempDir>,
    clock: Arc<ManualClock>,
    app: AppId,
    tokens: Vec<Token>,
    keyed: NewEvent,
    /// Has no delivery yet, and its last life had it in memory.
    in_memory: EventId,
}

impl Grown {
    /// Everything that a store can hold, over ten days.
    async fn new() -> Self {
        let world = World::<Directory>::new(Grants::None).await;
        let (app, tokens) = configure(&world).await;
        let endpoint = world.endpoint_with(app, |new| drop(new.headers.insert("x-key".into(), "hidden".into()))).await;
        let gone = world.endpoint(app).await;
        let strict = world.endpoint_with(app, |new| {
            new.ordering = Some(Ordering { pointer: None, on_dead: OnDead::Block });
        });
        let strict = strict.await;
        for day in 0..5 {
            let origin = Origin { source: Name::new("api"), by: Some(tokens[0].caller.clone()) };
            let event = NewEvent {
                uid: Some(format!("uid {day}")),
                channels: vec!["c".into()],
                origin: Some(origin),
                ..world.event(app)
            };
            world.accept(NewEvent { ordering_key: Some("k".into()), ..event }).await;
            let taken = world.claim_one(endpoint.id).await;
            world.settle(vec![world.retried(&taken, 0)]).await;
            let again = world.claim_one(endpoint.id).await;
            world.settle(vec![if day == 3 { world.dead(&again) } else { world.delivered(&again) }]).await;
            if day == 1 {
                let head = world.claim_one(strict.id).await;
                world.settle(vec![world.dead(&head)]).await;
            }
            world.clock.advance_days(2);
        }
        let first = world.accept_plain(app).await;
        let taken = world.claim_one(endpoint.id).await;
        world.settle(vec![world.delivered(&taken)]).await;
        world.store().replays.resend(app, first, endpoint.id, None).await.unwrap();
        world.store().replays.recover(app, endpoint.id, UnixMs(0), world.now(), None).await.unwrap();
        world.run(Duty::Tasks).await;
        world.store().endpoints.delete_endpoint(app, gone.id).await.unwrap();
        let emitter =
            NewEmitter { app, endpoint: endpoint.id, interval_ns: 7, count: Some(9), event_types: vec!["PAID".into()] };
        let began = world.store().emitters.start_emitter(emitter).await.unwrap().value.started_at;
        world
            .store()
            .emitters
            .emitted(vec![(endpoint.id, began, EmitterProgress { made: 3, skipped_ms: 5, unsure: 2 })])
            .await
            .unwrap();
        let keyed = NewEvent { idempotency: Some([3; 16]), ..world.event(app) };
        world.accept(keyed.clone()).await;
        world.dispatch.set_grants(Grants::All);
        let in_memory = world.accept_plain(app).await;
        let (dir, clock) = (Arc::clone(world.ground()), Arc::clone(&world.clock));
        Self { dir, clock, app, tokens, keyed, in_memory }
    }

    async fn copy(&self, database: &TestDatabase) -> Result<Copied, Error> {
        copy(from(self.dir.path()), to(database), Arc::clone(&self.clock) as _, |_| {}).await
    }

    async fn open(&self) -> Opened {
        let (ids, dispatch) = (Arc::default(), RecordingDispatch::new(Grants::None));
        let place = Place { dir: self.dir.path().to_owned(), clock: Arc::clone(&self.clock) as _, ids, dispatch };
        Directory::open(&self.dir, place).await.unwrap()
    }
}

async fn configure(world: &World<Directory>) -> (AppId, Vec<Token>) {
    let org = OrgId::default_org();
    let new = NewApplication { uid: Some("acme".into()), retention_days: Some(90), ..new_application() };
    let app = world.store().applications.create_application(new, OnExisting::Refuse, None).await.unwrap().value.id;
    let kind = EventType {
        org: org.clone(),
        name: "invoice.paid".into(),
        description: "An invoice was paid".into(),
        archived: true,
        deprecated: false,
        feature_flags: vec!["beta".into()],
        group_name: None,
        schemas: Some("{\"1\":{}}".into()),
        created_at: world.now(),
        updated_at: world.now(),
    };
    world.store().event_types.create_event_type(kind, None).await.unwrap();
    let token = |number: u8| {
        let (id, name) = (TokenId::from_u128(world.ids.next(world.now())), format!("token {number}"));
        Token {
            id,
            caller: Name::of_token(id, &name),
            name,
            hash: [number; 32],
            principal: Principal { org: org.clone(), scope: Scope::App("acme".into()) },
            created_at: world.now(),
            expires_at: None,
        }
    };
    let tokens = vec![token(1), token(2)];
    for token in &tokens {
        world.store().tokens.create_token(token.clone()).await.unwrap();
    }
    (app, tokens)
}

/// Everything that the ports say of an application, as text.
async fn everything(store: &Opened, grown: &Grown) -> String {
    let (org, app, mut text) = (OrgId::default_org(), grown.app, String::new());
    writeln!(text, "{:?}", store.applications.application(&org, "acme").await.unwrap()).unwrap();
    for endpoint in store.endpoints.endpoints(app, first_page()).await.unwrap().items {
        let id = endpoint.id;
        writeln!(text, "{endpoint:?} {} {:?}", endpoint.secrets.current.reveal(), endpoint.headers).unwrap();
        let stats = store.reading.endpoint_stats(app, id, UnixMs(0), UnixMs(i64::MAX / 2)).await.unwrap();
        writeln!(text, "{stats:?} {:?}", store.reading.oldest_waiting(app, id).await.unwrap()).unwrap();
        writeln!(text, "{:?}", store.reading.attempts_of_endpoint(app, id, any_attempt(), first_page()).await.unwrap())
            .unwrap();
    }
    writeln!(text, "{:?}", store.emitters.emitters().await.unwrap()).unwrap();
    writeln!(text, "{:?}", store.event_types.event_types(org.clone(), true, first_page()).await.unwrap()).unwrap();
    for token in &grown.tokens {
        assert_eq!(*store.tokens.token(token.hash).await.unwrap(), *token);
    }
    let events = store.reading.events(app, any_event(), first_page()).await.unwrap().items;
    for event in events {
        let id = event.id;
        writeln!(text, "{:?}", store.reading.event(app, &id.to_string()).await.unwrap().origin).unwrap();
        writeln!(text, "{event:?}\n{:?}", store.reading.destinations(app, id).await.unwrap()).unwrap();
        writeln!(text, "{:?}", store.reading.attempts_of_event(app, id, any_attempt(), first_page()).await.unwrap())
            .unwrap();
    }
    text
}

async fn assert_same(grown: &Grown, database: &TestDatabase) {
    let (source, target) = (grown.open().await, open_copy(database, &grown.clock).await.unwrap());
    let (there, here) = (everything(&source, grown).await, everything(&target, grown).await);
    for (there, here) in there.lines().zip(here.lines()) {
        assert_eq!(there, here);
    }
    assert_eq!(there.lines().count(), here.lines().count());
    // Keys and uids still stand for what they stood for, and numbers go on behind those that were copied.
    let ids = IdGenerator::new();
    let anew = |event: &NewEvent| NewEvent { id: EventId::from_u128(ids.next(grown.clock.now())), ..event.clone() };
    let by_key = target.accept.accept(vec![anew(&grown.keyed)]).await.remove(0).unwrap();
    assert!(by_key.repeat && by_key.id == grown.keyed.id);
    let by_uid = NewEvent { uid: Some("uid 0".into()), idempotency: None, ..anew(&grown.keyed) };
    assert!(target.accept.accept(vec![by_uid]).await.remove(0).unwrap().repeat);
    let another = target.applications.create_application(new_application(), OnExisting::Refuse, None).await.unwrap();
    assert!(another.is_new);
    let pending = target.reading.destinations(grown.app, grown.in_memory).await.unwrap();
    assert!(!pending.is_empty());
    assert!(pending.iter().all(|one| one.state == DeliveryState::Pending && one.cause.is_none()));
    assert_eq!(database.psql("select count(*) from hookfast.events_90_rest").unwrap(), "0");
    source.close().await;
    target.close().await;
}

#[test]
fn everything_that_a_store_holds_is_in_its_copy() {
    let Some(database) = database() else { return };
    run(async {
        let grown = Grown::new().await;
        let copied = grown.copy(&database).await.unwrap();
        assert!(copied.is_complete() && !copied.was_finished, "{copied:#?}");
        let empty: Vec<_> = copied.tables.iter().filter(|table| table.rows == 0).map(|table| table.name).collect();
        assert_eq!(empty, ["fanout"], "every other table had rows to be copied");
        assert!(grown.copy(&database).await.unwrap().was_finished);
        assert_same(&grown, &database).await;
    });
}

#[test]
fn a_copy_that_is_cut_off_after_any_batch_goes_on_and_is_not_served_before_its_end() {
    let Some(database) = database() else { return };
    run(async {
        let grown = Grown::new().await;
        let (mut cuts, mut reached) = (0, Vec::new());
        loop {
            let seen = Mutex::new(Vec::<CopyProgress>::new());
            let cut = tokio::sync::Notify::new();
            let copying = copy(from(grown.dir.path()), to(&database), Arc::clone(&grown.clock) as _, |progress| {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(progress);
                // Each time it comes a little further.
                if seen.iter().filter(|one| !one.checking && !reached.contains(*one)).count() == 2 {
                    cut.notify_one();
                }
            });
            let copied = tokio::select! {
                biased;
                () = cut.notified() => None,
                copied = copying => Some(copied),
            };
            reached.extend(seen.into_inner().unwrap().into_iter().filter(|one| !one.checking));
            match copied {
                Some(Ok(copied)) => {
                    assert!(copied.is_complete(), "{copied:#?}");
                    break;
                }
                // What was dropped lets go of the directory when its reader has noticed.
                Some(Err(Error::Locked { .. })) => tokio::task::yield_now().await,
                Some(Err(error)) => panic!("{error}"),
                None => {
                    cuts += 1;
                    let error = open_copy(&database, &grown.clock).await.err().unwrap();
                    assert!(error.to_string().contains("not finished"), "{error}");
                }
            }
        }
        assert!(cuts >= 5, "it was cut off {cuts} times");
        assert_same(&grown, &database).await;
    });
}

#[test]
fn what_is_no_place_for_a_copy_is_refused_with_its_reason() {
    let Some(database) = database() else { return };
    run(async {
        let grown = Grown::new().await;
        let server = open_copy(&database, &grown.clock).await.unwrap();
        let refused = async |why: &str| {
            let error = grown.copy(&database).await.unwrap_err();
            assert!(error.kind() == ErrorKind::Conflict && error.to_string().contains(why), "{error}");
        };
        refused("runs on the database").await;
        server.applications.create_application(new_application(), OnExisting::Refuse, None).await.unwrap();
        server.close().await;
        refused("holds applications already").await;
        database.psql("delete from hookfast.applications").unwrap();
        database.psql("insert into hookfast.copies values ('source', '\\x00', 0, false)").unwrap();
        refused("begun from another directory").await;
        database.psql("delete from hookfast.copies").unwrap();
        let source = grown.open().await;
        assert!(matches!(grown.copy(&database).await, Err(Error::Locked { .. })), "a server has the directory");
        source.close().await;
        assert!(grown.copy(&database).await.unwrap().is_complete());
        database.psql("update hookfast.copies set done = false where name = 'source'").unwrap();
        let other = tempfile::tempdir().unwrap();
        let nothing = copy(from(other.path()), to(&database), Arc::clone(&grown.clock) as _, |_| {}).await;
        assert!(nothing.unwrap_err().to_string().contains("no store"));
        grown.open().await.close().await;
        refused("used by a server since").await;
    });
}

#[test]
fn a_copy_that_differs_says_where_and_is_not_finished() {
    let Some(database) = database() else { return };
    run(async {
        let grown = Grown::new().await;
        assert!(grown.copy(&database).await.unwrap().is_complete());
        database.psql("update hookfast.copies set done = false where name = 'source'").unwrap();
        database.psql("update hookfast.events set event_type = 'changed' where uid = 'uid 2'").unwrap();
        database.psql("delete from hookfast.stats").unwrap();
        let copied = grown.copy(&database).await.unwrap();
        let differ: Vec<_> = copied.tables.iter().filter(|one| !one.is_equal).map(|one| one.name).collect();
        assert_eq!(differ, ["events", "stats"]);
        assert!(open_copy(&database, &grown.clock).await.is_err());
    });
}

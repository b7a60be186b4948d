//! What is read from the log: events, their changes to the tables of the first system, and positions, kept together.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::own_duties::{PostgresWorld, in_a_world};
use hookfast_core::invoice::InvoiceEvent;
use hookfast_core::model::{NewEvent, SecretText};
use hookfast_core::ports::{Consume, ConsumeAnswer, Consumed, Consumer, EndpointPatch, NewApplication, OnExisting};
use hookfast_core::{AppId, Error};
use hookfast_store::postgres::{PostgresConfig, PostgresStore};
use hookfast_testkit::Grants;
use hookfast_testkit::world::new_application;
use std::collections::HashMap;
use std::sync::Arc;

fn consumer() -> Consumer {
    Consumer { group: "g".into(), topic: "t".into() }
}

/// The store of this world once more, as another node: a world knows only the ports that every store has.
async fn node(world: &PostgresWorld) -> Arc<PostgresStore> {
    let place = world.place();
    let config = PostgresConfig::new(SecretText::new(world.ground().url()));
    let fatal = Arc::new(|what: &str| eprintln!("FATAL {what}"));
    PostgresStore::open(config, place.clock, place.ids, place.dispatch, fatal).await.unwrap()
}

async fn close(node: Arc<PostgresStore>) {
    tokio::task::spawn_blocking(move || node.close()).await.unwrap();
}

/// An event named by `uid` that says this of an invoice.
fn read(world: &PostgresWorld, app: AppId, uid: &str, invoice: &str, timestamp_us: i64) -> (NewEvent, InvoiceEvent) {
    let event = NewEvent { uid: Some(uid.to_owned()), ..world.event(app) };
    let (event_id, event_type, invoice_id) = (uid.to_owned(), format!("at {timestamp_us}"), invoice.to_owned());
    (event, InvoiceEvent { event_id, event_type, timestamp_us, invoice_id })
}

async fn store(
    node: &PostgresStore,
    positions: &[(i32, i64)],
    read: Vec<(NewEvent, InvoiceEvent)>,
) -> Result<ConsumeAnswer, Error> {
    let (events, invoices): (Vec<_>, Vec<_>) = read.into_iter().map(|(event, change)| (event, Some(change))).unzip();
    node.consume(Consumed { consumer: consumer(), positions: positions.to_vec(), events, invoices }).await
}

fn invoices(world: &PostgresWorld) -> String {
    let sql = "SELECT string_agg(invoice_id || ' ' || source_event_id || ' ' || event_type, ', ' ORDER BY invoice_id)
               FROM public.events";
    world.ground().psql(sql).unwrap()
}

#[test]
fn events_and_positions_are_kept_together_and_a_repeat_changes_nothing() {
    in_a_world(Grants::None, async |world| {
        let (node, app) = (node(&world).await, world.app().await.id);
        node.prepare().await.unwrap();
        assert_eq!(node.positions(&consumer()).await.unwrap(), []);
        let first = read(&world, app, "e1", "i1", 10);
        let answer = store(&node, &[(0, 5), (3, 9)], vec![first.clone(), read(&world, app, "e2", "i1", 20)]).await;
        let answer = answer.unwrap();
        assert!(answer.advanced && answer.answers.iter().all(|one| one.as_ref().is_ok_and(|one| !one.repeat)));
        assert_eq!(node.positions(&consumer()).await.unwrap(), [(0, 5), (3, 9)]);
        let again = (NewEvent { id: world.event(app).id, ..first.0.clone() }, first.1);
        let repeated = store(&node, &[(0, 7)], vec![again, read(&world, app, "e3", "i2", 1)]).await.unwrap();
        assert!(!repeated.advanced, "not every event was stored by this commit");
        assert_eq!(repeated.answers[0].as_ref().map(|one| (one.id, one.repeat)), Ok((first.0.id, true)));
        assert!(repeated.answers[1].is_ok());
        assert_eq!(node.positions(&consumer()).await.unwrap(), [(0, 5), (3, 9)]);
        node.advance(&consumer(), &[(0, 7), (3, 8)]).await.unwrap();
        assert_eq!(node.positions(&consumer()).await.unwrap(), [(0, 7), (3, 9)], "they only grow");
        assert_eq!(invoices(&world), "i1 e2 at 20, i2 e3 at 1");
        close(node).await;
    });
}

#[test]
fn of_two_events_of_an_invoice_the_newer_one_stays_whatever_comes_when() {
    in_a_world(Grants::None, async |world| {
        let (node, app) = (node(&world).await, world.app().await.id);
        node.prepare().await.unwrap();
        for round in 0..20_u64 {
            let mut random = fastrand::Rng::with_seed(round);
            let mut newest: HashMap<String, (i64, String)> = HashMap::new();
            let mut reads = Vec::new();
            for n in 0..60 {
                let (invoice, at) = (format!("r{round}-{}", random.u8(..4)), i64::from(random.u8(..8)));
                let uid = format!("r{round}-e{n:02}");
                let best = newest.entry(invoice.clone()).or_default();
                *best = (*best).clone().max((at, uid.clone()));
                reads.push(read(&world, app, &uid, &invoice, at));
                if random.bool() {
                    reads.push(read(&world, app, &uid, &invoice, at));
                }
            }
            random.shuffle(&mut reads);
            while !reads.is_empty() {
                let rest = reads.split_off(random.usize(1..=reads.len()));
                store(&node, &[(0, 1)], std::mem::replace(&mut reads, rest)).await.unwrap();
            }
            let mut wanted: Vec<_> =
                newest.into_iter().map(|(invoice, (at, uid))| format!("{invoice} {uid} at {at}")).collect();
            wanted.sort_unstable();
            let found = invoices(&world);
            let found: Vec<_> = found.split(", ").filter(|row| row.starts_with(&format!("r{round}-"))).collect();
            assert_eq!(found, wanted, "seed {round}");
        }
        close(node).await;
    });
}

#[test]
fn tables_that_are_there_are_adopted_with_their_own_types() {
    in_a_world(Grants::None, async |world| {
        world
            .ground()
            .psql(
                "CREATE TYPE status AS ENUM ('ACTIVE', 'DISABLED');
                 CREATE TABLE public.webhooks (webhook_id uuid PRIMARY KEY, customer_id varchar(300), webhook_url varchar(255),
                   secret_token varchar(64), webhook_status status, created_at timestamp DEFAULT now());
                 CREATE TABLE public.events (invoice_id uuid, source_event_id uuid NOT NULL, source_timestamp timestamp,
                   event_type varchar(20), created_at timestamp DEFAULT now(), note text);
                 INSERT INTO public.events VALUES ('00000000-0000-0000-0000-000000000001',
                   '00000000-0000-0000-0000-0000000000aa', '2001-01-01', 'CREATED')",
            )
            .unwrap();
        let (node, app) = (node(&world).await, world.app().await.id);
        node.prepare().await.unwrap();
        node.prepare().await.unwrap();
        let uuid = |n: u32| format!("00000000-0000-0000-0000-{n:012}");
        let reads = vec![
            read(&world, app, &uuid(11), &uuid(1), 1_600_000_000_000_000),
            read(&world, app, &uuid(12), "no uuid", 1),
            read(&world, app, &uuid(13), &uuid(2), 1),
        ];
        let answer = store(&node, &[(0, 3)], reads).await.unwrap();
        assert!(!answer.advanced);
        assert!(answer.answers[0].is_ok() && answer.answers[2].is_ok(), "the neighbours are stored: {answer:?}");
        assert!(matches!(answer.answers[1], Err(Error::Invalid { .. })), "{answer:?}");
        let found = world.ground().psql(
            "SELECT source_timestamp || ' ' || event_type FROM public.events
            ORDER BY invoice_id LIMIT 1",
        );
        assert_eq!(found.unwrap(), "2020-09-13 12:26:40 at 1600000000000000");
        close(node).await;
    });
}

#[test]
fn a_table_that_cannot_be_written_is_refused_with_what_to_do() {
    in_a_world(Grants::None, async |world| {
        let node = node(&world).await;
        let refused = async |sql: &str| {
            world.ground().psql(&format!("DROP TABLE IF EXISTS public.events; {sql}")).unwrap();
            node.prepare().await.unwrap_err().to_string()
        };
        let columns = "invoice_id text, source_event_id text, source_timestamp timestamptz, event_type text";
        let text = refused(&format!("CREATE TABLE public.events ({columns})")).await;
        assert!(text.contains("public.events") && text.contains("created_at is missing"), "{text}");
        let text =
            refused(&format!("CREATE TABLE public.events ({columns}, created_at date, more int NOT NULL)")).await;
        assert!(text.contains("ALTER TABLE public.events ALTER more DROP NOT NULL"), "{text}");
        let twice = "INSERT INTO public.events VALUES ('a'), ('a')";
        let text = refused(&format!("CREATE TABLE public.events ({columns}, created_at date); {twice}")).await;
        assert!(text.contains("several rows of one invoice_id"), "{text}");
        let wrong_time = columns.replace("timestamptz", "bigint");
        let text = refused(&format!("CREATE TABLE public.events ({wrong_time}, created_at date)")).await;
        assert!(text.contains("timestamp with or without time zone, found bigint"), "{text}");
        close(node).await;
    });
}

#[test]
fn while_the_table_is_gone_events_of_the_log_wait_and_others_do_not() {
    in_a_world(Grants::None, async |world| {
        let (node, app) = (node(&world).await, world.app().await.id);
        node.prepare().await.unwrap();
        world.ground().psql("ALTER TABLE public.events RENAME TO elsewhere").unwrap();
        let one = read(&world, app, "e1", "i1", 1);
        // In one batch, so in one commit.
        let both = Consumed {
            consumer: consumer(),
            positions: vec![(0, 1)],
            events: vec![world.event(app), one.0.clone()],
            invoices: vec![None, Some(one.1.clone())],
        };
        let log = node.consume(both).await.unwrap();
        assert!(log.answers[0].is_ok() && !log.advanced, "{log:?}");
        assert!(matches!(log.answers[1], Err(Error::Unavailable { .. })), "{log:?}");
        world.ground().psql("ALTER TABLE public.elsewhere RENAME TO events").unwrap();
        assert!(store(&node, &[(0, 1)], vec![one]).await.unwrap().advanced);
        assert_eq!(invoices(&world), "i1 e1 at 1");
        close(node).await;
    });
}

#[test]
fn webhooks_of_the_sender_are_in_their_table_and_others_are_not() {
    in_a_world(Grants::None, async |world| {
        let node = node(&world).await;
        let metadata = [("customer_id".to_owned(), "a@example.com".to_owned())].into();
        let new = NewApplication { uid: Some("sender.1".into()), metadata, ..new_application() };
        let app = world.store().applications.create_application(new, OnExisting::Refuse, None).await.unwrap().value.id;
        let ids = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"];
        let earlier = world.endpoint_with(app, |new| new.uid = Some(ids[0].into())).await;
        node.prepare().await.unwrap();
        let plain = world.app().await.id;
        world.endpoint_with(app, |new| new.uid = Some(ids[1].into())).await;
        world.endpoint_with(app, |new| new.uid = Some("no uuid".into())).await;
        world.endpoint_with(plain, |new| new.uid = Some("00000000-0000-0000-0000-000000000003".into())).await;
        let rows = || {
            let sql =
                "SELECT string_agg(right(webhook_id::text, 1) || ' ' || customer_id || ' ' || secret_token || ' ' ||
                         webhook_status, ', ' ORDER BY webhook_id) FROM public.webhooks";
            world.ground().psql(sql).unwrap()
        };
        assert_eq!(rows(), "1 a@example.com ******** ACTIVE, 2 a@example.com ******** ACTIVE");
        let disable = EndpointPatch { disabled: Some(true), ..EndpointPatch::default() };
        world.store().endpoints.update_endpoint(app, earlier.id, disable).await.unwrap();
        assert!(rows().starts_with("1 a@example.com ******** DISABLED"), "{}", rows());
        world.store().endpoints.delete_endpoint(app, earlier.id).await.unwrap();
        assert_eq!(rows(), "2 a@example.com ******** ACTIVE");
        close(node).await;
    });
}

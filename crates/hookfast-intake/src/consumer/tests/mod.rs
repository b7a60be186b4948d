//! The rules of the consumer, one by one, between a log and a store that do what they are told.

mod world;

use super::{EnvelopeDecoder, OnOutOfRange, last_header};
use crate::envelope;
use bytes::Bytes;
use hookfast_core::Error;
use hookfast_core::ports::{Assigned, LogNews, LogRecord};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use world::{DEAD, MemoryStore, TOPIC, World, away, conflict};

fn header<'a>(record: &'a LogRecord, name: &str) -> &'a str {
    last_header(&record.headers, name).map_or("", |value| std::str::from_utf8(value).unwrap())
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_where_the_store_says_else_the_log_else_at_the_earliest() {
    let world = World::start();
    world.store.keep(0, 7);
    let assigned = [(0, Some(5)), (1, Some(3)), (2, None)];
    let assigned = assigned.map(|(partition, committed)| Assigned { partition, committed });
    world.say(LogNews::Assigned(assigned.into())).await;
    world.until("starts", |world| world.heard.lock().unwrap().starts.len() == 3).await;
    assert_eq!(world.heard.lock().unwrap().starts, [(0, Some(7)), (1, Some(3)), (2, None)]);
    assert_eq!(world.metric("consumer_partitions"), "3");
}

#[tokio::test(start_paused = true)]
async fn events_are_stored_with_positions_and_then_noted() {
    let world = World::start();
    world.assign(&[0, 1]).await;
    world.entries(0, 4, &["a", "b"]).await;
    world.entries(1, 9, &["c"]).await;
    world.until_position(0, 6).await;
    world.until_position(1, 10).await;
    world.quiet().await;
    assert!(world.store.has(&["a", "b", "c"]));
    assert!(world.heard.lock().unwrap().noted.contains(&(0, 6)));
    assert_eq!(
        (world.metric("consumer_stored_total"), world.metric("consumer_repeated_total")),
        ("3".into(), "0".into())
    );
    assert!(world.log.records(TOPIC).is_empty() && world.log.records(DEAD).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_is_read_while_one_is_stored_and_neither_grows_beyond_its_limit() {
    let world = World::start_with(|config| config.batch_events_max = 10);
    world.store.shut();
    world.assign(&[0]).await;
    world.entries(0, 0, &["first"]).await;
    world.until("the first batch", |world| world.store.calls().len() == 1).await;
    for offset in 1..=25 {
        world.entries(0, offset, &[format!("e{offset}").as_str()]).await;
    }
    world.quiet().await;
    assert_eq!(world.store.calls().len(), 1, "one batch at a time");
    world.store.open();
    world.until_position(0, 26).await;
    let sizes: Vec<usize> = world.store.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 10, 10, 5]);
    assert!(world.heard.lock().unwrap().asked_max <= 10);
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_at_its_bytes() {
    let world = World::start_with(|config| config.batch_bytes_max = 100);
    world.store.shut();
    world.assign(&[0]).await;
    for offset in 0..4 {
        world.entries(0, offset, &[format!("{offset}{}", "x".repeat(60)).as_str()]).await;
    }
    world.quiet().await;
    world.store.open();
    world.until_position(0, 4).await;
    let sizes: Vec<usize> = world.store.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 4);
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_of_a_revoked_partition_is_left_to_its_new_reader() {
    let world = World::start();
    world.store.shut();
    world.assign(&[0, 1]).await;
    world.entries(0, 0, &["a"]).await;
    world.until("the first batch", |world| world.store.calls().len() == 1).await;
    world.entries(0, 1, &["b"]).await;
    world.entries(1, 0, &["c"]).await;
    world.say(LogNews::Revoked(vec![0])).await;
    world.quiet().await;
    world.store.open();
    world.until_position(1, 1).await;
    assert!(world.store.has(&["a", "c"]), "what was being stored may end, the rest is not stored here");
    assert_eq!(world.store.position(0), Some(1));
    // It comes back: reading goes on behind what is stored.
    world.assign(&[0]).await;
    world.until("a start", |world| world.heard.lock().unwrap().starts.last() == Some(&(0, Some(1)))).await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_comes_back_waits_for_what_is_being_stored_of_it() {
    let world = World::start();
    world.store.shut();
    world.assign(&[0]).await;
    world.entries(0, 0, &["a", "b"]).await;
    world.until("the batch", |world| world.store.calls().len() == 1).await;
    world.say(LogNews::Revoked(vec![0])).await;
    world.assign(&[0]).await;
    world.quiet().await;
    assert_eq!(world.heard.lock().unwrap().starts.len(), 1);
    world.store.open();
    world.until("a start", |world| world.heard.lock().unwrap().starts.last() == Some(&(0, Some(2)))).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_stops_its_partition_alone_and_raises_an_alarm() {
    let world = World::start();
    world.assign(&[0, 1]).await;
    world.say(LogNews::OutOfRange { partition: 0, wanted: 5, earliest: 9, end: 20 }).await;
    world.entries(1, 0, &["a"]).await;
    world.until_position(1, 1).await;
    assert_eq!(world.heard.lock().unwrap().starts.len(), 2, "nothing was told to go on");
    assert_eq!((world.metric("consumer_out_of_range").as_str(), world.store.position(0)), ("1", None));
    world.say(LogNews::Revoked(vec![0])).await;
    world.until("the end of the alarm", |world| world.metric("consumer_out_of_range").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_passed_over_only_when_that_is_configured_and_what_was_lost_is_counted() {
    for (policy, start, lost) in [(OnOutOfRange::Earliest, 9, "4"), (OnOutOfRange::Latest, 20, "15")] {
        let world = World::start_with(|config| config.on_out_of_range = policy);
        world.assign(&[0]).await;
        world.say(LogNews::OutOfRange { partition: 0, wanted: 5, earliest: 9, end: 20 }).await;
        world.until("a start", |world| world.heard.lock().unwrap().starts.last() == Some(&(0, Some(start)))).await;
        assert_eq!(world.metric("consumer_passed_over_total"), lost);
        // A topic that was made anew: its records would be taken for old ones after the next start.
        world.say(LogNews::OutOfRange { partition: 0, wanted: 50, earliest: 0, end: 20 }).await;
        world.until("the alarm", |world| world.metric("consumer_out_of_range") == "1").await;
        assert_eq!(world.heard.lock().unwrap().starts.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_a_dead_letter_at_once_and_its_neighbours_proceed() {
    let world = World::start();
    world.assign(&[0]).await;
    world.entries(0, 0, &["a", "? poison", "b"]).await;
    world.until_position(0, 3).await;
    assert!(world.store.has(&["a", "b"]));
    let dead = world.log.records(DEAD);
    assert_eq!(
        (dead.len(), dead[0].value.as_ref(), header(&dead[0], "cause")),
        (1, b"? poison".as_ref(), "undecodable")
    );
    assert_eq!((header(&dead[0], "origin_offset"), header(&dead[0], "retry_count")), ("1", "0"));
    assert!(world.log.records(TOPIC).is_empty());
    assert_eq!(world.metric("consumer_dead_total"), "1");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_tried_again_and_dies_after_its_retries() {
    let world = World::start();
    world.assign(&[0]).await;
    for offset in 0..4 {
        world.store.refuse_next("x", conflict());
        let mut record = crate::testing::entry(0, offset, "x");
        if let Some(last) = world.log.records(TOPIC).last() {
            record.headers.clone_from(&last.headers);
        }
        world.say(LogNews::Entries(vec![record])).await;
        world.until_position(0, offset + 1).await;
    }
    let counts: Vec<String> =
        world.log.records(TOPIC).iter().map(|record| header(record, "retry_count").to_owned()).collect();
    assert_eq!(counts, ["1", "2", "3"]);
    let dead = world.log.records(DEAD);
    assert_eq!((dead.len(), header(&dead[0], "cause"), header(&dead[0], "retry_count")), (1, "conflict", "3"));
    assert_eq!(header(&dead[0], "error"), conflict().to_string());
    assert_eq!(world.metric("consumer_retried_total"), "3");
    assert!(world.store.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retry_count_that_is_no_number_is_none_and_is_counted() {
    let world = World::start();
    world.assign(&[0]).await;
    world.store.refuse_next("x", conflict());
    let mut record = crate::testing::entry(0, 0, "x");
    record.headers.push(("retry_count".to_owned(), Bytes::from_static(b"a lot")));
    world.say(LogNews::Entries(vec![record])).await;
    world.until_position(0, 1).await;
    let again = world.log.records(TOPIC);
    assert_eq!((header(&again[0], "retry_count"), header(&again[0], "retry_count_was")), ("1", "a lot"));
    assert_eq!(world.metric("consumer_retry_counts_wrong_total"), "1");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_uses_up_no_retries_and_loses_nothing() {
    let world = World::start();
    for _ in 0..20 {
        world.store.fail_next(away());
    }
    world.store.fail_next(Error::Terminal { reason: "permission denied".into() });
    world.assign(&[0]).await;
    world.entries(0, 0, &["a", "b"]).await;
    world.until_position(0, 2).await;
    assert!(world.store.has(&["a", "b"]));
    assert!(world.log.records(TOPIC).is_empty() && world.log.records(DEAD).is_empty());
    assert_eq!(world.metric("consumer_store_waits_total"), "21");
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_fate_is_unknown_is_asked_for_again_alone() {
    let world = World::start();
    world.store.refuse_next("b", away());
    world.store.refuse_next("c", conflict());
    world.assign(&[0]).await;
    world.entries(0, 0, &["a", "b", "c"]).await;
    world.until_position(0, 3).await;
    assert_eq!(world.store.calls(), [vec!["a", "b", "c"], vec!["b"]]);
    assert_eq!(world.log.records(TOPIC).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_position_moves_only_when_the_log_has_what_failed() {
    let world = World::start();
    world.assign(&[0]).await;
    for _ in 0..5 {
        world.log.fail_next(DEAD, away());
    }
    world.entries(0, 0, &["a", "? poison"]).await;
    world.until("waits", |world| world.metric("consumer_log_waits_total") == "3").await;
    assert_eq!(world.store.position(0), None);
    world.until_position(0, 2).await;
    assert_eq!(world.log.records(DEAD).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_be_tried_again_still_becomes_a_dead_letter() {
    let world = World::start();
    world.assign(&[0]).await;
    world.store.refuse_next("x", conflict());
    world.log.fail_next(TOPIC, Error::invalid("record", "too large"));
    world.log.fail_next(DEAD, Error::invalid("record", "too large"));
    world.entries(0, 0, &["x"]).await;
    world.until_position(0, 1).await;
    let dead = world.log.records(DEAD);
    assert_eq!((dead.len(), dead[0].value.len(), header(&dead[0], "origin_offset")), (1, 0, "0"));
    assert_eq!(header(&dead[0], "value_left_at_origin"), "too large");
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_starts_the_consumer_anew_and_nothing_is_lost() {
    let mut world = World::start();
    world.assign(&[0]).await;
    world.log.fail_next(DEAD, Error::NotFound { what: "topic" });
    world.entries(0, 0, &["? poison", "a"]).await;
    world.until("the end of the first reader", |world| world.heard.lock().unwrap().closed).await;
    assert_eq!(world.store.position(0), None);
    world.next_reader();
    world.assign(&[0]).await;
    world.entries(0, 0, &["? poison", "a"]).await;
    world.until_position(0, 2).await;
    assert!(world.store.has(&["a"]) && world.log.records(DEAD).len() == 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_away_a_batch_is_stored_all_the_same() {
    let world = World::start();
    world.assign(&[0]).await;
    world.store.fail_next(away());
    world.entries(0, 0, &["a"]).await;
    for _ in 0..3 {
        world.fail(away()).await;
    }
    world.until_position(0, 1).await;
    world.entries(0, 1, &["b"]).await;
    world.until_position(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn while_deliveries_lag_the_consumer_waits() {
    let world = World::start();
    world.door.lags.store(true, Ordering::Relaxed);
    world.assign(&[0]).await;
    world.entries(0, 0, &["a"]).await;
    world.quiet().await;
    assert!(world.store.calls().is_empty() && world.log.records(TOPIC).is_empty());
    world.door.lags.store(false, Ordering::Relaxed);
    world.until_position(0, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_batch_under_way_and_leaves_the_group() {
    let world = World::start();
    world.store.shut();
    world.assign(&[0]).await;
    world.entries(0, 0, &["a"]).await;
    world.until("the batch", |world| world.store.calls().len() == 1).await;
    let (store, heard) = (Arc::clone(&world.store), Arc::clone(&world.heard));
    let stop = tokio::spawn(world.stop());
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(!heard.lock().unwrap().closed, "it waits for the store");
    store.open();
    stop.await.unwrap();
    assert_eq!((store.position(0), heard.lock().unwrap().closed), (Some(1), true));
    assert_eq!(heard.lock().unwrap().noted, [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_store_that_is_away() {
    let world = World::start();
    for _ in 0..1000 {
        world.store.fail_next(away());
    }
    world.assign(&[0]).await;
    world.entries(0, 0, &["a"]).await;
    world.until("a wait", |world| world.metric("consumer_store_waits_total") == "2").await;
    let (store, start) = (Arc::clone(&world.store), tokio::time::Instant::now());
    world.stop().await;
    assert!(start.elapsed() < std::time::Duration::from_secs(1) && store.position(0).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_injected_failure_is_retried_like_any_other() {
    let world = World::start_with(|config| config.fail_rate = 1.0);
    world.assign(&[0]).await;
    world.entries(0, 0, &["a"]).await;
    world.until_position(0, 1).await;
    assert_eq!(world.log.records(TOPIC).len(), 1);
    assert!(header(&world.log.records(TOPIC)[0], "error").contains("on purpose"));
    assert!(world.store.calls().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Envelopes come in any order and any number of times, the store is away now and then, batches are of any size.
    #[test]
    fn any_order_and_repetition_stores_the_same_set(
        events in prop::collection::vec(envelope::tests::any_event(), 1..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        faults in 0..4_u32,
        batch in 1..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut expected = BTreeMap::new();
        let mut values: Vec<Bytes> = Vec::new();
        for event in events {
            let name = event.uid.clone().unwrap_or_else(|| event.id.to_string());
            if expected.insert(name, event.body.to_vec()).is_none() {
                values.push(envelope::encode(&event).unwrap());
            } else {
                // The same name with another body: a conflict, which is not what is looked at here.
                return Ok(());
            }
        }
        let repeats: Vec<Bytes> = order.iter().map(|index| values[index.index(values.len())].clone()).collect();
        values.splice(0..0, repeats);
        runtime.block_on(async {
            let store = Arc::new(MemoryStore::default());
            let decoder = Arc::new(EnvelopeDecoder { body_bytes_max: 1024 });
            let world = World::start_on(store, decoder, |config| config.batch_events_max = batch);
            (0..faults).for_each(|_| world.store.fail_next(away()));
            world.assign(&[0]).await;
            let end = i64::try_from(values.len()).unwrap();
            for (offset, value) in (0..).zip(values) {
                let mut entry = crate::testing::entry(0, offset, "");
                entry.value = Some(value);
                world.say(LogNews::Entries(vec![entry])).await;
            }
            world.until_position(0, end).await;
            assert_eq!(world.store.stored(), expected);
            assert!(world.log.records(TOPIC).is_empty() && world.log.records(DEAD).is_empty());
        });
    }
}

//! What is read, and what becomes of it.

use crate::behind::{APP, Behind};
use crate::bench::{Bench, add, add_many, config, message, message_to, pending};
use hookfast_core::model::{Disabled, Route};
use hookfast_testkit::redis::RedisServer;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_message_that_comes_both_ways_is_one_event_with_the_bytes_that_came() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    assert_eq!(server.command(&["publish", "payments", &message("w1")]), "1");
    add(&server, &message("w1"));
    add(&server, &message("a b"));
    bench.until_events(2).await;
    bench.until("the repeat", |bench| bench.behind.repeats.load(Ordering::Relaxed) == 1).await;
    let events = bench.behind.events();
    let endpoint = bench.behind.endpoint_of("http://203.0.113.9.example/hook").unwrap();
    assert_eq!((events[0].app, events[0].route), (APP, Route::Endpoint(endpoint.id)));
    assert_eq!(events[0].body.as_ref(), br#"{"id":"PAY1", "payment":"PAY1","event":"accepted"}"#);
    assert_eq!((events[0].event_type.as_str(), events[0].uid.as_deref()), ("accepted", Some("w1")));
    let uid = events[1].uid.clone().unwrap();
    assert!(uid.len() == 64 && uid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{uid}");
    let retry = endpoint.retry.unwrap();
    assert_eq!(retry.delays_ms, [1000, 2000, 4000, 8000]);
    assert!(!endpoint.event_types.unwrap().contains(&"accepted".to_owned()), "filters must not reach it");
    let behind = bench.stop().await;
    assert_eq!(pending(&server), 0, "durable entries are acknowledged");
    assert!(!behind.is_held.load(Ordering::Relaxed), "another node may read at once");
}

#[tokio::test]
async fn what_cannot_be_delivered_is_kept_with_its_cause_once() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    let forbidden = message_to("http://169.254.169.254/latest", "w2");
    let typed = r#"{"url":"http://a.example/","webhookId":"w3","data":{"event":"no type"}}"#;
    for message in ["{ not json", &forbidden, typed] {
        add(&server, message);
    }
    server.command(&["publish", "payments", "{ not json"]);
    server.command(&["xadd", "payments", "*", "url", "http://a.example/"]);
    add(&server, &message("w4"));
    add(&server, &message("w4").replace("PAY1", "PAY2"));
    bench.until_events(6).await;
    bench
        .until("the last one", |bench| bench.shows("redis_messages_total{via=\"channel\",outcome=\"rejected\"} 1"))
        .await;
    let behind = bench.stop().await;
    let mut kept: Vec<(String, String)> = Vec::new();
    for event in behind.events().iter().filter(|event| event.event_type == "source.rejected") {
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(event.route, Route::Match);
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        kept.push((body["cause"].as_str().unwrap().into(), body["field"].as_str().unwrap().into()));
    }
    kept.sort();
    let expected = [
        ("event_exists", "message"),
        ("forbidden_url", "url"),
        ("invalid_json", "message"),
        ("invalid_json", "message"),
        ("invalid_message", "eventType"),
    ];
    assert_eq!(kept, expected.map(|(cause, field)| (cause.to_owned(), field.to_owned())));
    assert_eq!(pending(&server), 0, "they are acknowledged: nothing is read again and again");
}

#[tokio::test]
async fn what_an_earlier_life_left_is_read_first_and_what_others_left_is_taken_over() {
    let Some(server) = RedisServer::start() else { return };
    let behind = Arc::<Behind>::default();
    let bench = Bench::start(config(&[server.address()]), behind.clone());
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    behind.is_away.store(true, Ordering::Relaxed);
    add_many(&server, "left", 5);
    bench.until("entries under way", |_| pending(&server) == 5).await;
    let behind = bench.crash().await;
    server.command(&["xadd", "payments", "*", "payload", &message("other-0")]);
    server.command(&["xreadgroup", "group", "hookfast", "somebody", "count", "10", "streams", "payments", ">"]);
    assert_eq!(pending(&server), 6);
    behind.is_away.store(false, Ordering::Relaxed);
    let mut config = config(&[server.address()]);
    config.claim_after_ms = 100;
    let bench = Bench::start(config, behind);
    bench.until_events(6).await;
    let uids = bench.stop().await.uids();
    let mut sorted = uids.clone();
    sorted.sort();
    assert_eq!(sorted, ["left-0", "left-1", "left-2", "left-3", "left-4", "other-0"]);
    assert_eq!(uids[5], "other-0", "its own come first");
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn every_entry_that_was_trimmed_before_it_was_read_or_acknowledged_is_counted_once() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    add_many(&server, "read", 4);
    bench.until_events(4).await;
    bench.until("acknowledgements", |_| pending(&server) == 0).await;
    bench.behind.is_away.store(true, Ordering::Relaxed);
    add_many(&server, "taken", 3);
    bench.until("entries under way", |_| pending(&server) == 3).await;
    let behind = bench.crash().await;
    behind.is_away.store(false, Ordering::Relaxed);
    let unread = add_many(&server, "unread", 20);
    // Of 27, the last five stay: three that were taken and fifteen that nobody read are gone.
    server.command(&["xtrim", "payments", "MAXLEN", "5"]);
    let bench = Bench::start(config(&[server.address()]), behind);
    bench.until_events(9).await;
    add_many(&server, "later", 3);
    bench.until_events(12).await;
    bench.until("the group to be up", |bench| bench.shows("redis_stream_lag_entries 0")).await;
    assert!(bench.shows("redis_stream_gap_entries_total 18"), "{}", bench.exposed());
    // As many again while it runs, and none of them lost: nothing more is counted.
    server.command(&["xtrim", "payments", "MINID", &unread[19]]);
    add_many(&server, "last", 3);
    bench.until_events(15).await;
    assert!(bench.shows("redis_stream_gap_entries_total 18"), "{}", bench.exposed());
    bench.stop().await;
}

#[tokio::test]
async fn one_node_reads_and_another_takes_over_when_it_may() {
    let Some(server) = RedisServer::start() else { return };
    let behind = Arc::<Behind>::default();
    behind.is_taken.store(true, Ordering::Relaxed);
    let bench = Bench::start(config(&[server.address()]), behind);
    bench.until("two refusals", |bench| bench.behind.times_asked.load(Ordering::Relaxed) >= 2).await;
    // The stream's group is made by whoever reads.
    assert_eq!(server.command(&["exists", "payments"]), "0");
    bench.behind.is_taken.store(false, Ordering::Relaxed);
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    add(&server, &message("w1"));
    bench.until_events(1).await;
    // It cannot be sure any more: what comes waits, and nothing of it is lost.
    bench.behind.may_not_act.store(true, Ordering::Relaxed);
    add(&server, &message("w2"));
    bench.until("the entry under way", |bench| bench.shows("redis_in_flight 1")).await;
    assert_eq!(bench.behind.events().len(), 1);
    bench.behind.may_not_act.store(false, Ordering::Relaxed);
    bench.until_events(2).await;
    bench.behind.is_taken.store(true, Ordering::Relaxed);
    bench.until("the end of listening", |bench| bench.shows("redis_channel_subscribed 0")).await;
    add(&server, &message("w3"));
    bench.until("the end of its work", |bench| bench.shows("redis_holder 0")).await;
    assert_eq!(bench.behind.events().len(), 2);
    bench.stop().await;
}

#[tokio::test]
async fn endpoints_are_bounded_and_the_idle_ones_go() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    let url = |n: usize| format!("http://host-{n}.example/");
    for n in 0..3 {
        add(&server, &message_to(&url(n), &format!("w{n}")));
    }
    bench.until_events(3).await;
    // All three were named a moment ago: there is no room, and the message is kept.
    add(&server, &message_to(&url(3), "w3"));
    bench.until_events(4).await;
    let kept: serde_json::Value = serde_json::from_slice(&bench.behind.events()[3].body).unwrap();
    assert_eq!(kept["cause"], "too_many_endpoints");
    bench.behind.pass_ms(11 * 60 * 1000);
    add(&server, &message_to(&url(0), "w4"));
    bench.until_events(5).await;
    add(&server, &message_to(&url(5), "w5"));
    bench.until_events(6).await;
    assert!(bench.behind.endpoint_of(&url(0)).is_some() && bench.behind.endpoint_of(&url(5)).is_some());
    assert_eq!(bench.behind.endpoints.lock().unwrap().len(), 3);
    // In the next life too: what nobody named for an hour goes by itself.
    let behind = bench.stop().await;
    behind.pass_ms(3_700_000);
    let bench = Bench::start(config(&[server.address()]), behind);
    bench.until("the idle ones to go", |bench| bench.behind.endpoints.lock().unwrap().is_empty()).await;
    bench.stop().await;
}

#[tokio::test]
async fn many_messages_for_one_new_url_make_one_endpoint() {
    let Some(server) = RedisServer::start() else { return };
    let behind = Arc::<Behind>::default();
    behind.is_away.store(true, Ordering::Relaxed);
    let bench = Bench::start(config(&[server.address()]), behind);
    add_many(&server, "w", 20);
    bench.behind.is_away.store(false, Ordering::Relaxed);
    bench.until_events(20).await;
    assert_eq!(bench.behind.endpoints.lock().unwrap().len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_failed_is_enabled_again_and_one_disabled_by_hand_is_not() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    let url = "http://host.example/";
    add(&server, &message_to(url, "w1"));
    bench.until_events(1).await;
    let disable = |reason| bench.behind.endpoints.lock().unwrap()[0].disabled = Some(reason);
    disable(Disabled::Failing);
    add(&server, &message_to(url, "w2"));
    bench.until_events(2).await;
    assert_eq!(bench.behind.endpoint_of(url).unwrap().disabled, None);
    disable(Disabled::ByOwner);
    add(&server, &message_to(url, "w3"));
    bench.until_events(3).await;
    assert_eq!(bench.behind.events()[2].event_type, "source.rejected");
    assert_eq!(bench.behind.endpoint_of(url).unwrap().disabled, Some(Disabled::ByOwner));
    // Deleted behind its back, it is made anew.
    bench.behind.endpoints.lock().unwrap().clear();
    add(&server, &message_to(url, "w4"));
    bench.until_events(4).await;
    assert!(bench.behind.endpoint_of(url).is_some());
    bench.stop().await;
}

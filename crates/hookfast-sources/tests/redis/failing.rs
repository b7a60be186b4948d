//! What fails on the way, on either side.

use crate::bench::{Bench, add, add_many, message, pending};
use hookfast_testkit::redis::RedisServer;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_killed_redis_loses_nothing_of_the_stream_and_the_silence_is_counted() {
    let Some(mut server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    add_many(&server, "before", 20);
    bench.behind.is_away.store(true, Ordering::Relaxed);
    add_many(&server, "taken", 20);
    bench.until("entries under way", |bench| bench.shows("redis_in_flight 8")).await;
    server.kill();
    bench.until("the loss", |bench| bench.shows("redis_channel_subscribed 0")).await;
    bench.behind.is_away.store(false, Ordering::Relaxed);
    server.restart();
    add_many(&server, "after", 20);
    bench.until_events(60).await;
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    server.command(&["publish", "payments", &message("again")]);
    bench.until_events(61).await;
    bench.until("acknowledgements", |_| pending(&server) == 0).await;
    let exposed = bench.exposed();
    let silent = exposed.lines().find_map(|line| line.strip_prefix("redis_channel_unsubscribed_seconds_total "));
    assert!(silent.unwrap().parse::<f64>().unwrap() > 0.0, "{exposed}");
    assert!(bench.shows("redis_connects_total 2"), "{exposed}");
    assert!(bench.shows("redis_stream_gap_entries_total 0"), "{exposed}");
    bench.stop().await;
}

#[tokio::test]
async fn while_intake_is_away_few_messages_are_under_way_and_all_wait() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    bench.behind.is_away.store(true, Ordering::Relaxed);
    for n in 0..40 {
        server.command(&["publish", "payments", &message(&format!("published-{n}"))]);
    }
    add_many(&server, "added", 40);
    bench.until("messages under way", |bench| bench.shows("redis_in_flight 8")).await;
    assert_eq!(bench.behind.events().len(), 0);
    bench.behind.is_away.store(false, Ordering::Relaxed);
    bench.until_events(80).await;
    assert!(bench.behind.under_way_max.load(Ordering::Relaxed) <= 8);
    bench.until("acknowledgements", |_| pending(&server) == 0).await;
    bench.stop().await;
}

#[tokio::test]
async fn the_end_makes_durable_what_was_published() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    bench.behind.may_not_act.store(true, Ordering::Relaxed);
    for n in 0..20 {
        server.command(&["publish", "payments", &message(&format!("published-{n}"))]);
    }
    bench.until("messages under way", |bench| bench.shows("redis_in_flight 8")).await;
    bench.behind.may_not_act.store(false, Ordering::Relaxed);
    let behind = bench.stop().await;
    assert_eq!(behind.events().len(), 20);
}

#[tokio::test]
async fn a_stream_that_was_flushed_away_is_read_anew() {
    let Some(server) = RedisServer::start() else { return };
    let bench = Bench::on(&server).await;
    add(&server, &message("before"));
    bench.until_events(1).await;
    server.command(&["flushall"]);
    add(&server, &message("after"));
    bench.until_events(2).await;
    bench.until("the acknowledgement", |_| pending(&server) == 0).await;
    assert!(bench.shows("redis_connects_total 1"), "{}", bench.exposed());
    bench.stop().await;
}

//! Which Redis is read: the master among several, and whoever becomes it.

use crate::bench::{Bench, add, add_many, config, message};
use hookfast_sources::redis::Sentinel;
use hookfast_testkit::redis::{RedisSentinel, RedisServer};
use std::sync::Arc;

#[tokio::test]
async fn of_several_addresses_the_master_is_read_and_the_next_one_after_it() {
    let Some(mut first) = RedisServer::start() else { return };
    let mut second = first.replica();
    let bench = Bench::start(config(&[second.address(), first.address()]), Arc::default());
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    add_many(&first, "first", 5);
    bench.until_events(5).await;
    second.wait_for(&["xlen", "payments"], |length| length == "5");
    first.kill();
    second.command(&["replicaof", "no", "one"]);
    add_many(&second, "second", 5);
    bench.until_events(10).await;
    // The old master comes back as the new one's replica, and is not read.
    first.restart();
    first.command(&["replicaof", "127.0.0.1", &second.port().to_string()]);
    add(&second, &message("third"));
    bench.until_events(11).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_promotion_by_a_sentinel_is_followed_and_nothing_that_the_new_master_has_is_lost() {
    let Some(mut first) = RedisServer::start() else { return };
    let mut second = first.replica();
    let sentinel = RedisSentinel::start(&first, 1);
    let mut config = config(&[sentinel.address()]);
    config.sentinel = Some(Sentinel { master: RedisSentinel::MASTER.into(), password: None });
    let bench = Bench::start(config, Arc::default());
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    add_many(&first, "first", 10);
    bench.until_events(10).await;
    second.wait_for(&["xlen", "payments"], |length| length == "10");
    first.kill();
    second.wait_for(&["role"], |role| role.starts_with("master"));
    add_many(&second, "second", 10);
    bench.until_events(20).await;
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    second.command(&["publish", "payments", &message("published")]);
    bench.until_events(21).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left_though_it_still_answers() {
    let Some(first) = RedisServer::start() else { return };
    let Some(second) = RedisServer::start() else { return };
    let bench = Bench::start(config(&[first.address(), second.address()]), Arc::default());
    bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
    first.command(&["replicaof", "127.0.0.1", &second.port().to_string()]);
    add(&second, &message("w1"));
    bench.until_events(1).await;
    bench.stop().await;
}

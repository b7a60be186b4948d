//! What is dialled and what is not: names, literals, rebinding.

use super::*;
use hookfast_core::delivery::Cause;
use std::net::IpAddr;
use std::sync::Mutex;

/// Gives one answer after another, then the last one for ever.
struct Scripted(Mutex<Vec<Result<Vec<IpAddr>, Failure>>>);

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Failure>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(async move { answer })
    }
}

/// Never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Failure>> {
        Box::pin(std::future::pending())
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn resolving(config: HttpSinkConfig, answers: Vec<Result<Vec<IpAddr>, Failure>>) -> HttpSink {
    HttpSink::with_resolver(config, Arc::new(StillClock), Arc::new(Scripted(Mutex::new(answers)))).unwrap()
}

#[tokio::test]
async fn inner_addresses_are_refused_however_they_are_written() {
    let receiver = Receiver::answering(OK).await;
    let port = receiver.address.port();
    let sink = sink(HttpSinkConfig { rules: AddressRules::default(), ..config() });
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "hooks.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "[fd00:ec2::254]",
    ] {
        let outcome = send(&sink, &endpoint(&format!("http://{host}:{port}/"))).await;
        assert_eq!((outcome.cause, outcome.status), (Cause::BlockedAddress, 0), "{host}: {outcome:?}");
    }
    assert_eq!((receiver.accepted(), sink.metrics().connections_opened, sink.metrics().dns_lookups), (0, 0, 0));
    assert_eq!(sink.metrics().dials_blocked, 18);
}

#[tokio::test]
async fn localhost_is_dialled_when_loopback_is_open() {
    let receiver = Receiver::answering(OK).await;
    let sink = resolving(config(), vec![Err(Failure::new(Cause::Dns, "not asked"))]);
    let port = receiver.address.port();
    for host in ["localhost", "LOCALHOST.", "hooks.localhost", "[::ffff:127.0.0.1]"] {
        let outcome = send(&sink, &endpoint(&format!("http://{host}:{port}/"))).await;
        assert_eq!(outcome.cause, Cause::Ok, "{host}: {outcome:?}");
    }
}

#[tokio::test]
async fn localhost_is_dialled_by_the_address_that_is_opened() {
    let receiver = Receiver::answering(OK).await;
    let rules = AddressRules::new(vec!["127.0.0.1/32".parse().unwrap()], false, Vec::new()).unwrap();
    let sink = sink(HttpSinkConfig { rules, ..config() });
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(send(&sink, &endpoint(&url)).await.cause, Cause::Ok);
}

#[tokio::test]
async fn one_bad_answer_refuses_the_name_whole() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://receiver.example:{}/", receiver.address.port());
    for bad in ["10.0.0.1", "::", "169.254.169.254", "fe80::1", "64:ff9b::a00:1"] {
        for answer in [["127.0.0.1", bad], [bad, "127.0.0.1"]] {
            let sink = resolving(config(), vec![Ok(ips(&answer))]);
            let outcome = send(&sink, &endpoint(&url)).await;
            assert_eq!(outcome.cause, Cause::BlockedAddress, "{answer:?}");
            assert!(!outcome.excerpt.contains(bad), "{outcome:?}");
        }
    }
    assert_eq!(receiver.accepted(), 0);
}

/// A name server that changes its mind between check and use gets nowhere: what is checked is what is dialled.
#[tokio::test]
async fn a_name_that_flips_to_an_inner_address_is_never_followed() {
    const FLIPS: usize = 1_000;
    let receiver = Receiver::answering(&b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"[..]).await;
    let url = format!("http://rebinding.example:{}/", receiver.address.port());
    let answers = (0..FLIPS).map(|n| Ok(ips(&[if n % 2 == 0 { "127.0.0.1" } else { "10.0.0.1" }]))).collect();
    let sink = resolving(config(), answers);
    let endpoint = endpoint(&url);
    for n in 0..FLIPS {
        let expected = if n % 2 == 0 { Cause::Ok } else { Cause::BlockedAddress };
        assert_eq!(send(&sink, &endpoint).await.cause, expected, "{n}");
    }
    let metrics = sink.metrics();
    assert_eq!(metrics.dns_lookups, FLIPS as u64);
    // Every connection there ever was went to the receiver; none was even begun to the other address.
    assert_eq!(metrics.connections_opened, FLIPS as u64 / 2);
    assert_eq!((metrics.dials_blocked, metrics.dials_failed_connect), (FLIPS as u64 / 2, 0));
    assert_eq!(receiver.accepted(), FLIPS / 2);
}

#[tokio::test]
async fn our_own_listener_is_refused_and_forbidden_ports_too() {
    let receiver = Receiver::answering(OK).await;
    let rules = AddressRules::new(vec!["127.0.0.0/8".parse().unwrap()], true, vec![receiver.address]).unwrap();
    let sink = sink(HttpSinkConfig { rules, ..config() });
    assert_eq!(send(&sink, &endpoint(&receiver.url("/"))).await.cause, Cause::BlockedAddress);
    let sink = super::sink(config());
    for port in [22, 25, 6379, 5432, 9092] {
        let outcome = send(&sink, &endpoint(&format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(outcome.cause, Cause::BlockedAddress, "{port}");
    }
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn http_is_refused_at_send_as_well_when_only_https_is_allowed() {
    let receiver = Receiver::answering(OK).await;
    let sink = sink(HttpSinkConfig { https_only: true, ..config() });
    assert_eq!(send(&sink, &endpoint(&receiver.url("/"))).await.cause, Cause::Request);
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn names_that_do_not_resolve_are_dns_failures() {
    let url = "http://receiver.example:9000/";
    let unknown = resolving(config(), vec![Err(Failure::new(Cause::Dns, "the host name does not exist"))]);
    let outcome = send(&unknown, &endpoint(url)).await;
    assert_eq!((outcome.cause, outcome.excerpt.as_str()), (Cause::Dns, "the host name does not exist"));
    let empty = resolving(config(), vec![Ok(Vec::new())]);
    assert_eq!(send(&empty, &endpoint(url)).await.cause, Cause::Dns);
    assert_eq!(empty.metrics().dials_failed_dns, 1);
}

#[tokio::test]
async fn a_name_can_be_looked_up_as_a_delivery_would_before_any_rule() {
    let inner = resolving(config(), vec![Ok(ips(&["10.0.0.7"]))]);
    assert_eq!(inner.look_up("receiver.example").await, Ok(ips(&["10.0.0.7"])));
    let silent = HttpSinkConfig { dns_timeout_ms: 20, ..config() };
    let silent = HttpSink::with_resolver(silent, Arc::new(StillClock), Arc::new(Silent)).unwrap();
    assert!(silent.look_up("receiver.example").await.unwrap_err().contains("did not answer in time"));
}

#[tokio::test]
async fn silent_name_servers_are_waited_for_within_their_budget_and_the_deadline() {
    for (dns_timeout_ms, timeout_ms) in [(50, 30_000), (30_000, 50)] {
        let config = HttpSinkConfig { dns_timeout_ms, timeout_ms, ..config() };
        let sink = HttpSink::with_resolver(config, Arc::new(StillClock), Arc::new(Silent)).unwrap();
        let outcome = send(&sink, &endpoint("http://receiver.example:9000/")).await;
        assert_eq!((outcome.cause, outcome.status), (Cause::Dns, 0));
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connect_failure_and_the_next_address_is_tried() {
    let closed = TcpListener::bind("127.0.0.2:0").await.unwrap().local_addr().unwrap();
    let sink = super::sink(config());
    let outcome = send(&sink, &endpoint(&format!("http://{closed}/"))).await;
    assert_eq!((outcome.cause, outcome.status), (Cause::Connect, 0));
    assert_eq!(sink.metrics().dials_failed_connect, 1);

    let receiver = Receiver::answering(OK).await;
    let sink = resolving(config(), vec![Ok(ips(&["::1", "127.0.0.9", "127.0.0.1"]))]);
    let outcome = send(&sink, &endpoint(&format!("http://receiver.example:{}/", receiver.address.port()))).await;
    assert_eq!(outcome.cause, Cause::Ok, "{outcome:?}");
}

#[tokio::test]
async fn the_systems_resolver_reads_the_hosts_file() {
    let found = SystemResolver::new().unwrap().resolve("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
}

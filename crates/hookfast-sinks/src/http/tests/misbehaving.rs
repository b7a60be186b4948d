//! Receivers that hang, drip, flood and break. Each try ends by its deadline, with the right cause, within bounds.

use super::*;
use hookfast_core::limits::EXCERPT_BYTES_MAX;

/// Long enough for a loaded machine to exchange what is meant to arrive before it, short enough to wait for.
const DEADLINE_MS: u64 = 400;

async fn outcome_of<F, S>(script: F) -> (TryOutcome, Receiver)
where
    F: Fn(Peer) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let receiver = Receiver::start(move |_, peer| script(peer)).await;
    let sink = sink(HttpSinkConfig { timeout_ms: DEADLINE_MS, ..config() });
    let outcome = send(&sink, &endpoint(&receiver.url("/"))).await;
    assert_eq!(sink.metrics().connections_idle, 0, "{outcome:?}");
    (outcome, receiver)
}

/// Sends one byte after another, slowly, until the other side has gone.
async fn drip(peer: &mut Peer, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if !peer.write(&[*byte]).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn assert_timed_out(outcome: &TryOutcome, status: u16) {
    assert_eq!((outcome.cause, outcome.status), (Cause::Timeout, status), "{outcome:?}");
    assert!(u64::from(outcome.duration_ms) >= DEADLINE_MS);
    assert!(!outcome.excerpt.is_empty());
}

#[tokio::test]
async fn silence_before_the_head_runs_into_the_deadline() {
    let (outcome, _receiver) = outcome_of(|mut peer| async move {
        peer.request().await;
        peer.closed().await;
    })
    .await;
    assert_timed_out(&outcome, 0);
}

#[tokio::test]
async fn a_connection_that_is_never_read_runs_into_the_deadline() {
    let receiver = Receiver::start(|_, peer| async move {
        let _peer = peer;
        std::future::pending::<()>().await;
    })
    .await;
    let sink = sink(HttpSinkConfig { timeout_ms: DEADLINE_MS, ..config() });
    let event = event(vec![b'x'; 8 << 20]);
    let outcome = sink.send(Try { endpoint: &endpoint(&receiver.url("/")), event: &event }).await;
    assert_timed_out(&outcome, 0);
}

#[tokio::test]
async fn a_trickling_head_runs_into_the_deadline() {
    let (outcome, _receiver) = outcome_of(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\nx-drip: ").await;
        drip(&mut peer, b"d").await;
    })
    .await;
    assert_timed_out(&outcome, 0);
}

#[tokio::test]
async fn a_trickling_body_runs_into_the_deadline_and_its_status_is_kept() {
    for head in [&b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
        let (outcome, _receiver) = outcome_of(move |mut peer| async move {
            peer.request().await;
            peer.write(head).await;
            drip(&mut peer, b"d").await;
        })
        .await;
        assert_timed_out(&outcome, 200);
    }
}

#[tokio::test]
async fn the_endpoints_own_deadline_counts() {
    let receiver = Receiver::start(|_, mut peer| async move {
        peer.request().await;
        peer.closed().await;
    })
    .await;
    let mut endpoint = endpoint(&receiver.url("/"));
    endpoint.timeout_ms = Some(50);
    assert_eq!(send(&sink(config()), &endpoint).await.cause, Cause::Timeout);
}

#[tokio::test]
async fn a_body_without_end_is_cut_and_the_connection_closed() {
    for head in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000000\r\n",
    ] {
        let (outcome, receiver) = outcome_of(move |mut peer| async move {
            peer.request().await;
            peer.write(head).await;
            while peer.write(&[b'e'; 4096]).await {}
        })
        .await;
        assert_eq!((outcome.cause, outcome.status), (Cause::Ok, 200), "{outcome:?}");
        assert_eq!(outcome.excerpt, "e".repeat(EXCERPT_BYTES_MAX));
        assert_eq!(receiver.accepted(), 1);
    }
}

/// Reading stops when what is kept is full, so there is nothing left to wait for.
#[tokio::test]
async fn a_body_that_stalls_behind_what_is_kept_is_an_answer() {
    let (outcome, _receiver) = outcome_of(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
        peer.write(&[b'e'; EXCERPT_BYTES_MAX]).await;
        peer.closed().await;
    })
    .await;
    assert_eq!((outcome.cause, outcome.excerpt.len()), (Cause::Ok, EXCERPT_BYTES_MAX));
}

#[tokio::test]
async fn a_huge_length_with_nothing_behind_it_runs_into_the_deadline() {
    let (outcome, _receiver) = outcome_of(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\nx").await;
        peer.closed().await;
    })
    .await;
    assert_timed_out(&outcome, 200);
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    for sent in [&b""[..], b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"] {
        let (outcome, _receiver) = outcome_of(move |mut peer| async move {
            peer.request().await;
            peer.write(sent).await;
            peer.stream.set_zero_linger().unwrap();
        })
        .await;
        assert_eq!(outcome.cause, Cause::Reset, "{outcome:?}");
    }
}

#[tokio::test]
async fn an_end_before_the_answer_is_whole_is_a_reset() {
    for (sent, status) in [
        (&b""[..], 0),
        (b"HTTP/1.1 200 OK\r\nx: ", 0),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha", 200),
    ] {
        let (outcome, receiver) = outcome_of(move |mut peer| async move {
            peer.request().await;
            peer.write(sent).await;
        })
        .await;
        assert_eq!((outcome.cause, outcome.status), (Cause::Reset, status), "{outcome:?}");
        assert_eq!(receiver.accepted(), 1);
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_error() {
    let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "h".repeat(64 << 10)).into_bytes();
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200)).into_bytes();
    for sent in [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"HTTP/1.1 abc OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        long_head,
        many_headers,
    ] {
        let shown = String::from_utf8_lossy(&sent[..sent.len().min(60)]).into_owned();
        let (outcome, _receiver) = outcome_of(move |mut peer| {
            let sent = sent.clone();
            async move {
                peer.request().await;
                peer.write(&sent).await;
                peer.closed().await;
            }
        })
        .await;
        assert_eq!(outcome.cause, Cause::Protocol, "{shown}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_cut_off() {
    let (outcome, _receiver) = outcome_of(|mut peer| async move {
        peer.request().await;
        while peer.write(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100)).await {}
    })
    .await;
    assert_eq!((outcome.cause, outcome.status), (Cause::Protocol, 0), "{outcome:?}");
}

#[tokio::test]
async fn compressed_bodies_are_kept_as_they_came() {
    // A gzip stream is never unpacked, so there is nothing for a bomb to blow up.
    let body = [0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x03, 0x00];
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\n".to_vec();
    answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(&body);
    let receiver = Receiver::answering(answer).await;
    let outcome = send(&sink(config()), &endpoint(&receiver.url("/"))).await;
    assert_eq!((outcome.cause, outcome.excerpt.as_str()), (Cause::Ok, "H4sIAAAAAAAAAwMA"));
}

/// An answer may come while the request is still being written.
#[tokio::test]
async fn an_early_answer_to_a_large_body_is_an_answer() {
    let (outcome, _receiver) = {
        let receiver = Receiver::start(|_, mut peer| async move {
            peer.write(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nno!").await;
            peer.closed().await;
        })
        .await;
        let sink = sink(config());
        let event = event(vec![b'x'; 1 << 20]);
        (sink.send(Try { endpoint: &endpoint(&receiver.url("/")), event: &event }).await, receiver)
    };
    assert_eq!((outcome.cause, outcome.status, outcome.excerpt.as_str()), (Cause::Status, 413, "no!"));
}

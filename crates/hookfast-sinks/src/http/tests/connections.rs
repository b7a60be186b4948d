//! Which connections are used, kept and closed.

use super::*;
use tokio::sync::{mpsc, oneshot};

#[tokio::test]
async fn a_connection_is_kept_and_used_again() {
    let receiver = Receiver::answering(OK).await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    for _ in 0..5 {
        assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
    }
    assert_eq!(receiver.accepted(), 1);
    let metrics = sink.metrics();
    assert_eq!((metrics.connections_opened, metrics.connections_reused, metrics.connections_idle), (1, 4, 1));
}

#[tokio::test]
async fn chunked_and_failed_answers_leave_the_connection_usable() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 500 X\r\ncontent-length: 4\r\n\r\nsad!",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let receiver = Receiver::answering(answer).await;
        let sink = sink(config());
        let endpoint = endpoint(&receiver.url("/"));
        for _ in 0..3 {
            assert!(send(&sink, &endpoint).await.status >= 200);
        }
        assert_eq!(receiver.accepted(), 1, "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn a_connection_that_the_receiver_ends_is_not_kept() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..],
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let receiver = Receiver::answering(answer).await;
        let sink = sink(config());
        let endpoint = endpoint(&receiver.url("/"));
        for _ in 0..2 {
            assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
        }
        assert_eq!((receiver.accepted(), sink.metrics().connections_idle), (2, 0));
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_whole() {
    let receiver = Receiver::start(|_, mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    })
    .await;
    let outcome = send(&sink(config()), &endpoint(&receiver.url("/"))).await;
    assert_eq!((outcome.cause, outcome.excerpt.as_str()), (Cause::Ok, "until the end"));
}

#[tokio::test]
async fn endpoints_do_not_share_connections() {
    let receiver = Receiver::answering(OK).await;
    let sink = sink(config());
    let first = endpoint(&receiver.url("/"));
    let second = Endpoint { id: EndpointId::from_u128(8), ..first.clone() };
    for endpoint in [&first, &second, &first, &second] {
        assert_eq!(send(&sink, endpoint).await.cause, Cause::Ok);
    }
    assert_eq!(receiver.accepted(), 2);
}

/// The first connection answers once, then closes as the second request arrives.
#[tokio::test]
async fn a_kept_connection_that_breaks_at_once_is_replaced_once() {
    let receiver = Receiver::start(|number, mut peer| async move {
        peer.request().await;
        peer.write(OK).await;
        if number == 0 {
            peer.request().await;
        } else {
            peer.closed().await;
        }
    })
    .await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
    let outcome = send(&sink, &endpoint).await;
    assert_eq!((outcome.cause, outcome.status), (Cause::Ok, 200));
    assert_eq!((receiver.accepted(), sink.metrics().connections_stale), (2, 1));
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_not_replaced() {
    let receiver = Receiver::start(|_, mut peer| async move {
        peer.request().await;
    })
    .await;
    let outcome = send(&sink(config()), &endpoint(&receiver.url("/"))).await;
    assert_eq!((outcome.cause, outcome.status), (Cause::Reset, 0));
    assert_eq!(receiver.accepted(), 1);
}

#[tokio::test]
async fn the_replacement_of_a_kept_connection_is_not_replaced_again() {
    let receiver = Receiver::start(|number, mut peer| async move {
        peer.request().await;
        if number == 0 {
            peer.write(OK).await;
            peer.request().await;
        }
    })
    .await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    send(&sink, &endpoint).await;
    assert_eq!(send(&sink, &endpoint).await.cause, Cause::Reset);
    assert_eq!(receiver.accepted(), 2);
}

/// Once a byte of an answer has come the receiver has the event: no second send.
#[tokio::test]
async fn a_kept_connection_that_breaks_within_the_answer_is_not_replaced() {
    let receiver = Receiver::start(|_, mut peer| async move {
        peer.request().await;
        peer.write(OK).await;
        peer.request().await;
        peer.write(b"HTTP/1.1 2").await;
    })
    .await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    send(&sink, &endpoint).await;
    assert_eq!(send(&sink, &endpoint).await.cause, Cause::Reset);
    assert_eq!(receiver.accepted(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_receiver_closed_long_ago_is_passed_over() {
    let (closed, was_closed) = mpsc::channel(1);
    let receiver = Receiver::start(move |number, mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            peer.write(OK).await;
            if number == 0 {
                drop(peer);
                closed.send(()).await.unwrap();
            } else {
                peer.closed().await;
            }
        }
    })
    .await;
    let mut was_closed = was_closed;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    send(&sink, &endpoint).await;
    was_closed.recv().await.unwrap();
    assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
    assert_eq!(receiver.accepted(), 2);
}

#[tokio::test]
async fn unused_connections_are_closed_in_the_background() {
    let (closed, was_closed) = oneshot::channel();
    let closed = Arc::new(std::sync::Mutex::new(Some(closed)));
    let receiver = Receiver::start(move |_, mut peer| {
        let closed = Arc::clone(&closed);
        async move {
            peer.request().await;
            peer.write(OK).await;
            peer.closed().await;
            closed.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    })
    .await;
    let sink = sink(HttpSinkConfig { idle_timeout_ms: 20, ..config() });
    assert_eq!(send(&sink, &endpoint(&receiver.url("/"))).await.cause, Cause::Ok);
    was_closed.await.unwrap();
    assert_eq!(sink.metrics().connections_idle, 0);
}

#[tokio::test]
async fn a_connection_that_was_unused_for_too_long_is_not_used_again() {
    let receiver = Receiver::answering(OK).await;
    let sink = sink(HttpSinkConfig { idle_timeout_ms: 0, ..config() });
    let endpoint = endpoint(&receiver.url("/"));
    for _ in 0..3 {
        assert_eq!(send(&sink, &endpoint).await.cause, Cause::Ok);
    }
    assert_eq!(receiver.accepted(), 3);
}

#[tokio::test]
async fn no_more_unused_connections_are_kept_than_allowed() {
    for (idle_per_endpoint_max, idle_max, kept) in [(2, 100, 2), (100, 3, 3), (100, 0, 0)] {
        let barrier = Arc::new(tokio::sync::Barrier::new(5));
        let receiver = Receiver::start(move |_, mut peer| {
            let barrier = Arc::clone(&barrier);
            async move {
                peer.request().await;
                // All five are open before the first is answered.
                barrier.wait().await;
                peer.write(OK).await;
                peer.closed().await;
            }
        })
        .await;
        let sink = sink(HttpSinkConfig { idle_per_endpoint_max, idle_max, ..config() });
        let endpoint = endpoint(&receiver.url("/"));
        let event = event("{}");
        let attempt = Try { endpoint: &endpoint, event: &event };
        let all = tokio::join!(
            sink.send(attempt),
            sink.send(attempt),
            sink.send(attempt),
            sink.send(attempt),
            sink.send(attempt)
        );
        for outcome in [all.0, all.1, all.2, all.3, all.4] {
            assert_eq!(outcome.cause, Cause::Ok);
        }
        assert_eq!(sink.metrics().connections_idle, kept);
    }
}

#[tokio::test]
async fn an_abandoned_try_closes_its_connection() {
    let (got, mut requests) = mpsc::channel(1);
    let (closed, mut was_closed) = mpsc::channel(1);
    let receiver = Receiver::start(move |_, mut peer| {
        let (got, closed) = (got.clone(), closed.clone());
        async move {
            peer.request().await;
            got.send(()).await.unwrap();
            peer.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let sink = sink(config());
    let endpoint = endpoint(&receiver.url("/"));
    tokio::select! {
        outcome = send(&sink, &endpoint) => panic!("{outcome:?}"),
        _ = requests.recv() => {}
    }
    was_closed.recv().await.unwrap();
}

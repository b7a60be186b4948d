//! What answers mean.

use super::*;
use crate::http::answer::{announces_text, excerpt, retry_after_ms};
use hookfast_core::limits::{EXCERPT_BYTES_MAX, RETRY_AFTER_MS_MAX};
use proptest::prelude::*;

#[tokio::test]
async fn each_status_has_its_class() {
    for (status, cause) in [
        (200, Cause::Ok),
        (201, Cause::Ok),
        (204, Cause::Ok),
        (299, Cause::Ok),
        (300, Cause::Redirect),
        (301, Cause::Redirect),
        (302, Cause::Redirect),
        (304, Cause::Redirect),
        (307, Cause::Redirect),
        (308, Cause::Redirect),
        (400, Cause::Status),
        (401, Cause::Status),
        (404, Cause::Status),
        (410, Cause::Gone),
        (429, Cause::Throttled),
        (500, Cause::Status),
        (501, Cause::Status),
        (502, Cause::Throttled),
        (503, Cause::Throttled),
        (504, Cause::Throttled),
        (599, Cause::Status),
        (999, Cause::Status),
    ] {
        let receiver = Receiver::answering(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
        let outcome = send(&sink(config()), &endpoint(&receiver.url("/"))).await;
        assert_eq!((outcome.cause, outcome.status), (cause, status));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for target in ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "/again"] {
        for status in [301, 302, 303, 307, 308] {
            let answer = format!("HTTP/1.1 {status} X\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
            let receiver = Receiver::answering(answer).await;
            let sink = sink(config());
            let outcome = send(&sink, &endpoint(&receiver.url("/"))).await;
            assert_eq!((outcome.cause, outcome.status), (Cause::Redirect, status));
            assert_eq!((receiver.accepted(), sink.metrics().connections_opened), (1, 1));
        }
    }
}

#[tokio::test]
async fn a_throttled_answer_carries_what_it_asks_for() {
    for (value, expected) in
        [("120", Some(120_000)), ("Thu, 21 Oct 2066 07:28:00 GMT", Some(RETRY_AFTER_MS_MAX)), ("-1", None)]
    {
        for status in [429, 500, 503] {
            let answer = format!("HTTP/1.1 {status} X\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
            let receiver = Receiver::answering(answer).await;
            let outcome = send(&sink(config()), &endpoint(&receiver.url("/"))).await;
            assert_eq!((outcome.status, outcome.retry_after_ms), (status, expected), "{value}");
        }
    }
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(send(&sink(config()), &endpoint(&receiver.url("/"))).await.retry_after_ms, None);
}

#[test]
fn retry_after_is_seconds_or_a_date_and_nothing_else() {
    let now = UnixMs(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
    for (text, expected) in [
        ("0", Some(0)),
        ("1", Some(1_000)),
        (" 7 ", Some(7_000)),
        ("86400", Some(86_400_000)),
        ("86401", Some(86_400_000)),
        ("18446744073709551615", Some(86_400_000)),
        ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3_000)),
        ("Sunday, 06-Nov-94 08:49:38 GMT", Some(1_000)),
        ("Sun Nov  6 08:49:39 1994", Some(2_000)),
        ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400_000)),
        ("18446744073709551616", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("NaN", None),
        ("inf", None),
        ("1e300", None),
        ("5s", None),
        ("", None),
        (" ", None),
        ("٣", None),
        ("tomorrow", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ] {
        assert_eq!(retry_after_ms(text.as_bytes(), now), expected, "{text:?}");
    }
    assert_eq!(retry_after_ms(b"\xff\xfe", now), None);
}

#[test]
fn excerpts_are_text_that_every_store_can_hold() {
    assert_eq!(excerpt(b"plain".to_vec(), false), "plain");
    assert_eq!(excerpt(b"a\0b".to_vec(), true), "a\u{fffd}b");
    assert_eq!(excerpt(b"a\xffb".to_vec(), true), "a\u{fffd}b");
    assert_eq!(excerpt(b"\x1f\x8b\x08".to_vec(), false), "H4sI");
    let mut cut = vec![b'a'; EXCERPT_BYTES_MAX - 1];
    cut.push("é".as_bytes()[0]);
    assert_eq!(excerpt(cut, false), "a".repeat(EXCERPT_BYTES_MAX - 1));
    assert_eq!(excerpt(vec![0xff; EXCERPT_BYTES_MAX], false).len(), EXCERPT_BYTES_MAX);
    assert!(excerpt(vec![0; EXCERPT_BYTES_MAX], true).len() <= EXCERPT_BYTES_MAX);
    for text in
        ["text/plain", "application/json", "application/problem+json; a=b", "image/svg+xml", "x/y; charset=latin1"]
    {
        assert!(announces_text(text), "{text}");
    }
    assert!(!announces_text("application/octet-stream") && !announces_text("image/png"));
}

proptest! {
    #[test]
    fn no_answer_panics(value: Vec<u8>, text in "\\PC{0,40}", now: i64, is_text: bool) {
        for value in [&value[..], text.as_bytes()] {
            prop_assert!(retry_after_ms(value, UnixMs(now)).is_none_or(|ms| ms <= RETRY_AFTER_MS_MAX));
        }
        let kept = excerpt(value, is_text);
        prop_assert!(kept.len() <= EXCERPT_BYTES_MAX && !kept.contains('\0'));
    }
}

//! Reading a request body: counted while it streams in, within a deadline, and within what all bodies together may
//! take of memory. Knows no format.

use crate::error::ApiError;
use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Memory that request bodies of all connections may take together.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    held_bytes: AtomicUsize,
    bytes_max: usize,
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct BodyShare {
    budget: Arc<BodyBudget>,
    bytes: usize,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { held_bytes: AtomicUsize::new(0), bytes_max })
    }

    fn open(self: &Arc<Self>) -> BodyShare {
        BodyShare { budget: Arc::clone(self), bytes: 0 }
    }
}

impl BodyShare {
    fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let held = self.budget.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if held.saturating_add(bytes) > self.budget.bytes_max {
            return Err(ApiError::overloaded("too many request bodies are held in memory", 1_000));
        }
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.budget.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body in memory, with its share of the budget: keep it as long as the bytes are used for the request.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _share: BodyShare,
}

fn too_large(bytes_max: usize) -> ApiError {
    let detail = format!("the body is larger than {bytes_max} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

/// Reads a whole body.
///
/// # Errors
/// 413 above `bytes_max` (before reading when the length is declared), 503 when the budget is used up, 408 when it
/// did not come within `timeout_ms`, 400 when it broke off.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    budget: &Arc<BodyBudget>,
    bytes_max: usize,
    timeout_ms: u64,
) -> Result<Held, ApiError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let declared = declared.unwrap_or(0);
    if declared > bytes_max {
        return Err(too_large(bytes_max));
    }
    let mut share = budget.open();
    share.grow(declared)?;
    let reading = collect(body, share, bytes_max);
    tokio::time::timeout(Duration::from_millis(timeout_ms), reading).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {timeout_ms} ms");
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail))
    })
}

async fn collect(mut body: Body, mut share: BodyShare, bytes_max: usize) -> Result<Held, ApiError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("incomplete_body", "the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        if length > share.bytes {
            share.grow(length - share.bytes)?;
        }
        if first.is_empty() && rest.is_empty() {
            // Most bodies come in one piece, which is used as it is.
            first = data;
            if body.is_end_stream() {
                break;
            }
        } else {
            if rest.is_empty() {
                rest.reserve(share.bytes.max(length));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    let bytes = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Held { bytes, _share: share })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Gives its pieces one by one, then ends, or waits for ever.
    struct Pieces(Vec<&'static [u8]>, bool);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if !self.0.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.remove(0))))));
            }
            if self.1 { Poll::Pending } else { Poll::Ready(None) }
        }
    }

    async fn read(body: Body, bytes_max: usize, budget: &Arc<BodyBudget>) -> Result<Held, u16> {
        let read = read_body(&HeaderMap::new(), body, budget, bytes_max, 20).await;
        read.map_err(|error| error.status().as_u16())
    }

    #[tokio::test]
    async fn pieces_are_joined_and_the_budget_comes_back() {
        let budget = BodyBudget::new(100);
        let held = read(Body::new(Pieces(vec![b"ab", b"", b"cd", b"e"], false)), 5, &budget).await.unwrap();
        assert_eq!(&held.bytes[..], b"abcde");
        assert_eq!(budget.held_bytes.load(Ordering::Relaxed), 5);
        drop(held);
        assert_eq!(budget.held_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_stream_is_counted_and_a_body_that_stops_times_out() {
        let budget = BodyBudget::new(100);
        let refused = |error: Result<Held, u16>| error.map(|held| held.bytes.len()).unwrap_err();
        assert_eq!(refused(read(Body::new(Pieces(vec![b"abc", b"def"], false)), 5, &budget).await), 413);
        assert_eq!(refused(read(Body::new(Pieces(vec![b"abc"], true)), 5, &budget).await), 408);
        assert_eq!(refused(read(Body::new(Pieces(vec![b"abc", b"def"], false)), 50, &BodyBudget::new(4)).await), 503);
        assert_eq!(budget.held_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_declared_length_is_refused_before_reading() {
        let budget = BodyBudget::new(100);
        let declared = |bytes: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_LENGTH, http::HeaderValue::from_static(bytes))])
        };
        let never = || Body::new(Pieces(vec![], true));
        let status = |result: Result<Held, ApiError>| result.unwrap_err().status().as_u16();
        assert_eq!(status(read_body(&declared("51"), never(), &budget, 50, 60_000).await), 413);
        assert_eq!(status(read_body(&declared("101"), never(), &budget, 500, 60_000).await), 503);
    }
}

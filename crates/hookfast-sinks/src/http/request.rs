//! The request of one try: what changes from try to try, put into what does not. Must not do I/O.

use super::answer::Failure;
use super::config::HeaderFamily;
use super::prepared::{BODY_HEX_HEADER, Parts, signature_headers};
use bytes::Bytes;
use hookfast_core::delivery::Cause;
use hookfast_core::ports::Outgoing;
use hookfast_core::{EventId, UnixMs};
use hookfast_signing::sign_all_into;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use std::fmt::Write as _;

/// Room for `v1,` and 44 characters of base64, and a space.
const SIGNATURE_BYTES: usize = 48;
/// Room for id and timestamp.
const STAMP_BYTES: usize = EventId::PREFIX.len() + 22 + 10;

/// When a try is made: on the clock that receivers compare with theirs, and on the one that secrets expire by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) wall: UnixMs,
    pub(super) now: UnixMs,
}

/// The request of one try, signed.
pub(super) fn build(
    parts: &Parts,
    family: HeaderFamily,
    event: &Outgoing,
    times: Times,
) -> Result<Request<Full<Bytes>>, Failure> {
    let body = event.body.clone().ok_or_else(|| Failure::new(Cause::PayloadDeleted, "the payload was deleted"))?;
    let mut headers = parts.headers.clone();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Some(content_type) = &event.content_type {
        headers.insert(CONTENT_TYPE, value(content_type.clone().into())?);
    }
    sign(&mut headers, parts, family, event.id, &body, times)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = headers;
    Ok(request)
}

fn sign(
    headers: &mut HeaderMap,
    parts: &Parts,
    family: HeaderFamily,
    id: EventId,
    body: &[u8],
    times: Times,
) -> Result<(), Failure> {
    let unsigned = || Failure::new(Cause::Request, "the request could not be signed");
    let mut stamp = String::with_capacity(STAMP_BYTES);
    write!(stamp, "{id}").map_err(|_| unsigned())?;
    let id_bytes = stamp.len();
    write!(stamp, "{}", times.wall.secs()).map_err(|_| unsigned())?;
    let (id, timestamp) = stamp.split_at(id_bytes);
    let live = parts.keys.signers.iter().filter(|(_, expires_at)| expires_at.is_none_or(|expires| expires > times.now));
    let mut signature = String::with_capacity(parts.keys.signers.len() * SIGNATURE_BYTES);
    sign_all_into(live.map(|(signer, _)| signer), &mut signature, id, timestamp, body).map_err(|_| unsigned())?;

    let stamp = Bytes::from(stamp);
    let values = [value(stamp.slice(..id_bytes))?, value(stamp.slice(id_bytes..))?, value(signature.into())?];
    for names in signature_headers(family) {
        for (name, value) in names.into_iter().zip(&values) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(key) = &parts.keys.body_hex {
        let mut signature = String::new();
        key.sign_into(&mut signature, body);
        headers.insert(BODY_HEX_HEADER, value(signature.into())?);
    }
    Ok(())
}

/// A header value of these bytes, without copying them.
fn value(bytes: Bytes) -> Result<HeaderValue, Failure> {
    HeaderValue::from_maybe_shared(bytes)
        .map_err(|_| Failure::new(Cause::Request, "the event's content type cannot be a header"))
}

//! How values stand in columns: ids, lists, times, endpoints. Must not know what the rows are for.

use crate::{Error, Result, Sealer};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{Application, Disabled, Endpoint, EndpointSecrets, OldSecret, SecretText, Signing};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{AppId, EndpointId, OrgId, UnixMs};
use rusqlite::Row;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The columns that [`application`] reads, in its order.
pub(crate) const APPLICATION: &str =
    "id, org, uid, name, throttle_rate, metadata, retention_days, created_at, updated_at";

/// The columns that [`endpoint`] reads, in its order; `e` is the endpoint, `a` its application.
pub(crate) const ENDPOINT: &str = "e.id, a.id, e.uid, e.url, e.description, e.version, e.disabled, e.event_types, \
     e.channels, e.throttle_rate, e.metadata, e.headers, e.secrets, e.signing, e.retry, e.timeout_ms, \
     e.failing_since, e.created_at, e.updated_at";

/// 16 bytes of an id.
pub(crate) fn id_bytes(id: impl Into<u128>) -> [u8; 16] {
    id.into().to_be_bytes()
}

/// An id from its 16 bytes.
pub(crate) fn id_from(row: &Row<'_>, index: usize) -> Result<u128> {
    let bytes: [u8; 16] = row.get(index)?;
    Ok(u128::from_be_bytes(bytes))
}

/// The upper half of an id as a row id. Times far beyond every real one, as bounds of ranges use them, saturate.
pub(crate) fn row_id(high: u64) -> i64 {
    i64::try_from(high).unwrap_or(i64::MAX)
}

/// A list of small numbers, 7 bits a byte.
pub(crate) fn put_numbers(numbers: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut out = Vec::new();
    for number in numbers {
        let mut rest = number.cast_unsigned();
        while rest >= 0x80 {
            out.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out
}

/// The reverse of [`put_numbers`].
pub(crate) fn get_numbers(bytes: &[u8]) -> Result<Vec<i64>> {
    let mut numbers = Vec::with_capacity(bytes.len());
    let (mut value, mut shift) = (0u64, 0u32);
    for byte in bytes {
        if shift > 63 {
            return Err(Error::Damaged { what: "list of endpoints" });
        }
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            numbers.push(value.cast_signed());
            (value, shift) = (0, 0);
        } else {
            shift += 7;
        }
    }
    if shift == 0 { Ok(numbers) } else { Err(Error::Damaged { what: "list of endpoints" }) }
}

/// JSON text of a value that cannot fail to be one.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|_| Error::Damaged { what: "value" })
}

/// A value from JSON text that this store wrote.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(text: &'a str, what: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::Damaged { what })
}

fn list(row: &Row<'_>, index: usize) -> Result<Option<Vec<String>>> {
    row.get_ref(index)?.as_str_or_null().map_err(rusqlite::Error::from)?.map(|text| from_json(text, "list")).transpose()
}

/// A number for a state, never reused.
pub(crate) fn state_code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Retrying => 1,
        DeliveryState::Delivered => 2,
        DeliveryState::Dead => 3,
        DeliveryState::Cancelled => 4,
    }
}

/// The reverse of [`state_code`].
pub(crate) fn state_from(code: i64) -> Result<DeliveryState> {
    DeliveryState::ALL
        .into_iter()
        .find(|state| state_code(*state) == code)
        .ok_or(Error::Damaged { what: "delivery state" })
}

/// A cause from its column.
pub(crate) fn cause_from(code: u8) -> Result<Cause> {
    Cause::from_code(code).ok_or(Error::Damaged { what: "cause" })
}

/// An application from the columns [`APPLICATION`].
pub(crate) fn application(row: &Row<'_>) -> Result<Application> {
    let org: String = row.get(1)?;
    let metadata: String = row.get(5)?;
    Ok(Application {
        id: AppId::from_u128(id_from(row, 0)?),
        org: org.parse::<OrgId>().map_err(|_| Error::Damaged { what: "organisation" })?,
        uid: row.get(2)?,
        name: row.get(3)?,
        throttle_rate: row.get(4)?,
        metadata: from_json(&metadata, "metadata")?,
        retention_days: row.get(6)?,
        created_at: UnixMs(row.get(7)?),
        updated_at: UnixMs(row.get(8)?),
    })
}

#[derive(Serialize, Deserialize)]
struct SecretsColumn {
    current: String,
    old: Vec<(String, i64)>,
}

/// The sealed column of an endpoint's secrets.
pub(crate) fn seal_secrets(sealer: &Sealer, id: EndpointId, secrets: &EndpointSecrets) -> Result<Vec<u8>> {
    let column = SecretsColumn {
        current: secrets.current.reveal().to_owned(),
        old: secrets.old.iter().map(|old| (old.secret.reveal().to_owned(), old.expires_at.0)).collect(),
    };
    sealer.seal(&place(id, b"secrets"), json(&column)?.as_bytes())
}

/// The sealed column of an endpoint's headers: they often hold credentials.
pub(crate) fn seal_headers(sealer: &Sealer, id: EndpointId, headers: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    sealer.seal(&place(id, b"headers"), json(headers)?.as_bytes())
}

fn place(id: EndpointId, column: &[u8]) -> Vec<u8> {
    [id_bytes(id).as_slice(), column].concat()
}

fn open_json<T: for<'a> Deserialize<'a>>(
    sealer: &Sealer,
    id: EndpointId,
    column: &[u8],
    sealed: &[u8],
    what: &'static str,
) -> Result<T> {
    let plain = sealer.open(&place(id, column), sealed)?;
    serde_json::from_slice(&plain).map_err(|_| Error::Damaged { what })
}

#[derive(Serialize, Deserialize)]
struct RetryColumn {
    delays_ms: Vec<u64>,
    jitter: f64,
}

/// The column of an endpoint's own retry policy.
pub(crate) fn retry_column(retry: Option<&RetryPolicy>) -> Result<Option<String>> {
    retry.map(|policy| json(&RetryColumn { delays_ms: policy.delays_ms.clone(), jitter: policy.jitter })).transpose()
}

fn retry_from(text: &str) -> Result<RetryPolicy> {
    let column: RetryColumn = from_json(text, "retry policy")?;
    Ok(RetryPolicy { delays_ms: column.delays_ms, jitter: column.jitter })
}

/// An endpoint from the columns [`ENDPOINT`].
pub(crate) fn endpoint(row: &Row<'_>, sealer: &Sealer) -> Result<Endpoint> {
    let id = EndpointId::from_u128(id_from(row, 0)?);
    let metadata: String = row.get(10)?;
    let headers = row.get_ref(11)?.as_blob().map_err(rusqlite::Error::from)?;
    let sealed = row.get_ref(12)?.as_blob().map_err(rusqlite::Error::from)?;
    let secrets: SecretsColumn = open_json(sealer, id, b"secrets", sealed, "secrets")?;
    let retry: Option<String> = row.get(14)?;
    let disabled: Option<String> = row.get(6)?;
    Ok(Endpoint {
        id,
        app: AppId::from_u128(id_from(row, 1)?),
        uid: row.get(2)?,
        url: row.get(3)?,
        description: row.get(4)?,
        version: row.get(5)?,
        disabled: disabled.and_then(|text| Disabled::parse(&text)),
        event_types: list(row, 7)?,
        channels: list(row, 8)?,
        throttle_rate: row.get(9)?,
        metadata: from_json(&metadata, "metadata")?,
        headers: open_json(sealer, id, b"headers", headers, "headers")?,
        secrets: EndpointSecrets {
            current: SecretText::new(secrets.current),
            old: secrets
                .old
                .into_iter()
                .map(|(secret, at)| OldSecret { secret: SecretText::new(secret), expires_at: UnixMs(at) })
                .collect(),
        },
        signing: if row.get::<_, i64>(13)? == 1 { Signing::WithBodyHex } else { Signing::Standard },
        retry: retry.as_deref().map(retry_from).transpose()?,
        timeout_ms: row.get(15)?,
        failing_since: row.get::<_, Option<i64>>(16)?.map(UnixMs),
        created_at: UnixMs(row.get(17)?),
        updated_at: UnixMs(row.get(18)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(numbers in proptest::collection::vec(0i64..i64::MAX, 0..50)) {
            prop_assert_eq!(get_numbers(&put_numbers(numbers.iter().copied())).unwrap(), numbers);
        }

        #[test]
        fn damaged_numbers_are_an_error_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = get_numbers(&bytes);
        }
    }

    #[test]
    fn states_keep_their_codes() {
        for state in DeliveryState::ALL {
            assert_eq!(state_from(state_code(state)).unwrap(), state);
        }
    }
}

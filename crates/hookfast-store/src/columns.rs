//! How values stand in columns, whatever the database: lists, sealed secrets, codes of states. Must not know SQL.

use crate::{Error, Result, Sealer};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{
    AppThrottle, Disabled, Endpoint, EndpointSecrets, OldSecret, OnDead, Ordering, SecretText, Signing,
};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{AppId, EndpointId, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// 16 bytes of an id.
pub(crate) fn id_bytes(id: impl Into<u128>) -> [u8; 16] {
    id.into().to_be_bytes()
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

/// The condition on a column of states that an index of what was not delivered needs in order to be used.
pub(crate) fn state_is(column: &str, state: Option<DeliveryState>) -> String {
    let not_delivered = if state == Some(DeliveryState::Delivered) { "" } else { "<> 2" };
    match state {
        None => "true".to_owned(),
        Some(state) if not_delivered.is_empty() => format!("{column} = {}", state_code(state)),
        Some(state) => format!("{column} {not_delivered} AND {column} = {}", state_code(state)),
    }
}

/// What that index alone can say of it.
pub(crate) fn may_be(column: &str, state: Option<DeliveryState>) -> String {
    let succeeded = state.map(|state| state == DeliveryState::Delivered);
    state_of_attempts(column, succeeded)
}

/// The same where only attempts that failed are asked for: those inside a delivery ended it otherwise.
pub(crate) fn state_of_attempts(column: &str, succeeded: Option<bool>) -> String {
    if succeeded == Some(false) { format!("{column} <> 2") } else { "true".to_owned() }
}

/// A cause from its column.
pub(crate) fn cause_from(code: u8) -> Result<Cause> {
    Cause::from_code(code).ok_or(Error::Damaged { what: "cause" })
}

#[derive(Serialize, Deserialize)]
struct SecretsColumn {
    current: String,
    old: Vec<(String, i64)>,
}

/// The sealed columns.
pub(crate) const SECRETS: &[u8] = b"secrets";
pub(crate) const HEADERS: &[u8] = b"headers";

/// The sealed column of an endpoint's secrets.
pub(crate) fn seal_secrets(sealer: &Sealer, id: EndpointId, secrets: &EndpointSecrets) -> Result<Vec<u8>> {
    let column = SecretsColumn {
        current: secrets.current.reveal().to_owned(),
        old: secrets.old.iter().map(|old| (old.secret.reveal().to_owned(), old.expires_at.0)).collect(),
    };
    sealer.seal(&place(id, SECRETS), json(&column)?.as_bytes())
}

/// The sealed column of an endpoint's headers: they often hold credentials.
pub(crate) fn seal_headers(sealer: &Sealer, id: EndpointId, headers: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    sealer.seal(&place(id, HEADERS), json(headers)?.as_bytes())
}

/// Where a sealed column of an endpoint belongs.
pub(crate) fn place(id: EndpointId, column: &[u8]) -> Vec<u8> {
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

/// The reverse of [`retry_column`].
pub(crate) fn retry_from(text: &str) -> Result<RetryPolicy> {
    let column: RetryColumn = from_json(text, "retry policy")?;
    Ok(RetryPolicy { delays_ms: column.delays_ms, jitter: column.jitter })
}

/// An endpoint as its columns hold it.
pub(crate) struct EndpointColumns<'a> {
    pub(crate) id: EndpointId,
    pub(crate) app: AppId,
    pub(crate) uid: Option<String>,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) version: u16,
    pub(crate) disabled: Option<&'a str>,
    pub(crate) event_types: Option<&'a str>,
    pub(crate) channels: Option<&'a str>,
    pub(crate) throttle_rate: Option<u16>,
    pub(crate) app_throttle: AppThrottle,
    pub(crate) ordering_pointer: Option<String>,
    /// Set for endpoints that keep order.
    pub(crate) on_dead: Option<&'a str>,
    pub(crate) metadata: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) secrets: &'a [u8],
    pub(crate) signing: i64,
    pub(crate) retry: Option<&'a str>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) failing_since: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl EndpointColumns<'_> {
    /// Opens and parses what is sealed or packed.
    pub(crate) fn read(self, sealer: &Sealer) -> Result<Endpoint> {
        let id = self.id;
        let secrets: SecretsColumn = open_json(sealer, id, SECRETS, self.secrets, "secrets")?;
        Ok(Endpoint {
            id,
            app: self.app,
            uid: self.uid,
            url: self.url,
            description: self.description,
            version: self.version,
            disabled: self.disabled.and_then(Disabled::parse),
            event_types: self.event_types.map(|text| from_json(text, "list")).transpose()?,
            channels: self.channels.map(|text| from_json(text, "list")).transpose()?,
            throttle_rate: self.throttle_rate,
            app_throttle: self.app_throttle,
            ordering: self
                .on_dead
                .and_then(OnDead::parse)
                .map(|on_dead| Ordering { pointer: self.ordering_pointer, on_dead }),
            metadata: from_json(self.metadata, "metadata")?,
            headers: open_json(sealer, id, HEADERS, self.headers, "headers")?,
            secrets: EndpointSecrets {
                current: SecretText::new(secrets.current),
                old: secrets
                    .old
                    .into_iter()
                    .map(|(secret, at)| OldSecret { secret: SecretText::new(secret), expires_at: UnixMs(at) })
                    .collect(),
            },
            signing: if self.signing == 1 { Signing::WithBodyHex } else { Signing::Standard },
            retry: self.retry.map(retry_from).transpose()?,
            timeout_ms: self.timeout_ms,
            failing_since: self.failing_since.map(UnixMs),
            created_at: UnixMs(self.created_at),
            updated_at: UnixMs(self.updated_at),
        })
    }
}

/// What the column `signing` holds.
pub(crate) fn signing_code(signing: Signing) -> i64 {
    i64::from(signing == Signing::WithBodyHex)
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

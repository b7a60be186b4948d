//! The bodies of an endpoint's headers.

use crate::extract::{Fields, FromFields, Problem, any_text, shorten};
use hookfast_core::headers::endpoint_header_refusal;
use hookfast_core::limits::{ENDPOINT_HEADERS_MAX, HEADER_VALUE_BYTES_MAX};
use hookfast_core::model::Endpoint;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most bytes of JSON that headers take, escapes included.
const JSON_BYTES_MAX: usize = ENDPOINT_HEADERS_MAX * 2 * HEADER_VALUE_BYTES_MAX;
/// What stands for a value that is not shown.
const SENSITIVE: [&str; 4] = ["x-auth-token", "x-api-key", "www-authenticate", "authorization"];

type SetAndRemove = (BTreeMap<String, String>, Vec<String>);

/// Reads `headers`: what to set, and what is null. `None` when it is not given, or wrong, which is noted.
pub(super) fn read_headers(fields: &mut Fields<'_>) -> Option<SetAndRemove> {
    let map = fields.text_map("headers", JSON_BYTES_MAX).value()?;
    if map.len() > ENDPOINT_HEADERS_MAX {
        let msg = format!("expected at most {ENDPOINT_HEADERS_MAX} headers, got {}", map.len());
        fields.note("headers", Problem::new("too_long", msg));
        return None;
    }
    let (mut set, mut remove) = (BTreeMap::new(), Vec::new());
    for (name, value) in map {
        let Some(value) = value else {
            remove.push(name.to_ascii_lowercase());
            continue;
        };
        match endpoint_header_refusal(&name, &value) {
            Some(reason) => {
                let msg = format!("expected a header to send with each attempt, got {:?}: {reason}", shorten(&name));
                fields.note_item("headers", &name, Problem::new("value_error", msg));
            }
            None if set.contains_key(&name.to_ascii_lowercase()) => {
                fields.note_item("headers", &name, Problem::new("duplicate", "expected once, got twice"));
            }
            None => drop(set.insert(name.to_ascii_lowercase(), value)),
        }
    }
    Some((set, remove))
}

fn required_headers(fields: &mut Fields<'_>) -> SetAndRemove {
    let is_given = fields.raw("headers").value().is_some();
    if !is_given {
        fields.note("headers", Problem::new("missing", "expected an object of strings, got nothing"));
    }
    read_headers(fields).unwrap_or_default()
}

/// Headers sent with each attempt, whole.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub(super) struct EndpointHeadersIn {
    /// Values by name.
    pub(super) headers: BTreeMap<String, String>,
}

impl FromFields for EndpointHeadersIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        let (headers, nulls) = required_headers(fields);
        for name in nulls {
            fields.note_item("headers", &name, Problem::new("type_error", "expected a string, got null"));
        }
        Self { headers }
    }
}

/// Changes to the headers sent with each attempt.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EndpointHeadersPatchIn {
    /// Values by name; null removes one.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub(super) headers: BTreeMap<String, String>,
    /// Names to remove.
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) delete_headers: Vec<String>,
}

impl FromFields for EndpointHeadersPatchIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        let (headers, mut remove) = required_headers(fields);
        let names = fields.texts("deleteHeaders", 0..=ENDPOINT_HEADERS_MAX, any_text).value().unwrap_or_default();
        remove.extend(names.into_iter().map(|name| name.to_ascii_lowercase()));
        Self { headers, delete_headers: remove }
    }
}

/// The headers of an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndpointHeadersOut {
    /// Values by name.
    headers: BTreeMap<String, String>,
    /// Names of headers whose values are not shown.
    sensitive: Vec<String>,
}

impl From<&Endpoint> for EndpointHeadersOut {
    fn from(endpoint: &Endpoint) -> Self {
        let is_sensitive = |name: &str| SENSITIVE.contains(&name) || name.starts_with("proxy-");
        let (sensitive, headers): (BTreeMap<_, _>, BTreeMap<_, _>) =
            endpoint.headers.clone().into_iter().partition(|(name, _)| is_sensitive(name));
        Self { headers, sensitive: sensitive.into_keys().collect() }
    }
}

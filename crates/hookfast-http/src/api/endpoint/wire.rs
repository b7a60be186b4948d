//! The bodies of endpoints.

use super::headers_wire::read_headers;
use super::ordering_wire::{OrderingBody, read_ordering};
use crate::api::texts::{ChannelName, DelayMs, EventTypeName};
use crate::api::{Text, read_metadata, read_throttle_rate};
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, Given, any_text, channel, event_type_name, shorten, uid_for};
use crate::router::Shared;
use crate::secret;
use crate::time::Time;
use hookfast_core::address::vet_url;
use hookfast_core::limits::CHANNELS_MAX;
use hookfast_core::model::{Application, Endpoint, Ordering, SecretText, Signing};
use hookfast_core::ports::{EndpointPatch, NewEndpoint};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{EndpointId, Error};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// Most event types that an endpoint names.
const EVENT_TYPES_MAX: usize = 1_000;

/// An endpoint to replace one with.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EndpointUpdate {
    /// Where its deliveries go: http or https.
    #[schema(max_length = 2048, pattern = r"^https?://[^\s\\]+$")]
    pub(super) url: String,
    /// Free text.
    #[schema(value_type = Option<String>, max_length = 4096)]
    description: String,
    /// The caller's own name for it, unique in the application.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Option<String>,
    /// Kept for old clients.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 65535, default = 1)]
    version: u16,
    /// It gets nothing.
    #[schema(value_type = Option<bool>, default = false)]
    disabled: bool,
    /// Event types it wants, which must exist; all when not given. Also read as `filterTypes`.
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1, max_items = 1000)]
    pub(super) event_types: Option<Vec<String>>,
    /// Channels it listens on; all when not given.
    #[schema(value_type = Option<Vec<ChannelName>>, min_items = 1, max_items = 10)]
    channels: Option<Vec<String>>,
    /// Deliveries per second. Also read as `rateLimit`.
    #[schema(minimum = 1, maximum = 65535)]
    throttle_rate: Option<u16>,
    /// How it keeps order; not at all when not given.
    #[schema(value_type = Option<OrderingBody>)]
    ordering: Option<Ordering>,
    /// The caller's own data; at most 4,096 bytes of JSON.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: BTreeMap<String, String>,
    /// Waits before the second and each later try, in milliseconds; the server's schedule when not given.
    #[schema(value_type = Option<Vec<DelayMs>>, max_items = 50)]
    retry_delays_ms: Option<Vec<u64>>,
    /// Deadline of one try from connecting to the end of the answer, in milliseconds; the server's when not given.
    #[schema(minimum = 1000, maximum = 30000)]
    timeout_ms: Option<u32>,
}

impl FromFields for EndpointUpdate {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            url: fields.required("url", any_text),
            description: fields.text("description", any_text).value().unwrap_or_default(),
            uid: fields.text("uid", uid_for(EndpointId::PREFIX)).value(),
            version: fields.small("version", 1..=u16::MAX).value().unwrap_or(1),
            disabled: fields.flag("disabled").value().unwrap_or(false),
            event_types: read_event_types(fields).value(),
            channels: read_channels(fields).value(),
            throttle_rate: read_throttle_rate(fields).value(),
            ordering: read_ordering(fields).value(),
            metadata: read_metadata(fields).unwrap_or_default(),
            retry_delays_ms: read_delays(fields).value(),
            timeout_ms: read_timeout(fields).value(),
        }
    }
}

fn read_event_types(fields: &mut Fields<'_>) -> Given<Vec<String>> {
    let given = fields.texts("eventTypes", 1..=EVENT_TYPES_MAX, event_type_name);
    given.or(|| fields.texts("filterTypes", 1..=EVENT_TYPES_MAX, event_type_name))
}

fn read_channels(fields: &mut Fields<'_>) -> Given<Vec<String>> {
    fields.texts("channels", 1..=CHANNELS_MAX, channel)
}

fn read_delays(fields: &mut Fields<'_>) -> Given<Vec<u64>> {
    fields.numbers("retryDelaysMs", 0..=RetryPolicy::DELAYS_MAX, &(1..=RetryPolicy::DELAY_MS_MAX))
}

fn read_timeout(fields: &mut Fields<'_>) -> Given<u32> {
    fields.small("timeoutMs", 1_000..=30_000).map(u32::from)
}

fn policy(delays_ms: Vec<u64>) -> RetryPolicy {
    RetryPolicy { delays_ms, ..RetryPolicy::default() }
}

impl EndpointUpdate {
    /// Everything that is not given is unset; secret and headers stay.
    pub(super) fn into_replacement(self) -> EndpointPatch {
        EndpointPatch {
            uid: Some(self.uid),
            url: Some(self.url),
            description: Some(self.description),
            version: Some(self.version),
            disabled: Some(self.disabled),
            event_types: Some(self.event_types),
            channels: Some(self.channels),
            throttle_rate: Some(self.throttle_rate),
            ordering: Some(self.ordering),
            metadata: Some(self.metadata),
            headers: None,
            retry: Some(self.retry_delays_ms.map(policy)),
            timeout_ms: Some(self.timeout_ms),
        }
    }

    pub(super) fn into_new(
        self,
        app: &Application,
        secret: SecretText,
        headers: BTreeMap<String, String>,
    ) -> NewEndpoint {
        NewEndpoint {
            app: app.id,
            uid: self.uid,
            url: self.url,
            description: self.description,
            version: self.version,
            disabled: self.disabled,
            event_types: self.event_types,
            channels: self.channels,
            throttle_rate: self.throttle_rate,
            ordering: self.ordering,
            metadata: self.metadata,
            headers,
            secret,
            signing: Signing::Standard,
            retry: self.retry_delays_ms.map(policy),
            timeout_ms: self.timeout_ms,
        }
    }
}

/// An endpoint to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EndpointIn {
    pub(super) common: EndpointUpdate,
    /// What signs: made by the server when not given.
    pub(super) secret: Option<SecretText>,
    /// Headers sent with each attempt.
    pub(super) headers: BTreeMap<String, String>,
}

impl PartialSchema for EndpointIn {
    /// The fields of [`EndpointUpdate`] and two more.
    fn schema() -> RefOr<Schema> {
        let secret = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .description(Some("What signs: `whsec_…` or `whsk_…`; made by the server when not given."));
        let headers = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
            .additional_properties(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some("Headers sent with each attempt."));
        match EndpointUpdate::schema() {
            RefOr::T(Schema::Object(mut object)) => {
                object.description = Some("An endpoint to be made.".to_owned());
                object.properties.insert("secret".to_owned(), secret.into());
                object.properties.insert("headers".to_owned(), headers.into());
                object.into()
            }
            other => other,
        }
    }
}

impl ToSchema for EndpointIn {}

impl FromFields for EndpointIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            common: EndpointUpdate::read(fields),
            secret: secret::read(fields, "secret"),
            headers: read_headers(fields).map(|(set, _)| set).unwrap_or_default(),
        }
    }
}

/// Changes to an endpoint; what is not given stays, null unsets.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EndpointPatchIn {
    /// Where its deliveries go.
    #[schema(max_length = 2048, pattern = r"^https?://[^\s\\]+$")]
    pub(super) url: Option<String>,
    /// Free text.
    #[schema(max_length = 4096)]
    description: Option<String>,
    /// The caller's own name for it.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Option<Option<String>>,
    /// Kept for old clients.
    #[schema(minimum = 1, maximum = 65535)]
    version: Option<u16>,
    /// Disable or enable it; enabling also forgets since when it failed.
    disabled: Option<bool>,
    /// Event types it wants. Also read as `filterTypes`.
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1, max_items = 1000)]
    pub(super) event_types: Option<Option<Vec<String>>>,
    /// Channels it listens on.
    #[schema(value_type = Option<Vec<ChannelName>>, min_items = 1, max_items = 10)]
    channels: Option<Option<Vec<String>>>,
    /// Deliveries per second. Also read as `rateLimit`.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 65535)]
    throttle_rate: Option<Option<u16>>,
    /// How it keeps order. What waits keeps the place it has.
    #[schema(value_type = Option<OrderingBody>)]
    ordering: Option<Option<Ordering>>,
    /// The caller's own data, whole.
    metadata: Option<BTreeMap<String, String>>,
    /// Waits before the second and each later try, in milliseconds.
    #[schema(value_type = Option<Vec<DelayMs>>, max_items = 50)]
    retry_delays_ms: Option<Option<Vec<u64>>>,
    /// Deadline of one try, in milliseconds.
    #[schema(value_type = Option<u32>, minimum = 1000, maximum = 30000)]
    timeout_ms: Option<Option<u32>>,
}

impl FromFields for EndpointPatchIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            url: fields.text("url", any_text).value(),
            description: fields.text("description", any_text).value(),
            uid: fields.text("uid", uid_for(EndpointId::PREFIX)).change(),
            version: fields.small("version", 1..=u16::MAX).value(),
            disabled: fields.flag("disabled").value(),
            event_types: read_event_types(fields).change(),
            channels: read_channels(fields).change(),
            throttle_rate: read_throttle_rate(fields).change(),
            ordering: read_ordering(fields).change(),
            metadata: read_metadata(fields),
            retry_delays_ms: read_delays(fields).change(),
            timeout_ms: read_timeout(fields).change(),
        }
    }
}

impl EndpointPatchIn {
    pub(super) fn into_patch(self) -> EndpointPatch {
        EndpointPatch {
            uid: self.uid,
            url: self.url,
            description: self.description,
            version: self.version,
            disabled: self.disabled,
            event_types: self.event_types,
            channels: self.channels,
            throttle_rate: self.throttle_rate,
            ordering: self.ordering,
            metadata: self.metadata,
            headers: None,
            retry: self.retry_delays_ms.map(|delays| delays.map(policy)),
            timeout_ms: self.timeout_ms,
        }
    }
}

/// Checks a URL against the address rules and gives it back in its normal form.
///
/// # Errors
/// 422 with the reason.
pub(super) fn vetted(shared: &Shared, url: &str) -> Result<String, ApiError> {
    let config = &shared.api.config;
    vet_url(url, config.https_only, &config.address_rules).map_err(|refused| {
        let msg = format!("expected a URL to send to, got {:?}: {refused}", shorten(url));
        ApiError::field("body", "url", "value_error", msg)
    })
}

/// Do these event types exist, and are they not archived?
///
/// # Errors
/// 422 with the first one that does not.
pub(super) async fn check_event_types(
    shared: &Shared,
    app: &Application,
    wanted: Option<&[String]>,
) -> Result<(), ApiError> {
    for (at, name) in wanted.unwrap_or_default().iter().enumerate() {
        let problem = match shared.api.ports.event_types.event_type(&app.org, name).await {
            Ok(found) if !found.archived => continue,
            Ok(_) => "is archived",
            Err(Error::NotFound { .. }) => "does not exist",
            Err(other) => return Err(other.into()),
        };
        let msg = format!("expected an event type that exists, but {name:?} {problem}");
        return Err(ApiError::field("body", &format!("eventTypes.{at}"), "value_error", msg));
    }
    Ok(())
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointOut {
    /// Its id.
    #[schema(value_type = String)]
    id: Text<EndpointId>,
    /// The caller's own name for it.
    uid: Option<String>,
    /// Where its deliveries go, in its normal form.
    url: String,
    /// Free text.
    description: String,
    /// Kept for old clients.
    version: u16,
    /// It gets nothing.
    disabled: bool,
    /// Why it gets nothing: `by_owner`, `gone` (it answered 410) or `failing` (nothing but failures for too long).
    disabled_reason: Option<&'static str>,
    /// Since when it does nothing but fail.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Time>,
    /// Event types it wants; null is all.
    event_types: Option<Vec<String>>,
    /// The same, under its old name.
    filter_types: Option<Vec<String>>,
    /// Channels it listens on; null is all.
    channels: Option<Vec<String>>,
    /// Deliveries per second.
    throttle_rate: Option<u16>,
    /// The same, under its old name.
    rate_limit: Option<u16>,
    /// How it keeps order; null is not at all.
    ordering: Option<OrderingBody>,
    /// The caller's own data.
    metadata: BTreeMap<String, String>,
    /// Waits before the second and each later try, in milliseconds; null is the server's schedule.
    retry_delays_ms: Option<Vec<u64>>,
    /// Deadline of one try, in milliseconds; null is the server's.
    timeout_ms: Option<u32>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Time,
}

impl From<&Endpoint> for EndpointOut {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            id: Text(endpoint.id),
            uid: endpoint.uid.clone(),
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            version: endpoint.version.max(1),
            disabled: endpoint.disabled.is_some(),
            disabled_reason: endpoint.disabled.map(|reason| reason.as_str()),
            failing_since: endpoint.failing_since.map(Time),
            event_types: endpoint.event_types.clone(),
            filter_types: endpoint.event_types.clone(),
            channels: endpoint.channels.clone(),
            throttle_rate: endpoint.throttle_rate,
            rate_limit: endpoint.throttle_rate,
            ordering: endpoint.ordering.as_ref().map(OrderingBody::from),
            metadata: endpoint.metadata.clone(),
            retry_delays_ms: endpoint.retry.as_ref().map(|policy| policy.delays_ms.clone()),
            timeout_ms: endpoint.timeout_ms,
            created_at: Time(endpoint.created_at),
            updated_at: Time(endpoint.updated_at),
        }
    }
}

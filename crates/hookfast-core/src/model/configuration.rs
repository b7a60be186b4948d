//! What operators and customers configure: applications, endpoints, event types, tokens.

use super::{Name, SecretText};
use crate::retry::RetryPolicy;
use crate::{AppId, EndpointId, OrgId, TokenId, UnixMs};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A tenant, who owns endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its id.
    pub id: AppId,
    /// The organisation it belongs to.
    pub org: OrgId,
    /// The caller's own name for it, unique in the organisation.
    pub uid: Option<String>,
    /// Its display name.
    pub name: String,
    /// Deliveries per second over all its endpoints together.
    pub throttle_rate: Option<u16>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, String>,
    /// For how many days its events are kept: one of the store's retention classes.
    pub retention_days: u16,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
}

impl Application {
    /// What its endpoints share.
    #[must_use]
    pub fn throttle(&self) -> AppThrottle {
        AppThrottle { rate: self.throttle_rate, as_of: self.updated_at }
    }
}

/// Why an endpoint gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// Its owner said so.
    ByOwner,
    /// It answered 410 Gone.
    Gone,
    /// It failed without a success for longer than the configured time.
    Failing,
}

impl Disabled {
    /// The word used in the store, the API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByOwner => "by_owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The reverse of [`Disabled::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ByOwner, Self::Gone, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A former secret that still signs until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret.
    pub secret: SecretText,
    /// From then on it no longer signs.
    pub expires_at: UnixMs,
}

/// What an endpoint's deliveries are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSecrets {
    /// The secret in force.
    pub current: SecretText,
    /// Former ones in their grace period, newest first; at most `old_secrets_max`.
    pub old: Vec<OldSecret>,
}

/// Which signature headers a delivery carries besides the Standard Webhooks ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// Standard Webhooks alone.
    #[default]
    Standard,
    /// Also `x-webhook-signature: hex(HMAC-SHA256(body, secret as text))`, for endpoints made by `/register`.
    WithBodyHex,
}

/// What a dead delivery does to those of its key that come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDead {
    /// They wait until it was replayed with success.
    Block,
    /// They go on without it.
    Skip,
}

impl OnDead {
    /// The word used in the store and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Skip => "skip",
        }
    }

    /// The reverse of [`OnDead::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Block, Self::Skip].into_iter().find(|word| word.as_str() == text)
    }
}

/// How an endpoint keeps order: of events with the same key, each is sent after the one before it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// Where in the payload the key stands: a JSON pointer. `None`: it is the event's own ordering key.
    pub pointer: Option<String>,
    /// What a dead delivery does.
    pub on_dead: OnDead,
}

/// What an application allows all its endpoints together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppThrottle {
    /// Deliveries per second; `None`: as many as they take.
    pub rate: Option<u16>,
    /// When the application was last changed: of two, the later one is in force.
    pub as_of: UnixMs,
}

/// A URL that wants events.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its application.
    pub app: AppId,
    /// The caller's own name for it, unique in the application.
    pub uid: Option<String>,
    /// Where its deliveries go: a normalised http or https URL.
    pub url: String,
    /// Free text.
    pub description: String,
    /// Kept for old clients, which require it.
    pub version: u16,
    /// Why it gets nothing, if so.
    pub disabled: Option<Disabled>,
    /// Event types it wants; `None` is all.
    pub event_types: Option<Vec<String>>,
    /// Channels it listens on; `None` is all.
    pub channels: Option<Vec<String>>,
    /// Deliveries per second.
    pub throttle_rate: Option<u16>,
    /// What its application allows beside it.
    pub app_throttle: AppThrottle,
    /// How it keeps order; `None`: not at all.
    pub ordering: Option<Ordering>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, String>,
    /// Headers sent with each attempt: lower-case names, checked values.
    pub headers: BTreeMap<String, String>,
    /// What signs.
    pub secrets: EndpointSecrets,
    /// Which signature headers it gets.
    pub signing: Signing,
    /// Its own retry policy; `None` is the server's.
    pub retry: Option<RetryPolicy>,
    /// Its own deadline over the whole exchange, 1,000–30,000; `None` is the server's.
    pub timeout_ms: Option<u32>,
    /// Since when nothing but failures; kept in the store, so that no restart resets it.
    pub failing_since: Option<UnixMs>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
}

impl Endpoint {
    /// Its deliveries start no faster than a rate: its own, or that of its application.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.throttle_rate.is_some() || self.app_throttle.rate.is_some()
    }
}

/// A kind of event, with its description and schemas.
#[derive(Clone, Debug, PartialEq)]
pub struct EventType {
    /// The organisation it belongs to.
    pub org: OrgId,
    /// Its name, unique in the organisation.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Hidden from lists and not to be chosen by endpoints.
    pub archived: bool,
    /// Still sent, but not to be chosen any more.
    pub deprecated: bool,
    /// Names of the feature flags that show it.
    pub feature_flags: Vec<String>,
    /// A group it is shown in.
    pub group_name: Option<String>,
    /// JSON Schemas by version, as JSON text.
    pub schemas: Option<String>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
}

/// What a token may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything of the organisation.
    Org,
    /// One application, by id or uid.
    App(Arc<str>),
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The organisation.
    pub org: OrgId,
    /// What of it.
    pub scope: Scope,
}

/// An access token, without the token itself: only its hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id, for listing and revoking.
    pub id: TokenId,
    /// What its maker called it.
    pub name: String,
    /// How events are told to have come by it: [`Name::of_token`], made once.
    pub caller: Name,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// Who it stands for.
    pub principal: Principal,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it stops working.
    pub expires_at: Option<UnixMs>,
}

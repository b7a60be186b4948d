//! Applications, endpoints, event types and tokens: reading and changing them.
//!
//! A change that was answered is in force for every event whose request arrives later. `reference` arguments are an
//! id or the caller's own uid. With a [`CallerKey`], a repeat of the same call answers with what the first one made.

use super::{BoxFuture, Page, PageOf};
use crate::model::{Application, CallerKey, Endpoint, EventType, Ordering, SecretText, Signing, Token};
use crate::retry::RetryPolicy;
use crate::{AppId, OrgId, Result, TokenId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What creating came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created<T> {
    /// The thing.
    pub value: T,
    /// It did not exist before this call (or the call it repeats).
    pub is_new: bool,
}

/// What to do when the uid exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// Answer `Conflict`.
    Refuse,
    /// Answer with the existing one.
    Return,
}

/// An application to be made.
#[derive(Clone, Debug)]
pub struct NewApplication {
    /// Whose.
    pub org: OrgId,
    /// The caller's own name for it.
    pub uid: Option<String>,
    /// Its display name.
    pub name: String,
    /// Deliveries per second.
    pub throttle_rate: Option<u16>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, String>,
    /// For how many days its events are kept; `None` is the server's default.
    pub retention_days: Option<u16>,
}

/// Changes to an application: `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ApplicationPatch {
    /// New uid; `Some(None)` removes it.
    pub uid: Option<Option<String>>,
    /// New name.
    pub name: Option<String>,
    /// New rate.
    pub throttle_rate: Option<Option<u16>>,
    /// New metadata, whole.
    pub metadata: Option<BTreeMap<String, String>>,
    /// New retention.
    pub retention_days: Option<u16>,
}

/// Applications of one organisation.
pub trait Applications: Send + Sync {
    /// Makes one. `Conflict` when the uid is taken and `existing` is [`OnExisting::Refuse`].
    fn create_application(
        &self,
        new: NewApplication,
        existing: OnExisting,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Created<Arc<Application>>>>;
    /// Reads one; usually from memory.
    fn application<'a>(&'a self, org: &'a OrgId, reference: &'a str) -> BoxFuture<'a, Result<Arc<Application>>>;
    /// One if it is in memory: the hot path's short cut. `None` says nothing about its existence.
    fn application_cached(&self, org: &OrgId, reference: &str) -> Option<Arc<Application>>;
    /// Lists them by id.
    fn applications(&self, org: OrgId, page: Page<AppId>) -> BoxFuture<'_, Result<PageOf<Arc<Application>>>>;
    /// Changes one.
    fn update_application(&self, id: AppId, patch: ApplicationPatch) -> BoxFuture<'_, Result<Arc<Application>>>;
    /// Deletes one, with its endpoints; its uids are free at once, what waits ends as cancelled.
    fn delete_application(&self, id: AppId) -> BoxFuture<'_, Result<()>>;
}

/// An endpoint to be made. Fields as in [`Endpoint`], already checked.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Whose.
    pub app: AppId,
    /// The caller's own name for it.
    pub uid: Option<String>,
    /// Where to.
    pub url: String,
    /// Free text.
    pub description: String,
    /// Kept for old clients.
    pub version: u16,
    /// Made disabled.
    pub disabled: bool,
    /// `None` is all.
    pub event_types: Option<Vec<String>>,
    /// `None` is all.
    pub channels: Option<Vec<String>>,
    /// Deliveries per second.
    pub throttle_rate: Option<u16>,
    /// How it keeps order.
    pub ordering: Option<Ordering>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, String>,
    /// Headers sent with each attempt.
    pub headers: BTreeMap<String, String>,
    /// What signs.
    pub secret: SecretText,
    /// Which signature headers it gets.
    pub signing: Signing,
    /// `None` is the server's.
    pub retry: Option<RetryPolicy>,
    /// `None` is the server's.
    pub timeout_ms: Option<u32>,
}

/// A change of an endpoint's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadersChange {
    /// These and no others.
    Replace(BTreeMap<String, String>),
    /// Set some, remove some, leave the rest.
    Merge {
        /// Set these.
        set: BTreeMap<String, String>,
        /// Remove these.
        remove: Vec<String>,
    },
}

/// Changes to an endpoint: `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct EndpointPatch {
    /// New uid; `Some(None)` removes it.
    pub uid: Option<Option<String>>,
    /// New URL.
    pub url: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New version.
    pub version: Option<u16>,
    /// Disable (by its owner) or enable; enabling also forgets since when it failed.
    pub disabled: Option<bool>,
    /// New event types.
    pub event_types: Option<Option<Vec<String>>>,
    /// New channels.
    pub channels: Option<Option<Vec<String>>>,
    /// New rate.
    pub throttle_rate: Option<Option<u16>>,
    /// New order. What waits keeps the place it has; it waits for dead ones only while [`OnDead::Block`] is in force.
    ///
    /// [`OnDead::Block`]: crate::model::OnDead::Block
    pub ordering: Option<Option<Ordering>>,
    /// New metadata, whole.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Changed headers.
    pub headers: Option<HeadersChange>,
    /// New retry policy.
    pub retry: Option<Option<RetryPolicy>>,
    /// New deadline.
    pub timeout_ms: Option<Option<u32>>,
}

/// Endpoints of one application.
pub trait Endpoints: Send + Sync {
    /// Makes one. `Conflict` when the uid is taken; `Invalid` when the application has too many.
    fn create_endpoint(
        &self,
        new: NewEndpoint,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Created<Arc<Endpoint>>>>;
    /// Reads one; usually from memory.
    fn endpoint<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, Result<Arc<Endpoint>>>;
    /// Lists them by id.
    fn endpoints(&self, app: AppId, page: Page<crate::EndpointId>) -> BoxFuture<'_, Result<PageOf<Arc<Endpoint>>>>;
    /// Changes one. `Invalid` when a header change leaves too many.
    fn update_endpoint(
        &self,
        app: AppId,
        id: crate::EndpointId,
        patch: EndpointPatch,
    ) -> BoxFuture<'_, Result<Arc<Endpoint>>>;
    /// Deletes one; its uid is free at once, what waits ends as cancelled.
    fn delete_endpoint(&self, app: AppId, id: crate::EndpointId) -> BoxFuture<'_, Result<()>>;
    /// Puts a new secret in force; the old one signs for `grace_ms` more. `Invalid` when too many old ones live.
    fn rotate_secret(
        &self,
        app: AppId,
        id: crate::EndpointId,
        secret: SecretText,
        grace_ms: u64,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Arc<Endpoint>>>;
}

/// Changes to an event type: `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct EventTypePatch {
    /// New description.
    pub description: Option<String>,
    /// Archive or bring back.
    pub archived: Option<bool>,
    /// Deprecate or not.
    pub deprecated: Option<bool>,
    /// New feature flags.
    pub feature_flags: Option<Vec<String>>,
    /// New group.
    pub group_name: Option<Option<String>>,
    /// New schemas, as JSON text.
    pub schemas: Option<Option<String>>,
}

/// Event types of one organisation.
pub trait EventTypes: Send + Sync {
    /// Makes one; an archived one of that name comes back. `Conflict` when it exists.
    fn create_event_type(&self, new: EventType, key: Option<CallerKey>) -> BoxFuture<'_, Result<Created<EventType>>>;
    /// Reads one.
    fn event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, Result<EventType>>;
    /// Lists them by name, ascending; archived ones only when asked for.
    fn event_types(
        &self,
        org: OrgId,
        include_archived: bool,
        page: Page<String>,
    ) -> BoxFuture<'_, Result<PageOf<EventType>>>;
    /// Changes one.
    fn update_event_type<'a>(
        &'a self,
        org: &'a OrgId,
        name: &'a str,
        patch: EventTypePatch,
    ) -> BoxFuture<'a, Result<EventType>>;
    /// Removes one for good.
    fn delete_event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// Access tokens.
pub trait Tokens: Send + Sync {
    /// Keeps a new one.
    fn create_token(&self, token: Token) -> BoxFuture<'_, Result<()>>;
    /// The live token with this hash, if it is in memory. `Ok(None)`: unknown here, ask [`Tokens::token`].
    fn token_cached(&self, hash: &[u8; 32]) -> Option<Arc<Token>>;
    /// The live token with this hash. `NotFound` when there is none, or it was revoked or has expired.
    fn token(&self, hash: [u8; 32]) -> BoxFuture<'_, Result<Arc<Token>>>;
    /// Lists them by id, whole.
    fn tokens(&self, org: OrgId) -> BoxFuture<'_, Result<Vec<Token>>>;
    /// Ends one, at once.
    fn revoke_token(&self, org: OrgId, id: TokenId) -> BoxFuture<'_, Result<()>>;
}

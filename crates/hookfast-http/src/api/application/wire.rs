//! The bodies of applications.

use crate::api::texts::DisplayName;
use crate::api::{Text, read_metadata, read_throttle_rate};
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, name_text, uid_for};
use crate::router::Shared;
use crate::time::Time;
use hookfast_core::model::Application;
use hookfast_core::ports::{ApplicationPatch, NewApplication};
use hookfast_core::{AppId, OrgId};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An application to be made, or to replace one.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ApplicationIn {
    /// Its display name.
    #[schema(value_type = DisplayName)]
    pub(super) name: String,
    /// The caller's own name for it, unique in the organisation.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    pub(crate) uid: Option<String>,
    /// Deliveries per second over all its endpoints together. Also read as `rateLimit`.
    #[schema(minimum = 1, maximum = 65535)]
    pub(super) throttle_rate: Option<u16>,
    /// The caller's own data; at most 4,096 bytes of JSON.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub(super) metadata: BTreeMap<String, String>,
    /// For how many days its events are kept: one of the server's classes (7, 30 or 90 by default).
    #[schema(minimum = 1, maximum = 65535)]
    pub(crate) retention_days: Option<u16>,
}

impl FromFields for ApplicationIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.required("name", name_text),
            uid: fields.text("uid", uid_for(AppId::PREFIX)).value(),
            throttle_rate: read_throttle_rate(fields).value(),
            metadata: read_metadata(fields).unwrap_or_default(),
            retention_days: fields.small("retentionDays", 1..=u16::MAX).value(),
        }
    }
}

impl ApplicationIn {
    pub(crate) fn into_new(self, org: OrgId) -> NewApplication {
        let Self { name, uid, throttle_rate, metadata, retention_days } = self;
        NewApplication { org, uid, name, throttle_rate, metadata, retention_days }
    }

    /// Everything that is not given is unset; the retention stays.
    pub(super) fn into_replacement(self) -> ApplicationPatch {
        ApplicationPatch {
            uid: Some(self.uid),
            name: Some(self.name),
            throttle_rate: Some(self.throttle_rate),
            metadata: Some(self.metadata),
            retention_days: self.retention_days,
        }
    }
}

/// Changes to an application; what is not given stays, null unsets.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct ApplicationPatchIn {
    /// Its display name.
    #[schema(value_type = Option<DisplayName>)]
    name: Option<String>,
    /// The caller's own name for it.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Option<Option<String>>,
    /// Deliveries per second over all its endpoints together. Also read as `rateLimit`.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 65535)]
    throttle_rate: Option<Option<u16>>,
    /// The caller's own data, whole.
    metadata: Option<BTreeMap<String, String>>,
    /// For how many days its events are kept.
    #[schema(minimum = 1, maximum = 65535)]
    pub(super) retention_days: Option<u16>,
}

impl FromFields for ApplicationPatchIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.text("name", name_text).value(),
            uid: fields.text("uid", uid_for(AppId::PREFIX)).change(),
            throttle_rate: read_throttle_rate(fields).change(),
            metadata: read_metadata(fields),
            retention_days: fields.small("retentionDays", 1..=u16::MAX).value(),
        }
    }
}

impl ApplicationPatchIn {
    pub(super) fn into_patch(self) -> ApplicationPatch {
        let Self { name, uid, throttle_rate, metadata, retention_days } = self;
        ApplicationPatch { uid, name, throttle_rate, metadata, retention_days }
    }
}

/// Is this one of the server's retention classes?
///
/// # Errors
/// 422 that lists them.
pub(crate) fn check_retention(shared: &Shared, days: Option<u16>, field: &str) -> Result<(), ApiError> {
    let classes = &shared.api.config.retention_days_classes;
    match days {
        Some(days) if !classes.contains(&days) => {
            let classes: Vec<String> = classes.iter().map(u16::to_string).collect();
            let msg = format!("expected one of the retention classes {}, got {days}", classes.join(", "));
            Err(ApiError::field("body", field, "value_error", msg))
        }
        _ => Ok(()),
    }
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationOut {
    /// Its id.
    #[schema(value_type = String)]
    id: Text<AppId>,
    /// The caller's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// Its display name.
    name: String,
    /// Deliveries per second over all its endpoints together.
    throttle_rate: Option<u16>,
    /// The same, under its old name.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<u16>,
    /// The caller's own data.
    metadata: BTreeMap<String, String>,
    /// For how many days its events are kept.
    retention_days: u16,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Time,
}

impl From<&Application> for ApplicationOut {
    fn from(app: &Application) -> Self {
        Self {
            id: Text(app.id),
            uid: app.uid.clone(),
            name: app.name.clone(),
            throttle_rate: app.throttle_rate,
            rate_limit: app.throttle_rate,
            metadata: app.metadata.clone(),
            retention_days: app.retention_days,
            created_at: Time(app.created_at),
            updated_at: Time(app.updated_at),
        }
    }
}

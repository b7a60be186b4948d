//! The bodies of event types.

use crate::api::texts::{DisplayName, JsonSchema};
use crate::extract::{Fields, FromFields, Given, Problem, any_text, event_type_name, name_text, what_came};
use crate::time::Time;
use hookfast_core::model::EventType;
use hookfast_core::ports::EventTypePatch;
use hookfast_core::{OrgId, UnixMs};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

const FLAGS_MAX: usize = 50;

/// An event type to be made.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EventTypeIn {
    /// Its name, unique in the organisation.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.:+]+$")]
    pub(super) name: String,
    /// Free text.
    #[schema(max_length = 4096)]
    description: String,
    /// Hidden from lists and not to be chosen by endpoints.
    #[schema(value_type = Option<bool>, default = false)]
    archived: bool,
    /// Still sent, but not to be chosen any more.
    #[schema(value_type = Option<bool>, default = false)]
    deprecated: bool,
    /// Names of the feature flags that show it. One alone is also read as `featureFlag`.
    #[schema(value_type = Option<Vec<DisplayName>>, max_items = 50)]
    feature_flags: Vec<String>,
    /// A group it is shown in.
    #[schema(value_type = Option<DisplayName>)]
    group_name: Option<String>,
    /// JSON Schemas by version.
    #[schema(value_type = Option<BTreeMap<String, JsonSchema>>)]
    schemas: Option<String>,
}

impl FromFields for EventTypeIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self { name: fields.required("name", event_type_name), ..Self::read_rest(fields, String::new()) }
    }
}

impl EventTypeIn {
    fn read_rest(fields: &mut Fields<'_>, name: String) -> Self {
        Self {
            name,
            description: fields.required("description", any_text),
            archived: fields.flag("archived").value().unwrap_or(false),
            deprecated: fields.flag("deprecated").value().unwrap_or(false),
            feature_flags: read_flags(fields).value().unwrap_or_default(),
            group_name: fields.text("groupName", name_text).value(),
            schemas: read_schemas(fields).value(),
        }
    }

    pub(super) fn into_event_type(self, org: OrgId, name: String, now: UnixMs) -> EventType {
        EventType {
            org,
            name,
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            feature_flags: self.feature_flags,
            group_name: self.group_name,
            schemas: self.schemas,
            created_at: now,
            updated_at: now,
        }
    }

    /// Everything that is not given is unset.
    pub(super) fn into_replacement(self) -> EventTypePatch {
        EventTypePatch {
            description: Some(self.description),
            archived: Some(self.archived),
            deprecated: Some(self.deprecated),
            feature_flags: Some(self.feature_flags),
            group_name: Some(self.group_name),
            schemas: Some(self.schemas),
        }
    }
}

fn read_flags(fields: &mut Fields<'_>) -> Given<Vec<String>> {
    let given = fields.texts("featureFlags", 0..=FLAGS_MAX, name_text);
    given.or(|| fields.text("featureFlag", name_text).map(|flag| vec![flag]))
}

/// `schemas` as its JSON text: an object whose members are schemas, that is objects or booleans.
fn read_schemas(fields: &mut Fields<'_>) -> Given<String> {
    let raw = match fields.raw("schemas") {
        Given::Absent => return Given::Absent,
        Given::Null => return Given::Null,
        Given::Value(raw) => raw,
    };
    let Ok(versions) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()) else {
        let msg = format!("expected an object of JSON Schemas by version, got {}", what_came(raw));
        fields.note("schemas", Problem::new("type_error", msg));
        return Given::Absent;
    };
    for (version, schema) in versions {
        if !matches!(schema.get().as_bytes().first(), Some(b'{' | b't' | b'f')) {
            let msg = format!("expected a JSON Schema, got {}", what_came(schema));
            fields.note_item("schemas", &version, Problem::new("type_error", msg));
            return Given::Absent;
        }
    }
    Given::Value(raw.get().to_owned())
}

/// An event type to replace one with; its name is in the path.
#[derive(Debug)]
pub(super) struct EventTypeUpdate(pub(super) EventTypeIn);

impl FromFields for EventTypeUpdate {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self(EventTypeIn::read_rest(fields, String::new()))
    }
}

impl PartialSchema for EventTypeUpdate {
    /// The fields of [`EventTypeIn`] but the name.
    fn schema() -> RefOr<Schema> {
        match EventTypeIn::schema() {
            RefOr::T(Schema::Object(mut object)) => {
                object.description = Some("An event type to replace one with; its name is in the path.".to_owned());
                object.properties.shift_remove("name");
                object.required.retain(|field| field != "name");
                object.into()
            }
            other => other,
        }
    }
}

impl ToSchema for EventTypeUpdate {}

/// Changes to an event type; what is not given stays, null unsets.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EventTypePatchIn {
    /// Free text.
    #[schema(max_length = 4096)]
    description: Option<String>,
    /// Archive or bring back.
    archived: Option<bool>,
    /// Deprecate or not.
    deprecated: Option<bool>,
    /// Names of the feature flags that show it. One alone is also read as `featureFlag`.
    #[schema(value_type = Option<Vec<DisplayName>>, max_items = 50)]
    feature_flags: Option<Vec<String>>,
    /// A group it is shown in.
    #[schema(value_type = Option<DisplayName>)]
    group_name: Option<Option<String>>,
    /// JSON Schemas by version.
    #[schema(value_type = Option<BTreeMap<String, JsonSchema>>)]
    schemas: Option<Option<String>>,
}

impl FromFields for EventTypePatchIn {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            description: fields.text("description", any_text).value(),
            archived: fields.flag("archived").value(),
            deprecated: fields.flag("deprecated").value(),
            feature_flags: read_flags(fields).change().map(Option::unwrap_or_default),
            group_name: fields.text("groupName", name_text).change(),
            schemas: read_schemas(fields).change(),
        }
    }
}

impl EventTypePatchIn {
    pub(super) fn into_patch(self) -> EventTypePatch {
        let Self { description, archived, deprecated, feature_flags, group_name, schemas } = self;
        EventTypePatch { description, archived, deprecated, feature_flags, group_name, schemas }
    }
}

/// An event type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypeOut {
    /// Its name.
    name: String,
    /// Free text.
    description: String,
    /// Hidden from lists and not to be chosen by endpoints.
    archived: bool,
    /// Still sent, but not to be chosen any more.
    deprecated: bool,
    /// The first of its feature flags, under its old name.
    feature_flag: Option<String>,
    /// Names of the feature flags that show it.
    feature_flags: Vec<String>,
    /// A group it is shown in.
    group_name: Option<String>,
    /// JSON Schemas by version; null when they were not asked for.
    #[schema(value_type = Option<BTreeMap<String, JsonSchema>>)]
    schemas: Option<Box<RawValue>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Time,
}

impl EventTypeOut {
    pub(super) fn of(event_type: EventType, with_content: bool) -> Self {
        let schemas = event_type.schemas.filter(|_| with_content);
        Self {
            name: event_type.name,
            description: event_type.description,
            archived: event_type.archived,
            deprecated: event_type.deprecated,
            feature_flag: event_type.feature_flags.first().cloned(),
            feature_flags: event_type.feature_flags,
            group_name: event_type.group_name,
            schemas: schemas.and_then(|text| RawValue::from_string(text).ok()),
            created_at: Time(event_type.created_at),
            updated_at: Time(event_type.updated_at),
        }
    }
}

//! The body of a new message. The usual fields are read without copying or looking into the payload; everything else
//! goes field by field, which also explains what is wrong.

use crate::api::ApplicationIn;
use crate::error::ApiError;
use crate::extract::{Fields, FromFields, Given, Problem, any_text, channel, event_type_name, uid_for, what_came};
use hookfast_core::EventId;
use hookfast_core::limits::{CHANNELS_MAX, NAME_CHARS_MAX};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ArrayItems, SchemaType};
use utoipa::openapi::{Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

const TAGS_MAX: usize = 5;
const DAYS_MAX: u64 = 90;

/// A message to be sent.
#[derive(Clone, Debug)]
pub(super) struct MessageIn<'a> {
    pub(super) event_type: String,
    pub(super) event_id: Option<String>,
    pub(super) channels: Vec<String>,
    pub(super) ordering_key: Option<String>,
    /// JSON text of an object, as it stands in the body; always there once the body was found good.
    pub(super) payload: Option<&'a RawValue>,
    /// Bytes to send instead.
    pub(super) raw: Option<RawPayload>,
    /// The application to make if there is none.
    pub(super) application: Option<ApplicationIn>,
}

/// A body that replaces the payload, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawPayload {
    pub(super) body: String,
    pub(super) content_type: Option<String>,
}

/// The fields that nearly every message has, and those that send it to the slow reader.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usual<'a> {
    event_type: String,
    #[serde(borrow, alias = "data")]
    payload: &'a RawValue,
    event_id: Option<String>,
    channels: Option<Vec<String>>,
    ordering_key: Option<String>,
    #[serde(borrow)]
    application: Option<&'a RawValue>,
    #[serde(borrow)]
    transformations_params: Option<&'a RawValue>,
    #[serde(borrow)]
    deliver_at: Option<&'a RawValue>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
    #[serde(borrow)]
    payload_retention_period: Option<&'a RawValue>,
    #[serde(borrow)]
    payload_retention_hours: Option<&'a RawValue>,
}

impl<'a> MessageIn<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// 422 with every wrong field.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        match Self::parse_usual(body) {
            Some(message) => Ok(message),
            None => Self::parse_any(body),
        }
    }

    /// Texts are checked by intake, which every source passes.
    fn parse_usual(body: &'a [u8]) -> Option<Self> {
        let usual: Usual<'a> = serde_json::from_slice(body).ok()?;
        let is_usual = usual.payload.get().starts_with('{')
            && usual.application.is_none()
            && usual.transformations_params.is_none()
            && usual.deliver_at.is_none()
            && usual.tags.is_none()
            && usual.payload_retention_period.is_none()
            && usual.payload_retention_hours.is_none();
        is_usual.then(|| Self {
            event_type: usual.event_type,
            event_id: usual.event_id,
            channels: usual.channels.unwrap_or_default(),
            ordering_key: usual.ordering_key,
            payload: Some(usual.payload),
            raw: None,
            application: None,
        })
    }

    fn parse_any(body: &'a [u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let message = Self::read(&mut fields);
        fields.finish()?;
        Ok(message)
    }

    fn read(fields: &mut Fields<'a>) -> Self {
        let noted = fields.noted();
        let payload = read_payload(fields, "payload").or_else(|| read_payload(fields, "data"));
        if payload.is_none() && fields.noted() == noted {
            fields.note("payload", Problem::new("missing", "expected an object, got nothing"));
        }
        let message = Self {
            event_type: fields.required("eventType", event_type_name),
            event_id: fields.text("eventId", uid_for(EventId::PREFIX)).value(),
            channels: fields.texts("channels", 0..=CHANNELS_MAX, channel).value().unwrap_or_default(),
            ordering_key: fields.text("orderingKey", ordering_key).value(),
            payload,
            raw: read_transformations(fields),
            application: fields.object("application").and_then(|mut inner| {
                let application = ApplicationIn::read(&mut inner);
                fields.absorb(inner).then_some(application)
            }),
        };
        fields.texts("tags", 0..=TAGS_MAX, any_text);
        fields.number("payloadRetentionPeriod", 1..=DAYS_MAX);
        fields.number("payloadRetentionHours", 1..=DAYS_MAX * 24);
        if matches!(fields.raw("deliverAt"), Given::Value(_)) {
            let msg = "expected null: messages are sent at once, delivery at a later time is not offered";
            fields.note("deliverAt", Problem::new("not_supported", msg));
        }
        message
    }
}

fn ordering_key(text: &str) -> Result<(), Problem> {
    if (1..=NAME_CHARS_MAX).contains(&text.len()) {
        return Ok(());
    }
    Err(Problem::new("value_error", format!("expected 1 to {NAME_CHARS_MAX} bytes, got {}", text.len())))
}

/// An object as its JSON text; anything else is noted.
pub(crate) fn read_payload<'a>(fields: &mut Fields<'a>, name: &str) -> Option<&'a RawValue> {
    let came = match fields.raw(name) {
        Given::Absent => return None,
        Given::Value(raw) if raw.get().starts_with('{') => return Some(raw),
        Given::Value(raw) => what_came(raw),
        Given::Null => "null".into(),
    };
    fields.note(name, Problem::new("type_error", format!("expected an object, got {came}")));
    None
}

fn read_transformations(fields: &mut Fields<'_>) -> Option<RawPayload> {
    let mut inner = fields.object("transformationsParams")?;
    let body = inner.text("rawPayload", |_| Ok(())).value();
    let content_type = inner.object("headers").and_then(|headers| {
        let name = headers.names().find(|name| name.eq_ignore_ascii_case("content-type")).map(str::to_owned);
        let mut headers = headers;
        let content_type = headers.text(&name?, content_type).value();
        inner.absorb(headers);
        content_type
    });
    fields.absorb(inner);
    body.map(|body| RawPayload { body, content_type })
}

fn content_type(text: &str) -> Result<(), Problem> {
    let is_good = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_good { Ok(()) } else { Err(Problem::new("value_error", "expected a media type of printable characters")) }
}

fn property(kind: Type, description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null])).description(Some(description))
}

fn strings(item: impl Into<ArrayItems>, items_max: usize, description: &str) -> Schema {
    let array = utoipa::openapi::ArrayBuilder::new().items(item).max_items(Some(items_max));
    array.schema_type(SchemaType::from_iter([Type::Array, Type::Null])).description(Some(description)).build().into()
}

impl PartialSchema for MessageIn<'_> {
    fn schema() -> RefOr<Schema> {
        let payload = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("What is sent: a JSON object, kept and sent byte for byte. Also read as `data`."))
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::<Schema>::FreeForm(true)));
        let raw = ObjectBuilder::new()
            .property("rawPayload", property(Type::String, "Sent instead of the payload, byte for byte."))
            .property("headers", property(Type::Object, "Of these, `content-type` is used."))
            .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
            .description(Some("What replaces the payload."));
        let application = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(Ref::from_schema_name("ApplicationIn"))
            .description(Some("The application to make when the path names none."));
        let tag = ObjectBuilder::new().schema_type(Type::String).max_length(Some(4096));
        let object: Object = ObjectBuilder::new()
            .description(Some("A message to be sent."))
            .property("eventType", Ref::from_schema_name("EventTypeName"))
            .required("eventType")
            .property("payload", payload)
            .required("payload")
            .property(
                "eventId",
                property(Type::String, "The caller's own id for it, unique in the application.")
                    .min_length(Some(1))
                    .max_length(Some(NAME_CHARS_MAX))
                    .pattern(Some(r"^[a-zA-Z0-9\-_.]+$")),
            )
            .property(
                "channels",
                strings(Ref::from_schema_name("ChannelName"), CHANNELS_MAX, "Channels it is sent on."),
            )
            .property(
                "orderingKey",
                property(Type::String, "Messages with the same key stay in order, on endpoints that keep order.")
                    .min_length(Some(1))
                    .max_length(Some(NAME_CHARS_MAX)),
            )
            .property("application", application)
            .property("transformationsParams", raw)
            .property(
                "payloadRetentionPeriod",
                property(
                    Type::Integer,
                    "In days. Accepted; the payload is kept as long as the application's messages.",
                )
                .minimum(Some(1))
                .maximum(Some(DAYS_MAX)),
            )
            .property(
                "payloadRetentionHours",
                property(Type::Integer, "In hours. Accepted; see `payloadRetentionPeriod`.")
                    .minimum(Some(1))
                    .maximum(Some(DAYS_MAX * 24)),
            )
            .property("tags", strings(tag, TAGS_MAX, "Accepted and not kept."))
            .build();
        object.into()
    }
}

impl ToSchema for MessageIn<'_> {
    fn name() -> std::borrow::Cow<'static, str> {
        "MessageIn".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload<'a>(message: &MessageIn<'a>) -> &'a str {
        message.payload.unwrap().get()
    }

    #[test]
    fn the_payload_stays_as_it_came() {
        let number = "9".repeat(400);
        let sent = format!(r#"{{ "z":{number} , "a" : [1.00, 1e400], "z":"\ud800" }}"#);
        for name in ["payload", "data"] {
            let body = format!(r#" {{"eventType":"a.b", "{name}": {sent} , "extra": [[]]}} "#);
            let message = MessageIn::parse(body.as_bytes()).unwrap();
            assert_eq!((payload(&message), message.event_type.as_str()), (sent.as_str(), "a.b"));
            assert_eq!(payload(&MessageIn::parse_any(body.as_bytes()).unwrap()), sent);
        }
    }

    #[test]
    fn deep_nesting_is_taken_as_it_is() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"{{"eventType":"a","payload":{deep},"tags":null}}"#);
        assert_eq!(payload(&MessageIn::parse(body.as_bytes()).unwrap()), deep);
        let body = format!(r#"{{"eventType":"a","payload":{{}},"tags":["x"],"more":{deep}}}"#);
        assert_eq!(payload(&MessageIn::parse(body.as_bytes()).unwrap()), "{}");
    }

    #[test]
    fn rare_fields_are_read_too() {
        let body = br#"{"eventType": "a", "payload": {}, "eventId": "e1", "channels": ["c"], "orderingKey": "k",
            "application": {"name": "N", "uid": "u"}, "payloadRetentionPeriod": 5, "deliverAt": null,
            "transformationsParams": {"rawPayload": "<a/>", "headers": {"Content-Type": "text/xml", "x": 1}}}"#;
        let message = MessageIn::parse(body).unwrap();
        let raw = RawPayload { body: "<a/>".to_owned(), content_type: Some("text/xml".to_owned()) };
        assert_eq!(message.raw, Some(raw));
        assert_eq!(message.application.unwrap().uid.as_deref(), Some("u"));
        assert_eq!((message.event_id.as_deref(), message.ordering_key.as_deref()), (Some("e1"), Some("k")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, wants) in [
            (r#"{"eventType": "a", "payload": [1]}"#, &["\"payload\"", "expected an object, got a list"][..]),
            (r#"{"eventType": "a", "payload": null}"#, &["\"payload\"", "got null"]),
            (r#"{"eventType": "a", "payload": 5}"#, &["got the number 5"]),
            (r#"{"eventType": "a"}"#, &["\"payload\"", "got nothing"]),
            (r#"{"payload": {}}"#, &["\"eventType\"", "got nothing"]),
            (r#"{"eventType": 1, "payload": {}}"#, &["\"eventType\"", "expected a string, got the number 1"]),
            (r#"{"eventType": "a b", "payload": {}, "tags": []}"#, &["\"eventType\"", "expected only letters"]),
            (r#"{"eventType": "a", "payload": {}, "payload": {}}"#, &["\"payload\"", "got twice"]),
            (r#"{"eventType": "a", "payload": {}, "channels": "c"}"#, &["\"channels\"", "expected a list"]),
            (r#"{"eventType": "a", "payload": {}, "application": {}}"#, &["\"application\", \"name\"", "got nothing"]),
            (
                r#"{"eventType": "a", "payload": {}, "deliverAt": "2030-01-01T00:00:00Z"}"#,
                &["\"deliverAt\"", "not offered"],
            ),
            (
                r#"{"eventType": "a", "payload": {}, "transformationsParams": {"rawPayload": 1}}"#,
                &["\"rawPayload\"", "expected a string"],
            ),
            ("nonsense", &["not JSON"]),
        ] {
            let text = format!("{:?}", MessageIn::parse(body.as_bytes()).unwrap_err());
            assert!(wants.iter().all(|want| text.contains(want)), "{body}: {text}");
        }
    }

    proptest! {
        /// The short way never says anything else than the long way does.
        #[test]
        fn both_ways_agree(
            fields in proptest::collection::vec((proptest::sample::select(vec![
                "eventType", "payload", "data", "eventId", "channels", "orderingKey", "tags", "other",
            ]), proptest::sample::select(vec![
                "\"a\"", "{}", "{\"k\": [1, {\"x\": null}]}", "null", "[\"c1\"]", "[]", "5", "true", "\"\\u0041\"",
            ])), 0..7),
        ) {
            let members: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            let body = format!("{{{}}}", members.join(", "));
            if let Some(message) = MessageIn::parse_usual(body.as_bytes()) {
                let other = MessageIn::parse_any(body.as_bytes()).map(|other| format!("{other:?}"));
                prop_assert_eq!(other, Ok(format!("{message:?}")));
            }
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = MessageIn::parse(&body);
        }
    }
}

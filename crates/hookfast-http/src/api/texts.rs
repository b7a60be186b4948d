//! What the document says of single values: their length, their characters, their range. It says no more than the
//! checks in `extract` refuse, and must not check anything itself.

use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::limits::{CHANNEL_CHARS_MAX, NAME_CHARS_MAX};
use hookfast_core::retry::RetryPolicy;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// Letters, digits and `-_.:+`.
const WORD: &str = r"^[a-zA-Z0-9\-_.:+]+$";
/// The same, or nothing.
const WORD_OR_NOTHING: &str = r"^[a-zA-Z0-9\-_.:+]*$";
/// No control characters.
const SHOWN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// Most event types in a filter.
pub(crate) const FILTER_TYPES_MAX: usize = 100;
/// The classes of answers; 0 is no answer.
pub(crate) const STATUS_CLASSES: [u16; 6] = [0, 100, 200, 300, 400, 500];

/// The states that a delivery ends in.
pub(crate) const ENDS: [DeliveryState; 3] = [DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Cancelled];

fn of(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

fn filter(chars_max: usize) -> ObjectBuilder {
    of(Type::String).pattern(Some(WORD_OR_NOTHING)).max_length(Some(chars_max))
}

fn text(chars_max: usize, pattern: &str) -> ObjectBuilder {
    of(Type::String).pattern(Some(pattern)).min_length(Some(1)).max_length(Some(chars_max))
}

fn delay_ms() -> ObjectBuilder {
    let most = i64::try_from(RetryPolicy::DELAY_MS_MAX).unwrap_or(i64::MAX);
    let format = Some(SchemaFormat::KnownFormat(KnownFormat::Int64));
    of(Type::Integer).minimum(Some(1)).maximum(Some(most)).format(format)
}

/// Types that stand for single values in the document alone; each with what it says of them.
macro_rules! described {
    ($( $(#[doc = $doc:literal])+ $name:ident = $schema:expr; )+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

described! {
    /// The name of an event type, as an item of a list.
    EventTypeName = text(NAME_CHARS_MAX, WORD).description(Some("The name of an event type."));
    /// A channel, as an item of a list.
    ChannelName = text(CHANNEL_CHARS_MAX, WORD).description(Some("A channel."));
    /// A name for people.
    DisplayName = text(NAME_CHARS_MAX, SHOWN).description(Some("A name for people, without control characters."));
    /// A wait before a try.
    DelayMs = delay_ms().description(Some("A wait in milliseconds."));
    /// A JSON Schema: an object, or a boolean for one that takes all or nothing.
    JsonSchema = AnyOfBuilder::new().item(of(Type::Object)).item(of(Type::Boolean)).description(Some("A JSON Schema."));
    /// The name of an event type in a filter; an empty one is passed over.
    EventTypeFilter = filter(NAME_CHARS_MAX);
    /// A channel in a filter; an empty one is passed over.
    ChannelFilter = filter(CHANNEL_CHARS_MAX);
    /// How a delivery ended.
    EndWord = of(Type::String).enum_values(Some(ENDS.map(DeliveryState::as_str)));
    /// What a delivery came of.
    CauseWord = of(Type::String).enum_values(Some(Cause::ALL.iter().map(|cause| cause.as_str())));
    /// A class of answers.
    StatusClass = of(Type::Integer).enum_values(Some(STATUS_CLASSES));
}

//! How a value in force is written down again, and how a JSON Schema describes it: the other direction of `rules`.
//! Knows no key and no source.

use super::rules::{
    Bytes, Count, Duration, Durations, HttpUrl, Listen, Networks, OneOf, Optional, Path, Rule, Secret, Share, Switch,
    show_bytes, show_ms,
};
use serde_json::{Value, json};

/// What stands for a secret.
pub(super) const HIDDEN: &str = "***";
const DURATION_PATTERN: &str = "^[0-9]+ ?(ms|s|m|h|d)?$";
const SIZE_PATTERN: &str = "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$";

/// A rule whose values can be shown.
pub(super) trait Form: Rule {
    /// The value, as a file would give it. Nothing is an empty text; a secret is hidden.
    fn show(&self, value: &Self::Value) -> Value;
    /// The JSON Schema of what a file may give.
    fn schema(&self) -> Value;
}

impl Form for Duration {
    fn show(&self, value: &u64) -> Value {
        show_ms(*value).into()
    }
    fn schema(&self) -> Value {
        number_or(self.0, self.1, DURATION_PATTERN)
    }
}

impl Form for Durations {
    fn show(&self, value: &Vec<u64>) -> Value {
        value.iter().map(|ms| show_ms(*ms)).collect()
    }
    fn schema(&self) -> Value {
        json!({ "type": "array", "maxItems": self.0, "items": number_or(0, self.1, DURATION_PATTERN) })
    }
}

impl Form for Bytes {
    fn show(&self, value: &u64) -> Value {
        show_bytes(*value).into()
    }
    fn schema(&self) -> Value {
        number_or(self.0, self.1, SIZE_PATTERN)
    }
}

impl Form for Count {
    fn show(&self, value: &usize) -> Value {
        (*value).into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": self.0, "maximum": self.1 })
    }
}

impl Form for Share {
    fn show(&self, value: &f64) -> Value {
        (*value).into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": self.0 })
    }
}

impl Form for Switch {
    fn show(&self, value: &bool) -> Value {
        (*value).into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}

impl<T: Copy + PartialEq> Form for OneOf<T> {
    fn show(&self, value: &T) -> Value {
        self.0.iter().find(|(_, known)| known == value).map_or(Value::Null, |(word, _)| number_if_it_is(word))
    }
    fn schema(&self) -> Value {
        json!({ "enum": self.0.iter().map(|(word, _)| number_if_it_is(word)).collect::<Vec<_>>() })
    }
}

impl Form for Listen {
    fn show(&self, value: &Self::Value) -> Value {
        value.to_string().into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": ":[0-9]+$" })
    }
}

impl Form for Path {
    fn show(&self, value: &Self::Value) -> Value {
        value.display().to_string().into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

impl Form for Networks {
    fn show(&self, value: &Self::Value) -> Value {
        value.iter().map(ToString::to_string).collect()
    }
    fn schema(&self) -> Value {
        json!({ "type": "array", "items": { "type": "string" } })
    }
}

impl Form for HttpUrl {
    fn show(&self, value: &Self::Value) -> Value {
        value.as_str().into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^https?://" })
    }
}

impl Form for Secret {
    fn show(&self, _: &Self::Value) -> Value {
        HIDDEN.into()
    }
    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": self.0 })
    }
}

impl<R: Form> Form for Optional<R> {
    fn show(&self, value: &Self::Value) -> Value {
        value.as_ref().map_or_else(|| "".into(), |value| self.0.show(value))
    }
    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": "" }, self.0.schema()] })
    }
}

/// A plain number within bounds, or a text with a unit, whose bounds no pattern can say.
fn number_or(low: u64, high: u64, pattern: &str) -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": low, "maximum": high },
        { "type": "string", "pattern": pattern },
    ] })
}

/// Words that are numbers are given as numbers.
fn number_if_it_is(word: &str) -> Value {
    word.parse::<u64>().map_or_else(|_| word.into(), Value::from)
}

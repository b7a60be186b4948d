//! Single JSON values read with an explanation of what was expected and what came. Knows no field names.

use serde_json::value::RawValue;
use std::borrow::Cow;

/// How much of a wrong value is shown back.
const SHOWN_CHARS: usize = 40;

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A class for programs.
    pub(crate) kind: &'static str,
    /// What was expected and what came.
    pub(crate) msg: String,
}

impl Problem {
    pub(crate) fn new(kind: &'static str, msg: impl Into<String>) -> Self {
        Self { kind, msg: msg.into() }
    }

    pub(crate) fn wrong_type(expected: &str, raw: &RawValue) -> Self {
        Self::new("type_error", format!("expected {expected}, got {}", what_came(raw)))
    }
}

/// A value in words: `the number 5`, `a list`, …
pub(crate) fn what_came(raw: &RawValue) -> Cow<'static, str> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => "a string".into(),
        Some(b'{') => "an object".into(),
        Some(b'[') => "a list".into(),
        Some(b't' | b'f') => format!("the boolean {text}").into(),
        Some(b'n') => "null".into(),
        _ => format!("the number {}", shorten(text)).into(),
    }
}

/// The start of a text that came in, for a message.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

pub(crate) fn string(raw: &RawValue) -> Result<String, Problem> {
    if !raw.get().starts_with('"') {
        return Err(Problem::wrong_type("a string", raw));
    }
    serde_json::from_str(raw.get())
        .map_err(|_| Problem::new("value_error", "expected a string of Unicode text, got a lone surrogate escape"))
}

pub(crate) fn boolean(raw: &RawValue) -> Result<bool, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| Problem::wrong_type("a boolean", raw))
}

/// A whole number in a range.
pub(crate) fn number(raw: &RawValue, range: std::ops::RangeInclusive<u64>) -> Result<u64, Problem> {
    let expected = || format!("a whole number from {} to {}", range.start(), range.end());
    if !matches!(raw.get().as_bytes().first(), Some(b'-' | b'0'..=b'9')) {
        return Err(Problem::wrong_type(&expected(), raw));
    }
    // 5.0 is a whole number too; some languages write it so.
    let whole = match raw.get().split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => raw.get(),
    };
    let value: Option<u64> = whole.parse().ok();
    value
        .filter(|value| range.contains(value))
        .ok_or_else(|| Problem::new("value_error", format!("expected {}, got {}", expected(), what_came(raw))))
}

/// The values of a list.
pub(crate) fn list(raw: &RawValue) -> Result<Vec<&RawValue>, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| Problem::wrong_type("a list", raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn says_what_was_expected_and_what_came() {
        let msg = |problem: Problem| problem.msg;
        assert_eq!(msg(string(&raw("5")).unwrap_err()), "expected a string, got the number 5");
        assert_eq!(msg(string(&raw("[1]")).unwrap_err()), "expected a string, got a list");
        assert_eq!(msg(boolean(&raw("\"yes\"")).unwrap_err()), "expected a boolean, got a string");
        let range = || 1..=65_535;
        assert_eq!(
            msg(number(&raw("0"), range()).unwrap_err()),
            "expected a whole number from 1 to 65535, got the number 0"
        );
        assert_eq!(
            msg(number(&raw("{}"), range()).unwrap_err()),
            "expected a whole number from 1 to 65535, got an object"
        );
        assert!(number(&raw("1e3"), range()).is_err() && number(&raw("1.5"), range()).is_err());
        let digits = "9".repeat(400);
        assert!(msg(number(&raw(&digits), range()).unwrap_err()).len() < 150);
        assert_eq!(number(&raw("65535"), range()), Ok(65_535));
        assert_eq!(number(&raw("5.00"), range()), Ok(5));
        assert!(number(&raw("-5.0"), range()).is_err() && number(&raw("5.0e1"), range()).is_err());
        assert!(string(&raw("\"\\ud800\"")).unwrap_err().msg.contains("surrogate"));
    }
}

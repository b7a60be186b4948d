//! A JSON object read field by field: every problem is collected with its path, so that one answer names them all.
//! Values stay as raw text until they are asked for, so that nothing recurses and nothing unknown is looked at.

use super::json::{self, Problem};
use crate::error::{ApiError, FieldProblem};
use hookfast_core::UnixMs;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// What a request says about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// Nothing (or something wrong, which is already noted).
    Absent,
    /// `null`.
    Null,
    /// This.
    Value(T),
}

impl<T> Given<T> {
    /// The value, where null means absent.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// A change of a field that can be unset: null unsets it.
    pub(crate) fn change(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// The other one when this one is absent: for a field with an old name.
    pub(crate) fn or(self, old_name: impl FnOnce() -> Self) -> Self {
        if matches!(self, Self::Absent) { old_name() } else { self }
    }

    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(convert(value)),
        }
    }
}

/// The fields of one JSON object.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: Vec<String>,
    entries: Vec<(String, &'a RawValue)>,
    problems: Vec<FieldProblem>,
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn entries_of(text: &[u8]) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let entries = reader.deserialize_map(Entries)?;
    reader.end()?;
    Ok(entries)
}

impl<'a> Fields<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// 422 when it is not JSON, or not an object.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        match entries_of(body) {
            Ok(entries) => Ok(Self { path: vec!["body".to_owned()], entries, problems: Vec::new() }),
            Err(error) => Err(match serde_json::from_slice::<&RawValue>(body) {
                Ok(other) => {
                    let msg = format!("expected an object, got {}", json::what_came(other));
                    ApiError::field("body", "", "type_error", msg)
                }
                Err(_) => {
                    let msg = format!("expected a JSON object, got something that is not JSON: {error}");
                    ApiError::field("body", "", "json_invalid", msg)
                }
            }),
        }
    }

    /// An empty object, for routes whose body may be left out.
    pub(crate) fn empty() -> Self {
        Self { path: vec!["body".to_owned()], entries: Vec::new(), problems: Vec::new() }
    }

    /// How many problems were noted so far.
    pub(crate) fn noted(&self) -> usize {
        self.problems.len()
    }

    /// The names of the fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Notes a problem with a field.
    pub(crate) fn note(&mut self, name: &str, problem: Problem) {
        let mut loc = self.path.clone();
        loc.extend(name.split('.').map(str::to_owned));
        self.problems.push(FieldProblem { loc, msg: problem.msg, kind: problem.kind.into() });
    }

    /// Notes a problem with an item of a field whose key may contain dots.
    pub(crate) fn note_item(&mut self, name: &str, key: &str, problem: Problem) {
        self.note(name, problem);
        if let Some(noted) = self.problems.last_mut() {
            noted.loc.push(key.to_owned());
        }
    }

    /// The raw value of a field; a field that is given twice is a problem.
    pub(crate) fn raw(&mut self, name: &str) -> Given<&'a RawValue> {
        let mut found = self.entries.iter().filter(|(key, _)| key == name).map(|(_, raw)| *raw);
        let (first, second) = (found.next(), found.next());
        match (first, second) {
            (None, _) => Given::Absent,
            (Some(_), Some(_)) => {
                self.note(name, Problem::new("duplicate", "expected once, got twice"));
                Given::Absent
            }
            (Some(raw), None) if raw.get() == "null" => Given::Null,
            (Some(raw), None) => Given::Value(raw),
        }
    }

    fn read<T>(&mut self, name: &str, read: impl FnOnce(&'a RawValue) -> Result<T, Problem>) -> Given<T> {
        match self.raw(name) {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(raw) => match read(raw) {
                Ok(value) => Given::Value(value),
                Err(problem) => {
                    self.note(name, problem);
                    Given::Absent
                }
            },
        }
    }

    /// A text that passes a check.
    pub(crate) fn text(&mut self, name: &str, check: impl Fn(&str) -> Result<(), Problem>) -> Given<String> {
        self.read(name, |raw| {
            let text = json::string(raw)?;
            check(&text).map(|()| text)
        })
    }

    /// A text that must be there; empty when it is not, which is noted.
    pub(crate) fn required(&mut self, name: &str, check: impl Fn(&str) -> Result<(), Problem>) -> String {
        let noted = self.problems.len();
        let given = self.text(name, check);
        if self.problems.len() == noted {
            let came = match given {
                Given::Value(text) => return text,
                Given::Null => "null",
                Given::Absent => "nothing",
            };
            self.note(name, Problem::new("missing", format!("expected a string, got {came}")));
        }
        String::new()
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Given<bool> {
        self.read(name, json::boolean)
    }

    /// A whole number in a range.
    pub(crate) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Given<u64> {
        self.read(name, |raw| json::number(raw, range))
    }

    /// A whole number in a range that fits 16 bits.
    pub(crate) fn small(&mut self, name: &str, range: RangeInclusive<u16>) -> Given<u16> {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        self.number(name, wide).map(|number| u16::try_from(number).unwrap_or(u16::MAX))
    }

    /// A point in time.
    pub(crate) fn time(&mut self, name: &str) -> Given<UnixMs> {
        self.read(name, |raw| {
            let text = json::string(raw)?;
            crate::time::parse(&text).ok_or_else(|| {
                let msg = format!("expected a time such as 2026-10-20T10:00:00Z, got {:?}", json::shorten(&text));
                Problem::new("value_error", msg)
            })
        })
    }

    /// A list of values, each read by `item`, with the position in the path of its problem.
    fn list<T>(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        item: impl Fn(&'a RawValue) -> Result<T, Problem>,
    ) -> Given<Vec<T>> {
        let given = self.read(name, |raw| {
            let items = json::list(raw)?;
            if count.contains(&items.len()) {
                return Ok(items);
            }
            let kind = if items.len() < *count.start() { "too_short" } else { "too_long" };
            let msg = format!("expected {} to {} items, got {}", count.start(), count.end(), items.len());
            Err(Problem::new(kind, msg))
        });
        let items = match given {
            Given::Absent => return Given::Absent,
            Given::Null => return Given::Null,
            Given::Value(items) => items,
        };
        let mut values = Vec::with_capacity(items.len());
        for (at, raw) in items.into_iter().enumerate() {
            match item(raw) {
                Ok(value) => values.push(value),
                Err(problem) => {
                    self.note(&format!("{name}.{at}"), problem);
                    return Given::Absent;
                }
            }
        }
        Given::Value(values)
    }

    /// A list of texts that pass a check.
    pub(crate) fn texts(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        check: impl Fn(&str) -> Result<(), Problem>,
    ) -> Given<Vec<String>> {
        self.list(name, count, |raw| {
            let text = json::string(raw)?;
            check(&text).map(|()| text)
        })
    }

    /// A list of whole numbers in a range.
    pub(crate) fn numbers(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        range: &RangeInclusive<u64>,
    ) -> Given<Vec<u64>> {
        self.list(name, count, |raw| json::number(raw, range.clone()))
    }

    /// An object whose values are texts or null; as JSON it takes at most `bytes_max`.
    pub(crate) fn text_map(&mut self, name: &str, bytes_max: usize) -> Given<BTreeMap<String, Option<String>>> {
        self.read(name, |raw| {
            if raw.get().len() > bytes_max {
                let msg = format!("expected at most {bytes_max} bytes of JSON, got {}", raw.get().len());
                return Err(Problem::new("too_long", msg));
            }
            let entries = entries_of(raw.get().as_bytes()).map_err(|_| Problem::wrong_type("an object", raw))?;
            let mut map = BTreeMap::new();
            for (key, raw) in entries {
                let at = |problem: Problem| {
                    Problem::new(problem.kind, format!("{:?}: {}", json::shorten(&key), problem.msg))
                };
                let value = if raw.get() == "null" { None } else { Some(json::string(raw).map_err(at)?) };
                if map.contains_key(&key) {
                    return Err(at(Problem::new("duplicate", "expected once, got twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        })
    }

    /// The fields of an inner object; `None` when it is absent or null, or no object, which is noted.
    /// Give it back to [`Fields::absorb`] when it has been read.
    pub(crate) fn object(&mut self, name: &str) -> Option<Fields<'a>> {
        let raw = self.raw(name).value()?;
        match entries_of(raw.get().as_bytes()) {
            Ok(entries) => {
                let mut path = self.path.clone();
                path.push(name.to_owned());
                Some(Fields { path, entries, problems: Vec::new() })
            }
            Err(_) => {
                let msg = format!("expected an object, got {}", json::what_came(raw));
                self.note(name, Problem::new("type_error", msg));
                None
            }
        }
    }

    /// Takes over the problems of an inner object; `true` when there were none.
    pub(crate) fn absorb(&mut self, inner: Fields<'a>) -> bool {
        let good = inner.problems.is_empty();
        self.problems.extend(inner.problems);
        good
    }

    /// # Errors
    /// 422 with every problem that was noted.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::fields(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::any_text;
    use proptest::prelude::*;

    fn problems(fields: Fields<'_>) -> Vec<(String, String)> {
        fields.problems.into_iter().map(|problem| (problem.loc.join("."), problem.msg)).collect()
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let body = br#"{"name": 5, "flag": "x", "n": 70000, "list": ["a", 2], "twice": 1, "twice": 2,
            "at": "noon", "map": {"a": 1}, "inner": {"text": []}, "nothing": null}"#;
        let mut fields = Fields::parse(body).unwrap();
        assert_eq!(fields.required("name", any_text), "");
        assert_eq!(fields.required("absent", any_text), "");
        assert_eq!(fields.required("nothing", any_text), "");
        assert_eq!(fields.flag("flag"), Given::Absent);
        assert_eq!(fields.small("n", 1..=65_535), Given::Absent);
        assert_eq!(fields.texts("list", 1..=9, any_text), Given::Absent);
        assert_eq!(fields.number("twice", 0..=9), Given::Absent);
        assert_eq!(fields.time("at"), Given::Absent);
        assert_eq!(fields.text_map("map", 100), Given::Absent);
        let mut inner = fields.object("inner").unwrap();
        inner.text("text", any_text);
        assert!(!fields.absorb(inner));
        let want = [
            ("body.name", "expected a string, got the number 5"),
            ("body.absent", "expected a string, got nothing"),
            ("body.nothing", "expected a string, got null"),
            ("body.flag", "expected a boolean, got a string"),
            ("body.n", "expected a whole number from 1 to 65535, got the number 70000"),
            ("body.list.1", "expected a string, got the number 2"),
            ("body.twice", "expected once, got twice"),
            ("body.at", "expected a time such as 2026-10-20T10:00:00Z, got \"noon\""),
            ("body.map", "\"a\": expected a string, got the number 1"),
            ("body.inner.text", "expected a string, got a list"),
        ];
        let got = problems(fields);
        assert_eq!(got, want.map(|(path, msg)| (path.to_owned(), msg.to_owned())));
    }

    #[test]
    fn absent_null_and_value_are_three_things() {
        let mut fields = Fields::parse(br#"{"a": null, "b": "x"}"#).unwrap();
        assert_eq!(fields.text("a", any_text).change(), Some(None));
        assert_eq!(fields.text("b", any_text).change(), Some(Some("x".to_owned())));
        assert_eq!(fields.text("c", any_text).change(), None);
        assert_eq!(fields.text("c", any_text).or(|| Given::Value("old".to_owned())).value().as_deref(), Some("old"));
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn a_body_that_is_no_object_says_what_it_is() {
        for (body, want) in [
            (&b"[1]"[..], "expected an object, got a list"),
            (b"5", "expected an object, got the number 5"),
            (b"", "not JSON"),
            (b"{\"a\": 1", "not JSON"),
            (b"{\"a\": \"\xff\"}", "not JSON"),
            (b"{} {}", "not JSON"),
        ] {
            let error = Fields::parse(body).unwrap_err();
            assert_eq!(error.status(), 422);
            assert!(format!("{error:?}").contains(want), "{body:?}: {error:?}");
        }
    }

    #[test]
    fn deep_nesting_is_passed_over() {
        let deep = format!("{{\"x\": {}1{}, \"name\": \"n\"}}", "[".repeat(200_000), "]".repeat(200_000));
        let mut fields = Fields::parse(deep.as_bytes()).unwrap();
        assert_eq!(fields.required("name", any_text), "n");
        fields.text("x", any_text);
        assert!(fields.object("x").is_none());
        assert_eq!(problems(fields).len(), 2);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:a-c0-9 ]{0,60}") {
            for body in [&body[..], text.as_bytes()] {
                if let Ok(mut fields) = Fields::parse(body) {
                    fields.required("a", any_text);
                    fields.text_map("b", 100);
                    fields.texts("c", 0..=3, any_text);
                    fields.number("a", 0..=3);
                    let _ = fields.finish();
                }
            }
        }
    }
}

//! Query parameters, read one by one; every problem is collected with its name.

use super::json::{Problem, shorten};
use crate::error::{ApiError, FieldProblem};
use axum::extract::FromRequestParts;
use hookfast_core::UnixMs;
use http::request::Parts;
use std::ops::RangeInclusive;

/// Most parameters that are looked at.
const PARAMS_MAX: usize = 256;

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct QueryReader {
    params: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

impl QueryReader {
    pub(crate) fn new(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or("").as_bytes());
        let params = pairs.take(PARAMS_MAX).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { params, problems: Vec::new() }
    }

    /// Empty parameters count as absent, whatever they are read as.
    pub(crate) fn without_empty(mut self) -> Self {
        self.params.retain(|(_, value)| !value.is_empty());
        self
    }

    /// Notes a problem with a parameter.
    pub(crate) fn note(&mut self, name: &str, problem: Problem) {
        let loc = vec!["query".to_owned(), name.to_owned()];
        self.problems.push(FieldProblem { loc, msg: problem.msg, kind: problem.kind.into() });
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a parameter; an empty text counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.given(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    fn read<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        // Empty is no number, no time and no word: better refused than taken for the default.
        let text = self.given(name)?.to_owned();
        let value = read(&text);
        if value.is_none() {
            let msg = format!("expected {expected}, got {:?}", shorten(&text));
            self.note(name, Problem::new("value_error", msg));
        }
        value
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, "true or false", |text| match text {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        })
    }

    pub(crate) fn number(&mut self, name: &str, range: &RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    /// A number, perhaps with a fraction.
    pub(crate) fn decimal(&mut self, name: &str, least: f64, most: f64) -> Option<f64> {
        let expected = format!("a number from {least} to {most}");
        self.read(name, &expected, |text| text.parse().ok().filter(|number| (least..=most).contains(number)))
    }

    pub(crate) fn time(&mut self, name: &str) -> Option<UnixMs> {
        self.read(name, "a time such as 2026-10-20T10:00:00Z", crate::time::parse)
    }

    /// One of some words or numbers.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = format!("one of {}", words.join(", "));
        self.read(name, &expected, |text| choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value))
    }

    /// A list: repeated, comma-joined, or written `name[]` or `name[0]`.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        let is_name = |key: &str| {
            key == name
                || key
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'))
                    .is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let values = self.params.iter().filter(|(key, _)| is_name(key));
        values.flat_map(|(_, value)| value.split(',')).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// A filter that this server does not keep the data for: better refused than ignored.
    pub(crate) fn unsupported(&mut self, name: &str, reason: &str) {
        if self.text(name).is_some() {
            self.note(name, Problem::new("not_supported", reason));
        }
    }

    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::fields(self.problems)) }
    }
}

/// What can be read from query parameters.
pub(crate) trait FromQuery: Sized {
    /// Reads the parameters and notes what is wrong; the value counts only if nothing was noted.
    fn read(query: &mut QueryReader) -> Self;
}

/// Query parameters as a handler takes them; to be named after the caller, who is checked first.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: FromQuery> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut reader = QueryReader::new(parts.uri.query());
        let value = T::read(&mut reader);
        reader.finish().map(|()| Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_come_in_every_spelling() {
        for query in ["t=a,b&t=c", "t[]=a&t[]=b&t[]=c", "t[0]=a&t[1]=b,c", "t%5B%5D=a,b,c", "t=a&t=&t=b,,c"] {
            assert_eq!(QueryReader::new(Some(query)).list("t"), ["a", "b", "c"], "{query}");
        }
        assert!(QueryReader::new(Some("tt=a&t[x]=b")).list("t").is_empty());
    }

    #[test]
    fn wrong_parameters_are_named() {
        let mut query = QueryReader::new(Some("limit=251&flag=maybe&at=2026-10-20&order=up&tag=x"));
        assert_eq!(query.number("limit", &(0..=250)), None);
        assert_eq!(query.flag("flag"), None);
        assert_eq!(query.time("at"), Some(UnixMs(1_792_454_400_000)));
        assert_eq!(query.choice("order", &[("ascending", 1), ("descending", 2)]), None);
        query.unsupported("tag", "tags are not kept");
        let text = format!("{:?}", query.finish().unwrap_err());
        for want in
            ["from 0 to 250, got \\\"251\\\"", "true or false, got", "one of ascending, descending, got", "not kept"]
        {
            assert!(text.contains(want), "{want} in {text}");
        }
    }

    #[test]
    fn an_empty_value_is_refused_where_a_text_cannot_be_meant() {
        for query in ["limit=", "flag=", "at=", "order=", "rate=", "limit=5&limit="] {
            let mut reader = QueryReader::new(Some(query));
            reader.number("limit", &(0..=250));
            reader.flag("flag");
            reader.time("at");
            reader.choice("order", &[("up", 1)]);
            reader.decimal("rate", 0.0, 1.0);
            let text = format!("{:?}", reader.finish().unwrap_err());
            assert!(text.contains("got \\\"\\\""), "{query}: {text}");
        }
        assert_eq!(QueryReader::new(Some("iterator=")).text("iterator"), None);
        assert_eq!(QueryReader::new(Some("limit=")).without_empty().number("limit", &(0..=9)), None);
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[\\PC&=%\\[\\],]{0,80}") {
            let mut reader = QueryReader::new(Some(&query));
            reader.list("t");
            reader.number("limit", &(0..=250));
            reader.time("after");
            let _ = reader.finish();
        }
    }
}

//! What a setting's text may be: one rule per kind of value, used for reading, for error messages and for the docs.
//! Knows no key and no source.

use hookfast_core::model::SecretText;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What a source gave for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// A single value, as text.
    Text(String),
    /// A TOML array.
    List(Vec<String>),
}

impl Raw {
    /// A single value, without blanks around it.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            Self::List(_) => None,
        }
    }

    /// The items of an array, or of a comma list.
    pub(super) fn items(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
            Self::List(items) => items.iter().map(|item| item.trim()).collect(),
        }
    }

    /// How it is shown in an error message.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("`{text}`"),
            Self::List(items) => format!("[{}]", items.join(", ")),
        }
    }
}

/// How one kind of value is read.
pub(crate) trait Rule {
    /// What it reads to.
    type Value;
    /// The wanted form, to follow the word "expected".
    fn expected(&self) -> String;
    /// `None` when the form is not the wanted one.
    fn read(&self, raw: &Raw) -> Option<Self::Value>;
    /// The value must never be printed.
    fn secret(&self) -> bool {
        false
    }
}

/// Milliseconds between two bounds, written as `250ms`, `5s`, `5m`, `2h`, `1d` or a plain number.
#[derive(Clone, Copy)]
pub(crate) struct Duration(pub(crate) u64, pub(crate) u64);

/// Reads a duration; a plain number is milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A duration in its largest whole unit.
pub(crate) fn show_ms(ms: u64) -> String {
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms > 0 && ms.is_multiple_of(factor) {
            return format!("{}{unit}", ms / factor);
        }
    }
    format!("{ms}ms")
}

impl Rule for Duration {
    type Value = u64;
    fn expected(&self) -> String {
        format!(
            "a duration from {} to {} (`250ms`, `5s`, `5m`, `2h`; a plain number is ms)",
            show_ms(self.0),
            show_ms(self.1)
        )
    }
    fn read(&self, raw: &Raw) -> Option<u64> {
        duration_ms(raw.text()?).filter(|ms| (self.0..=self.1).contains(ms))
    }
}

/// A list of at most so many durations, each at most so long.
#[derive(Clone, Copy)]
pub(crate) struct Durations(pub(crate) usize, pub(crate) u64);

impl Rule for Durations {
    type Value = Vec<u64>;
    fn expected(&self) -> String {
        let (count, longest) = (self.0, show_ms(self.1));
        format!(
            "a list of at most {count} durations up to {longest} (`[\"100ms\", \"5s\"]`, in the environment `100ms,5s`)"
        )
    }
    fn read(&self, raw: &Raw) -> Option<Vec<u64>> {
        let items = raw.items();
        let read = |item: &str| duration_ms(item).filter(|ms| *ms <= self.1);
        if items.len() > self.0 { None } else { items.into_iter().map(read).collect() }
    }
}

/// A number of bytes between two bounds, written as `512KiB`, `1MiB`, `2GiB` or a plain number.
#[derive(Clone, Copy)]
pub(crate) struct Bytes(pub(crate) u64, pub(crate) u64);

fn bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A size in its largest whole unit.
pub(super) fn show_bytes(bytes: u64) -> String {
    for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}")
}

impl Rule for Bytes {
    type Value = u64;
    fn expected(&self) -> String {
        let (low, high) = (show_bytes(self.0), show_bytes(self.1));
        format!("a size from {low} to {high} (`512KiB`, `1MiB`, `2GiB`; a plain number is bytes)")
    }
    fn read(&self, raw: &Raw) -> Option<u64> {
        bytes(raw.text()?).filter(|bytes| (self.0..=self.1).contains(bytes))
    }
}

/// A whole number between two bounds.
#[derive(Clone, Copy)]
pub(crate) struct Count(pub(crate) usize, pub(crate) usize);

impl Rule for Count {
    type Value = usize;
    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }
    fn read(&self, raw: &Raw) -> Option<usize> {
        let text: String = raw.text()?.chars().filter(|c| *c != '_').collect();
        text.parse().ok().filter(|count| (self.0..=self.1).contains(count))
    }
}

/// A number between 0 and this.
#[derive(Clone, Copy)]
pub(crate) struct Share(pub(crate) f64);

impl Rule for Share {
    type Value = f64;
    fn expected(&self) -> String {
        format!("a number from 0 to {}", self.0)
    }
    fn read(&self, raw: &Raw) -> Option<f64> {
        raw.text()?.parse().ok().filter(|share| (0.0..=self.0).contains(share))
    }
}

/// `true` or `false`.
#[derive(Clone, Copy)]
pub(crate) struct Switch;

impl Rule for Switch {
    type Value = bool;
    fn expected(&self) -> String {
        "`true` or `false`".into()
    }
    fn read(&self, raw: &Raw) -> Option<bool> {
        match raw.text()? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

/// One of some words, each standing for a value.
#[derive(Clone, Copy)]
pub(crate) struct OneOf<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Rule for OneOf<T> {
    type Value = T;
    fn expected(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("one of {}", words.join(", "))
    }
    fn read(&self, raw: &Raw) -> Option<T> {
        let text = raw.text()?;
        self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}

/// `ADDRESS:PORT`.
#[derive(Clone, Copy)]
pub(crate) struct Listen;

impl Rule for Listen {
    type Value = SocketAddr;
    fn expected(&self) -> String {
        "an address and a port (`127.0.0.1:8071`, `[::1]:8071`; port 0 takes a free one)".into()
    }
    fn read(&self, raw: &Raw) -> Option<SocketAddr> {
        raw.text()?.parse().ok()
    }
}

/// A path that is not empty.
#[derive(Clone, Copy)]
pub(crate) struct Path;

impl Rule for Path {
    type Value = PathBuf;
    fn expected(&self) -> String {
        "a path".into()
    }
    fn read(&self, raw: &Raw) -> Option<PathBuf> {
        raw.text().filter(|text| !text.is_empty()).map(PathBuf::from)
    }
}

/// A list of networks.
#[derive(Clone, Copy)]
pub(crate) struct Networks;

impl Rule for Networks {
    type Value = Vec<IpNet>;
    fn expected(&self) -> String {
        "a list of networks, none of them everything (`[\"10.1.0.0/16\"]`, in the environment `10.1.0.0/16,fd00::/8`)"
            .into()
    }
    fn read(&self, raw: &Raw) -> Option<Vec<IpNet>> {
        let read = |item: &str| IpNet::from_str(item).ok().filter(|net| net.prefix_len() > 0);
        raw.items().into_iter().map(read).collect()
    }
}

/// An absolute http or https URL.
#[derive(Clone, Copy)]
pub(crate) struct HttpUrl;

impl Rule for HttpUrl {
    type Value = url::Url;
    fn expected(&self) -> String {
        "an http or https URL (`https://hooks.example.com`)".into()
    }
    fn read(&self, raw: &Raw) -> Option<url::Url> {
        url::Url::parse(raw.text()?).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    }
}

/// A secret text of at least so many bytes.
#[derive(Clone, Copy)]
pub(crate) struct Secret(pub(crate) usize);

impl Rule for Secret {
    type Value = SecretText;
    fn expected(&self) -> String {
        format!("a secret of at least {} characters", self.0)
    }
    fn read(&self, raw: &Raw) -> Option<SecretText> {
        raw.text().filter(|text| text.len() >= self.0).map(SecretText::new)
    }
    fn secret(&self) -> bool {
        true
    }
}

/// Nothing (an empty text), or what the inner rule reads.
#[derive(Clone, Copy)]
pub(crate) struct Optional<R>(pub(crate) R);

impl<R: Rule> Rule for Optional<R> {
    type Value = Option<R::Value>;
    fn expected(&self) -> String {
        format!("nothing, or {}", self.0.expected())
    }
    fn read(&self, raw: &Raw) -> Option<Option<R::Value>> {
        if raw.text() == Some("") { Some(None) } else { self.0.read(raw).map(Some) }
    }
    fn secret(&self) -> bool {
        self.0.secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.into())
    }

    #[test]
    fn durations_take_units_and_plain_milliseconds() {
        let rule = Duration(0, 86_400_000);
        for (given, ms) in [("250ms", 250), ("5s", 5000), ("5m", 300_000), ("2h", 7_200_000), ("17", 17), ("1 s", 1000)]
        {
            assert_eq!(rule.read(&text(given)), Some(ms), "{given}");
        }
        for wrong in ["", "s", "-5s", "5 years", "1.5s", "99999999999999999999d", "2d", "٣s"] {
            assert_eq!(rule.read(&text(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn lists_come_as_arrays_and_as_comma_lists() {
        let rule = Durations(3, 60_000);
        assert_eq!(rule.read(&text("100ms, 5s")), Some(vec![100, 5000]));
        assert_eq!(rule.read(&Raw::List(vec!["100ms".into(), "5".into()])), Some(vec![100, 5]));
        assert_eq!(rule.read(&text("")), Some(vec![]));
        assert_eq!(rule.read(&text("1,2,3,4")), None);
        assert_eq!(rule.read(&text("2h")), None);
    }

    #[test]
    fn sizes_numbers_and_words_keep_to_their_bounds() {
        assert_eq!(Bytes(0, 1 << 30).read(&text("1MiB")), Some(1 << 20));
        assert_eq!(Bytes(0, 1 << 30).read(&text("2GiB")), None);
        assert_eq!(Bytes(0, 1 << 30).read(&text("1MB")), None);
        assert_eq!(Count(1, 10).read(&text("1_0")), Some(10));
        assert_eq!(Count(1, 10).read(&text("0")), None);
        assert_eq!(Share(0.5).read(&text("nan")), None);
        assert_eq!(OneOf(&[("a", 1), ("b", 2)]).read(&text("b")), Some(2));
        assert_eq!(Networks.read(&text("10.0.0.0/8,fd00::/8")).map(|nets| nets.len()), Some(2));
        assert_eq!(Networks.read(&text("0.0.0.0/0")), None);
        assert_eq!(Optional(HttpUrl).read(&text("")), Some(None));
        assert_eq!(HttpUrl.read(&text("ftp://example.com")), None);
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_back(ms in 0u64..1_000_000_000_000) {
            prop_assert_eq!(duration_ms(&show_ms(ms)), Some(ms));
            prop_assert_eq!(bytes(&show_bytes(ms)), Some(ms));
        }

        #[test]
        fn no_text_makes_a_rule_panic(any in ".{0,40}") {
            let raw = text(&any);
            let _ = (duration_ms(&any), bytes(&any));
            let _ = (Durations(5, 5).read(&raw), Networks.read(&raw), HttpUrl.read(&raw), Secret(8).read(&raw));
        }
    }
}

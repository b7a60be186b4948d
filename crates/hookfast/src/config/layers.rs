//! The sources of settings, lowest first: defaults, TOML file, environment, flags. Collects what each gives, and
//! everything that is wrong with it. Knows no setting by name.

use super::keys::{Key, keys};
use super::rules::{Raw, Rule};
use std::fmt;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The origin of what nobody gave.
pub(super) const DEFAULT: &str = "default";

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where it was given: `FILE:LINE`, the variable, the flag.
    pub(crate) origin: String,
    /// Which setting; empty when it is about the whole source.
    pub(crate) key: String,
    /// What is wrong, in one sentence.
    pub(crate) problem: String,
}

impl Wrong {
    /// The line, if it was given in a file.
    fn line(&self) -> Option<usize> {
        self.origin.rsplit_once(':')?.1.parse().ok()
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, problem } = self;
        if key.is_empty() { write!(f, "{origin}: {problem}") } else { write!(f, "{origin}: {key}: {problem}") }
    }
}

/// A value that some source gave for a setting.
#[derive(Clone, Debug)]
struct Given {
    key: String,
    raw: Raw,
    origin: String,
}

/// Everything that was given, lowest source first.
#[derive(Debug, Default)]
pub(crate) struct Values {
    given: Vec<Given>,
    wrong: Vec<Wrong>,
}

impl Values {
    /// Notes a fault.
    pub(crate) fn fault(&mut self, origin: impl Into<String>, key: &str, problem: impl Into<String>) {
        self.wrong.push(Wrong { origin: origin.into(), key: key.into(), problem: problem.into() });
    }

    /// What was found wrong so far.
    pub(crate) fn faults(&self) -> &[Wrong] {
        &self.wrong
    }

    /// Everything that was found wrong: what is in a file comes first, in the order of its lines.
    pub(crate) fn into_faults(mut self) -> Vec<Wrong> {
        self.wrong.sort_by_key(|wrong| wrong.line().unwrap_or(usize::MAX));
        self.wrong
    }

    /// Who gave the value in force.
    pub(crate) fn origin(&self, key: &str) -> String {
        let last = self.given.iter().rev().find(|given| given.key == key);
        last.map_or_else(|| DEFAULT.into(), |given| given.origin.clone())
    }

    /// Somebody gave a value for it.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.given.iter().any(|given| given.key == key)
    }

    /// Reads one setting: every value given is checked, the last one is in force.
    pub(crate) fn take<R: Rule>(&mut self, key: &str, default: &str, rule: &R) -> Option<R::Value> {
        let mut value = rule.read(&Raw::Text(default.into()))?;
        for given in self.given.iter().filter(|given| given.key == key) {
            if let Some(read) = rule.read(&given.raw) {
                value = read;
            } else {
                let found = if rule.secret() { "something else (not shown)".into() } else { given.raw.shown() };
                self.wrong.push(Wrong {
                    origin: given.origin.clone(),
                    key: key.into(),
                    problem: format!("expected {}, found {found}", rule.expected()),
                });
            }
        }
        Some(value)
    }

    /// Takes over a value from a source; a key that does not exist is a fault.
    pub(crate) fn give(&mut self, key: &str, raw: Raw, origin: String) {
        if keys().iter().any(|known| known.path() == key) {
            self.given.push(Given { key: key.into(), raw, origin });
        } else {
            self.fault(origin, key, unknown(key));
        }
    }

    /// As [`Values::give`], beneath everything that other sources give.
    pub(super) fn give_beneath(&mut self, key: &str, raw: Raw, origin: String) {
        self.give(key, raw, origin);
        self.given.rotate_right(1);
    }

    /// Reads a TOML file.
    pub(crate) fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => self.toml(&name, &text),
            Err(error) => self.fault(name, "", format!("the file cannot be read: {error}")),
        }
    }

    /// Reads TOML text; `name` is what its faults are blamed on.
    pub(crate) fn toml(&mut self, name: &str, text: &str) {
        let at = |offset: usize| format!("{name}:{}", line_of(text, offset));
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            self.fault(at(error.span().map_or(0, |span| span.start)), "", format!("not TOML: {}", error.message()));
        }
        for (section, value) in table.get_ref() {
            let origin = at(section.span().start);
            let Some(inner) = value.get_ref().as_table() else {
                self.fault(origin, section.get_ref(), unknown_section(section.get_ref()));
                continue;
            };
            if !super::keys::SECTIONS.iter().any(|(known, _)| known == section.get_ref()) {
                self.fault(origin, section.get_ref(), unknown_section(section.get_ref()));
                continue;
            }
            for (key, value) in inner {
                let path = format!("{}.{}", section.get_ref(), key.get_ref());
                let origin = at(key.span().start);
                match (raw_of(value.get_ref()), text_wanted(&path, value.get_ref())) {
                    (Some(raw), None) => self.give(&path, raw, origin),
                    (Some(_), Some(expected)) => {
                        self.fault(origin, &path, format!("expected {expected}, found {}", kind(value.get_ref())));
                    }
                    (None, _) => {
                        self.fault(origin, &path, format!("expected a value, found {}", kind(value.get_ref())));
                    }
                }
            }
        }
    }

    /// Reads the environment: `HOOKFAST_SECTION__KEY`, and the short `HOOKFAST_LISTEN` and `HOOKFAST_DATA_DIR`.
    pub(crate) fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let mut variables: Vec<_> = variables.filter(|(name, _)| name.starts_with("HOOKFAST_")).collect();
        // The short names are weaker than the long ones, whatever the order of the environment is.
        variables.sort_by_key(|(name, _)| name.contains("__"));
        for (name, value) in variables {
            let rest = name.trim_start_matches("HOOKFAST_").to_ascii_lowercase();
            match rest.as_str() {
                "listen" | "data_dir" => self.give(&format!("server.{rest}"), Raw::Text(value), name),
                _ => match rest.split_once("__") {
                    Some((section, key)) => self.give(&format!("{section}.{key}"), Raw::Text(value), name),
                    None => self.misspelt(&name, &rest),
                },
            }
        }
    }

    /// One underscore where two are wanted is worth a word: the setting would silently not be in force.
    fn misspelt(&mut self, name: &str, rest: &str) {
        if let Some(key) = keys().iter().find(|key| key.path().replace('.', "_") == rest) {
            self.fault(name, "", format!("unknown variable, did you mean {}?", key.variable()));
        }
    }
}

impl Key {
    /// `section.key`.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// Its environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("HOOKFAST_{}__{}", self.section.to_ascii_uppercase(), self.name.to_ascii_uppercase())
    }
}

/// The line of a place in a text.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// A TOML value as a source gives it; `None` for what no setting has.
pub(super) fn raw_of(value: &DeValue<'_>) -> Option<Raw> {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    };
    match value {
        DeValue::Array(items) => {
            items.iter().map(|item| scalar(item.get_ref())).collect::<Option<Vec<_>>>().map(Raw::List)
        }
        other => scalar(other).map(Raw::Text),
    }
}

/// What is expected, where a number or a boolean was given for what can only be a text: a path, a name, a secret.
fn text_wanted(path: &str, value: &DeValue<'_>) -> Option<String> {
    let is_text = |value: &DeValue<'_>| matches!(value, DeValue::String(_));
    let is_given = match value {
        DeValue::Array(items) => items.iter().all(|item| is_text(item.get_ref())),
        other => is_text(other),
    };
    let key = (!is_given).then(|| keys().into_iter().find(|key| key.path() == path)).flatten()?;
    (!takes_plain(&(key.schema)())).then_some(key.expected)
}

/// May a number or a boolean stand for it?
fn takes_plain(schema: &serde_json::Value) -> bool {
    let is_plain = matches!(schema["type"].as_str(), Some("integer" | "number" | "boolean"));
    let any_of = schema["anyOf"].as_array().is_some_and(|branches| branches.iter().any(takes_plain));
    is_plain || any_of || schema.get("enum").is_some() || schema.get("items").is_some_and(takes_plain)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Table(_) => "a table",
        DeValue::Array(_) => "an array of other things",
        DeValue::Integer(_) | DeValue::Float(_) => "a number; in quotes it would be a text",
        DeValue::Boolean(_) => "a boolean; in quotes it would be a text",
        _ => "a date",
    }
}

fn unknown(key: &str) -> String {
    let known = keys();
    let near = known.iter().map(|known| (distance(&known.path(), key), known)).min_by_key(|(far, _)| *far);
    // The right key in the wrong section is the other likely slip.
    let name = key.rsplit('.').next().unwrap_or(key);
    match near {
        Some((far, near)) if far <= 3 => format!("unknown key, did you mean {}?", near.path()),
        _ => match known.iter().find(|known| known.name == name) {
            Some(moved) => format!("unknown key, did you mean {}?", moved.path()),
            None => "unknown key; every key is in docs/configuration.md".into(),
        },
    }
}

fn unknown_section(section: &str) -> String {
    let names: Vec<&str> = super::keys::SECTIONS.iter().map(|(name, _)| *name).collect();
    if let Some(key) = keys().iter().find(|key| key.name == section) {
        return format!("expected a section; did you mean {} under [{}]?", key.name, key.section);
    }
    match names.iter().map(|name| (distance(name, section), name)).min() {
        Some((far, near)) if far <= 2 => format!("unknown section, did you mean [{near}]?"),
        _ => format!("unknown section; expected one of {}", names.join(", ")),
    }
}

/// Edits between two words (Levenshtein), for suggestions.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

//! The configuration told again: every value with where it came from, and the JSON Schema of its file.

use super::keys::{Config, SECTIONS, keys};
use super::layers::{DEFAULT, Values, Wrong};
use super::{ConfigArgs, Overrides, process_variables, read};
use serde_json::{Map, Value, json};

/// A value in force.
pub(crate) struct InForce {
    /// `section.key`.
    pub(crate) key: String,
    /// The value as a file would give it; a secret is hidden.
    pub(crate) value: Value,
    /// It is not to be in a file that gives the same: a secret that is set, a directory that is not used.
    pub(crate) hidden: bool,
    /// `default`, `FILE:LINE`, the variable or the flag.
    pub(crate) origin: String,
}

impl InForce {
    /// Some source gave it.
    pub(crate) fn is_given(&self) -> bool {
        !self.origin.starts_with(DEFAULT)
    }
}

/// Reads the configuration of this process, and tells every value of it. On faults: all of them.
pub(crate) fn in_force(args: &ConfigArgs, overrides: Overrides<'_>) -> Result<Vec<InForce>, Vec<Wrong>> {
    let (config, values) = read(args, overrides, process_variables())?;
    Ok(of(&config, &values))
}

pub(super) fn of(config: &Config, values: &Values) -> Vec<InForce> {
    let keys = keys();
    let told = |(path, value): (&str, Value)| {
        let key = keys.iter().find(|key| key.path() == path);
        let is_secret = value != "" && key.is_some_and(|key| key.secret);
        // Said, a directory that nobody needs would be made.
        let hidden = is_secret || (path == "server.data_dir" && config.own_dir().is_none());
        let mut origin = values.origin(path);
        if origin == DEFAULT && key.is_some_and(|key| (key.default_value)() != value) {
            origin.push_str(", as far as other settings let it");
        }
        InForce { key: path.into(), value, hidden, origin }
    };
    config.shown().into_iter().map(told).collect()
}

/// The values as a TOML file that gives them, with their origins as comments. What is hidden is a comment altogether.
pub(crate) fn as_toml(values: &[InForce]) -> String {
    let mut page = String::new();
    let widest = |section: &str| {
        let of_section = values.iter().filter(|value| value.key.split_once('.').is_some_and(|(s, _)| s == section));
        of_section.map(|value| line(value).chars().count()).filter(|width| *width <= 60).max().unwrap_or(0)
    };
    let mut current = "";
    for value in values {
        let section = value.key.split_once('.').map_or("", |(section, _)| section);
        if section != current {
            let gap = if current.is_empty() { "" } else { "\n" };
            page.push_str(&format!("{gap}[{section}]\n"));
            current = section;
        }
        page.push_str(&format!("{:width$}  # {}\n", line(value), value.origin, width = widest(section)));
    }
    page
}

fn line(value: &InForce) -> String {
    let name = value.key.split_once('.').map_or("", |(_, name)| name);
    format!("{}{name} = {}", if value.hidden { "# " } else { "" }, toml(&value.value))
}

fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The JSON Schema of a configuration file, from the table of settings.
pub(crate) fn schema() -> Value {
    let keys = keys();
    let section = |(name, about): &(&str, &str)| {
        let property = |key: &super::keys::Key| {
            let mut schema = (key.schema)();
            schema["description"] = format!("{} Expected {}.", key.doc.trim(), key.expected).into();
            if !key.secret {
                schema["default"] = (key.default_value)();
            }
            (key.name.to_owned(), schema)
        };
        let properties: Map<String, Value> = keys.iter().filter(|key| key.section == *name).map(property).collect();
        let section = json!({
            "type": "object", "description": about.trim(), "properties": properties, "additionalProperties": false,
        });
        ((*name).to_owned(), section)
    };
    let sections: Map<String, Value> = SECTIONS.iter().map(section).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of hookfast",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

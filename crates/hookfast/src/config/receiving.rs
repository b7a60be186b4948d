//! The sources that webhooks are received from: the one of `[receiver]`, and those of a file of their own. Reading that
//! file and telling everything that is wrong with it, with its lines; must not know how they are served.

use super::forms::{Form, HIDDEN};
use super::keys::{Config, Receiver, SIGNATURES};
use super::layers::{Values, distance, line_of, raw_of};
use super::nodes::Name;
use super::rules::{Count, Duration, OneOf, Optional, Raw, Rule};
use hookfast_core::model::SecretText;
use hookfast_http::{EventShape, SignatureRule, SourceConfig, WEBHOOK};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// What a `[[source]]` may have.
const FIELDS: [&str; 14] = [
    "name",
    "secrets",
    "signature",
    "tolerance_ms",
    "bearer_tokens",
    "api_key_header",
    "api_keys",
    "rate_per_client",
    "burst_per_client",
    "rate_per_source",
    "ahead_ms_max",
    "event_id",
    "event_type",
    "topic",
];
const POINTER_CHARS_MAX: usize = 256;

/// A list of secrets.
#[derive(Clone, Copy)]
pub(super) struct Secrets;

impl Rule for Secrets {
    type Value = Vec<SecretText>;
    fn expected(&self) -> String {
        "a list of secrets (`[\"old\", \"new\"]`, in the environment `old,new`)".into()
    }
    fn read(&self, raw: &Raw) -> Option<Vec<SecretText>> {
        Some(raw.items().into_iter().map(SecretText::new).collect())
    }
    fn secret(&self) -> bool {
        true
    }
}

impl Form for Secrets {
    fn show(&self, value: &Vec<SecretText>) -> Value {
        if value.is_empty() { "".into() } else { HIDDEN.into() }
    }
    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string", "minLength": 1 } }] })
    }
}

/// A source of the file.
#[derive(Clone, Debug)]
pub(crate) struct FileSource {
    /// How it is received from.
    pub(crate) source: SourceConfig,
    /// Where it goes; nothing is `kafka.topic`.
    pub(crate) topic: Option<String>,
}

impl Receiver {
    /// A source without secrets, with the limits that `[receiver]` sets for all.
    fn plain_source(&self, name: &str) -> SourceConfig {
        SourceConfig {
            name: name.into(),
            secrets: Vec::new(),
            signature: SignatureRule::Any,
            tolerance_ms: self.tolerance_ms,
            bearer_tokens: Vec::new(),
            api_key_header: None,
            api_keys: Vec::new(),
            rate_per_client: small(self.rate_per_client),
            burst_per_client: small(self.burst_per_client),
            rate_per_source: small(self.rate_per_source),
            ahead_ms_max: self.ahead_ms_max,
            shape: EventShape::Invoice,
        }
    }

    /// The source behind `/webhook`, if callers can be known there.
    fn webhook(&self) -> Option<SourceConfig> {
        let has_any = !self.secrets.is_empty() || !self.bearer_tokens.is_empty() || !self.api_keys.is_empty();
        has_any.then(|| SourceConfig {
            secrets: self.secrets.clone(),
            signature: self.signature,
            bearer_tokens: self.bearer_tokens.clone(),
            api_key_header: self.api_key_header.clone(),
            api_keys: self.api_keys.clone(),
            ..self.plain_source(WEBHOOK)
        })
    }
}

impl Config {
    /// Every source that webhooks are received from.
    pub(crate) fn sources(&self) -> Vec<SourceConfig> {
        let of_file = self.file_sources.iter().map(|file| file.source.clone());
        self.receiver.webhook().into_iter().chain(of_file).collect()
    }

    /// The topic that each source goes to.
    pub(crate) fn source_topics(&self) -> HashMap<Arc<str>, Arc<str>> {
        let default: Arc<str> = self.kafka.topic.as_str().into();
        let of_file = self.file_sources.iter().map(|file| {
            let topic = file.topic.as_deref().map_or_else(|| Arc::clone(&default), Arc::from);
            (Arc::from(file.source.name.as_str()), topic)
        });
        let webhook = self.receiver.webhook().map(|webhook| (Arc::from(webhook.name.as_str()), Arc::clone(&default)));
        webhook.into_iter().chain(of_file).collect()
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Reads the file of sources, if one is named, and checks all sources together.
pub(super) fn read(config: &mut Config, values: &mut Values) {
    let webhook = config.receiver.webhook();
    for (field, problem) in webhook.iter().flat_map(SourceConfig::faults) {
        let key = format!("receiver.{field}");
        values.fault(values.origin(&key), &key, problem);
    }
    if let Some(path) = config.receiver.sources_file.clone() {
        config.file_sources = file(&path, config, webhook.is_some(), values);
    }
    let is_known = webhook.is_some() || config.receiver.sources_file.is_some();
    if config.server.roles.receiver && !is_known {
        let problem = "expected a secret for /webhook (WEBHOOK_SECRET_TOKEN sets it too), or receiver.sources_file: the \
                       role `receiver` accepts nothing from strangers";
        values.fault(values.origin("receiver.secrets"), "receiver.secrets", problem);
    }
}

fn file(path: &Path, config: &Config, has_webhook: bool, values: &mut Values) -> Vec<FileSource> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Reading { name: &name, text: &text, config, values }.all(has_webhook),
        Err(error) => {
            values.fault(name, "", format!("the file cannot be read: {error}"));
            Vec::new()
        }
    }
}

/// The file while it is read.
struct Reading<'a> {
    name: &'a str,
    text: &'a str,
    config: &'a Config,
    values: &'a mut Values,
}

impl Reading<'_> {
    fn fault(&mut self, offset: usize, key: &str, problem: impl Into<String>) {
        let origin = format!("{}:{}", self.name, line_of(self.text, offset));
        self.values.fault(origin, key, problem);
    }

    fn all(mut self, has_webhook: bool) -> Vec<FileSource> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            self.fault(offset, "", format!("not TOML: {}", error.message()));
        }
        let mut sources: Vec<FileSource> = Vec::new();
        for (section, value) in table.get_ref() {
            let (DeValue::Array(items), "source") = (value.get_ref(), section.get_ref().as_ref()) else {
                self.fault(section.span().start, section.get_ref(), "expected nothing but tables `[[source]]`");
                continue;
            };
            for item in items {
                let DeValue::Table(table) = item.get_ref() else {
                    self.fault(item.span().start, "source", "expected a table `[[source]]`");
                    continue;
                };
                let read = self.source(item.span().start, table);
                let name = read.source.name.clone();
                if sources.iter().any(|known| known.source.name == name) {
                    self.fault(item.span().start, "source.name", format!("there is another source `{name}`"));
                }
                if has_webhook && name == WEBHOOK {
                    let problem = "`webhook` is the source of [receiver], which has secrets of its own";
                    self.fault(item.span().start, "source.name", problem);
                }
                sources.push(read);
            }
        }
        sources
    }

    fn source(&mut self, start: usize, table: &DeTable<'_>) -> FileSource {
        for (field, _) in table {
            let known = field.get_ref().as_ref();
            if !FIELDS.contains(&known) {
                let near = FIELDS.iter().min_by_key(|near| distance(near, known)).copied().unwrap_or_default();
                let key = format!("source.{known}");
                self.fault(field.span().start, &key, format!("unknown key, did you mean {near}?"));
            }
        }
        let mut fields = Fields { table, start, reading: self };
        let source = fields.source();
        let topic = fields.take("topic", &Optional(Name(249))).flatten();
        let at = |field: &str| {
            let given = table.iter().find(|(name, _)| name.get_ref() == field);
            given.map_or(start, |(name, _)| name.span().start)
        };
        for (field, problem) in source.faults() {
            self.fault(at(field), &format!("source.{field}"), problem);
        }
        if source.shape != EventShape::Invoice && topic.is_none() && !self.config.kafka.brokers.is_empty() {
            let problem = "expected topic too: what reads kafka.topic knows the first system's events alone";
            self.fault(at("event_id"), "source.event_id", problem);
        }
        FileSource { source, topic }
    }
}

/// The fields of one source.
struct Fields<'a, 'b, 'c> {
    table: &'a DeTable<'a>,
    start: usize,
    reading: &'b mut Reading<'c>,
}

impl Fields<'_, '_, '_> {
    /// What a field says, if it is there and as it must be.
    fn take<R: Rule>(&mut self, field: &str, rule: &R) -> Option<R::Value> {
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref() == field)?;
        let raw = raw_of(value.get_ref());
        let read = raw.as_ref().and_then(|raw| rule.read(raw));
        if read.is_none() {
            let found = raw.filter(|_| !rule.secret()).map_or("something else (not shown)".into(), |raw| raw.shown());
            let problem = format!("expected {}, found {found}", rule.expected());
            self.reading.fault(name.span().start, &format!("source.{field}"), problem);
        }
        read
    }

    fn source(&mut self) -> SourceConfig {
        let name = self.take("name", &Name(64)).unwrap_or_default();
        let mut source = self.reading.config.receiver.plain_source(&name);
        let rate = Count(0, 1_000_000);
        if let Some(signature) = self.take("signature", &OneOf(SIGNATURES)) {
            source.signature = signature;
        }
        for (field, secrets) in [
            ("secrets", &mut source.secrets),
            ("bearer_tokens", &mut source.bearer_tokens),
            ("api_keys", &mut source.api_keys),
        ] {
            *secrets = self.take(field, &Secrets).unwrap_or_default();
        }
        source.api_key_header = self.take("api_key_header", &Optional(Name(128))).flatten();
        for (field, ms) in [("tolerance_ms", &mut source.tolerance_ms), ("ahead_ms_max", &mut source.ahead_ms_max)] {
            *ms = self.take(field, &Duration(0, 86_400_000)).unwrap_or(*ms);
        }
        for (field, count) in [
            ("rate_per_client", &mut source.rate_per_client),
            ("burst_per_client", &mut source.burst_per_client),
            ("rate_per_source", &mut source.rate_per_source),
        ] {
            *count = self.take(field, &rate).map_or(*count, small);
        }
        source.shape = self.shape();
        source
    }

    fn shape(&mut self) -> EventShape {
        let [event_id, event_type] =
            ["event_id", "event_type"].map(|field| self.take(field, &Optional(Name(POINTER_CHARS_MAX))).flatten());
        match (event_id, event_type) {
            (Some(event_id), Some(event_type)) => EventShape::Pointers { event_id, event_type },
            (None, None) => EventShape::Invoice,
            _ => {
                let problem = "expected event_id and event_type together: where the body says both";
                self.reading.fault(self.start, "source.event_id", problem);
                EventShape::Invoice
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The sources that webhooks are received from, as they are configured and as they work. Must not know where what is
//! received goes.

use super::access::Passes;
use super::event::EventShape;
use super::rate::{Clients, Rate, TooSoon, Total};
use super::signature::{Keys, SignatureRule, secret_fault};
use hookfast_core::limits::ORDERING_POINTER_BYTES_MAX;
use hookfast_core::model::SecretText;
use hookfast_core::{Error, UnixMs};
use http::{HeaderName, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Most sources of a node.
pub const SOURCES_MAX: usize = 1_000;
/// Most secrets, tokens or keys of a source: several are in force only while one takes the place of another.
const SECRETS_MAX: usize = 16;
const NAME_CHARS_MAX: usize = 64;
/// The source behind `POST /webhook`.
pub const WEBHOOK: &str = "webhook";

/// A source, as it is configured.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Its name: `/in/{name}`.
    pub name: String,
    /// Secrets that sign, each of them good: `whsec_…`, `whsk_…`, `whpk_…` or any other text.
    pub secrets: Vec<SecretText>,
    /// Which signatures suffice.
    pub signature: SignatureRule,
    /// How far a signed time may lie from now, in milliseconds, rounded up to seconds.
    pub tolerance_ms: u64,
    /// Asks for one of these bearer tokens.
    pub bearer_tokens: Vec<SecretText>,
    /// The header that has the API key.
    pub api_key_header: Option<String>,
    /// Asks for one of these keys in it.
    pub api_keys: Vec<SecretText>,
    /// Requests a second of each client address; 0 is without limit.
    pub rate_per_client: u32,
    /// So many of them at once.
    pub burst_per_client: u32,
    /// Accepted requests a second in all; 0 is without limit.
    pub rate_per_source: u32,
    /// How far an event's own time may lie ahead, in milliseconds.
    pub ahead_ms_max: u64,
    /// Where the body says which event it is.
    pub shape: EventShape,
}

impl SourceConfig {
    /// Everything that is wrong with it: the field and what was expected.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if !(1..=NAME_CHARS_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_name) {
            let expected = format!("expected 1 to {NAME_CHARS_MAX} of a-z 0-9 - _ ., found `{}`", self.name);
            faults.push(("name", expected));
        }
        self.secret_faults(&mut faults);
        if let Some(name) = &self.api_key_header
            && (api_key_header(name).is_none() || self.api_keys.is_empty())
        {
            let expected = "expected the name of a header that only callers set, such as `x-api-key`, with api_keys";
            faults.push(("api_key_header", expected.to_owned()));
        }
        if self.api_key_header.is_none() && !self.api_keys.is_empty() {
            faults.push(("api_keys", "expected with api_key_header, which names their header".to_owned()));
        }
        if let EventShape::Pointers { event_id, event_type } = &self.shape {
            for (field, pointer) in [("event_id", event_id), ("event_type", event_type)] {
                if !pointer.starts_with('/') || pointer.len() > ORDERING_POINTER_BYTES_MAX {
                    faults.push((field, format!("expected a JSON Pointer such as `/data/id`, found `{pointer}`")));
                }
            }
        }
        faults
    }

    fn secret_faults(&self, faults: &mut Vec<(&'static str, String)>) {
        let lists = [("secrets", &self.secrets), ("bearer_tokens", &self.bearer_tokens), ("api_keys", &self.api_keys)];
        for (field, secrets) in lists {
            if secrets.len() > SECRETS_MAX {
                faults.push((field, format!("expected at most {SECRETS_MAX}, found {}", secrets.len())));
            }
            if secrets.iter().any(|secret| secret.reveal().is_empty()) {
                faults.push((field, "expected texts that are not empty".to_owned()));
            }
        }
        if let Some(fault) = self.secrets.iter().find_map(secret_fault) {
            faults.push(("secrets", fault));
        }
        let has_passes = !self.bearer_tokens.is_empty() || !self.api_keys.is_empty();
        match self.signature {
            SignatureRule::None if !has_passes => {
                let expected = "without signatures callers must be known by bearer_tokens or api_keys";
                faults.push(("signature", expected.to_owned()));
            }
            SignatureRule::None if !self.secrets.is_empty() => {
                faults
                    .push(("signature", "expected `any` or `standard`, as there are secrets to sign with".to_owned()));
            }
            SignatureRule::Any | SignatureRule::Standard if self.secrets.is_empty() => {
                let expected =
                    "expected a secret; callers that do not sign need signature = \"none\", and tokens or keys";
                faults.push(("secrets", expected.to_owned()));
            }
            _ => {}
        }
    }
}

/// A header that callers may set as they like.
fn api_key_header(name: &str) -> Option<HeaderName> {
    let name = HeaderName::try_from(name).ok()?;
    let taken = [header::AUTHORIZATION, header::HOST, header::CONTENT_LENGTH, header::CONNECTION];
    (!taken.contains(&name)).then_some(name)
}

/// A source at work.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) keys: Option<Keys>,
    pub(super) passes: Passes,
    pub(super) ahead_ms_max: u64,
    pub(super) shape: EventShape,
    client_rate: Option<Rate>,
    total: Option<Total>,
    /// Its place among all, by which its clients are told from those of others.
    index: usize,
}

impl Source {
    fn new(config: &SourceConfig, index: usize) -> Result<Self, Error> {
        if let Some((field, expected)) = config.faults().into_iter().next() {
            return Err(Error::invalid(format!("source {}: {field}", config.name), expected));
        }
        let header = config.api_key_header.as_deref().and_then(api_key_header);
        Ok(Self {
            name: config.name.as_str().into(),
            keys: Keys::new(&config.secrets, config.signature, config.tolerance_ms)?,
            passes: Passes::new(&config.bearer_tokens, header.map(|name| (name, config.api_keys.as_slice()))),
            ahead_ms_max: config.ahead_ms_max,
            shape: config.shape.clone(),
            client_rate: Rate::new(config.rate_per_client, config.burst_per_client),
            // A second's worth at once: senders come in waves.
            total: Rate::new(config.rate_per_source, config.rate_per_source).map(Total::new),
            index,
        })
    }

    /// Lets one accepted request pass.
    pub(super) fn take(&self, now: UnixMs) -> Result<(), TooSoon> {
        self.total.as_ref().map_or(Ok(()), |total| total.take(now))
    }
}

/// All sources of a node, with what they remember of their clients.
#[derive(Debug)]
pub struct Sources {
    all: Vec<Source>,
    by_name: HashMap<Arc<str>, usize>,
    clients: Clients<(usize, IpAddr)>,
}

impl Sources {
    /// Makes them ready. `clients_max` addresses are remembered, over all sources.
    ///
    /// # Errors
    /// `Invalid` for the first thing that is wrong with one, for a name that comes twice, for too many.
    pub fn new(configs: &[SourceConfig], clients_max: usize) -> Result<Self, Error> {
        if configs.len() > SOURCES_MAX {
            let reason = format!("expected at most {SOURCES_MAX}, found {}", configs.len());
            return Err(Error::invalid("sources", reason));
        }
        let mut sources = Self { all: Vec::new(), by_name: HashMap::new(), clients: Clients::new(clients_max) };
        for (index, config) in configs.iter().enumerate() {
            let source = Source::new(config, index)?;
            if sources.by_name.insert(Arc::clone(&source.name), index).is_some() {
                return Err(Error::invalid("sources", format!("there are two of the name `{}`", config.name)));
            }
            sources.all.push(source);
        }
        Ok(sources)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all.iter().map(|source| &source.name)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Source> {
        self.by_name.get(name).and_then(|index| self.all.get(*index))
    }

    /// May this client ask this source now? What the source takes in all is looked at and not used up: whoever is
    /// refused later has not taken anybody's place.
    pub(super) fn ask(&self, source: &Source, client: IpAddr, now: UnixMs) -> Result<(), TooSoon> {
        if let Some(rate) = source.client_rate {
            self.clients.take((source.index, client), rate, now)?;
        }
        source.total.as_ref().map_or(Ok(()), |total| total.peek(now))
    }
}

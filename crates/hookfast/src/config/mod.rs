//! Configuration: defaults, then a TOML file, then the environment, then flags; everything checked at once. Must not
//! know what the settings are used for.

mod addresses;
mod docs;
mod first_system;
mod forms;
mod keys;
mod layers;
mod nodes;
mod receiving;
mod redis;
mod rules;
pub(crate) mod show;

pub(crate) use keys::{Config, HeaderFamily, IntakeBy, Kafka, LogFormat, Migrate, OutOfRange};
pub(crate) use layers::{Wrong, distance};
pub(crate) use nodes::Roles;
pub(crate) use rules::{duration_ms, show_ms};

use hookfast_core::model::SecretText;
use keys::SenderAuth;
use layers::Values;
use rules::Raw;
use std::convert::Infallible;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

/// The flags that every command with a configuration takes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// Directory that holds everything hookfast keeps [default: ./hookfast-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// PostgreSQL database that holds everything instead, as postgres://USER@HOST/DATABASE; with a password better in
    /// HOOKFAST_STORE__URL, where other users of the machine cannot see it
    #[arg(long, value_name = "URL", value_parser = hidden)]
    pub(crate) store: Option<SecretText>,
    /// TOML file with settings; HOOKFAST_CONFIG names one too
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Any setting of docs/configuration.md, as in `--set retry.delays=1s,5s`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// A text of the command line that is never printed.
pub(crate) fn hidden(text: &str) -> Result<SecretText, Infallible> {
    Ok(SecretText::new(text))
}

/// Settings that a command gives on its own account: above the file and the environment, with the flag to blame.
pub(crate) type Overrides<'a> = &'a [(&'a str, String, &'a str)];

/// Reads the configuration of this process. On faults: all of them.
pub(crate) fn load(args: &ConfigArgs, overrides: Overrides<'_>) -> Result<Config, Vec<Wrong>> {
    read(args, overrides, process_variables()).map(|(config, _)| config)
}

/// The environment of this process. A variable that is no UTF-8 can be none of ours.
fn process_variables() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// The configuration that the sources make together, and what each of them gave.
fn read(
    args: &ConfigArgs,
    overrides: Overrides<'_>,
    variables: Vec<(String, String)>,
) -> Result<(Config, Values), Vec<Wrong>> {
    let mut values = Values::default();
    let named = variables.iter().find(|(name, value)| name == "HOOKFAST_CONFIG" && !value.is_empty());
    if let Some(file) = args.config.clone().or_else(|| named.map(|(_, value)| value.into())) {
        values.file(&file);
    }
    first_system::give(&mut values, &variables);
    values.environment(variables.into_iter());
    if let Some(dir) = &args.data_dir {
        values.give("server.data_dir", Raw::Text(dir.display().to_string()), "--data-dir".into());
    }
    if let Some(url) = &args.store {
        values.give("store.url", Raw::Text(url.reveal().to_owned()), "--store".into());
    }
    for (key, value, flag) in overrides {
        values.give(key, Raw::Text(value.clone()), (*flag).into());
    }
    for pair in &args.set {
        match pair.split_once('=') {
            Some((key, value)) => values.give(key.trim(), Raw::Text(value.into()), "--set".into()),
            None => values.fault("--set", "", format!("expected KEY=VALUE, found `{pair}`")),
        }
    }
    let mut config = Config::read(&mut values);
    if let Some(config) = &mut config {
        follow(config, &values);
        check_together(config, &mut values);
        receiving::read(config, &mut values);
    }
    match config {
        Some(config) if values.faults().is_empty() => Ok((config, values)),
        _ => Err(values.into_faults()),
    }
}

/// Whoever lowers a whole need not name its parts: those that nobody gave follow.
fn follow(config: &mut Config, values: &Values) {
    let delivery = &mut config.delivery;
    let is_default = |key: &str| values.origin(key) == layers::DEFAULT;
    if is_default("delivery.connect_timeout_ms") {
        delivery.connect_timeout_ms = delivery.connect_timeout_ms.min(delivery.timeout_ms);
    }
    if is_default("delivery.in_flight_per_endpoint_max") {
        delivery.in_flight_per_endpoint_max = delivery.in_flight_per_endpoint_max.min(delivery.in_flight_max);
    }
}

/// What no key can be blamed for alone.
fn check_together(config: &Config, values: &mut Values) {
    let delivery = &config.delivery;
    let mut fault = |key: &str, problem: String| {
        let origin = values.origin(key);
        values.fault(origin, key, problem);
    };
    if delivery.in_flight_per_endpoint_max > delivery.in_flight_max {
        let (one, all) = (delivery.in_flight_per_endpoint_max, delivery.in_flight_max);
        fault(
            "delivery.in_flight_per_endpoint_max",
            format!("expected at most delivery.in_flight_max ({all}), found {one}"),
        );
    }
    if delivery.connect_timeout_ms > delivery.timeout_ms {
        let (part, whole) = (show_ms(delivery.connect_timeout_ms), show_ms(delivery.timeout_ms));
        fault("delivery.connect_timeout_ms", format!("expected at most delivery.timeout_ms ({whole}), found {part}"));
    }
    if delivery.memory_slots > 0 && delivery.memory_bytes_max < config.server.body_bytes_max {
        let (memory, body) = (delivery.memory_bytes_max, config.server.body_bytes_max);
        fault(
            "delivery.memory_bytes_max",
            format!("expected room for one body (server.body_bytes_max, {body}), found {memory}"),
        );
    }
    let roles = config.server.roles;
    if config.store.url.is_none() && roles.needs_store() && (!roles.is_whole() || roles.consumer) {
        let (all, found) = (Roles::STANDARD.words().join(","), roles.words().join(","));
        let why = "only servers that share a PostgreSQL store (store.url) can split them or be a `consumer`: a data \
                   directory is one server's alone";
        fault("server.roles", format!("expected {all} and perhaps sender and receiver, found `{found}`; {why}"));
    }
    if config.kafka.brokers.is_empty() {
        let mut lacking = |key: &str, found: &str| {
            fault(key, format!("found `{found}`, which needs kafka.brokers (or KAFKA_ADDR)"));
        };
        if roles.consumer {
            lacking("server.roles", "consumer");
        }
        if !roles.needs_store() {
            lacking("server.roles", "receiver alone");
        }
        if config.server.intake == IntakeBy::Log {
            lacking("server.intake", "log");
        }
    }
}

impl Config {
    /// The data directory, unless everything is kept elsewhere and nobody named one.
    pub(crate) fn own_dir(&self) -> Option<&Path> {
        (self.store.url.is_none() || self.names_dir).then_some(self.server.data_dir.as_path())
    }

    /// Where the services are that hookfast itself uses, as far as their names are known now: nothing is delivered there.
    pub(crate) fn service_addresses(&self) -> Vec<SocketAddr> {
        let store = self.store.url.as_ref().and_then(|url| url::Url::parse(url.reveal()).ok());
        let store = store.iter().filter_map(|url| Some((url.host_str()?.to_owned(), url.port().unwrap_or(5432))));
        let redis = self.redis.addresses.iter().map(|address| (address.host.clone(), address.port));
        let brokers = self.kafka.brokers.iter().filter_map(|broker| {
            let (host, port) = broker.rsplit_once(':')?;
            Some((host.to_owned(), port.parse().ok()?))
        });
        let all = store.chain(redis).chain(brokers);
        all.filter_map(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host, port).to_socket_addrs().ok()
        })
        .flatten()
        .collect()
    }

    /// Nobody but this machine can reach the server, so it may deliver to this machine.
    pub(crate) fn may_deliver_to_loopback(&self, bound: SocketAddr) -> bool {
        bound.ip().is_loopback() && self.server.public_url.is_none() && self.server.trusted_proxies.is_empty()
    }

    /// The sender's routes ask for no token.
    pub(crate) fn is_sender_open(&self, bound: SocketAddr) -> bool {
        match self.sender.auth {
            SenderAuth::Auto => self.may_deliver_to_loopback(bound),
            SenderAuth::Token => false,
            SenderAuth::None => true,
        }
    }
}

#[cfg(test)]
mod tests;

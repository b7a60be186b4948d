//! The variables of an `.env` file, as a stack on one machine has them. Pure.

use super::layout::Ports;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// Names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads `NAME=VALUE` lines, and comments.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, value) = line.split_once('=').with_context(|| format!("expected NAME=VALUE, found `{line}`"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        lines.map(pair).collect::<Result<_>>().map(Self)
    }

    /// The same with addresses of this machine in place of the names of services.
    pub(crate) fn on_this_machine(mut self, ports: &Ports) -> Self {
        let here = |port: u16| format!("127.0.0.1:{port}");
        let changed = [
            ("KAFKA_ADDR", here(ports.kafka)),
            ("POSTGRES_HOST", "127.0.0.1".to_owned()),
            ("POSTGRES_PORT", ports.postgres.to_string()),
            ("REDIS_ADDRESS", here(ports.redis)),
        ];
        for (name, value) in changed {
            self.set(name, &value);
        }
        self
    }

    /// One of them; empty when it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Those with these names that are set, for the environment of a process.
    pub(crate) fn only<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        names.iter().map(|name| (*name, self.get(name))).filter(|(_, value)| !value.is_empty())
    }

    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_comments_are_read() {
        let variables = Variables::parse("# about\nA=1\n\n B=x=y \nC=\n").unwrap();
        assert_eq!(["A", "B", "C", "D"].map(|name| variables.get(name)), ["1", "x=y", "", ""]);
        assert_eq!(variables.only(&["A", "C", "D"]).collect::<Vec<_>>(), [("A", "1")]);
        assert!(Variables::parse("A=1\nnonsense").is_err());
    }
}

//! Runs commands as a user types them, shows them with what they print, and keeps count of what was right.

use super::super::layout::Layout;
use anyhow::{Context as _, Result};
use std::process::{Command, Stdio};

/// No command takes this long, in seconds.
const PATIENCE_S: u32 = 60;
/// So much of an output is shown.
const SHOWN_BYTES: usize = 600;

/// Runs commands against one stack.
pub(super) struct Shell<'a> {
    layout: &'a Layout,
    pub(super) passed: u64,
    pub(super) failures: Vec<String>,
}

impl<'a> Shell<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, passed: 0, failures: Vec::new() }
    }

    /// Runs `command` and answers what it printed. The ports in it are those of the first systems.
    pub(super) fn run(&self, command: &str) -> Result<String> {
        let (bin, path) = (self.layout.bin(), std::env::var_os("PATH").unwrap_or_default());
        let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
        let mut shell = Command::new("timeout");
        shell.args([&PATIENCE_S.to_string(), "sh", "-c", &self.on_these_ports(command)]);
        shell.env("PATH", std::env::join_paths(paths)?).stdin(Stdio::null()).stderr(Stdio::null());
        let output = shell.output().context("cannot start `timeout`")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs `command` and shows it; every one of `expected` must stand in what it prints.
    pub(super) fn says(&mut self, command: &str, expected: &[&str]) -> Result<String> {
        let output = self.run(command)?;
        let shown: String = output.chars().take(SHOWN_BYTES).collect();
        println!("$ {command}\n{shown}");
        for part in expected {
            self.check(output.contains(part), &format!("`{command}` says `{part}`"), &output);
        }
        Ok(output)
    }

    /// Notes whether something is as it must be; `found` is what was found instead.
    pub(super) fn check(&mut self, is_good: bool, what: &str, found: &dyn std::fmt::Display) {
        if is_good {
            self.passed += 1;
        } else {
            println!("FAILED: {what}");
            self.failures.push(format!("{what}, but: {found}"));
        }
    }

    fn on_these_ports(&self, command: &str) -> String {
        let ports = &self.layout.ports;
        let pairs =
            [(8080, ports.sender), (8081, ports.nginx), (8082, ports.consumer), (8000, ports.api), (9092, ports.kafka)];
        // By way of names, so that no port is changed twice.
        let named = pairs
            .iter()
            .fold(command.to_owned(), |text, (old, _)| text.replace(&format!(":{old}"), &format!(":@{old}@")));
        pairs.iter().fold(named, |text, (old, new)| text.replace(&format!("@{old}@"), &new.to_string()))
    }
}

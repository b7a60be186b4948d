//! What one check found, and how that is shown. Knows no check.

use crossterm::style::Stylize as _;
use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// A server works, but not as well as it could, or not for long.
    Warn,
    /// A server does not start, or does not do its work.
    Fail,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// What to do; empty when there is nothing to do.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), advice: String::new() }
    }

    pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, found: found.into(), advice: advice.into() }
    }

    pub(super) fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, found: found.into(), advice: advice.into() }
    }

    /// One line for people.
    pub(super) fn line(&self, colours: bool) -> String {
        let word = format!("{:<4}", self.level.as_str());
        let word = match self.level {
            _ if !colours => word,
            Level::Ok => word.green().to_string(),
            Level::Warn => word.yellow().to_string(),
            Level::Fail => word.red().bold().to_string(),
        };
        let joint = if self.advice.is_empty() {
            ""
        } else if self.found.ends_with('?') {
            " "
        } else {
            "; "
        };
        format!("{word}  {:<14} {}{joint}{}", self.check, self.found, self.advice)
    }

    pub(super) fn as_json(&self) -> Value {
        let advice = (!self.advice.is_empty()).then_some(&self.advice);
        json!({ "check": self.check, "level": self.level.as_str(), "found": self.found, "advice": advice })
    }
}

//! The licences of everything that is built, against the lists of `deny.toml`.

use super::Finding;
use super::deny::Deny;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// A package and its SPDX expression.
pub(crate) struct Licensed {
    name: String,
    expression: Option<String>,
}

pub(crate) fn read(metadata: &Value) -> Result<Vec<Licensed>> {
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    Ok(packages
        .iter()
        .map(|package| Licensed {
            name: package["name"].as_str().unwrap_or_default().to_owned(),
            expression: package["license"].as_str().map(str::to_owned),
        })
        .collect())
}

pub(crate) fn check(packages: &[Licensed], deny: &Deny) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let allowed = |licence: &str| {
            deny.licences.iter().any(|allowed| allowed == licence)
                || deny.licence_exceptions.iter().any(|(name, allowed)| *name == package.name && allowed == licence)
        };
        let what = match &package.expression {
            None => "has no licence expression".to_owned(),
            Some(expression) => match allows(expression, &allowed) {
                Some(true) => continue,
                Some(false) => format!("licence `{expression}` is not on the list of deny.toml"),
                None => format!("licence `{expression}` cannot be read"),
            },
        };
        findings.push(Finding::new("licence", &package.name, what));
    }
    findings
}

/// Is the expression met by licences that are `allowed`? `None` when it is no expression.
///
/// SPDX: `WITH` binds closest, then `AND`, then `OR`; an old `/` is an `OR`.
fn allows(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let answer = parser.any()?;
    parser.words.is_empty().then_some(answer)
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take_if(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn any(&mut self) -> Option<bool> {
        let mut answer = self.every()?;
        while self.take_if("OR") {
            answer |= self.every()?;
        }
        Some(answer)
    }

    fn every(&mut self) -> Option<bool> {
        let mut answer = self.term()?;
        while self.take_if("AND") {
            answer &= self.term()?;
        }
        Some(answer)
    }

    fn term(&mut self) -> Option<bool> {
        if self.take_if("(") {
            let answer = self.any()?;
            return self.take_if(")").then_some(answer);
        }
        let licence = self.take().filter(|word| !matches!(*word, "OR" | "AND" | "WITH" | ")"))?;
        if self.take_if("WITH") {
            let exception = self.take()?;
            return Some((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Some((self.allowed)(licence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows_mit_and_isc(expression: &str) -> Option<bool> {
        allows(expression, &|licence| matches!(licence, "MIT" | "ISC"))
    }

    #[test]
    fn expressions_are_read_as_spdx_does() {
        for (expression, answer) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0", Some(true)),
            ("GPL-3.0/MIT", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT AND ISC", Some(true)),
            ("GPL-3.0 AND MIT OR GPL-3.0", Some(false)),
            ("(GPL-3.0 OR MIT) AND ISC", Some(true)),
            ("ISC AND (GPL-3.0 OR (X AND MIT))", Some(false)),
            ("MIT WITH LLVM-exception", Some(false)),
            ("MIT WITH LLVM-exception OR ISC", Some(true)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT ISC", None),
            ("MIT)", None),
        ] {
            assert_eq!(allows_mit_and_isc(expression), answer, "{expression}");
        }
    }

    #[test]
    fn an_exception_holds_for_its_package_alone() {
        let deny = Deny {
            licences: vec!["MIT".to_owned()],
            licence_exceptions: vec![("one".to_owned(), "MPL-2.0".to_owned())],
            ..Deny::default()
        };
        let package = |name: &str, expression: Option<&str>| Licensed {
            name: name.to_owned(),
            expression: expression.map(str::to_owned),
        };
        let packages = [package("one", Some("MPL-2.0")), package("two", Some("MPL-2.0")), package("three", None)];
        let findings = check(&packages, &deny);
        let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
        assert_eq!(subjects, ["two", "three"]);
    }
}

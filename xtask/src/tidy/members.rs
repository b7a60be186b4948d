//! Which member may depend on what: the directions of the house.

use super::Finding;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeSet;

/// The two that know no other member and that every other may know.
const FOUNDATIONS: [&str; 2] = ["hookfast-core", "hookfast-signing"];
/// Puts the graph together, so it may know all.
const BINARY: &str = "hookfast";
/// For tests of any member.
const TESTKIT: &str = "hookfast-testkit";
const XTASK: &str = "xtask";

/// Packages that one room alone knows.
const OWNED: [(&str, &[&str]); 5] = [
    ("rusqlite", &["hookfast-store"]),
    ("tokio-postgres", &["hookfast-store"]),
    ("rdkafka", &["hookfast-log"]),
    ("axum", &["hookfast-http", BINARY]),
    ("anyhow", &[BINARY, XTASK, TESTKIT]),
];

/// What does I/O or runs tasks: not for the foundations.
const RUNTIMES: [&str; 4] = ["tokio", "hyper", "reqwest", "rustix"];

/// A member of the workspace and its direct dependencies.
#[derive(Debug, Default)]
pub(crate) struct Member {
    name: String,
    /// For building and running.
    normal: BTreeSet<String>,
    /// For its tests.
    dev: BTreeSet<String>,
}

pub(crate) fn read(metadata: &Value) -> Result<Vec<Member>> {
    let ids = metadata["workspace_members"].as_array().context("cargo metadata has no workspace members")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut members = Vec::new();
    for package in packages.iter().filter(|package| ids.contains(&package["id"])) {
        let mut member = Member { name: package["name"].as_str().unwrap_or_default().to_owned(), ..Member::default() };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default().to_owned();
            let list = if dependency["kind"] == "dev" { &mut member.dev } else { &mut member.normal };
            list.insert(name);
        }
        members.push(member);
    }
    Ok(members)
}

pub(crate) fn check(members: &[Member]) -> Vec<Finding> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut findings = Vec::new();
    for member in members {
        let from = member.name.as_str();
        let mut refuse = |what: String| findings.push(Finding::new("dependency", from, what));
        for to in member.normal.iter().map(String::as_str) {
            if names.contains(to) && !may_know(from, to) {
                refuse(format!("must not depend on {to}: ports in hookfast-core join the members"));
            }
            if let Some((_, owners)) = OWNED.iter().find(|(package, owners)| *package == to && !owners.contains(&from))
            {
                refuse(format!("must not depend on {to}, which only {} may know", owners.join(", ")));
            }
            if FOUNDATIONS.contains(&from) && RUNTIMES.contains(&to) {
                refuse(format!("must not depend on {to}: it does no I/O and has no runtime"));
            }
        }
        for to in member.dev.iter().map(String::as_str) {
            if names.contains(to) && to != TESTKIT && !may_know(from, to) {
                refuse(format!("its tests must not depend on {to}"));
            }
        }
    }
    findings
}

/// May `from` depend on the member `to`, outside its tests?
fn may_know(from: &str, to: &str) -> bool {
    match (from, to) {
        (XTASK, _) | (_, XTASK | BINARY | TESTKIT) => false,
        (BINARY | TESTKIT, _) => true,
        _ => !FOUNDATIONS.contains(&from) && FOUNDATIONS.contains(&to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(from: &str, normal: &[&str], dev: &[&str]) -> usize {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut members: Vec<Member> =
            ["hookfast-core", "hookfast-signing", "hookfast-store", "hookfast-http", BINARY, TESTKIT, XTASK]
                .iter()
                .filter(|name| **name != from)
                .map(|name| Member { name: (*name).to_owned(), ..Member::default() })
                .collect();
        members.push(Member { name: from.to_owned(), normal: set(normal), dev: set(dev) });
        check(&members).len()
    }

    #[test]
    fn members_know_the_foundations_and_the_binary_knows_all() {
        assert_eq!(findings("hookfast-store", &["hookfast-core", "hookfast-signing", "rusqlite"], &[TESTKIT]), 0);
        assert_eq!(findings(BINARY, &["hookfast-store", "hookfast-http", "anyhow"], &[TESTKIT]), 0);
        assert_eq!(findings(TESTKIT, &["hookfast-core", "hookfast-store"], &[]), 0);
    }

    #[test]
    fn wrong_directions_are_found() {
        assert_eq!(findings("hookfast-store", &["hookfast-http"], &[]), 1);
        assert_eq!(findings("hookfast-store", &[], &["hookfast-http"]), 1);
        assert_eq!(findings("hookfast-store", &[TESTKIT], &[]), 1);
        assert_eq!(findings("hookfast-core", &["hookfast-signing", "tokio"], &[]), 2);
        assert_eq!(findings("hookfast-http", &["hookfast", "rusqlite", "anyhow"], &[]), 3);
        assert_eq!(findings(XTASK, &["hookfast-core"], &[]), 1);
        assert_eq!(findings(BINARY, &[TESTKIT], &[]), 1);
    }
}

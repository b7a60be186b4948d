//! What the binary contains: one crypto provider, and one version of what must meet itself.

use super::Finding;
use super::deny::Deny;
use std::collections::{BTreeMap, BTreeSet};

/// Two versions of these do not know each other's types, or run two of what there must be one of.
const ONE_VERSION: [&str; 6] = ["http", "hyper", "rustls", "tokio", "bytes", "aws-lc-rs"];

/// `tree` is `cargo tree --prefix none --format {p}`: `name vX.Y.Z …` a line.
pub(crate) fn check(tree: &str, deny: &Deny) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let mut findings = Vec::new();
    for name in deny.banned.iter().filter(|name| versions.contains_key(name.as_str())) {
        findings.push(Finding::new("banned", name, "is in the binary: `cargo tree -p hookfast -i` shows by whom"));
    }
    for name in ONE_VERSION {
        if let Some(found) = versions.get(name).filter(|found| found.len() > 1) {
            let found: Vec<&str> = found.iter().copied().collect();
            findings.push(Finding::new("one version", name, format!("is in the binary as {}", found.join(" and "))));
        }
    }
    if versions.is_empty() {
        findings.push(Finding::new("banned", "cargo tree", "printed nothing: no package was checked"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_and_doubled_packages_are_found() {
        let deny = Deny { banned: vec!["ring".to_owned()], ..Deny::default() };
        let good = "hookfast v0.1.0 (/x)\nhyper v1.2.0\nstring v0.1.0\nhyper v1.2.0 (*)\nsyn v1.0.0\nsyn v2.0.0\n";
        assert_eq!(check(good, &deny), []);
        let rules = |tree: &str| check(tree, &deny).into_iter().map(|finding| finding.rule).collect::<Vec<_>>();
        assert_eq!(rules("hookfast v0.1.0\nring v0.17.0\nhyper v0.14.0\nhyper v1.2.0"), ["banned", "one version"]);
        assert_eq!(rules(""), ["banned"]);
    }
}

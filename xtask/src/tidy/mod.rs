//! `cargo xtask tidy`: the rules of the house that no compiler knows, checked by reading the tree and the resolved
//! dependencies. Each rule is a pure function over text, so that it has a test of its own.

mod deny;
mod documents;
mod licences;
mod members;
mod packages;
mod sources;

use crate::features;
use crate::program::{cargo, output, root};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Broken rules that are known: (rule, what breaks it, why it may). The list must shrink; an entry that nothing needs
/// any more is itself a finding.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    rule: &'static str,
    /// The file, crate or package.
    subject: String,
    what: String,
    /// Told, but no failure.
    warning: bool,
}

impl Finding {
    fn new(rule: &'static str, subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule, subject: subject.into(), what: what.into(), warning: false }
    }

    fn warning(rule: &'static str, subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(rule, subject, what) }
    }
}

/// A text file of the tree.
pub(crate) struct File {
    /// From the root.
    path: String,
    text: String,
}

/// Checks everything and prints what is broken. The answer is whether nothing is.
pub(crate) fn run() -> Result<bool> {
    let files = read_tree(&root())?;
    let metadata = serde_json::from_str(&output(&mut cargo(["metadata", "--format-version", "1", "--locked"]))?)?;
    let deny = deny::Deny::parse(&files)?;
    let features = features::of_selection(&["--package=hookfast".to_owned()]);
    let mut tree = cargo(["tree", "--package", "hookfast", "--features", &features, "--edges", "normal", "--locked"]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    let mut findings = sources::check(&files);
    findings.extend(documents::check(&files));
    findings.extend(members::check(&members::read(&metadata)?));
    findings.extend(licences::check(&licences::read(&metadata)?, &deny));
    findings.extend(packages::check(&output(&mut tree)?, &deny));
    let findings = without_exceptions(findings, EXCEPTIONS);
    for Finding { rule, subject, what, warning } in &findings {
        println!("{}{rule}: {subject}: {what}", if *warning { "warning: " } else { "" });
    }
    let broken = findings.iter().filter(|finding| !finding.warning).count();
    println!("tidy: {} files read, {broken} broken rules", files.len());
    Ok(broken == 0)
}

/// Every text file that git tracks or would track.
fn read_tree(root: &Path) -> Result<Vec<File>> {
    let mut git = Command::new("git");
    // A checkout may belong to somebody else than who runs this.
    git.args(["-c", "safe.directory=*"]);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let mut files = Vec::new();
    for path in output(&mut git)?.split_terminator('\0') {
        // A file that is tracked and was deleted is still listed; a binary one has no rules here.
        if let Ok(bytes) = std::fs::read(root.join(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn without_exceptions(mut findings: Vec<Finding>, exceptions: &[(&str, &str, &str)]) -> Vec<Finding> {
    for (rule, subject, _) in exceptions {
        let before = findings.len();
        findings.retain(|finding| finding.rule != *rule || finding.subject != *subject);
        if findings.len() == before {
            findings.push(Finding::new("exceptions", *subject, format!("no longer breaks `{rule}`: remove the entry")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_covers_one_finding_and_must_be_needed() {
        let findings = || vec![Finding::new("size", "a.rs", "long"), Finding::new("size", "b.rs", "long")];
        let left = without_exceptions(findings(), &[("size", "a.rs", "grew")]);
        assert_eq!(left, findings()[1..]);
        let stale = without_exceptions(findings(), &[("size", "c.rs", "grew")]);
        assert_eq!(stale.len(), 3);
        assert_eq!(stale[2].rule, "exceptions");
    }
}

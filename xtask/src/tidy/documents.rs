//! Rules about documents: which there must be, how decisions are numbered, and that a claim names its test.

use super::{File, Finding};

const REQUIRED: [&str; 6] =
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs/ARCHITECTURE.md", "deny.toml"];
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const ARCHITECTURE_LINES_MAX: usize = 250;
const DECISIONS: &str = "docs/adr/";

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in REQUIRED {
        if !files.iter().any(|file| file.path == path) {
            findings.push(Finding::new("documents", path, "is missing"));
        }
    }
    for file in files.iter().filter(|file| file.path == ARCHITECTURE) {
        let lines = file.text.lines().count();
        if lines > ARCHITECTURE_LINES_MAX {
            let what = format!("has {lines} lines, at most {ARCHITECTURE_LINES_MAX} are allowed");
            findings.push(Finding::new("documents", ARCHITECTURE, what));
        }
    }
    check_decisions(files, &mut findings);
    check_claims(files, &mut findings);
    findings
}

/// Decisions are `docs/adr/NNNN-title.md`, numbered from 0001 without a gap, and open with a heading.
fn check_decisions(files: &[File], findings: &mut Vec<Finding>) {
    let mut decisions: Vec<(&str, &File)> =
        files.iter().filter_map(|file| Some((file.path.strip_prefix(DECISIONS)?, file))).collect();
    decisions.sort_by_key(|(name, _)| *name);
    for (index, (name, file)) in decisions.into_iter().enumerate() {
        let wanted = format!("{:04}-", index + 1);
        let title = name.strip_prefix(&wanted).and_then(|rest| rest.strip_suffix(".md"));
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !title.is_some_and(|title| !title.is_empty() && title.chars().all(good)) {
            findings.push(Finding::new("decisions", &file.path, format!("expected the name `{wanted}title.md` here")));
        }
        if !file.text.starts_with("# ") {
            findings.push(Finding::new("decisions", &file.path, "must open with a heading"));
        }
    }
}

/// In the README, each row of a table whose last column is headed `test` names tests that exist.
fn check_claims(files: &[File], findings: &mut Vec<Finding>) {
    let Some(readme) = files.iter().find(|file| file.path == "README.md") else { return };
    let mut in_claims = false;
    let mut claims = 0;
    for line in readme.text.lines() {
        let Some(row) = line.trim().strip_prefix('|') else {
            in_claims = false;
            continue;
        };
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or("").trim();
        if last.eq_ignore_ascii_case("test") || last.eq_ignore_ascii_case("tests") {
            in_claims = true;
        } else if in_claims && !last.starts_with("--") {
            claims += 1;
            check_claim(last, files, findings);
        }
    }
    if claims == 0 {
        let what = "has no table of claims (`| claim | test |`): each promise names the test that holds it";
        findings.push(Finding::new("claims", "README.md", what));
    }
}

fn check_claim(cell: &str, files: &[File], findings: &mut Vec<Finding>) {
    let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        findings.push(Finding::new("claims", "README.md", format!("a claim names no test, but `{cell}`")));
    }
    for name in names {
        let name = name.rsplit("::").next().unwrap_or(name);
        // A promise of a conformance suite is generic over the back-end.
        let forms = [format!("fn {name}("), format!("fn {name}<")];
        let has = |file: &File| forms.iter().any(|form| file.text.contains(form));
        let exists = files.iter().any(|file| file.path.ends_with(".rs") && has(file));
        if !exists {
            findings.push(Finding::new(
                "claims",
                "README.md",
                format!("names the test `{name}`, which does not exist"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn decisions_are_numbered_without_gap() {
        let check = |names: &[&str]| {
            let files: Vec<File> = names.iter().map(|name| file(&format!("{DECISIONS}{name}"), "# Title\n")).collect();
            let mut findings = Vec::new();
            check_decisions(&files, &mut findings);
            findings.len()
        };
        assert_eq!(check(&["0001-one-road.md", "0002-sqlite.md"]), 0);
        assert_eq!(check(&["0001-one-road.md", "0003-sqlite.md"]), 1);
        assert_eq!(check(&["0001-one-road.md", "0001-sqlite.md"]), 1);
        assert_eq!(check(&["0001-One Road.md"]), 1);
    }

    #[test]
    fn claims_name_tests_that_exist() {
        let check = |row: &str| {
            let readme =
                format!("# x\n\n| claim | test |\n|---|---|\n{row}\n\n| key | value |\n|---|---|\n| a | `b` |\n");
            let files = [file("README.md", &readme), file("a.rs", "//! x\nfn nothing_is_lost() {}\n")];
            let mut findings = Vec::new();
            check_claims(&files, &mut findings);
            findings.len()
        };
        assert_eq!(check("| nothing is lost | `crash::nothing_is_lost` |"), 0);
        assert_eq!(check("| nothing is lost | `nothing_is_lost`, `other` |"), 1);
        assert_eq!(check("| nothing is lost | trust us |"), 1);
        assert_eq!(check(""), 1);
    }

    #[test]
    fn the_map_of_the_house_stays_readable() {
        let long = file(ARCHITECTURE, &"line\n".repeat(ARCHITECTURE_LINES_MAX + 1));
        assert!(check(&[long]).iter().any(|finding| finding.subject == ARCHITECTURE && finding.what.contains("251")));
    }
}

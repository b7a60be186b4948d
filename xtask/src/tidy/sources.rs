//! Rules about single files: how they open, how long they are, what must not stand in them. The words looked for are
//! put together from parts, so that this file does not find itself.

use super::{File, Finding};

const LINES_MAX: usize = 800;
const LINES_WARN: usize = 500;
const MIB: usize = 1 << 20;

/// Left-over markers: words, and calls.
const MARKER_WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MARKER_CALLS: [&str; 4] =
    [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("db", "g!("), concat!("#[ig", "nore")];

/// Names of modules that say nothing.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];

/// First folders of paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 4] = ["work", "farm", "root", "home"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
const NPM: &str = "https://registry.npmjs.org/";

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    if file.path.ends_with(".rs") {
        check_rust(file, &mut findings);
    }
    if [".rs", ".sh", ".ts", ".tsx", ".sql", ".toml"].iter().any(|ending| name.ends_with(ending)) || name == "run" {
        check_markers(file, &mut findings);
    }
    if name.ends_with(".lock") || name == "package-lock.json" {
        check_registries(file, &mut findings);
    } else {
        check_machine_paths(file, &mut findings);
        if file.text.len() > MIB {
            findings.push(Finding::new("size", &file.path, "is larger than 1 MiB"));
        }
    }
    findings
}

fn check_rust(file: &File, findings: &mut Vec<Finding>) {
    if !file.text.starts_with("//! ") {
        findings.push(Finding::new(
            "opening",
            &file.path,
            "must open with `//!`: what it is for, what it must not know",
        ));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::new("size", &file.path, format!("has {lines} lines, at most {LINES_MAX} are allowed")));
    } else if lines > LINES_WARN {
        findings.push(Finding::warning("size", &file.path, format!("has {lines} lines, 300 are the aim")));
    }
    let stem = file.path.trim_end_matches(".rs");
    if let Some(part) = stem.split('/').find(|part| EMPTY_NAMES.contains(part)) {
        findings.push(Finding::new("name", &file.path, format!("`{part}` says nothing about what is in it")));
    }
    for line in file.text.lines() {
        let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
        if words.next() == Some("mod")
            && let Some(module) = words.next().map(|word| word.trim_end_matches(['{', ';']))
            && EMPTY_NAMES.contains(&module)
        {
            findings.push(Finding::new("name", &file.path, format!("`mod {module}` says nothing about what is in it")));
        }
    }
}

fn check_markers(file: &File, findings: &mut Vec<Finding>) {
    for (at, line) in file.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let found = words
            .find(|word| MARKER_WORDS.contains(word))
            .or_else(|| MARKER_CALLS.into_iter().find(|call| line.contains(call)));
        if let Some(found) = found {
            findings.push(Finding::new("marker", &file.path, format!("line {}: `{found}`", at + 1)));
        }
    }
}

fn check_machine_paths(file: &File, findings: &mut Vec<Finding>) {
    for (at, line) in file.text.lines().enumerate() {
        if let Some(folder) = MACHINE_FOLDERS.into_iter().find(|folder| names_folder(line, folder)) {
            let what = format!("line {}: a path under `/{folder}` exists on one machine only", at + 1);
            findings.push(Finding::new("machine path", &file.path, what));
        }
    }
}

/// Does an absolute path under this folder stand in the line?
fn names_folder(line: &str, folder: &str) -> bool {
    let pattern = format!("/{folder}/");
    line.match_indices(&pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*')))
    })
}

fn check_registries(file: &File, findings: &mut Vec<Finding>) {
    for (at, line) in file.text.lines().enumerate() {
        let line_is_good = if let Some(source) = line.strip_prefix("source = ") {
            source.trim_matches('"') == CRATES_IO
        } else if let Some(resolved) = line.trim().strip_prefix("\"resolved\": ") {
            resolved.trim_start_matches('"').starts_with(NPM)
        } else {
            true
        };
        if !line_is_good {
            let what = format!("line {}: names another registry than the public one", at + 1);
            findings.push(Finding::new("registry", &file.path, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check_file(&file).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_file_opens_with_its_purpose_and_stays_short() {
        assert_eq!(rules("a.rs", "//! Good.\n"), [""; 0]);
        assert_eq!(rules("a.rs", "use x;\n"), ["opening"]);
        assert_eq!(rules("a.rs", &format!("//! Long.\n{}", "x();\n".repeat(LINES_MAX))), ["size"]);
        let file = File { path: "a.rs".to_owned(), text: format!("//! Long.\n{}", "x();\n".repeat(LINES_WARN)) };
        assert!(check_file(&file).iter().all(|finding| finding.warning));
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        for path in ["src/util.rs", "tests/common/mod.rs", "src/manager.rs"] {
            assert_eq!(rules(path, "//! Good.\n"), ["name"], "{path}");
        }
        assert_eq!(rules("a.rs", "//! Good.\npub(crate) mod helpers;\nmod utility;\n"), ["name"]);
    }

    #[test]
    fn markers_are_found_as_words() {
        for marker in MARKER_WORDS.into_iter().chain(MARKER_CALLS) {
            assert_eq!(rules("a.rs", &format!("//! Good.\n// {marker} later\n")), ["marker"], "{marker}");
        }
        assert_eq!(rules("a.rs", &format!("//! Good.\nconst {}S: u8 = 1;\n", MARKER_WORDS[0])), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let path = |folder: &str| format!("see /{folder}/thing");
        assert_eq!(rules("a.md", &path("work")), ["machine path"]);
        assert_eq!(rules("a.md", &path("usr")), [""; 0]);
        assert_eq!(rules("a.md", "GET /api/home/page and target/work/x"), [""; 0]);
    }

    #[test]
    fn other_registries_are_found() {
        assert_eq!(rules("Cargo.lock", &format!("source = \"{CRATES_IO}\"\n")), [""; 0]);
        assert_eq!(rules("Cargo.lock", "source = \"registry+http://mirror/index\"\n"), ["registry"]);
        assert_eq!(rules("package-lock.json", "  \"resolved\": \"http://mirror/a.tgz\",\n"), ["registry"]);
    }
}

//! Reads the lists of `deny.toml` that tidy enforces, so that they stand in one place. It reads the form that file
//! has, not all of TOML; what it does not find is an error.

use super::File;
use anyhow::{Context as _, Result};

/// What may be depended on.
#[derive(Debug, Default)]
pub(crate) struct Deny {
    /// SPDX ids that every package may have.
    pub(crate) licences: Vec<String>,
    /// (package, SPDX id) that this package alone may have.
    pub(crate) licence_exceptions: Vec<(String, String)>,
    /// Packages that the binary must not contain.
    pub(crate) banned: Vec<String>,
}

impl Deny {
    pub(crate) fn parse(files: &[File]) -> Result<Self> {
        let file = files.iter().find(|file| file.path == "deny.toml").context("deny.toml is missing")?;
        Self::parse_text(&file.text)
    }

    fn parse_text(text: &str) -> Result<Self> {
        let exceptions = list(text, "licenses", "exceptions").context("deny.toml: [licenses] has no exceptions")?;
        let banned = list(text, "bans", "deny").context("deny.toml: [bans] has no deny")?;
        Ok(Self {
            licences: strings(&list(text, "licenses", "allow").context("deny.toml: [licenses] has no allow")?),
            licence_exceptions: tables(&exceptions)
                .filter_map(|table| {
                    let allow = table.split_once("allow").and_then(|(_, rest)| strings(rest).into_iter().next())?;
                    Some((value(table, "crate").or_else(|| value(table, "name"))?, allow))
                })
                .collect(),
            banned: tables(&banned).filter_map(|table| value(table, "name")).collect(),
        })
    }
}

/// What stands between the outer brackets of `key = [ … ]` in `[section]`, without comments.
fn list(text: &str, section: &str, key: &str) -> Option<String> {
    let header = format!("[{section}]");
    let body = text.lines().skip_while(|line| line.trim() != header).skip(1);
    let lines = body.take_while(|line| !(line.starts_with('[') && line.trim().ends_with(']')));
    let plain: Vec<&str> = lines.map(|line| line.split('#').next().unwrap_or("")).collect();
    let start = plain.iter().position(|line| line.split('=').next().is_some_and(|name| name.trim() == key))?;
    let joined = plain[start..].join("\n");
    let from = joined.find('[')?;
    let mut depth = 0;
    for (at, character) in joined[from..].char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(joined[from + 1..from + at].to_owned());
        }
    }
    None
}

fn strings(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn tables(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).map(|part| part.split('}').next().unwrap_or(""))
}

fn value(table: &str, key: &str) -> Option<String> {
    table.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_in_their_sections() {
        let text = r#"
[licenses]
allow = [
  "MIT",   # "not this"
  "ISC",
]
exceptions = [{ allow = ["MPL-2.0"], crate = "some-crate" }]
[bans]
deny = [
  { name = "ring" },
  { name = "openssl", reason = "two providers" },
]
"#;
        let deny = Deny::parse_text(text).unwrap();
        assert_eq!(deny.licences, ["MIT", "ISC"]);
        assert_eq!(deny.licence_exceptions, [("some-crate".to_owned(), "MPL-2.0".to_owned())]);
        assert_eq!(deny.banned, ["ring", "openssl"]);
        assert!(Deny::parse_text("[licenses]\nallow = []").is_err());
    }
}

//! Writes `docs/configuration.md` from the table of settings. Test only: the binary does not need it.
#![cfg(test)]

use super::keys::{Key, SECTIONS, keys};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Configuration

hookfast runs without any. What you set is taken from four sources; a later one wins over an earlier one:

1. the defaults on this page;
2. a TOML file, named by `--config FILE` or `HOOKFAST_CONFIG`;
3. the environment: `HOOKFAST_SECTION__KEY` (two underscores), and the short `HOOKFAST_LISTEN` and `HOOKFAST_DATA_DIR`;
4. flags: `--listen`, `--data-dir`, `--store`, `--roles`, `--node-name`, `--log-level`, `--log-format`, and
   `--set section.key=value` for every other setting.

Everything is checked before anything starts, and everything wrong is reported at once, with the file and line (or the
variable, or the flag), the key, what was expected and what was found. Keys that do not exist are refused. Secrets are
never printed. `hookfast config print` shows every value with where it came from, `hookfast config check` everything that
is wrong, and `hookfast config schema` the JSON Schema of the file, for editors.

```toml
[server]
listen = \"127.0.0.1:8071\"
data_dir = \"/var/lib/hookfast\"

[retry]
delays = [\"5s\", \"5m\", \"30m\", \"2h\"]
```

Durations are written `250ms`, `5s`, `5m`, `2h`, `1d`; a plain number is milliseconds. Sizes are written `512KiB`,
`1MiB`, `2GiB`; a plain number is bytes. Lists are TOML arrays, in the environment and in flags comma lists. An empty
text unsets what may be unset.

This page is made from the code: `UPDATE_DOCS=1 cargo test -p hookfast docs` writes it anew.
";

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for (section, about) in SECTIONS {
        let _ = write!(page, "\n## [{section}]\n\n{}\n", about.trim());
        for key in keys().iter().filter(|key| key.section == *section) {
            entry(&mut page, key);
        }
    }
    page
}

fn entry(page: &mut String, key: &Key) {
    let default = if key.default.is_empty() { "not set".into() } else { format!("`{}`", key.default) };
    let secret = if key.secret { " A secret: never printed." } else { "" };
    let _ = write!(
        page,
        "\n### `{}`\n\n{}{secret}\n\n- default: {default}\n- expected: {}\n- environment: `{}`\n",
        key.path(),
        key.doc.trim(),
        key.expected,
        key.variable(),
    );
}

#[test]
fn docs_configuration_md_is_current() {
    crate::docs::must_equal("configuration.md", &page());
}

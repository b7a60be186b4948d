//! Keeps the generated pages of `docs/` equal to what the code says. Test only.
#![cfg(test)]

use std::path::Path;

/// Compares a page with the committed one; with `UPDATE_DOCS` set, writes it instead.
pub(crate) fn must_equal(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/{name} is out of date: run `UPDATE_DOCS=1 cargo test -p hookfast docs`");
}

//! The committed OpenAPI document is the one that the code makes. Regenerate it with `UPDATE_OPENAPI=1`.

use std::path::Path;

#[test]
fn the_committed_openapi_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
    let document = hookfast_http::document();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == document, "docs/api/openapi.json is out of date: run this test with UPDATE_OPENAPI=1");
}

#[test]
fn every_operation_is_named_tagged_and_documented() {
    let document: serde_json::Value = serde_json::from_str(&hookfast_http::document()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}: operation id twice");
            assert!(!operation["tags"].as_array().unwrap().is_empty(), "{place}: no tag");
            let text = |key: &str| operation[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(text("summary") || text("description"), "{place}: no description");
        }
    }
    for id in ["v1.application.create", "v1.endpoint.rotate-secret", "v1.message.create", "v1.message-attempt.resend"] {
        assert!(ids.contains(id), "{id}");
    }
    let references = references_of(&document);
    for reference in references {
        let found = document.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some(), "{reference} leads nowhere");
    }
}

fn references_of(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(map) => {
            let own = map.get("$ref").and_then(|reference| reference.as_str()).map(str::to_owned);
            own.into_iter().chain(map.values().flat_map(references_of)).collect()
        }
        serde_json::Value::Array(items) => items.iter().flat_map(references_of).collect(),
        _ => Vec::new(),
    }
}

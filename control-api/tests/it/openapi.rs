//! The committed document is what the routes say.

/// `cargo xtask openapi` writes it anew.
#[test]
fn the_committed_document_is_current() {
    let current = serde_json::to_string_pretty(&control_api::openapi::document()).expect("a document");
    let committed = include_str!("../../../openapi.json");
    assert!(current.trim() == committed.trim(), "openapi.json has drifted; run `cargo xtask openapi` and commit it");
}

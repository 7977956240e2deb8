//! The committed document is what the routes say.

/// `cargo xtask openapi` writes it anew.
#[test]
fn the_committed_document_is_current() {
    let current = control_api::openapi::document().to_pretty_json().expect("a document");
    let committed = include_str!("../../../openapi.json");
    assert!(current.trim() == committed.trim(), "openapi.json has drifted; run `cargo xtask openapi` and commit it");
}

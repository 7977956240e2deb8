//! The OpenAPI document and a page to read it. The page needs nothing from elsewhere, so it also works on a
//! machine without a network.

use axum::{
    Router,
    http::{HeaderName, header},
    response::Html,
    routing::get,
};

use crate::app::App;

/// Both change with a release only, and hold nobody's data.
const REVALIDATE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");
/// The page's own script and style, the document, and nothing else; in no frame.
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `/openapi.json` and `/docs`.
pub fn router(document: &serde_json::Value) -> Router<App> {
    let json = document.to_string();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json"), REVALIDATE], json)))
        .route("/docs", get(async || ([REVALIDATE, POLICY], Html(include_str!("docs.html")))))
}

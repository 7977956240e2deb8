//! The OpenAPI document and a page to read it. The page needs nothing from elsewhere, so it also works on a
//! machine without a network.

use axum::{
    Router,
    http::header,
    response::{Html, IntoResponse},
    routing::get,
};

use crate::app::App;

/// `/openapi.json` and `/docs`.
pub fn router(document: &utoipa::openapi::OpenApi) -> Router<App> {
    let json = document.to_pretty_json().unwrap_or_default();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], json).into_response()))
        .route("/docs", get(async || Html(include_str!("docs.html"))))
}

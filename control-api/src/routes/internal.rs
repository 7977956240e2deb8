//! Our own worker's door: click batches and fills, signed by a key of `EDGE_SECRETS`. Not part of the public
//! API and not in its document.

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::Uri,
};
use shared::{click::BatchReceipt, query, record::Fill};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use domain::Error;
use web::{
    body,
    internal::{FromEdge, MAX_INTERNAL},
    problem::ApiError,
};

/// Paths of the internal door.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/internal/v1/clicks", axum::routing::post(clicks))
        .route("/internal/v1/links", axum::routing::get(fill))
        .layer(DefaultBodyLimit::max(MAX_INTERNAL))
}

/// Stores a batch of clicks. Repeating it is safe. The turn comes before the body, so that bodies can't fill the memory.
async fn clicks(State(app): State<App>, request: Request) -> Result<Json<BatchReceipt>, ApiError> {
    let Ok(_turn) = app.batches.try_acquire() else {
        body::discard(request, MAX_INTERNAL).await;
        return Err(Error::Unavailable("as many batches of clicks are under way as may be".to_owned()).into());
    };
    let FromEdge(raw) = FromEdge::from_request(request, &app).await?;
    domain::clicks::ingest(&app, &raw).await.map(Json).map_err(ApiError::from)
}

/// The records of a host and slug, straight from the store: what the worker asks where its own store misses.
async fn fill(State(app): State<App>, uri: Uri, _: FromEdge) -> Result<Json<Fill>, ApiError> {
    let (mut host, mut slug) = (String::new(), String::new());
    for pair in query::pairs(uri.query().unwrap_or_default()) {
        match &*pair.name() {
            "host" => host = pair.value().into_owned(),
            "slug" => slug = pair.value().into_owned(),
            _ => {}
        }
    }
    // Postgres compares texts without NUL only; no name of ours holds one.
    if host.contains('\0') || slug.contains('\0') {
        return Ok(Json(Fill { domain: None, link: None }));
    }
    domain::records::fill(&app, &host, &slug).await.map(Json).map_err(ApiError::from)
}

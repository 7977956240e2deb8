//! `POST /v1/sources/{id}/test`: the events door for developers, who are told what is wrong.

use axum::{
    Json,
    extract::{Request, State},
};
use shared::{id::SourceId, webhook::Headers};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::events::NewEvent;
use crate::app::App;
use domain::Error;
use domain::signature_check::{self, Attempted, SourceTest};
use model::access::ReadPartners;
use web::{auth::Auth, body, path::Path, problem::ApiError};

/// Path of the test.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(test))
}

/// Test a signed request: why its signature fails, and what would become of its events
///
/// Takes the very headers and body that would go to the events door, and an API key beside them. Nothing is stored.
/// Whatever is wrong with the request is told in a `200`.
#[utoipa::path(post, path = "/v1/sources/{id}/test", tag = "sources", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
    ("webhook-id" = Option<String>, Header, description = "As for the events door"),
    ("webhook-timestamp" = Option<String>, Header, description = "As for the events door"),
    ("webhook-signature" = Option<String>, Header, description = "As for the events door"),
), request_body = NewEvent, responses(
    (status = 200, description = "What was found", body = SourceTest),
))]
async fn test(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<SourceTest>, ApiError> {
    let id: SourceId = id.parse().map_err(|_| Error::NotFound("source"))?;
    let head = request.headers().clone();
    let header = |name: &str| head.get(name).and_then(|value| value.to_str().ok());
    let headers = Headers {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let body = body::read(request, body::MAX_JSON).await?;
    let attempted = Attempted { headers, is_json: body::is_json(&head), body };
    Ok(Json(signature_check::test(&app, auth.workspace, id, attempted).await?))
}

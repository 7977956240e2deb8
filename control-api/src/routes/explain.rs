//! Explanations: why a conversion is what it is, and whether a link's conversions would be credited.

use axum::{Json, extract::State};
use shared::id::{ConversionId, LinkId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::explain::{
    conversion::{self, Explanation},
    link::{self, AttributionCheck, Sight},
};
use model::access::{Permission as _, ReadConversions, ReadPartners, ReadTraffic};
use web::{auth::Auth, path::Path, problem::ApiError};

/// Paths of explanations.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(explain)).routes(routes!(attribution_check))
}

/// Explain a conversion: each check from its signature to its place in the reports, and what to do
#[utoipa::path(get, path = "/v1/conversions/{id}/explain", tag = "conversions", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "Why it is attributed as it is", body = Explanation),
))]
async fn explain(
    State(app): State<App>,
    auth: Auth<ReadConversions>,
    Path(id): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    const NOT_FOUND: Error = Error::NotFound("conversion");
    let id: ConversionId = id.parse().map_err(|_| NOT_FOUND)?;
    let mut snapshot = store::reports::snapshot(&app.reads).await?;
    let facts = store::explain::conversion(&mut snapshot, auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    Ok(Json(conversion::explain(&facts)))
}

/// Check whether what comes through a link would be credited, before anything goes wrong
///
/// Checks of clicks and conversions are `skipped` where the caller may not read those.
#[utoipa::path(get, path = "/v1/links/{id}/attribution-check", tag = "links", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "Each check, and what to do", body = AttributionCheck),
))]
async fn attribution_check(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(id): Path<String>,
) -> Result<Json<AttributionCheck>, ApiError> {
    const NOT_FOUND: Error = Error::NotFound("link");
    let id: LinkId = id.parse().map_err(|_| NOT_FOUND)?;
    let now = app.clock.now();
    let mut snapshot = store::reports::snapshot(&app.reads).await?;
    let facts = store::explain::link(&mut snapshot, auth.workspace, id, now).await?.ok_or(NOT_FOUND)?;
    let sight = Sight {
        traffic: ReadTraffic::RULE.check(&auth).is_ok(),
        conversions: ReadConversions::RULE.check(&auth).is_ok(),
    };
    Ok(Json(link::check(&facts, sight, now)))
}

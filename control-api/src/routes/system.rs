//! Health: whether the process lives, and whether it can serve.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use web::problem::ApiError;

/// `/healthz` and `/readyz`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// How it is.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process lives
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, description = "It does", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Requests can be served: the database answers and is migrated
#[utoipa::path(get, path = "/readyz", tag = "system", responses(
    (status = 200, description = "They can", body = Health),
))]
async fn readyz(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    let applied = store::migrations::applied(&app.db).await.map_err(|error| Error::Unavailable(error.to_string()))?;
    let expected = store::migrations::MIGRATIONS.iter().count();
    if usize::try_from(applied).unwrap_or_default() < expected {
        return Err(Error::Unavailable(format!("{applied} of {expected} migrations are applied")).into());
    }
    Ok(Json(Health { status: "ready" }))
}

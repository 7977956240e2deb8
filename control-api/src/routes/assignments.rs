//! `/v1/links/{id}/assignment` and its history. A change affects future clicks only.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use shared::id::LinkId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::{
    assignments::{Warned, Wish},
    input::Fields,
};
use model::{
    access::{Assign, ReadPartners},
    page::Page,
};
use store::assignments::Assignment;
use web::{
    auth::Auth,
    body::JsonBody,
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of assignments.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(put, end)).routes(routes!(history))
}

/// Whom a link is to belong to.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewAssignment {
    /// Id, `key:…` or `ext:…`.
    #[schema(example = "key:nomura")]
    partner: String,
    /// Id or `key:…`. Default: the partner's primary program; `null`: none.
    program: Option<String>,
    /// Copies the program's UTM values and custom query onto the link, over values of the same name. Default: false.
    apply_program_defaults: Option<bool>,
}

/// Assign a link to a partner, from now on; the same partner and program again change nothing
#[utoipa::path(put, path = "/v1/links/{id}/assignment", tag = "assignments", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id of the link"),
), request_body = NewAssignment, responses(
    (status = 200, description = "The assignment in force", body = Warned<Assignment>),
    (status = 404, description = "`not_found`: no such link, partner or program"),
    (status = 412, description = "`version_mismatch`: `If-Match` names another version than the link's"),
    (status = 422, description = "`validation_failed`, `partner_not_active`, `program_not_active`"),
))]
async fn put(
    State(app): State<App>,
    auth: Auth<Assign>,
    attempt: Preconditions,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let link = parse(&id)?;
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["partner"]);
    let wish = Wish::read(&mut fields);
    fields.finish()?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let assigned = domain::assignments::put(&mut change, auth.key, &attempt, link, &wish).await?;
    change::finish(change, StatusCode::OK, &assigned).await
}

/// Take a link off its partner, from now on; repeated, it answers the same
#[utoipa::path(delete, path = "/v1/links/{id}/assignment", tag = "assignments", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id of the link"),
), responses(
    (status = 200, description = "The assignment that was ended, now or before", body = Assignment),
    (status = 404, description = "`not_found`: no such link, or it never had an assignment"),
    (status = 412, description = "`version_mismatch`: `If-Match` names another version than the link's"),
))]
async fn end(
    State(app): State<App>,
    auth: Auth<Assign>,
    attempt: Preconditions,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let link = parse(&id)?;
    let mut change = change::begin(&app, &auth, &attempt, b"").await?;
    let ended = domain::assignments::end(&mut change, auth.key, &attempt, link).await?;
    change::finish(change, StatusCode::OK, &ended).await
}

/// List whom a link belonged to, newest first
#[utoipa::path(get, path = "/v1/links/{id}/assignments", tag = "assignments", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id of the link"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Assignment>),
))]
async fn history(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<Page<Assignment>>, ApiError> {
    let link = parse(&id)?;
    let page = params.page();
    params.finish()?;
    store::links::get(&app.db, auth.workspace, link).await?.ok_or(Error::NotFound("link"))?;
    let rows = store::assignments::list(&app.db, auth.workspace, link, &page).await?;
    Ok(Json(Page::cut(rows, &page, |assignment| assignment.id)))
}

fn parse(id: &str) -> Result<LinkId, Error> {
    id.parse().map_err(|_| Error::NotFound("link"))
}

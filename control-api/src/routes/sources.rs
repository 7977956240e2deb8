//! `/v1/sources`: who may send signed events. Secrets are shown once, when they are made.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use shared::id::SourceId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::input::{Fields, small, word};
use model::{
    access::{ManagePartners, ReadPartners},
    page::Page,
};
use store::sources::{Source, SourceStatus};
use web::{
    answer::versioned,
    auth::Auth,
    body::{JsonBody, OptionalJsonBody},
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of sources.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, change)).routes(routes!(rotate))
}

/// What a source is to be. In a change every field is optional, and `kind` can't be changed.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewSource {
    /// 1 to 200 characters.
    name: String,
    /// `signed`, the default.
    kind: Option<String>,
    /// `active` or `disabled`. Default: `active`.
    status: Option<String>,
}

/// A source with its new secret, shown this once.
#[derive(Serialize, utoipa::ToSchema)]
struct SourceWithSecret {
    #[serde(flatten)]
    source: Source,
    /// The secret. `null` in a replayed answer.
    #[schema(example = "whsec_…")]
    secret: Option<String>,
}

/// Make a source of signed events
#[utoipa::path(post, path = "/v1/sources", tag = "sources", security(("api_key" = [])), request_body = NewSource, responses(
    (status = 201, description = "Made; the secret is shown this once", body = SourceWithSecret),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut source = domain::sources::draft(app.clock.id(), app.clock.at());
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["name"]);
    fields.set("kind", &mut source.kind, word);
    domain::sources::read(&mut fields, &mut source);
    fields.finish()?;

    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let secret = domain::sources::create(&app, &mut change, &source).await?;
    let answer = SourceWithSecret { source, secret: None };
    change::finish_with_secret(change, StatusCode::CREATED, &answer, Some(("/secret", &secret.reveal()))).await
}

/// List sources, newest first
#[utoipa::path(get, path = "/v1/sources", tag = "sources", security(("api_key" = [])), params(
    ("status" = Option<String>, Query, description = "`active`, `disabled` or `all`, the default"),
    ("q" = Option<String>, Query, description = "Part of the name"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Source>),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    mut params: Params,
) -> Result<Json<Page<Source>>, ApiError> {
    let status = params.get("status", |text| match text {
        "all" => Ok(None),
        _ => text.parse::<SourceStatus>().map(Some).map_err(|detail| format!("{detail}, all")),
    });
    let q = params.text("q");
    let page = params.page();
    params.finish()?;
    let rows = store::sources::list(&app.db, auth.workspace, status.flatten(), q.as_deref(), &page).await?;
    Ok(Json(Page::cut(rows, &page, |source| source.id)))
}

/// Read a source
#[utoipa::path(get, path = "/v1/sources/{id}", tag = "sources", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The source", body = Source),
))]
async fn read(State(app): State<App>, auth: Auth<ReadPartners>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let source = store::sources::get(&app.db, auth.workspace, parse(&id)?).await?.ok_or(NOT_FOUND)?;
    Ok(versioned(source.version, Json(source)))
}

/// Change a source (JSON merge patch)
#[utoipa::path(patch, path = "/v1/sources/{id}", tag = "sources", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), request_body = NewSource, responses(
    (status = 200, description = "Changed", body = Source),
    (status = 412, description = "`version_mismatch`"),
))]
async fn change(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let before = store::sources::lock(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    let mut source = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.immutable(&["kind"]);
    domain::sources::read(&mut fields, &mut source);
    fields.finish()?;
    attempt.check_version(before.version)?;
    domain::sources::update(&mut change, &before, &mut source).await?;
    change::finish(change, StatusCode::OK, &source).await
}

/// How a secret is to be replaced.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct Rotation {
    /// Hours in which earlier secrets stay valid, 0 to 168. Default: 24. With 0 they end at once.
    overlap_hours: Option<i32>,
}

/// Give a source a new secret; earlier ones stay valid for an overlap
#[utoipa::path(post, path = "/v1/sources/{id}/rotate", tag = "sources", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), request_body = Option<Rotation>, responses(
    (status = 200, description = "Rotated; the new secret is shown this once", body = SourceWithSecret),
    (status = 409, description = "`conflict`: too many secrets are valid still"),
    (status = 412, description = "`version_mismatch`"),
))]
async fn rotate(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    Path(id): Path<String>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let mut overlap_hours = 24;
    let mut fields = Fields::of(&body.value)?;
    fields.set("overlap_hours", &mut overlap_hours, small(0..=168));
    fields.finish()?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let before = store::sources::lock(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    attempt.check_version(before.version)?;
    let (source, secret) = domain::sources::rotate(&app, &mut change, &before, overlap_hours).await?;
    let answer = SourceWithSecret { source, secret: None };
    change::finish_with_secret(change, StatusCode::OK, &answer, Some(("/secret", &secret.reveal()))).await
}

const NOT_FOUND: Error = Error::NotFound("source");

fn parse(id: &str) -> Result<SourceId, Error> {
    id.parse().map_err(|_| NOT_FOUND)
}

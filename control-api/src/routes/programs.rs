//! `/v1/programs`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use shared::id::{Program as Kind, ProgramId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::input::{self, Fields};
use model::{
    access::{ManagePartners, ReadPartners},
    page::Page,
    reference::Reference,
    status::Status,
};
use store::programs::Program;
use web::{
    answer::versioned,
    auth::Auth,
    body::JsonBody,
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of programs.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, change))
}

/// Reward terms to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewRewardTerms {
    /// `percentage` or `fixed`.
    basis: String,
    /// 0 to 10,000; with `percentage`.
    rate_bps: Option<i32>,
    /// With `fixed`.
    amount_minor: Option<i64>,
    /// ISO 4217; with `fixed`.
    currency: Option<String>,
    /// `sale`, `lead` or both.
    applies_to: Vec<String>,
    /// 0 to 3,650. Default: 0.
    hold_days: Option<i32>,
    /// Up to 2,000 characters.
    note: Option<String>,
}

/// What a program is to be. In a change every field is optional, `null` clears, and `key` can't be changed.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewProgram {
    /// 1 to 200 characters.
    name: String,
    /// Made of the name if absent.
    key: Option<String>,
    /// `active`, `paused` or `archived`. Default: `active`.
    status: Option<String>,
    /// Default: `other`.
    kind: Option<String>,
    public_label: Option<String>,
    default_destination_url: Option<String>,
    support_email: Option<String>,
    terms_url: Option<String>,
    help_url: Option<String>,
    application_url: Option<String>,
    /// `source`, `medium`, `campaign`, `term`, `content`.
    #[schema(value_type = Option<Object>)]
    utm: Option<serde_json::Value>,
    /// Names and texts, at most 20.
    #[schema(value_type = Option<Object>)]
    custom_query: Option<serde_json::Value>,
    reward_terms: Option<NewRewardTerms>,
    /// 1 to 365.
    attribution_window_days: Option<i32>,
}

/// Make a program
#[utoipa::path(post, path = "/v1/programs", tag = "programs", security(("api_key" = [])), request_body = NewProgram, responses(
    (status = 201, description = "Made", body = Program),
    (status = 409, description = "`conflict`: the key is taken"),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut program = domain::programs::draft(app.clock.id(), app.clock.at());
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["name"]);
    let key = fields.get("key", input::key);
    domain::programs::read(&mut fields, &mut program);
    fields.finish()?;

    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    domain::programs::create(&mut change, &mut program, key).await?;
    change::finish(change, StatusCode::CREATED, &program).await
}

/// List programs, newest first; those that are not active only on request
#[utoipa::path(get, path = "/v1/programs", tag = "programs", security(("api_key" = [])), params(
    ("status" = Option<String>, Query, description = "`active`, the default, `paused`, `archived` or `all`"),
    ("kind" = Option<String>, Query, description = "`affiliate`, `referral`, `creator`, `agency`, `ambassador`, `newsletter` or `other`"),
    ("q" = Option<String>, Query, description = "Part of the name or key"),
    ("sort" = Option<String>, Query, description = "`-created_at`, the default, `created_at`, `name` or `-name`"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses((status = 200, description = "A page", body = Page<Program>)))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    mut params: Params,
) -> Result<Json<Page<Program>>, ApiError> {
    let filter = store::programs::Filter {
        statuses: params.statuses(&[Status::Active]),
        kind: params.word("kind"),
        q: params.text("q"),
    };
    let page = params.sorted("name");
    params.finish()?;
    let rows = store::programs::list(&app.db, auth.workspace, &filter, &page).await?;
    Ok(Json(Page::cut_sorted(rows, &page, |program| (program.id, program.name.as_str()))))
}

/// Read a program
#[utoipa::path(get, path = "/v1/programs/{program}", tag = "programs", security(("api_key" = [])), params(
    ("program" = String, Path, description = "Id or `key:…`"),
), responses(
    (status = 200, description = "The program", body = Program),
))]
async fn read(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let reference = parse(&reference)?;
    let id = store::programs::find(&app.db, auth.workspace, &reference).await?.ok_or(NOT_FOUND)?;
    let program = store::programs::get(&app.db, auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    Ok(versioned(program.version, Json(program)).into_response())
}

/// Change a program (JSON merge patch)
#[utoipa::path(patch, path = "/v1/programs/{program}", tag = "programs", security(("api_key" = [])), params(
    ("program" = String, Path, description = "Id or `key:…`"),
), request_body = NewProgram, responses(
    (status = 200, description = "Changed", body = Program),
    (status = 412, description = "`version_mismatch`"),
))]
async fn change(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    Path(reference): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let reference = parse(&reference)?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let id: ProgramId = store::programs::lock(change.db(), auth.workspace, &reference).await?.ok_or(NOT_FOUND)?;
    let before = store::programs::get(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    let mut program = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.immutable(&["key"]);
    domain::programs::read(&mut fields, &mut program);
    fields.finish()?;
    attempt.check_version(before.version)?;
    domain::programs::update(&mut change, &before, &mut program).await?;
    change::finish(change, StatusCode::OK, &program).await
}

const NOT_FOUND: Error = Error::NotFound("program");

/// A path that names no program in any form is a program that doesn't exist.
fn parse(reference: &str) -> Result<Reference<Kind>, Error> {
    reference.parse().map_err(|_| NOT_FOUND)
}

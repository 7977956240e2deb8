//! `/v1/partners` and the notes on them.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use shared::id::Partner as Kind;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::{
    bulk::{Bulk as _, only},
    input::{Fields, text},
    partners::Partners,
};
use model::{
    access::{ManagePartners, ReadPartners},
    page::Page,
    reference::Reference,
    status::Status,
};
use store::{
    partner_notes::Note,
    partners::{Invite, Partner},
};
use web::{
    answer::versioned,
    auth::Auth,
    body::JsonBody,
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of partners.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(read, change))
        .routes(routes!(write_note, notes))
        .routes(routes!(erase))
}

/// What a partner is to be. In a change every field is optional, `null` clears, and `key` can't be changed.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
pub(super) struct NewPartner {
    /// 1 to 200 characters.
    display_name: String,
    /// Made of the name if absent.
    key: Option<String>,
    /// `active`, `paused` or `archived`. Default: `active`.
    status: Option<String>,
    /// `approved`, `invited`, `declined`, `banned` or `deactivated`. Default: `approved`.
    relationship: Option<String>,
    /// Up to 200 characters.
    contact_name: Option<String>,
    contact_email: Option<String>,
    /// The customer's own id, up to 255 characters, unique.
    external_id: Option<String>,
    invite: Option<Invite>,
    /// Up to 50 tags of up to 64 characters.
    tags: Option<Vec<String>>,
    /// Id or `key:…`.
    primary_program: Option<String>,
    /// An object of at most 8,192 bytes as JSON.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
}

/// Make a partner
#[utoipa::path(post, path = "/v1/partners", tag = "partners", security(("api_key" = [])), request_body = NewPartner, responses(
    (status = 201, description = "Made", body = Partner),
    (status = 404, description = "`not_found`: no such primary program"),
    (status = 409, description = "`conflict`: the key or external id is taken"),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let wanted = Partners::read(&app, std::slice::from_ref(&body.value)).swap_remove(0).sound()?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let partner = only(Partners::make(&mut change, auth.key, vec![wanted]).await?)?;
    change::finish(change, StatusCode::CREATED, &partner).await
}

/// List partners, newest first; those that are not active only on request
#[utoipa::path(get, path = "/v1/partners", tag = "partners", security(("api_key" = [])), params(
    ("status" = Option<String>, Query, description = "`active`, the default, `paused`, `archived` or `all`"),
    ("relationship" = Option<String>, Query, description = "`approved`, `invited`, `declined`, `banned` or `deactivated`"),
    ("tag" = Option<String>, Query, description = "Carries this tag"),
    ("program" = Option<String>, Query, description = "Its primary program, or one it has a link in now: id or `key:…`"),
    ("q" = Option<String>, Query, description = "Part of a name, the key, the external id or the contact"),
    ("sort" = Option<String>, Query, description = "`-created_at`, the default, `created_at`, `name` or `-name`"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Partner>),
    (status = 404, description = "`not_found`: the filter names no program of yours"),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    mut params: Params,
) -> Result<Json<Page<Partner>>, ApiError> {
    let program: Option<Reference<_>> = params.word("program");
    let mut filter = store::partners::Filter {
        statuses: params.statuses(&[Status::Active]),
        relationship: params.word("relationship"),
        tag: params.text("tag"),
        program: None,
        q: params.text("q"),
    };
    let page = params.sorted("name");
    params.finish()?;
    if let Some(program) = program {
        let found = store::programs::find(&app.db, auth.workspace, &program).await?;
        filter.program = Some(found.ok_or(Error::NotFound("program"))?);
    }
    let rows = store::partners::list(&app.db, auth.workspace, &filter, &page).await?;
    Ok(Json(Page::cut_sorted(rows, &page, |partner| (partner.id, partner.display_name.as_str()))))
}

/// Read a partner
#[utoipa::path(get, path = "/v1/partners/{partner}", tag = "partners", security(("api_key" = [])), params(
    ("partner" = String, Path, description = "Id, `key:…` or `ext:…`"),
), responses(
    (status = 200, description = "The partner", body = Partner),
))]
async fn read(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let id = store::partners::find(&app.db, auth.workspace, &parse(&reference)?).await?.ok_or(NOT_FOUND)?;
    let partner = store::partners::get(&app.db, auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    Ok(versioned(partner.version, Json(partner)))
}

/// Change a partner (JSON merge patch); a new name is carried by future clicks only
#[utoipa::path(patch, path = "/v1/partners/{partner}", tag = "partners", security(("api_key" = [])), params(
    ("partner" = String, Path, description = "Id, `key:…` or `ext:…`"),
), request_body = NewPartner, responses(
    (status = 200, description = "Changed", body = Partner),
    (status = 404, description = "`not_found`: no such partner or primary program"),
    (status = 409, description = "`conflict`: the external id is taken"),
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
    let before = store::partners::lock(change.db(), auth.workspace, &reference).await?.ok_or(NOT_FOUND)?;
    let mut partner = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.immutable(&["key"]);
    let primary = domain::partners::read(&mut fields, &mut partner);
    fields.finish()?;
    attempt.check_version(before.version)?;
    domain::partners::update(&mut change, &before, &mut partner, primary).await?;
    change::finish(change, StatusCode::OK, &partner).await
}

/// A note to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewNote {
    /// 1 to 10,000 characters.
    text: String,
}

/// Write a note on a partner; notes are never changed
#[utoipa::path(post, path = "/v1/partners/{partner}/notes", tag = "partners", security(("api_key" = [])), params(
    ("partner" = String, Path, description = "Id, `key:…` or `ext:…`"),
), request_body = NewNote, responses(
    (status = 201, description = "Written", body = Note),
))]
async fn write_note(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    Path(reference): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let reference = parse(&reference)?;
    let mut note = String::new();
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["text"]);
    fields.set("text", &mut note, text(10_000));
    fields.finish()?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let note = domain::partners::note(&mut change, auth.key, &reference, note).await?;
    change::finish(change, StatusCode::CREATED, &note).await
}

/// List the notes on a partner, newest first
#[utoipa::path(get, path = "/v1/partners/{partner}/notes", tag = "partners", security(("api_key" = [])), params(
    ("partner" = String, Path, description = "Id, `key:…` or `ext:…`"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Note>),
))]
async fn notes(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(reference): Path<String>,
    mut params: Params,
) -> Result<Json<Page<Note>>, ApiError> {
    let reference = parse(&reference)?;
    let page = params.page();
    params.finish()?;
    let partner = store::partners::find(&app.db, auth.workspace, &reference).await?.ok_or(NOT_FOUND)?;
    let rows = store::partner_notes::list(&app.db, auth.workspace, partner, &page).await?;
    Ok(Json(Page::cut(rows, &page, |note| note.id)))
}

/// Erase a partner's personal data: contact, invitation, metadata, notes, and their copies in the audit trail.
/// Ids and the display name stay
#[utoipa::path(post, path = "/v1/partners/{partner}/erase", tag = "partners", security(("api_key" = [])), params(
    ("partner" = String, Path, description = "Id, `key:…` or `ext:…`"),
), responses(
    (status = 200, description = "Erased", body = Partner),
    (status = 412, description = "`version_mismatch`"),
))]
async fn erase(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let reference = parse(&reference)?;
    let mut change = change::begin(&app, &auth, &attempt, b"").await?;
    let partner = store::partners::lock(change.db(), auth.workspace, &reference).await?.ok_or(NOT_FOUND)?;
    attempt.check_version(partner.version)?;
    let erased = domain::partners::erase(&mut change, partner).await?;
    change::finish(change, StatusCode::OK, &erased).await
}

const NOT_FOUND: Error = Error::NotFound("partner");

/// A path that names no partner in any form is a partner that doesn't exist.
fn parse(reference: &str) -> Result<Reference<Kind>, Error> {
    reference.parse().map_err(|_| NOT_FOUND)
}

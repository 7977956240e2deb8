//! `/v1/links`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::id::LinkId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::{
    assignments::Warned,
    bulk::{Bulk as _, Wanted, only},
    input::Fields,
    links::{Links, Shown},
    qr,
};
use model::reference::DomainRef;
use model::{
    access::{ReadLinks, WriteLinks},
    page::Page,
    reference::Reference,
    status::Status,
};
use store::links::Variant;
use web::{
    answer::versioned,
    auth::Auth,
    body::JsonBody,
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of links.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(read, change))
        .routes(routes!(qr_svg))
        .routes(routes!(qr_png))
}

/// What a link is to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
pub(super) struct NewLink {
    /// Hostname or id.
    #[schema(example = "go.acme.com")]
    domain: String,
    /// Letters, digits, `.`, `_`, `~`, `-`, and `/` inside; at most 190. Random if absent.
    #[schema(example = "nomura")]
    slug: Option<String>,
    /// The partner it belongs to: id, `key:…` or `ext:…`.
    partner: Option<String>,
    /// Its program: id or `key:…`. Default: the partner's primary one; `null`: none.
    program: Option<String>,
    /// Copies the program's UTM values and custom query onto the link. Default: false.
    apply_program_defaults: Option<bool>,
    #[serde(flatten)]
    settings: LinkSettings,
}

/// What can be changed of a link. In a change every field is optional, and `null` clears.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct LinkSettings {
    /// `http` or `https`, at most 2,000 bytes, kept byte for byte. Default: the program's.
    destination: Option<String>,
    /// Up to 200 characters.
    title: Option<String>,
    /// `active`, `paused` or `archived`. Default: `active`.
    status: Option<String>,
    /// Default: true.
    conversion_tracking: Option<bool>,
    /// `auto`, `always` or `never`. Default: `auto`.
    click_token: Option<String>,
    /// `source`, `medium`, `campaign`, `term`, `content`.
    #[schema(value_type = Option<Object>)]
    utm: Option<serde_json::Value>,
    /// Names and texts, at most 20.
    #[schema(value_type = Option<Object>)]
    custom_query: Option<serde_json::Value>,
    /// At most 20.
    variants: Option<Vec<Variant>>,
    /// Required with variants.
    experiment_key: Option<String>,
    /// Default: false.
    forward_query: Option<bool>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Where visitors go when the link doesn't redirect.
    expired_url: Option<String>,
    /// Up to 50 tags of up to 64 characters.
    tags: Option<Vec<String>>,
}

/// Make a link, and assign it to a partner in the same step
#[utoipa::path(post, path = "/v1/links", tag = "links", security(("api_key" = [])), request_body = NewLink, responses(
    (status = 201, description = "Made", body = Warned<Shown>),
    (status = 403, description = "`role_forbidden`; with `partner` or `program` also `plan_required`, `access_disabled`"),
    (status = 404, description = "`not_found`: no such domain, partner or program"),
    (status = 409, description = "`conflict`: the slug is taken on the domain"),
    (status = 422, description = "`validation_failed`, `partner_not_active`, `program_not_active`, `domain_not_active`"),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<WriteLinks>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let wanted = Links::read(&app, std::slice::from_ref(&body.value));
    Links::allow(&auth, &wanted)?;
    let wanted = wanted.into_iter().map(Wanted::sound).collect::<Result<_, _>>()?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let made = only(Links::make(&mut change, auth.key, wanted).await?)?;
    change::finish(change, StatusCode::CREATED, &made).await
}

/// List links, newest first; archived ones only on request
#[utoipa::path(get, path = "/v1/links", tag = "links", security(("api_key" = [])), params(
    ("status" = Option<String>, Query, description = "`active`, `paused`, `archived` or `all`. Default: all but archived"),
    ("partner" = Option<String>, Query, description = "Assigned to this partner now: id, `key:…` or `ext:…`"),
    ("program" = Option<String>, Query, description = "Assigned within this program now: id or `key:…`"),
    ("domain" = Option<String>, Query, description = "Hostname or id"),
    ("tag" = Option<String>, Query, description = "Carries this tag"),
    ("q" = Option<String>, Query, description = "Part of the title, destination or short URL"),
    ("sort" = Option<String>, Query, description = "`-created_at`, the default, `created_at`, `slug` or `-slug`"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Shown>),
    (status = 404, description = "`not_found`: the filter names no partner, program or domain of yours"),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadLinks>,
    mut params: Params,
) -> Result<Json<Page<Shown>>, ApiError> {
    let partner: Option<Reference<_>> = params.word("partner");
    let program: Option<Reference<_>> = params.word("program");
    let on: Option<DomainRef> = params.word("domain");
    let mut filter = store::links::Filter {
        statuses: params.statuses(&[Status::Active, Status::Paused]),
        tag: params.text("tag"),
        q: params.text("q"),
        ..store::links::Filter::default()
    };
    let page = params.sorted("slug");
    params.finish()?;
    if let Some(partner) = partner {
        let found = store::partners::find(&app.db, auth.workspace, &partner).await?;
        filter.partner = Some(found.ok_or(Error::NotFound("partner"))?);
    }
    if let Some(program) = program {
        let found = store::programs::find(&app.db, auth.workspace, &program).await?;
        filter.program = Some(found.ok_or(Error::NotFound("program"))?);
    }
    if let Some(on) = on {
        let found = store::domains::find(&app.db, auth.workspace, &on).await?;
        filter.domain = Some(found.ok_or(Error::NotFound("domain"))?.id);
    }
    let rows = store::links::list(&app.db, auth.workspace, &filter, &page).await?;
    let rows = rows.into_iter().map(Shown::from).collect();
    Ok(Json(Page::cut_sorted(rows, &page, |shown: &Shown| (shown.link.id, shown.link.slug.as_str()))))
}

/// Read a link
#[utoipa::path(get, path = "/v1/links/{id}", tag = "links", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The link", body = Shown),
))]
async fn read(State(app): State<App>, auth: Auth<ReadLinks>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let link = store::links::get(&app.db, auth.workspace, parse(&id)?).await?.ok_or(NOT_FOUND)?;
    Ok(versioned(link.version, Json(Shown::from(link))))
}

/// Change a link (JSON merge patch); its partner is changed by its assignment
#[utoipa::path(patch, path = "/v1/links/{id}", tag = "links", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), request_body = LinkSettings, responses(
    (status = 200, description = "Changed", body = Shown),
    (status = 412, description = "`version_mismatch`"),
))]
async fn change(
    State(app): State<App>,
    auth: Auth<WriteLinks>,
    attempt: Preconditions,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let before = store::links::lock(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    let mut link = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.immutable(&["domain", "slug"]);
    domain::links::read(&mut fields, &mut link);
    fields.finish()?;
    attempt.check_version(before.version)?;
    domain::links::update(&mut change, &before, &mut link).await?;
    change::finish(change, StatusCode::OK, &Shown::from(link)).await
}

/// A link's QR code as SVG; its clicks count as QR scans
#[utoipa::path(get, path = "/v1/links/{id}/qr.svg", tag = "links", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The code", body = String, content_type = "image/svg+xml"),
))]
async fn qr_svg(State(app): State<App>, auth: Auth<ReadLinks>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let link = store::links::get(&app.db, auth.workspace, parse(&id)?).await?.ok_or(NOT_FOUND)?;
    Ok(image("image/svg+xml", qr::svg(&domain::links::short_url(&link))?))
}

/// A link's QR code as PNG; its clicks count as QR scans
#[utoipa::path(get, path = "/v1/links/{id}/qr.png", tag = "links", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The code", body = Vec<u8>, content_type = "image/png"),
))]
async fn qr_png(State(app): State<App>, auth: Auth<ReadLinks>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let link = store::links::get(&app.db, auth.workspace, parse(&id)?).await?.ok_or(NOT_FOUND)?;
    Ok(image("image/png", qr::png(&domain::links::short_url(&link))?))
}

/// A domain and slug never change, so neither does the code.
fn image(kind: &'static str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=86400")], body).into_response()
}

const NOT_FOUND: Error = Error::NotFound("link");

fn parse(id: &str) -> Result<LinkId, Error> {
    id.parse().map_err(|_| NOT_FOUND)
}

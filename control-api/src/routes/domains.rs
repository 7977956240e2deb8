//! `/v1/domains`.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::{
    error::OnConstraint as _,
    input::{Fields, Parsed, fault, line, web_url, word},
};
use model::{
    access::{ManageDomains, ReadLinks},
    page::Page,
    reference::DomainRef,
};
use store::{
    domains::{Domain, DomainStatus},
    outbox::{self, Many},
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

/// Paths of domains.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, change))
}

/// What a domain is to be. In a change every field is optional, `null` clears, and `hostname` can't be changed.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewDomain {
    /// Unique across all workspaces. International names are turned into punycode.
    #[schema(example = "go.acme.com")]
    hostname: String,
    /// `active` or `archived`. Default: `active`.
    status: Option<String>,
    /// Where `/` leads.
    root_redirect_url: Option<String>,
    /// Where visitors of unknown and inactive links go.
    not_found_url: Option<String>,
}

fn read_fields(fields: &mut Fields<'_>, domain: &mut Domain) {
    fields.set("status", &mut domain.status, word);
    fields.set_option("root_redirect_url", &mut domain.root_redirect_url, web_url);
    fields.set_option("not_found_url", &mut domain.not_found_url, web_url);
}

fn read_hostname(value: &Value) -> Parsed<String> {
    match model::reference::hostname(&line(253)(value)?) {
        Ok(name) => Ok(name.to_string()),
        Err(detail) => fault("format", detail),
    }
}

/// Make a domain; it is active at once
#[utoipa::path(post, path = "/v1/domains", tag = "domains", security(("api_key" = [])), request_body = NewDomain, responses(
    (status = 201, description = "Made", body = Domain),
    (status = 409, description = "`conflict`: the hostname is taken"),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<ManageDomains>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let now = app.clock.at();
    let mut domain = Domain {
        id: app.clock.id(),
        hostname: String::new(),
        status: DomainStatus::Active,
        root_redirect_url: None,
        not_found_url: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["hostname"]);
    fields.set("hostname", &mut domain.hostname, read_hostname);
    read_fields(&mut fields, &mut domain);
    fields.finish()?;

    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    store::domains::insert(change.db(), auth.workspace, &domain).await.on_constraint(
        "domains_hostname_unique",
        || Error::Conflict { code: "conflict", detail: format!("the hostname {} is taken", domain.hostname) },
    )?;
    outbox::touch_domain(change.db(), auth.workspace, domain.id).await?;
    change.audit("domain.create", domain.id, None::<&()>, Some(&domain)).await?;
    change::finish(change, StatusCode::CREATED, &domain).await
}

/// List domains, newest first; archived ones only on request
#[utoipa::path(get, path = "/v1/domains", tag = "domains", security(("api_key" = [])), params(
    ("status" = Option<String>, Query, description = "`active`, the default, `archived` or `all`"),
    ("q" = Option<String>, Query, description = "Part of the hostname"),
    ("sort" = Option<String>, Query, description = "`-created_at`, the default, `created_at`, `hostname` or `-hostname`"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Domain>),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadLinks>,
    mut params: Params,
) -> Result<Json<Page<Domain>>, ApiError> {
    let status = params.get("status", |text| match text {
        "all" => Ok(None),
        _ => text.parse::<DomainStatus>().map(Some).map_err(|detail| format!("{detail}, all")),
    });
    let q = params.text("q");
    let page = params.sorted("hostname");
    params.finish()?;
    let status = status.unwrap_or(Some(DomainStatus::Active));
    let rows = store::domains::list(&app.db, auth.workspace, status, q.as_deref(), &page).await?;
    Ok(Json(Page::cut_sorted(rows, &page, |domain| (domain.id, domain.hostname.as_str()))))
}

/// Read a domain
#[utoipa::path(get, path = "/v1/domains/{domain}", tag = "domains", security(("api_key" = [])), params(
    ("domain" = String, Path, description = "Id or hostname"),
), responses(
    (status = 200, description = "The domain", body = Domain),
))]
async fn read(
    State(app): State<App>,
    auth: Auth<ReadLinks>,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let domain = store::domains::find(&app.db, auth.workspace, &parse(&reference)?).await?.ok_or(NOT_FOUND)?;
    Ok(versioned(domain.version, Json(domain)))
}

/// Change a domain (JSON merge patch)
#[utoipa::path(patch, path = "/v1/domains/{domain}", tag = "domains", security(("api_key" = [])), params(
    ("domain" = String, Path, description = "Id or hostname"),
), request_body = NewDomain, responses(
    (status = 200, description = "Changed", body = Domain),
    (status = 412, description = "`version_mismatch`"),
))]
async fn change(
    State(app): State<App>,
    auth: Auth<ManageDomains>,
    attempt: Preconditions,
    Path(reference): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let reference = parse(&reference)?;
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let before = store::domains::lock(change.db(), auth.workspace, &reference).await?.ok_or(NOT_FOUND)?;
    let mut domain = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.immutable(&["hostname"]);
    read_fields(&mut fields, &mut domain);
    fields.finish()?;
    attempt.check_version(before.version)?;
    store::domains::update(change.db(), auth.workspace, &mut domain, app.clock.at()).await?;
    outbox::touch_domain(change.db(), auth.workspace, domain.id).await?;
    if before.status != domain.status {
        outbox::touch_many(change.db(), auth.workspace, Many::OfDomain(domain.id)).await?;
    }
    change.audit("domain.update", domain.id, Some(&before), Some(&domain)).await?;
    change::finish(change, StatusCode::OK, &domain).await
}

const NOT_FOUND: Error = Error::NotFound("domain");

/// A path that names no domain in any form is a domain that doesn't exist.
fn parse(reference: &str) -> Result<DomainRef, Error> {
    reference.parse().map_err(|_| NOT_FOUND)
}

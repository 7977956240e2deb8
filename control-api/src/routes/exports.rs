//! `/v1/exports`: asked for here, written by [`crate::jobs::exports`], downloaded here.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use object_store::ObjectStoreExt as _;
use serde_json::Value;
use shared::id::ExportId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, jobs};
use domain::Error;
use domain::{
    input::{Fault, Fields, Parsed, fault, form, word},
    reports::{Asked, Bound, MAX_DAYS, Place},
};
use model::{conversion::EventType, page::Page};
use store::exports::{Export, ExportKind, ExportStatus};
use web::{
    auth::Auth,
    body::JsonBody,
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of exports.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, cancel)).routes(routes!(file))
}

/// What is to be exported.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes the body; `create` reads it field by field.
struct NewExport {
    /// `conversions` or `traffic`.
    #[schema(example = "conversions")]
    kind: String,
    /// The first moment: RFC 3339, or a date in the workspace's time zone. By when conversions occurred, by when
    /// clicks happened.
    #[schema(example = "2026-03-01")]
    from: String,
    /// The first moment after it; at most 73,050 days later.
    #[schema(example = "2026-04-01")]
    to: String,
    /// Id, `key:…` or `ext:…`.
    partner: Option<String>,
    /// Id or `key:…`.
    program: Option<String>,
    /// Conversions of these types only.
    types: Option<Vec<String>>,
}

/// Ask for an export
///
/// It holds what is known now (`as_of`), and is written as soon as that is settled, after some seconds. Conversions
/// are the partner-attributed ones, with `reward_rate` in percent (`10.00`) or, for a fixed reward, as an amount.
#[utoipa::path(post, path = "/v1/exports", tag = "exports", security(("api_key" = [])), request_body = NewExport, responses(
    (status = 202, description = "Queued", body = Export),
    (status = 404, description = "`not_found`: no such partner or program"),
    (status = 422, description = "`validation_failed`; at `/from` with `clicks_removed` where clicks of a traffic export have been removed"),
    (status = 403, description = "`role_forbidden` (the key lacks `can_export`), `plan_required`, `access_disabled`"),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<model::access::Export>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["kind", "from", "to"]);
    let mut kind = ExportKind::Conversions;
    fields.set("kind", &mut kind, word);
    let asked = Asked {
        from: fields.get("from", form::<Bound>),
        to: fields.get("to", form::<Bound>),
        partner: fields.get("partner", form),
        program: fields.get("program", form),
        ..Asked::default()
    };
    let types = fields.get("types", types);
    if kind == ExportKind::Traffic && types.is_some() {
        fields.fault("types", "unexpected", "clicks have no types");
    }
    let read = fields.finish();
    let scope = asked.resolve_within(&app, auth.workspace, Place::Body, Some(MAX_DAYS), read).await?;

    if kind == ExportKind::Traffic
        && let Some(before) = store::reports::clicks_pruned_before(&app.db, auth.workspace).await?
        && scope.from < before
    {
        return Err(ApiError::field("/from", "clicks_removed", jobs::exports::clicks_removed(before)));
    }

    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let id = app.clock.id();
    let export = store::exports::insert(change.db(), &scope, id, kind, types.unwrap_or_default(), auth.key).await?;
    change.audit("export.create", export.id, None::<&()>, Some(&export)).await?;
    change::finish(change, StatusCode::ACCEPTED, &export).await
}

/// At least one type, each once.
fn types(value: &Value) -> Parsed<Vec<EventType>> {
    let Value::Array(items) = value else { return fault("type", "must be a list of strings") };
    if items.is_empty() {
        return fault("length", "must name at least one type; leave it out for all");
    }
    let (mut types, mut faults) = (vec![], vec![]);
    for (index, item) in items.iter().enumerate() {
        match word(item) {
            Ok(kind) => types.push(kind),
            Err(inner) => faults.extend(inner.into_iter().map(|f| Fault { at: format!("/{index}"), ..f })),
        }
    }
    types.sort_unstable();
    types.dedup();
    if faults.is_empty() { Ok(types) } else { Err(faults) }
}

/// List exports, newest first
#[utoipa::path(get, path = "/v1/exports", tag = "exports", security(("api_key" = [])), params(
    ("kind" = Option<String>, Query, description = "`conversions` or `traffic`"),
    ("status" = Option<String>, Query, description = "`queued`, `running`, `completed`, `failed`, `cancelled` or `expired`"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Export>),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<model::access::Export>,
    mut params: Params,
) -> Result<Json<Page<Export>>, ApiError> {
    let (kind, status) = (params.word("kind"), params.word("status"));
    let page = params.page();
    params.finish()?;
    let rows = store::exports::list(&app.db, auth.workspace, kind, status, &page).await?;
    Ok(Json(Page::cut(rows, &page, |export| export.id)))
}

/// Read an export: its state and progress
#[utoipa::path(get, path = "/v1/exports/{id}", tag = "exports", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The export", body = Export),
))]
async fn read(
    State(app): State<App>,
    auth: Auth<model::access::Export>,
    Path(id): Path<String>,
) -> Result<Json<Export>, ApiError> {
    let id = parse(&id)?;
    Ok(Json(store::exports::get(&app.db, auth.workspace, id).await?.ok_or(NOT_FOUND)?))
}

/// Cancel an export that is not completed yet; a second time changes nothing
///
/// What was written of it is removed. One that has ended stays as it is: a completed one's file goes when it expires.
#[utoipa::path(delete, path = "/v1/exports/{id}", tag = "exports", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "Cancelled", body = Export),
    (status = 409, description = "`conflict`: it has ended already"),
))]
async fn cancel(
    State(app): State<App>,
    auth: Auth<model::access::Export>,
    attempt: Preconditions,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let mut change = change::begin(&app, &auth, &attempt, b"").await?;
    let before = store::exports::lock(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    let after = match before.status {
        ExportStatus::Cancelled => before,
        ExportStatus::Queued | ExportStatus::Running => {
            let after = store::exports::cancel(change.db(), auth.workspace, id).await?;
            change.audit("export.cancel", id, Some(&before), Some(&after)).await?;
            after
        }
        status @ (ExportStatus::Completed | ExportStatus::Failed | ExportStatus::Expired) => {
            return Err(Error::Conflict {
                code: "conflict",
                detail: format!("the export is {status}; there is nothing to cancel"),
            }
            .into());
        }
    };
    change::finish(change, StatusCode::OK, &after).await
}

/// Download an export's file
#[utoipa::path(get, path = "/v1/exports/{id}/file", tag = "exports", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The file: UTF-8 without byte order mark, RFC 4180", body = String, content_type = "text/csv"),
    (status = 404, description = "`not_found`: no such export, or its file has expired"),
    (status = 409, description = "`export_not_ready`: queued or running; `conflict`: failed or cancelled"),
))]
async fn file(
    State(app): State<App>,
    auth: Auth<model::access::Export>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let export = store::exports::get(&app.db, auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    match export.status {
        ExportStatus::Completed => {}
        ExportStatus::Expired => return Err(GONE.into()),
        status @ (ExportStatus::Queued | ExportStatus::Running) => {
            let detail = format!("the export is {status}; ask again when it is completed");
            return Err(Error::Conflict { code: "export_not_ready", detail }.into());
        }
        status @ (ExportStatus::Failed | ExportStatus::Cancelled) => {
            let detail = format!("the export is {status} and has no file; ask for another");
            return Err(Error::Conflict { code: "conflict", detail }.into());
        }
    }
    let path = jobs::exports::path(&app, auth.workspace, id, export.attempts);
    let stored = app.exports.0.get(&path).await.map_err(|error| match error {
        object_store::Error::NotFound { .. } => GONE,
        other => Error::Unavailable(other.to_string()),
    })?;

    let name = format!("{}_{}_{}_{id}.csv", export.kind, day(export.from), day(export.to));
    let (size, mut response) = (stored.meta.size, Response::new(Body::from_stream(stored.into_stream())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    // A run writes its file once, so the run's number tells two files of one export apart.
    if let Ok(value) = HeaderValue::from_str(&format!("\"{id}-{}\"", export.attempts)) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn day(at: model::time::Timestamp) -> String {
    at.0.format("%Y-%m-%d").to_string()
}

const NOT_FOUND: Error = Error::NotFound("export");
const GONE: Error = Error::NotFound("file of the expired export");

fn parse(id: &str) -> Result<ExportId, Error> {
    id.parse().map_err(|_| NOT_FOUND)
}

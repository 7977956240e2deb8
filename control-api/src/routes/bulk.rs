//! `/v1/partners/bulk`, `/v1/links/bulk` and the imports of files: many objects in one request.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{links::NewLink, partners::NewPartner};
use crate::app::App;
use domain::Error;
use domain::{
    assignments::Warned,
    bulk::{Bulk, Outcome, Wanted},
    error::FieldFault,
    input::{
        Fields, fault,
        rows::{self, Cell, Columns, Row},
    },
    links::{Links, Shown},
    partners::Partners,
};
use model::access::{Caller, ManagePartners, WriteLinks};
use store::partners::Partner;
use web::{
    auth::Auth,
    body::{CsvBody, JsonBody},
    change::{self, Preconditions},
    params::Params,
    problem::ApiError,
};

/// The most objects of a JSON request.
const MAX_ITEMS: usize = 500;

/// Paths that take many objects.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(partners))
        .routes(routes!(links))
        .routes(routes!(import_partners))
        .routes(routes!(import_links))
}

/// Partners to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct PartnersToBe {
    /// 1 to 500, each as `POST /v1/partners` takes it.
    #[schema(min_items = 1, max_items = 500)]
    partners: Vec<NewPartner>,
}

/// Links to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct LinksToBe {
    /// 1 to 500, each as `POST /v1/links` takes it.
    #[schema(min_items = 1, max_items = 500)]
    links: Vec<NewLink>,
}

/// What came of a bulk request.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes an answer that is written field by field.
struct BulkAnswer<T> {
    /// One per object, in their order.
    results: Vec<BulkResult<T>>,
    /// How many were made.
    created: u64,
    /// How many were not.
    rejected: u64,
}

/// What came of one object.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes an answer that is written field by field.
struct BulkResult<T> {
    /// Its place in the request, from 0.
    index: u64,
    /// `created` or `rejected`.
    status: String,
    /// If created: its id.
    id: Option<String>,
    /// If a partner was created: the partner.
    partner: Option<T>,
    /// If a link was created: the link.
    link: Option<T>,
    /// If rejected: why, as the `code` of a request for it alone would be.
    code: Option<String>,
    /// If rejected: every fault, with pointers into the request.
    errors: Option<Vec<FieldFault>>,
}

/// What came of an imported file, or would come of it.
#[derive(Serialize, utoipa::ToSchema)]
struct Imported {
    /// Whether nothing was to be written.
    dry_run: bool,
    /// Rows of the file, without its header and blank ones.
    rows: usize,
    /// Rows without a fault.
    valid: usize,
    /// Rows with one.
    rejected: usize,
    /// Objects that were made. In a dry run none.
    created: usize,
    /// They, in the order of the file.
    objects: Vec<ImportedObject>,
    /// Every fault of every line, in the order of the file.
    errors: Vec<FieldFault>,
}

/// An object made of a row.
#[derive(Serialize, utoipa::ToSchema)]
struct ImportedObject {
    /// The line of its row.
    line: u64,
    /// Its id.
    id: String,
    /// A partner's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// A link's short URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    short_url: Option<String>,
}

/// Make up to 500 partners; the good ones are kept, the bad ones are rejected with all their faults
#[utoipa::path(post, path = "/v1/partners/bulk", tag = "partners", security(("api_key" = [])), request_body = PartnersToBe, responses(
    (status = 200, description = "What came of each", body = BulkAnswer<Partner>),
))]
async fn partners(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    make_all::<Partners>(&app, &auth, &attempt, &body).await
}

/// Make up to 500 links, assigned where they say so; the good ones are kept, the bad ones are rejected with all
/// their faults
#[utoipa::path(post, path = "/v1/links/bulk", tag = "links", security(("api_key" = [])), request_body = LinksToBe, responses(
    (status = 200, description = "What came of each", body = BulkAnswer<Warned<Shown>>),
    (status = 403, description = "`role_forbidden`; if any names a partner or program also `plan_required`, `access_disabled`"),
))]
async fn links(
    State(app): State<App>,
    auth: Auth<WriteLinks>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    make_all::<Links>(&app, &auth, &attempt, &body).await
}

async fn make_all<B: Bulk>(
    app: &App,
    caller: &Caller,
    attempt: &Preconditions,
    body: &JsonBody,
) -> Result<Response, ApiError> {
    let mut values = vec![];
    let mut fields = Fields::of(&body.value)?;
    fields.require(&[B::ALL]);
    fields.set(B::ALL, &mut values, |value| match value {
        Value::Array(items) if (1..=MAX_ITEMS).contains(&items.len()) => Ok(items.clone()),
        Value::Array(_) => fault("length", format!("must have 1 to {MAX_ITEMS} items")),
        _ => fault("type", "must be a list of objects"),
    });
    fields.finish()?;
    let wanted = B::read(app, &values);
    B::allow(caller, &wanted)?;
    let mut change = change::begin(app, caller, attempt, &body.raw).await?;
    let outcomes = B::make(&mut change, caller.key, wanted).await?;
    let created = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let answer = serde_json::json!({
        "created": created,
        "rejected": outcomes.len() - created,
        "results": outcomes.into_iter().enumerate().map(result::<B>).collect::<Result<Vec<_>, _>>()?,
    });
    change::finish(change, StatusCode::OK, &answer).await
}

fn result<B: Bulk>((index, outcome): (usize, Outcome<B::Made>)) -> Result<Map<String, Value>, ApiError> {
    let mut result = Map::new();
    result.insert("index".to_owned(), index.into());
    match outcome {
        Ok(made) => {
            result.insert("status".to_owned(), "created".into());
            result.insert("id".to_owned(), B::named(&made).0.into());
            result.insert(B::ONE.to_owned(), serde_json::to_value(&made)?);
        }
        Err(rejection) => {
            result.insert("status".to_owned(), "rejected".into());
            result.insert("code".to_owned(), rejection.code().into());
            let within =
                |fault: FieldFault| FieldFault { pointer: format!("/{}/{index}{}", B::ALL, fault.pointer), ..fault };
            let faults: Vec<_> = rejection.into_faults().into_iter().map(within).collect();
            result.insert("errors".to_owned(), serde_json::to_value(faults)?);
        }
    }
    Ok(result)
}

const PARTNER_COLUMNS: Columns = Columns {
    fixed: &[
        ("display_name", Cell::Text),
        ("key", Cell::Text),
        ("status", Cell::Text),
        ("relationship", Cell::Text),
        ("contact_name", Cell::Text),
        ("contact_email", Cell::Text),
        ("external_id", Cell::Text),
        ("invite.sent_at", Cell::Text),
        ("invite.channel", Cell::Text),
        ("invite.message", Cell::Text),
        ("tags", Cell::List),
        ("primary_program", Cell::Text),
    ],
    open: &["metadata"],
};

const LINK_COLUMNS: Columns = Columns {
    fixed: &[
        ("domain", Cell::Text),
        ("slug", Cell::Text),
        ("destination", Cell::Text),
        ("partner", Cell::Text),
        ("program", Cell::Text),
        ("apply_program_defaults", Cell::Boolean),
        ("title", Cell::Text),
        ("status", Cell::Text),
        ("conversion_tracking", Cell::Boolean),
        ("click_token", Cell::Text),
        ("utm.source", Cell::Text),
        ("utm.medium", Cell::Text),
        ("utm.campaign", Cell::Text),
        ("utm.term", Cell::Text),
        ("utm.content", Cell::Text),
        ("variants", Cell::Json),
        ("experiment_key", Cell::Text),
        ("forward_query", Cell::Boolean),
        ("expires_at", Cell::Text),
        ("expired_url", Cell::Text),
        ("tags", Cell::List),
    ],
    open: &["custom_query"],
};

/// Make partners of a CSV file: all rows or, with `partial`, the good ones
#[utoipa::path(post, path = "/v1/partners/import", tag = "partners", security(("api_key" = [])),
    request_body(content = String, content_type = "text/csv", description = "Columns are named like the fields, `invite.channel` and `metadata.…` with a dot; tags have `;` between them"), params(
    ("dry_run" = Option<bool>, Query, description = "`true`: writes nothing, and lists every fault of every line. Default: false"),
    ("partial" = Option<bool>, Query, description = "`true`: makes the good rows though others are bad. Default: false"),
), responses(
    (status = 200, description = "What came of it", body = Imported),
    (status = 422, description = "`validation_failed`, with `line` and `column` of every fault; nothing was written"),
))]
async fn import_partners(
    State(app): State<App>,
    auth: Auth<ManagePartners>,
    attempt: Preconditions,
    params: Params,
    file: CsvBody,
) -> Result<Response, ApiError> {
    import::<Partners>(&app, &auth, &attempt, params, (&file, &PARTNER_COLUMNS)).await
}

/// Make links of a CSV file: all rows or, with `partial`, the good ones
#[utoipa::path(post, path = "/v1/links/import", tag = "links", security(("api_key" = [])),
    request_body(content = String, content_type = "text/csv", description = "Columns are named like the fields, `utm.source` and `custom_query.…` with a dot; tags have `;` between them, `variants` is JSON"), params(
    ("dry_run" = Option<bool>, Query, description = "`true`: writes nothing, and lists every fault of every line. Default: false"),
    ("partial" = Option<bool>, Query, description = "`true`: makes the good rows though others are bad. Default: false"),
), responses(
    (status = 200, description = "What came of it", body = Imported),
    (status = 403, description = "`role_forbidden`; if any row names a partner or program also `plan_required`, `access_disabled`"),
    (status = 422, description = "`validation_failed`, with `line` and `column` of every fault; nothing was written"),
))]
async fn import_links(
    State(app): State<App>,
    auth: Auth<WriteLinks>,
    attempt: Preconditions,
    params: Params,
    file: CsvBody,
) -> Result<Response, ApiError> {
    import::<Links>(&app, &auth, &attempt, params, (&file, &LINK_COLUMNS)).await
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

async fn import<B: Bulk>(
    app: &App,
    caller: &Caller,
    attempt: &Preconditions,
    mut params: Params,
    (file, columns): (&CsvBody, &Columns),
) -> Result<Response, ApiError> {
    let dry_run = params.get("dry_run", flag).unwrap_or(false);
    let partial = params.get("partial", flag).unwrap_or(false);
    params.finish()?;
    let rows::Table { mut rows, faults } = rows::read(&file.0, columns)?;
    let objects: Vec<Value> = rows.iter_mut().map(|row| row.object.take()).collect();
    let wanted: Vec<Wanted<B::Draft>> =
        B::read(app, &objects).into_iter().zip(&mut rows).map(with_row_faults).collect();
    B::allow(caller, &wanted)?;

    // A dry run does all that the real one does and leaves it uncommitted, so it finds the same faults.
    let mut change = change::begin(app, caller, attempt, &file.0).await?;
    let outcomes = B::make(&mut change, caller.key, wanted).await?;
    let header_is_bad = !faults.is_empty();
    let mut answer =
        Imported { dry_run, rows: rows.len(), valid: 0, rejected: 0, created: 0, objects: vec![], errors: faults };
    for (row, outcome) in rows.iter().zip(outcomes) {
        match outcome {
            Ok(made) => {
                answer.valid += 1;
                answer.objects.push(imported::<B>(row, &made));
            }
            Err(rejection) => {
                answer.rejected += 1;
                let faults = rejection.into_faults();
                answer.errors.extend(faults.into_iter().map(|f| if f.line.is_some() { f } else { row.locate(f) }));
            }
        }
    }
    if dry_run {
        answer.objects.clear();
        return Ok(Json(answer).into_response());
    }
    if header_is_bad || answer.rejected > 0 && !partial {
        return Err(Error::Validation(answer.errors).into());
    }
    answer.created = answer.valid;
    change::finish(change, StatusCode::OK, &answer).await
}

fn with_row_faults<D>((mut wanted, row): (Wanted<D>, &mut Row)) -> Wanted<D> {
    wanted.rejection.note_unreadable(std::mem::take(&mut row.faults));
    wanted
}

fn imported<B: Bulk>(row: &Row, made: &B::Made) -> ImportedObject {
    let (id, (name, value)) = B::named(made);
    let value = |asked| (name == asked).then(|| value.clone());
    ImportedObject { line: row.line, id, key: value("key"), short_url: value("short_url") }
}

//! `/v1/audit`.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use model::{access::ReadAudit, page::Page, time::Timestamp};
use store::audit::{Entry, Filter};
use web::{auth::Auth, params::Params, problem::ApiError};

/// Paths of the audit trail.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// List every change of the setup, newest first
#[utoipa::path(get, path = "/v1/audit", tag = "audit", security(("api_key" = [])), params(
    ("object" = Option<String>, Query, description = "Id of the changed object, such as `prt_…`"),
    ("object_type" = Option<String>, Query, description = "Its kind, such as `partner`"),
    ("action" = Option<String>, Query, description = "Such as `partner.update`"),
    ("actor" = Option<String>, Query, description = "Id of an API key, or `operator`"),
    ("from" = Option<String>, Query, description = "RFC 3339; inclusive"),
    ("to" = Option<String>, Query, description = "RFC 3339; exclusive"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Entry>),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadAudit>,
    mut params: Params,
) -> Result<Json<Page<Entry>>, ApiError> {
    let time = |text: &str| Timestamp::parse(text).map_err(str::to_owned);
    let filter = Filter {
        object: params.word("object"),
        object_type: params.text("object_type"),
        action: params.text("action"),
        actor: params.word("actor"),
        from: params.get("from", time),
        to: params.get("to", time),
    };
    let page = params.page();
    params.finish()?;
    let rows = store::audit::list(&app.db, auth.workspace, &filter, &page).await?;
    Ok(Json(Page::cut(rows, &page, |entry| entry.id)))
}

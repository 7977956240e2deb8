//! `/v1/partners/{partner}/activity`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::{
    activity::{self, Entry, EntryType},
    reports::{Asked, Bound, Place},
};
use model::access::{Permission as _, ReadConversions, ReadPartners, ReadTraffic};
use web::{auth::Auth, params::Params, path::Path, problem::ApiError};

/// Path of the timeline.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(activity))
}

/// A page of a partner's timeline.
#[derive(Serialize, utoipa::ToSchema)]
struct Timeline {
    /// The entries.
    data: Vec<Entry>,
    /// Pass as `cursor` for the next page; `null` on the last.
    next_cursor: Option<String>,
    /// Types that were asked for and left out, because the caller may not read them.
    #[schema(value_type = Vec<String>)]
    hidden: Vec<EntryType>,
}

/// A partner's timeline, newest first: changes, assignments, notes, clicks by day, conversions
///
/// `clicks` need the right to read traffic reports, `conversion` that to read conversions; without it they are left out
/// and named in `hidden`.
#[utoipa::path(get, path = "/v1/partners/{partner}/activity", tag = "partners", security(("api_key" = [])), params(
    ("partner" = String, Path, description = "Id, `key:…` or `ext:…`"),
    ("type" = Option<String>, Query, description = "Any of `created`, `changed`, `erased`, `note`, `assignment_started`, `assignment_ended`, `clicks`, `conversion`, separated by commas"),
    ("from" = Option<String>, Query, description = "At or after: RFC 3339, or a date in the workspace's time zone"),
    ("to" = Option<String>, Query, description = "Before"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Timeline),
))]
async fn activity(
    State(app): State<App>,
    auth: Auth<ReadPartners>,
    Path(reference): Path<String>,
    mut params: Params,
) -> Result<Json<Timeline>, ApiError> {
    let partner = reference.parse().map_err(|_| Error::NotFound("partner"))?;
    let types = params.get("type", |text| {
        let mut types = text.split(',').map(str::parse).collect::<Result<Vec<EntryType>, _>>()?;
        types.sort_unstable();
        types.dedup();
        Ok(types)
    });
    let asked = Asked {
        from: params.word::<Bound>("from"),
        to: params.word::<Bound>("to"),
        partner: Some(partner),
        ..Asked::default()
    };
    let limit = params.get("limit", |text| {
        text.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| "must be 1 to 100".to_owned())
    });
    let below: Option<activity::Place> = params.cursor(str::parse);
    params.finish()?;
    let scope = asked.resolve(&app, auth.workspace, Place::Query).await?;
    let partner = scope.filter.partner.ok_or(Error::NotFound("partner"))?;

    let may_read = |kind: &EntryType| match kind {
        EntryType::Clicks => ReadTraffic::RULE.check(&auth).is_ok(),
        EntryType::Conversion => ReadConversions::RULE.check(&auth).is_ok(),
        _ => true,
    };
    let types = types.unwrap_or_else(|| EntryType::ALL.to_vec());
    let (shown, hidden): (Vec<_>, Vec<_>) = types.into_iter().partition(may_read);
    let mut snapshot = store::reports::snapshot(&app.reads).await?;
    let (data, next) = activity::page(&mut snapshot, &scope, partner, &shown, below, limit.unwrap_or(50)).await?;
    Ok(Json(Timeline { data, next_cursor: next.map(|place| place.to_string()), hidden }))
}

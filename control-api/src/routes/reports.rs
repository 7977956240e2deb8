//! `/v1/reports`: traffic and conversions, as JSON or as CSV.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    db::reports::{Bots, clicks, conversions},
    domain::reports::{self, Asked, Bound, Place, conversions::ConversionReport, traffic::TrafficReport},
    error::ApiError,
    http::{
        auth::{Auth, ReadConversions, ReadTraffic},
        params::Params,
    },
    time::At,
};

/// Paths of reports.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(traffic)).routes(routes!(conversions))
}

/// Groups at most, and how many unless asked otherwise.
const MAX_GROUPS: i64 = 10_000;
const GROUPS: i64 = 1_000;

/// Report clicks
///
/// It counts every click of the workspace; clicks without a partner form the group `none`. With `group_by=tag`, a
/// partner's clicks count under each of its tags.
#[utoipa::path(get, path = "/v1/reports/traffic", tag = "reports", security(("api_key" = [])), params(
    ("from" = String, Query, description = "First moment, by the time of the click: RFC 3339, or a date in `tz`"),
    ("to" = String, Query, description = "First moment after it"),
    ("group_by" = Option<String>, Query, description = "`partner` (default), `program`, `link`, `country`, `region`, `source`, `referrer`, `device`, `browser`, `os`, `trigger`, `tag`, `campaign`, `domain`, `hour`, `day`, `week` or `month`"),
    ("bots" = Option<String>, Query, description = "What `selected` counts: `all` (default), `human` or `bot`"),
    ("partner" = Option<String>, Query, description = "Id, `key:…` or `ext:…`"),
    ("program" = Option<String>, Query, description = "Id or `key:…`"),
    ("link" = Option<String>, Query, description = "Id"),
    ("domain" = Option<String>, Query, description = "Hostname or id"),
    ("country" = Option<String>, Query, description = "ISO 3166-1 alpha-2"),
    ("tag" = Option<String>, Query, description = "Partners that carry the tag now"),
    ("tz" = Option<String>, Query, description = "IANA time zone. Default: the workspace's"),
    ("limit" = Option<i64>, Query, description = "Groups, 1 to 10,000. Default: 1,000"),
    ("as_of" = Option<String>, Query, description = "Only what was known then; not in the future. The answer waits until it is 6 s old"),
), responses(
    (status = 200, description = "The report; its groups as `text/csv` where `Accept` asks for it", content(
        (TrafficReport = "application/json"),
        (String = "text/csv"),
    )),
    (status = 404, description = "`not_found`: a filter names nothing of this workspace"),
))]
async fn traffic(
    State(app): State<App>,
    auth: Auth<ReadTraffic>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let group = params.word("group_by").unwrap_or(clicks::Group::Partner);
    let Question { asked, bots, limit } = Question::read(&mut params);
    params.finish()?;
    let scope = asked.resolve(&app, auth.workspace, Place::Query).await?;
    let report = reports::traffic::report(&app, &scope, group, bots, limit).await?;
    if wants_csv(&headers) { csv("traffic", report.csv()?) } else { Ok(Json(report).into_response()) }
}

/// Report conversions
///
/// It sums partner-attributed conversions, by the time they occurred. Amounts are minor units; follow-ons count below
/// zero. In CSV, each group is one row, with columns per currency.
#[utoipa::path(get, path = "/v1/reports/conversions", tag = "reports", security(("api_key" = [])), params(
    ("from" = String, Query, description = "First moment, by the time of the event: RFC 3339, or a date in `tz`"),
    ("to" = String, Query, description = "First moment after it"),
    ("group_by" = Option<String>, Query, description = "`partner` (default), `program`, `link`, `type`, `event_name`, `currency`, `tag`, `campaign`, `country`, `domain`, `hour`, `day`, `week` or `month`"),
    ("bots" = Option<String>, Query, description = "Conversions after clicks of `all` (default), `human` or `bot`"),
    ("partner" = Option<String>, Query, description = "Id, `key:…` or `ext:…`"),
    ("program" = Option<String>, Query, description = "Id or `key:…`"),
    ("link" = Option<String>, Query, description = "Id"),
    ("domain" = Option<String>, Query, description = "Hostname or id"),
    ("country" = Option<String>, Query, description = "ISO 3166-1 alpha-2, of the click"),
    ("tag" = Option<String>, Query, description = "Partners that carry the tag now"),
    ("tz" = Option<String>, Query, description = "IANA time zone. Default: the workspace's"),
    ("limit" = Option<i64>, Query, description = "Groups, 1 to 10,000. Default: 1,000"),
    ("as_of" = Option<String>, Query, description = "Only what was known then; not in the future. The answer waits until it is 6 s old"),
), responses(
    (status = 200, description = "The report; its groups as `text/csv` where `Accept` asks for it", content(
        (ConversionReport = "application/json"),
        (String = "text/csv"),
    )),
    (status = 404, description = "`not_found`: a filter names nothing of this workspace"),
    (status = 422, description = "`validation_failed`; with `amount_out_of_range` where a sum exceeds 64 bits"),
))]
async fn conversions(
    State(app): State<App>,
    auth: Auth<ReadConversions>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let group = params.word("group_by").unwrap_or(conversions::Group::Partner);
    let Question { asked, bots, limit } = Question::read(&mut params);
    params.finish()?;
    let scope = asked.resolve(&app, auth.workspace, Place::Query).await?;
    let report = reports::conversions::report(&app, &scope, group, bots, limit).await?;
    if wants_csv(&headers) { csv("conversions", report.csv()?) } else { Ok(Json(report).into_response()) }
}

/// What both reports are asked.
struct Question {
    asked: Asked,
    bots: Bots,
    limit: i64,
}

impl Question {
    fn read(params: &mut Params) -> Self {
        let asked = Asked {
            from: params.required("from", |text| text.parse::<Bound>()),
            to: params.required("to", |text| text.parse::<Bound>()),
            tz: params.get("tz", |text| {
                text.parse().map_err(|_| "must be an IANA time zone such as Europe/Berlin".to_owned())
            }),
            // Milliseconds, so that the moment that is shown is the one that is used.
            as_of: params
                .get("as_of", |text| At::parse(text).map(|at| At::from_millis(at.millis())).map_err(str::to_owned)),
            partner: params.word("partner"),
            program: params.word("program"),
            link: params.get("link", |text| text.parse().map_err(|error: shared::id::IdError| error.to_string())),
            domain: params.word("domain"),
            country: params.get("country", |text| match text.as_bytes() {
                [a, b] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() => Ok(text.to_ascii_uppercase()),
                _ => Err("must be two letters, as in ISO 3166-1".to_owned()),
            }),
            tag: params.text("tag"),
        };
        let bots = params.word("bots").unwrap_or(Bots::All);
        let limit = params.get("limit", |text| {
            text.parse().ok().filter(|n| (1..=MAX_GROUPS).contains(n)).ok_or_else(|| "must be 1 to 10000".to_owned())
        });
        Self { asked, bots, limit: limit.unwrap_or(GROUPS) }
    }
}

/// Whether the caller would rather have CSV: the first of the two types that `Accept` names.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    types
        .find(|essence| matches!(essence.as_str(), "text/csv" | "application/json"))
        .is_some_and(|found| found == "text/csv")
}

fn csv(name: &str, rows: Vec<u8>) -> Result<Response, ApiError> {
    let mut response = Response::new(rows.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let attachment = format!("attachment; filename=\"{name}.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, attachment.parse().map_err(anyhow::Error::from)?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_those_who_ask_first() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/csv"), true),
            (Some("Text/CSV; charset=utf-8, */*"), true),
            (Some("application/json, text/csv"), false),
            (Some("text/html, text/csv;q=0.9, application/json;q=0.8"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(wants_csv(&headers), expected, "{accept:?}");
        }
    }
}

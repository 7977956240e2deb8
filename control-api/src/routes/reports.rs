//! `/v1/reports`: traffic and conversions, as JSON or as CSV.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use analytics::scope::Bots;
use domain::reports::{
    self, Asked, Bound, MAX_DAYS, Place, View, conversions::ConversionReport, traffic::TrafficReport,
};
use model::{
    access::{ReadConversions, ReadTraffic},
    time::Timestamp,
};
use web::{auth::Auth, params::Params, problem::ApiError};

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
    ("to" = String, Query, description = "First moment after it; at most 73,050 days later"),
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
    ("compare" = Option<String>, Query, description = "`previous`: beside the period before. A range of whole months is compared with as many months, one of whole days with as many days, both in `tz`; any other with the same time"),
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
    let group = params.word("group_by").unwrap_or(analytics::group::ClickGroup::Partner);
    let Question { asked, view } = Question::read(&mut params);
    let read = params.finish();
    let scope = asked.resolve_within(&app, auth.workspace, Place::Query, Some(MAX_DAYS), read).await?;
    let report = reports::traffic::report(&app, &scope, group, view).await?;
    if wants_csv(&headers) { csv("traffic", report.csv()?) } else { Ok(json(&report)) }
}

/// Report conversions
///
/// It sums partner-attributed conversions, by the time they occurred. Amounts are minor units; follow-ons count below
/// zero. In CSV, each group is one row, with columns per currency.
#[utoipa::path(get, path = "/v1/reports/conversions", tag = "reports", security(("api_key" = [])), params(
    ("from" = String, Query, description = "First moment, by the time of the event: RFC 3339, or a date in `tz`"),
    ("to" = String, Query, description = "First moment after it; at most 73,050 days later"),
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
    ("compare" = Option<String>, Query, description = "`previous`: beside the period before. A range of whole months is compared with as many months, one of whole days with as many days, both in `tz`; any other with the same time"),
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
    let group = params.word("group_by").unwrap_or(analytics::group::ConversionGroup::Partner);
    let Question { asked, view } = Question::read(&mut params);
    let read = params.finish();
    let scope = asked.resolve_within(&app, auth.workspace, Place::Query, Some(MAX_DAYS), read).await?;
    let report = reports::conversions::report(&app, &scope, group, view).await?;
    if wants_csv(&headers) { csv("conversions", report.csv()?) } else { Ok(json(&report)) }
}

/// What both reports are asked.
struct Question {
    asked: Asked,
    view: View,
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
            as_of: params.get("as_of", |text| {
                Timestamp::parse(text).map(|at| Timestamp::from_millis(at.millis())).map_err(str::to_owned)
            }),
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
        let view = View { bots, limit: limit.unwrap_or(GROUPS), compare: params.word("compare") };
        Self { asked, view }
    }
}

/// Whether the caller would rather have CSV, as RFC 9110, section 12.5.1, weighs the types of `Accept`: the greater
/// weight wins; of two alike the one named more exactly, then the one named first. A caller who takes neither gets JSON
/// all the same: a report is better than a refusal.
fn wants_csv(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<(String, f32)> = values.flat_map(|value| value.split(',')).map(range).collect();
    // How one of our types fares: by its most exact range. Weight, exactness, and earliness.
    let fares = |exact: &str, wild: &str| {
        let found = [exact, wild, "*/*"].iter().zip([2, 1, 0]).find_map(|(name, exactness)| {
            let place = ranges.iter().position(|(essence, _)| essence == name)?;
            Some((ranges[place].1, exactness, std::cmp::Reverse(place)))
        });
        found.filter(|(weight, ..)| *weight > 0.0)
    };
    match (fares("text/csv", "text/*"), fares("application/json", "application/*")) {
        // Named by the same `*/*`, they are alike in everything.
        (Some(csv), Some(json)) => csv > json,
        (csv, None) => csv.is_some(),
        (None, Some(_)) => false,
    }
}

/// A range of `Accept`: its essence in lower case, and its weight.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("q") { value.trim().parse().ok() } else { None }
    });
    (essence, weight.unwrap_or(1.0))
}

fn json(report: &impl serde::Serialize) -> Response {
    ([(header::VARY, "accept")], Json(report)).into_response()
}

fn csv(name: &str, rows: Vec<u8>) -> Result<Response, ApiError> {
    let mut response = Response::new(rows.into());
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let attachment = format!("attachment; filename=\"{name}.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, attachment.parse().map_err(anyhow::Error::from)?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_those_who_would_rather_have_it() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/csv"), true),
            (Some("text/*"), true),
            (Some("Text/CSV; charset=utf-8, */*"), true),
            (Some("application/json, text/csv"), false),
            (Some("text/csv, application/json"), true),
            (Some("text/csv;q=0.5, application/json;q=0.9"), false),
            (Some("application/json;q=0.5, text/csv;q=0.9"), true),
            (Some("text/html, text/csv;q=0.9, application/json;q=0.8"), true),
            (Some("text/csv;q=0.9, */*"), false),
            (Some("text/csv; q=0, */*;q=0.1"), false),
            (Some("application/json;q=0, */*;q=0.1"), true),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), false),
            // Neither: JSON by default.
            (Some("image/png"), false),
            (Some("text/csv;q=0"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(wants_csv(&headers), expected, "{accept:?}");
        }
        // Also over several headers.
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, HeaderValue::from_static("application/json;q=0.2"));
        headers.append(header::ACCEPT, HeaderValue::from_static("text/csv;q=0.3"));
        assert!(wants_csv(&headers));
    }
}

//! `/v1/admin/delivery`: what became of the edge's clicks, and how far the edge's records are. The operator's.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use shared::Millis;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use model::time::Timestamp;
use store::{
    delivery::{Hour, hour_of},
    reconciler::Counts,
};
use web::{auth::Operator, params::Params, problem::ApiError};

/// The longest range, in hours: a month.
const MOST_HOURS: i64 = 31 * 24;

/// Paths of delivery.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Clicks in one hour, or in all hours of a range, by the time inside their ids.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
struct Clicks {
    /// What the edge says it has minted. A lower bound: what an isolate minted last before it died, and what has not
    /// arrived yet from its end, nobody has counted.
    #[schema(example = 120_431)]
    minted: i64,
    /// Rows.
    #[schema(example = 120_420)]
    stored: i64,
    /// Clicks that arrived again, and were not stored again.
    #[schema(example = 12)]
    duplicate: i64,
    /// Clicks that were refused for good, by reason: `too_late`, `clock_ahead`, `unknown_workspace`, `malformed`,
    /// `undeliverable`, `overflow`.
    #[schema(example = json!({"too_late": 4}))]
    rejected: BTreeMap<String, i64>,
    /// Minted, and neither stored nor rejected: on their way, or lost.
    #[schema(example = 7)]
    in_flight: i64,
}

/// One hour's clicks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HourOfClicks {
    /// Its first moment.
    #[schema(value_type = String, format = DateTime, example = "2026-03-01T09:00:00.000Z")]
    hour: Timestamp,
    #[serde(flatten)]
    clicks: Clicks,
}

/// The hours that are answered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HourRange {
    /// First moment.
    #[schema(value_type = String, format = DateTime, example = "2026-03-01T00:00:00.000Z")]
    from: Timestamp,
    /// First moment after it.
    #[schema(value_type = String, format = DateTime, example = "2026-03-02T00:00:00.000Z")]
    to: Timestamp,
}

/// The last round that compared the edge's store with the records as they must be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Sweep {
    #[schema(value_type = String, format = DateTime, example = "2026-03-01T09:00:00.000Z")]
    started_at: Timestamp,
    #[schema(value_type = String, format = DateTime, example = "2026-03-01T09:00:31.000Z")]
    finished_at: Timestamp,
    /// What it found. All but `compared` was published again.
    #[serde(flatten)]
    counts: Counts,
}

/// How far the edge's records are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Records {
    /// Changes that the edge has not been told yet.
    #[schema(example = 0)]
    queued: i64,
    /// Since when the oldest of them waits.
    #[schema(value_type = Option<String>, format = DateTime, example = json!(null))]
    oldest_queued_at: Option<Timestamp>,
    /// `null` before the first round has ended.
    last_sweep: Option<Sweep>,
}

/// What became of the clicks, and how far the records are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Delivery {
    range: HourRange,
    totals: Clicks,
    /// Every hour of the range, the oldest first.
    hours: Vec<HourOfClicks>,
    records: Records,
}

/// State what became of the clicks that the edge minted
///
/// By the hour in which they were minted, over all workspaces. Every click ends as stored or rejected; what is in flight
/// for longer than an hour waits in a queue, in the spool, or is lost.
#[utoipa::path(get, path = "/v1/admin/delivery", tag = "admin", security(("operator_key" = [])), params(
    ("from" = Option<String>, Query, description = "RFC 3339; cut down to its hour. Default: 24 hours before `to`"),
    ("to" = Option<String>, Query, description = "RFC 3339; raised to the next hour. Default: the end of this hour. At most 31 days after `from`"),
), responses(
    (status = 200, description = "The counts", body = Delivery),
))]
async fn read(State(app): State<App>, _: Operator, mut params: Params) -> Result<Json<Delivery>, ApiError> {
    let time = |text: &str| Timestamp::parse(text).map_err(str::to_owned);
    let to = params.get("to", time).map_or_else(|| app.clock.now().plus(1), Timestamp::millis);
    let to = hour_of(to.plus(Millis::HOUR - 1));
    let from = params.get("from", time).map_or_else(|| to.millis().plus(-Millis::DAY), Timestamp::millis);
    let from = hour_of(from);
    if from >= to {
        params.fault("from", "range", "must be before `to`");
    } else if to.millis().since(from.millis()) > MOST_HOURS * Millis::HOUR {
        params.fault("to", "range", "must be at most 31 days after `from`");
    }
    params.finish()?;

    let hours: Vec<HourOfClicks> =
        store::delivery::hours(&app.reads, from, to).await?.into_iter().map(HourOfClicks::from).collect();
    let mut totals = Clicks::default();
    for HourOfClicks { clicks, .. } in &hours {
        totals.minted += clicks.minted;
        totals.stored += clicks.stored;
        totals.duplicate += clicks.duplicate;
        totals.in_flight += clicks.in_flight;
        for (reason, count) in &clicks.rejected {
            *totals.rejected.entry(reason.clone()).or_default() += count;
        }
    }
    let (queued, oldest_queued_at) = store::outbox::backlog(&app.reads).await?;
    let last_sweep = store::reconciler::last(&app.reads).await?.map(|last| Sweep {
        started_at: last.started_at,
        finished_at: last.finished_at,
        counts: last.counts,
    });
    let records = Records { queued, oldest_queued_at, last_sweep };
    Ok(Json(Delivery { range: HourRange { from, to }, totals, hours, records }))
}

impl From<Hour> for HourOfClicks {
    fn from(Hour { hour, minted, stored, duplicate, rejected, rejected_readable }: Hour) -> Self {
        // What came without a number (an older worker's) was never counted as minted. What couldn't be read may have been
        // minted at any time or never: it must not stand for a click that is missing.
        let in_flight = (minted - stored - rejected_readable).max(0);
        Self { hour, clicks: Clicks { minted, stored, duplicate, rejected: rejected.0, in_flight } }
    }
}

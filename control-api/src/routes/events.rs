//! `POST /v1/sources/{source_id}/events`: the customers' servers' door. Raw bytes are verified before they
//! are parsed; whoever holds no secret learns nothing, not even whether a source exists.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;
use shared::{
    id::SourceId,
    webhook::{self, Refusal},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::{
    Error,
    events::{EventResult, Outcome, Rejected},
    input::{event::Sent, json},
};
use web::{body, limits::Visitor, path::Path, problem::ApiError};

/// Path of events.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ingest))
}

/// Bodies up to this size need no turn of their own.
const ALONE: usize = 64 << 10;

/// What a request brings.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)] // Describes a body that is read field by field.
enum NewEvents {
    /// One event.
    One(NewEvent),
    /// Several, answered in their order.
    Batch(NewEventBatch),
}

/// Up to 1,000 events.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewEventBatch {
    events: Vec<NewEvent>,
}

/// A conversion event.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
pub(super) struct NewEvent {
    /// Unique in the source, for ever; 1 to 255 characters.
    #[schema(example = "evt_1001")]
    event_id: String,
    /// `lead`, `sale`, `refund`, `cancellation` or `reversal`.
    #[schema(example = "sale")]
    r#type: String,
    /// A finer name of your own, up to 100 characters.
    event_name: Option<String>,
    /// The click token that the visitor brought.
    nim_ct: Option<String>,
    /// Your id of the customer, up to 255 characters.
    customer_id: Option<String>,
    /// Your id of the order, up to 255 characters.
    order_id: Option<String>,
    /// Of follow-ons: the event that is reversed. They need this or `order_id`. Of leads and sales it is kept, no more.
    original_event_id: Option<String>,
    /// Minor units, ≥ 0, also for follow-ons; omitted there, it is the remainder.
    #[schema(example = 4999)]
    amount_minor: Option<i64>,
    /// ISO 4217; required with `amount_minor`.
    #[schema(example = "USD")]
    currency: Option<String>,
    /// 1 to 1,000,000.
    quantity: Option<i32>,
    /// RFC 3339; at most 5 minutes ahead and two years ago. Absent or `null`: the time of receipt.
    occurred_at: Option<String>,
    /// An object of your own, up to 8 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// What a request is answered: as it came, one or several.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant)] // Made once per request.
enum EventResults {
    /// Of one event.
    One(EventResult),
    /// Of a batch.
    Batch(BatchResults),
}

/// The answer to a batch, in its order.
#[derive(Serialize, utoipa::ToSchema)]
struct BatchResults {
    results: Vec<EventResult>,
}

/// Send signed conversion events
///
/// Signed by Standard Webhooks: `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over
/// `{webhook-id}.{webhook-timestamp}.{raw body}` with the source's secret. Sending the same event again is
/// safe: it answers `duplicate`.
#[utoipa::path(post, path = "/v1/sources/{source_id}/events", tag = "events", security(("signature" = [])), params(
    ("source_id" = String, Path, description = "Id of the source"),
    ("webhook-id" = String, Header, description = "Id of this message, part of what is signed"),
    ("webhook-timestamp" = i64, Header, description = "Seconds since the epoch, at most 300 from our clock"),
), request_body = NewEvents, responses(
    (status = 200, description = "The result of the one event, or `{\"results\": […]}` for a batch", body = EventResults),
    (status = 401, description = "`signature_missing`, `signature_invalid` (also for an unknown source) or `signature_expired`"),
    (status = 409, description = "`event_id_conflict`: the id stands for another event"),
    (status = 413, description = "`payload_too_large`: over 1 MiB"),
    (status = 422, description = "`validation_failed`, `occurred_at_in_future`, `occurred_at_too_old`"),
))]
async fn ingest(
    State(app): State<App>,
    visitor: Visitor,
    Path(source): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = webhook::Headers {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let raw = body::read(request, body::MAX_JSON).await?;
    let source: Option<SourceId> = source.parse().ok();
    let known = match source {
        Some(id) => domain::sources::verification(&app, id).await?.map(|found| (id, found)),
        None => None,
    };
    let secrets = known.as_ref().map(|(_, found)| found.secrets.as_slice()).unwrap_or_default();
    let refused = |refusal| app.limits.refuse(&visitor, ApiError::Signature(refusal));
    webhook::verify(secrets, signed, &raw, app.clock.now()).map_err(refused)?;
    let Some((source, found)) = known else { return Err(refused(Refusal::Invalid)) };
    app.limits.admit_source(&visitor, source)?;
    if !body::is_json(&headers) {
        return Err(ApiError::UnsupportedMediaType);
    }
    if !found.noted
        && let Err(error) = store::sources::note_use(&app.db, found.workspace, source).await
    {
        tracing::warn!(%error, "noting the use of a source");
    }
    // What is read of a batch takes several times its room.
    let _turn = match raw.len() {
        ..=ALONE => None,
        _ => Some(
            app.event_batches
                .try_acquire()
                .map_err(|_| Error::Unavailable("as many batches of events are under way as may be".to_owned()))?,
        ),
    };
    match Sent::read(json::parse_any(&raw)?)? {
        Sent::One(event) => {
            let outcome = match event {
                Ok(event) => domain::events::ingest_one(&app, found.workspace, source, event).await?,
                Err(rejected) => Outcome::Rejected(rejected),
            };
            match outcome {
                Outcome::Rejected(Rejected { event_id, error }) => Ok(ApiError::from(error).answer(event_id)),
                outcome => Ok(Json(EventResults::One(outcome.into())).into_response()),
            }
        }
        Sent::Batch(events) => {
            let outcomes = domain::events::ingest(&app, found.workspace, source, events).await?;
            let results = outcomes.into_iter().map(EventResult::from).collect();
            Ok(Json(EventResults::Batch(BatchResults { results })).into_response())
        }
    }
}

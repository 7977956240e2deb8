//! `/v1/conversions`: every accepted event, and what became of it.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use shared::{
    id::{ClickId, Conversion as Kind, ConversionId, LinkId, PartnerId, ProgramId, SourceId},
    reward::Basis,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::{
    csv::conversions::short_url,
    reports::{Asked, Bound, Place},
};
use model::{
    access::ReadConversions,
    conversion::{EventType, Status},
    page::{Page, PageQuery},
    time::Timestamp,
};
use store::conversions::{Filter, ReviewStatus, Row};
use web::{auth::Auth, params::Params, path::Path, problem::ApiError};

/// Paths of conversions.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// A conversion: the event as received, and what became of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Conversion {
    /// Its id.
    #[schema(value_type = String, example = "cnv_01h455vb4pex5vsknk084sn02q")]
    id: ConversionId,
    /// The source that sent it.
    #[schema(value_type = String)]
    source: SourceId,
    /// The customer's own id of the event.
    event_id: String,
    /// `lead`, `sale`, `refund`, `cancellation` or `reversal`.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "sale")]
    kind: EventType,
    event_name: Option<String>,
    customer_id: Option<String>,
    order_id: Option<String>,
    original_event_id: Option<String>,
    /// The conversion that it reverses.
    #[schema(value_type = Option<String>)]
    reverses: Option<ConversionId>,
    /// As received: 0 or more, in minor units.
    amount_minor: Option<i64>,
    /// As received.
    currency: Option<String>,
    /// Of follow-ons: what counts as reversed, in minor units.
    reversed_minor: Option<i64>,
    quantity: Option<i32>,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    #[schema(value_type = Object)]
    metadata: Value,
    attribution: Attribution,
    /// `null` where no partner is credited.
    review: Option<Review>,
    /// `null` where no reward terms were in force.
    reward: Option<Reward>,
}

/// Who gets the credit, and why.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionAttribution)]
struct Attribution {
    /// `attributed`, `pending_click`, `pending_original` or `unattributed`.
    #[schema(value_type = String, example = "attributed")]
    status: Status,
    /// `token`, `customer` or `original`.
    method: Option<String>,
    /// Why nobody is credited.
    reason: Option<String>,
    /// As named at the click.
    partner: Option<Partner>,
    /// As named at the click.
    program: Option<Program>,
    link: Option<Link>,
    #[schema(value_type = Option<String>)]
    click_id: Option<ClickId>,
    #[schema(value_type = Option<String>, format = DateTime)]
    clicked_at: Option<Timestamp>,
    /// Days that a click counted for.
    window_days: Option<i32>,
}

/// The partner credited.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionPartner)]
struct Partner {
    #[schema(value_type = String)]
    id: PartnerId,
    key: String,
    name: String,
}

/// The program of the click.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionProgram)]
struct Program {
    #[schema(value_type = String)]
    id: ProgramId,
    key: String,
    name: String,
}

/// The link clicked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionLink)]
struct Link {
    #[schema(value_type = String)]
    id: LinkId,
    short_url: Option<String>,
    destination: Option<String>,
}

/// Whether finance should look at it first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionReview)]
struct Review {
    /// `ready` or `review`.
    #[schema(value_type = String, example = "ready")]
    status: ReviewStatus,
    /// Such as `relationship_banned`, `partner_paused`, `bot_click`, `no_reward_terms`, `refunded`,
    /// `exceeds_original`, `currency_mismatch`, `duplicate_order`.
    reasons: Vec<String>,
}

/// What it may be worth to the partner, by the terms in force when it occurred.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionReward)]
struct Reward {
    terms_version: i32,
    /// `percentage` or `fixed`.
    #[schema(value_type = Option<String>)]
    basis: Option<Basis>,
    /// Hundredths of a percent.
    rate_bps: Option<i32>,
    amount_minor: Option<i64>,
    /// Of both sums below.
    currency: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    hold_until: Option<Timestamp>,
    /// Of leads and sales.
    estimated_commission_minor: Option<i64>,
    /// Of follow-ons: what is taken back, 0 or more.
    clawback_minor: Option<i64>,
}

impl From<Row> for Conversion {
    fn from(row: Row) -> Self {
        let review = (row.status == Status::Attributed).then(|| {
            let reasons = domain::conversions::review_reasons(&row);
            Review { status: domain::conversions::review_status(&reasons), reasons }
        });
        let partner = row.partner_id.map(|id| Partner {
            id,
            key: row.partner_key.unwrap_or_default(),
            name: row.partner_name.unwrap_or_default(),
        });
        let program = row.program_id.map(|id| Program {
            id,
            key: row.program_key.unwrap_or_default(),
            name: row.program_name.unwrap_or_default(),
        });
        let link = row.link_id.map(|id| Link {
            id,
            short_url: short_url(row.domain.as_deref(), row.slug.as_deref()),
            destination: row.destination,
        });
        let reward = row.terms_version.map(|terms_version| Reward {
            terms_version,
            basis: row.reward_basis,
            rate_bps: row.reward_rate_bps,
            amount_minor: row.reward_amount_minor,
            currency: row.reward_currency,
            hold_until: row.hold_until,
            estimated_commission_minor: row.estimated_commission_minor,
            clawback_minor: row.clawback_minor,
        });
        let attribution = Attribution {
            status: row.status,
            method: row.method,
            reason: row.reason,
            partner,
            program,
            link,
            click_id: row.click_id,
            clicked_at: row.click_id.map(|click| Timestamp::from_millis(click.time())),
            window_days: row.window_days,
        };
        Self {
            id: row.id,
            source: row.source_id,
            event_id: row.event_id,
            kind: row.kind,
            event_name: row.event_name,
            customer_id: row.customer_id,
            order_id: row.order_id,
            original_event_id: row.original_event_id,
            reverses: row.original_id,
            amount_minor: row.amount_minor,
            currency: row.currency,
            reversed_minor: row.reversed_minor,
            quantity: row.quantity,
            occurred_at: row.occurred_at,
            received_at: row.recorded_at,
            metadata: row.metadata.unwrap_or_default(),
            attribution,
            review,
            reward,
        }
    }
}

/// List conversions, in the order in which they arrived, newest first
#[utoipa::path(get, path = "/v1/conversions", tag = "conversions", security(("api_key" = [])), params(
    ("partner" = Option<String>, Query, description = "Id, `key:…` or `ext:…`"),
    ("program" = Option<String>, Query, description = "Id or `key:…`"),
    ("link" = Option<String>, Query, description = "Id"),
    ("type" = Option<String>, Query, description = "`lead`, `sale`, `refund`, `cancellation` or `reversal`"),
    ("from" = Option<String>, Query, description = "Occurred at or after: RFC 3339, or a date in the workspace's time zone"),
    ("to" = Option<String>, Query, description = "Occurred before"),
    ("attribution" = Option<String>, Query, description = "`attributed`, `pending_click`, `pending_original`, `unattributed`, or `pending` for both kinds"),
    ("review_status" = Option<String>, Query, description = "`ready` or `review`; only attributed ones have one"),
    ("source" = Option<String>, Query, description = "Id of the source that sent it"),
    ("event_id" = Option<String>, Query, description = "Your id of the event; each source may have one of that id"),
    ("order_id" = Option<String>, Query, description = "Your id of the order"),
    ("customer_id" = Option<String>, Query, description = "Your id of the customer"),
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses(
    (status = 200, description = "A page", body = Page<Conversion>),
    (status = 404, description = "`not_found`: a filter names nothing of this workspace"),
))]
async fn list(
    State(app): State<App>,
    auth: Auth<ReadConversions>,
    mut params: Params,
) -> Result<Json<Page<Conversion>>, ApiError> {
    let asked = Asked {
        from: params.word::<Bound>("from"),
        to: params.word::<Bound>("to"),
        partner: params.word("partner"),
        program: params.word("program"),
        link: params.get("link", id),
        ..Asked::default()
    };
    // No event was stored with more.
    let named = |text: &str| {
        let fits = text.chars().count() <= 255;
        if fits { Ok(text.to_owned()) } else { Err("must have at most 255 characters".to_owned()) }
    };
    let filter = Filter {
        kind: params.word("type"),
        statuses: statuses(&mut params),
        review: params.word("review_status"),
        source: params.get("source", id),
        event: params.get("event_id", named),
        order: params.get("order_id", named),
        customer: params.get("customer_id", named),
    };
    let page: PageQuery<Kind> = params.page();
    params.finish()?;
    let scope = asked.resolve(&app, auth.workspace, Place::Query).await?;
    if let Some(source) = filter.source {
        store::sources::get(&app.db, auth.workspace, source).await?.ok_or(Error::NotFound("source"))?;
    }
    let rows = store::conversions::list(&app.db, &scope, &filter, &page).await?;
    Ok(Json(Page::cut(rows.into_iter().map(Conversion::from).collect(), &page, |conversion| conversion.id)))
}

/// Reads an id in a query.
fn id<K: shared::id::Kind>(text: &str) -> Result<shared::Id<K>, String> {
    text.parse().map_err(|error: shared::id::IdError| error.to_string())
}

/// The states a list shows: all, unless `attribution` names one or `pending`.
fn statuses(params: &mut Params) -> Vec<String> {
    let named = params.get("attribution", |text| match text {
        "pending" => Ok(vec![Status::PendingClick, Status::PendingOriginal]),
        _ => text.parse().map(|status| vec![status]),
    });
    let statuses = named.unwrap_or_else(|| Status::ALL.to_vec());
    statuses.iter().map(ToString::to_string).collect()
}

/// Read a conversion
#[utoipa::path(get, path = "/v1/conversions/{id}", tag = "conversions", security(("api_key" = [])), params(
    ("id" = String, Path, description = "Id"),
), responses(
    (status = 200, description = "The conversion", body = Conversion),
))]
async fn read(
    State(app): State<App>,
    auth: Auth<ReadConversions>,
    Path(id): Path<String>,
) -> Result<Json<Conversion>, ApiError> {
    const NOT_FOUND: Error = Error::NotFound("conversion");
    let id: ConversionId = id.parse().map_err(|_| NOT_FOUND)?;
    let row = store::conversions::get(&app.db, auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    Ok(Json(row.into()))
}

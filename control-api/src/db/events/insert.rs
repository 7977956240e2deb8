//! The careful way into the store: one statement that finds out which events are new.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{Conversion, Method, Reason};

/// Stores conversions that are new, and answers their ids. Left out is one whose event id is taken, and a sale that says
/// to be its order's first and isn't. In an order that all transactions share: of two that store the same events and
/// orders, one waits for the other, and never both.
///
/// # Errors
/// The database's.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[Conversion]) -> sqlx::Result<Vec<Uuid>> {
    // Each column as an array: one round trip, one plan, and nothing to parse.
    macro_rules! each {
        ($get:expr) => {
            &rows.iter().map($get).collect::<Vec<_>>()
        };
    }
    sqlx::query_file_scalar!(
        "src/db/events/insert.sql",
        each!(|c| c.workspace_id),
        each!(|c| c.id),
        each!(|c| c.source_id),
        each!(|c| &*c.event_id) as _,
        each!(|c| &*c.payload_hash) as _,
        each!(|c| c.r#type.as_str()) as _,
        each!(|c| c.event_name.as_deref()) as _,
        each!(|c| c.customer_id.as_deref()) as _,
        each!(|c| c.order_id.as_deref()) as _,
        each!(|c| c.original_event_id.as_deref()) as _,
        each!(|c| c.amount_minor) as _,
        each!(|c| c.currency.as_deref()) as _,
        each!(|c| c.quantity) as _,
        each!(|c| c.occurred_at.0),
        each!(|c| &c.metadata) as _,
        each!(|c| c.status.as_str()) as _,
        each!(|c| c.method.map(Method::as_str)) as _,
        each!(|c| c.tried.map(Method::as_str)) as _,
        each!(|c| c.reason.map(Reason::as_str)) as _,
        each!(|c| c.click_id) as _,
        each!(|c| c.original_id) as _,
        each!(|c| c.window_days) as _,
        each!(|c| c.link_id) as _,
        each!(|c| c.domain.as_deref()) as _,
        each!(|c| c.slug.as_deref()) as _,
        each!(|c| c.destination.as_deref()) as _,
        each!(|c| c.assignment_id) as _,
        each!(|c| c.partner_id) as _,
        each!(|c| c.partner_key.as_deref()) as _,
        each!(|c| c.partner_name.as_deref()) as _,
        each!(|c| c.program_id) as _,
        each!(|c| c.program_key.as_deref()) as _,
        each!(|c| c.program_name.as_deref()) as _,
        each!(|c| c.utm_source.as_deref()) as _,
        each!(|c| c.utm_medium.as_deref()) as _,
        each!(|c| c.utm_campaign.as_deref()) as _,
        each!(|c| c.utm_term.as_deref()) as _,
        each!(|c| c.utm_content.as_deref()) as _,
        each!(|c| c.experiment.as_deref()) as _,
        each!(|c| c.variant.as_deref()) as _,
        each!(|c| c.country.as_deref()) as _,
        each!(|c| c.bot_reason.as_deref()) as _,
        each!(|c| c.terms_version) as _,
        each!(|c| c.reward_basis.map(shared::reward::Basis::as_str)) as _,
        each!(|c| c.reward_rate_bps) as _,
        each!(|c| c.reward_amount_minor) as _,
        each!(|c| c.reward_currency.as_deref()) as _,
        each!(|c| c.hold_until.map(|at| at.0)) as _,
        each!(|c| c.estimated_commission_minor) as _,
        each!(|c| c.reversed_minor) as _,
        each!(|c| c.clawback_minor) as _,
        each!(|c| c.flags.join(",")),
    )
    .fetch_all(db)
    .await
}

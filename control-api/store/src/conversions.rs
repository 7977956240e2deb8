//! Stored conversions, read: each row with what a reader needs beside it: how one stood with its partner at the moment
//! that is read, and whether anything reverses it. Never here: storing and attributing.

use futures::stream::BoxStream;
use serde_json::Value;
use shared::{
    id::{ClickId, Conversion as Kind, ConversionId, LinkId, PartnerId, ProgramId, SourceId, WorkspaceId},
    reward::Basis,
};
use sqlx::{PgConnection, PgExecutor};

use analytics::scope::Scope;
use model::{
    conversion::{EventType, Status},
    page::PageQuery,
    time::Timestamp,
};

shared::text_enum! {
    /// Whether finance should look at a row before anybody is paid.
    pub enum ReviewStatus {
        /// Nothing speaks against it.
        Ready = "ready",
        /// Something does.
        Review = "review",
    }
}

/// A conversion with what stands beside it.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Named as the columns of `conversions`, where each is described.
pub struct Row {
    pub id: ConversionId,
    pub source_id: SourceId,
    pub event_id: String,
    pub kind: EventType,
    pub event_name: Option<String>,
    pub customer_id: Option<String>,
    pub order_id: Option<String>,
    pub original_event_id: Option<String>,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub quantity: Option<i32>,
    pub occurred_at: Timestamp,
    /// Left out of exports, which have no column for it.
    pub metadata: Option<Value>,
    pub recorded_at: Timestamp,
    pub status: Status,
    pub method: Option<String>,
    pub reason: Option<String>,
    pub click_id: Option<ClickId>,
    pub original_id: Option<ConversionId>,
    pub window_days: Option<i32>,
    pub link_id: Option<LinkId>,
    pub domain: Option<String>,
    pub slug: Option<String>,
    pub destination: Option<String>,
    pub partner_id: Option<PartnerId>,
    pub partner_key: Option<String>,
    pub partner_name: Option<String>,
    /// Of the partner as it was at `as_of`, else as it is now.
    pub partner_external_id: Option<String>,
    /// Likewise.
    pub partner_relationship: Option<String>,
    /// Likewise.
    pub partner_status: Option<String>,
    pub program_id: Option<ProgramId>,
    pub program_key: Option<String>,
    pub program_name: Option<String>,
    pub utm_source: Option<String>,
    pub utm_medium: Option<String>,
    pub utm_campaign: Option<String>,
    pub utm_term: Option<String>,
    pub utm_content: Option<String>,
    pub experiment: Option<String>,
    pub variant: Option<String>,
    pub country: Option<String>,
    pub bot_reason: Option<String>,
    pub terms_version: Option<i32>,
    pub reward_basis: Option<Basis>,
    pub reward_rate_bps: Option<i32>,
    pub reward_amount_minor: Option<i64>,
    pub reward_currency: Option<String>,
    pub hold_until: Option<Timestamp>,
    pub estimated_commission_minor: Option<i64>,
    pub reversed_minor: Option<i64>,
    pub clawback_minor: Option<i64>,
    pub flags: Vec<String>,
    /// Whether an attributed event reverses it, fully or in part.
    pub is_reversed: bool,
}

/// Selects [`Row`]s: `$1` is the workspace, `$2` is the first moment of which nothing is known, or null.
macro_rules! select_rows {
    ($metadata:literal, $rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select c.id as "id!: ConversionId", c.source_id as "source_id!: SourceId", c.event_id as "event_id!",
               c.type as "kind!: EventType", c.event_name, c.customer_id, c.order_id, c.original_event_id,
               c.amount_minor, c.currency,
               c.quantity,
               c.occurred_at as "occurred_at!: Timestamp", "#
                + $metadata
                + r#" as "metadata: Value", c.recorded_at as "recorded_at!: Timestamp", c.status as "status!: Status",
               c.method, c.reason, c.click_id as "click_id: ClickId", c.original_id as "original_id: ConversionId",
               c.window_days, c.link_id as "link_id: LinkId", c.domain, c.slug, c.destination,
               c.partner_id as "partner_id: PartnerId", c.partner_key, c.partner_name,
               p.external_id as "partner_external_id?", p.relationship as "partner_relationship?",
               p.status as "partner_status?", c.program_id as "program_id: ProgramId", c.program_key, c.program_name,
               c.utm_source, c.utm_medium, c.utm_campaign, c.utm_term, c.utm_content, c.experiment, c.variant,
               c.country, c.bot_reason, c.terms_version, c.reward_basis as "reward_basis: Basis", c.reward_rate_bps,
               c.reward_amount_minor, c.reward_currency, c.hold_until as "hold_until: Timestamp",
               c.estimated_commission_minor, c.reversed_minor, c.clawback_minor, c.flags as "flags!",
               f.found as "is_reversed!"
               from conversions c
               left join lateral (
                 select s.external_id, s.relationship, s.status from partner_states s
                 where s.workspace_id = c.workspace_id and s.partner_id = c.partner_id
                   and ($2::timestamptz is null or s.since < $2)
                 order by s.since desc limit 1
               ) p on true
               cross join lateral (
                 select exists (
                   select 1 from conversions r
                   where r.workspace_id = c.workspace_id and r.original_id = c.id and r.status = 'attributed'
                     and ($2::timestamptz is null or r.recorded_at < $2 and r.attributed_at < $2)
                 ) as found
               ) f
               where c.workspace_id = $1 "#
                + $rest,
            $($argument),+
        )
    };
}

/// Which conversions to list, beside range, partner, program and link.
#[derive(Debug, Default)]
pub struct Filter {
    /// Of this type.
    pub kind: Option<EventType>,
    /// In any of these states.
    pub statuses: Vec<String>,
    /// Attributed ones in this state of review.
    pub review: Option<ReviewStatus>,
    /// Sent by this source.
    pub source: Option<SourceId>,
    /// The event of this id, of any source.
    pub event: Option<String>,
    /// Of this order.
    pub order: Option<String>,
    /// Of this customer.
    pub customer: Option<String>,
}

/// A page of conversions, by the order in which they arrived.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    filter: &Filter,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<Row>> {
    // What sends a row to review is told by `domain::conversions::review`; this is its yes or no.
    select_rows!(
        "c.metadata",
        r#"and c.occurred_at >= $3 and c.occurred_at < $4
           and ($5::uuid is null or c.partner_id = $5)
           and ($6::uuid is null or c.program_id = $6)
           and ($7::uuid is null or c.link_id = $7)
           and ($8::text is null or c.type = $8)
           and c.status = any($9)
           and ($10::boolean is null or c.status = 'attributed' and $10 = (
             p.relationship is distinct from 'approved' or p.status is distinct from 'active'
             or c.bot_reason is not null or c.terms_version is null or c.flags <> '{}' or f.found
           ))
           and ($11::uuid is null or c.source_id = $11)
           and ($12::text is null or c.event_id = $12)
           and ($13::text is null or c.order_id = $13)
           and ($14::text is null or c.customer_id = $14)
           and ($15::uuid is null or c.id < $15)
           order by c.id desc limit $16"#,
        scope.workspace.uuid(),
        scope.known_before().map(|at| at.0),
        scope.from.0,
        scope.to.0,
        scope.filter.partner.map(PartnerId::uuid),
        scope.filter.program.map(ProgramId::uuid),
        scope.filter.link.map(LinkId::uuid),
        filter.kind.map(EventType::as_str),
        &filter.statuses,
        filter.review.map(|review| review == ReviewStatus::Review),
        filter.source.map(SourceId::uuid),
        filter.event,
        filter.order,
        filter.customer,
        page.before_uuid(),
        page.fetch(),
    )
    .fetch_all(db)
    .await
}

/// One conversion.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ConversionId) -> sqlx::Result<Option<Row>> {
    select_rows!("c.metadata", "and c.id = $3", workspace.uuid(), None::<chrono::DateTime<chrono::Utc>>, id.uuid(),)
        .fetch_optional(db)
        .await
}

/// Every partner-attributed conversion in scope as of its moment, by the time it occurred: row by row, so that any
/// number fits.
pub fn stream<'a>(
    db: &'a mut PgConnection,
    scope: &Scope,
    as_of: Timestamp,
    types: &[String],
) -> BoxStream<'a, sqlx::Result<Row>> {
    select_rows!(
        "null::jsonb",
        r#"and c.recorded_at < $2 and c.status = 'attributed' and c.attributed_at < $2
           and c.occurred_at >= $3 and c.occurred_at < $4
           and ($5::uuid is null or c.partner_id = $5)
           and ($6::uuid is null or c.program_id = $6)
           and ($7::text[] = '{}' or c.type = any($7))
           order by c.occurred_at, c.id"#,
        scope.workspace.uuid(),
        as_of.end_of_millisecond().0,
        scope.from.0,
        scope.to.0,
        scope.filter.partner.map(PartnerId::uuid),
        scope.filter.program.map(ProgramId::uuid),
        types,
    )
    .fetch(db)
}

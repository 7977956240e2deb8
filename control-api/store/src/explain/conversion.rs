//! What is known about a stored event, and about everything that had a say in it.

use shared::id::{AssignmentId, ClickId, ConversionId, LinkId, PartnerId, ProgramId, WorkspaceId};
use sqlx::PgConnection;

use crate::sources::SourceStatus;
use model::{
    conversion::{EventType, Method, Reason, Status},
    time::Timestamp,
};

/// A stored event with what had a say in it.
#[derive(Debug, Clone)]
pub struct ConversionFacts {
    /// The event itself.
    pub event: Event,
    /// Who sent it.
    pub source: SourceFacts,
    /// Its click, as stored; `None` where it was never stored, or is no longer.
    pub click: Option<ClickFacts>,
    /// Why the store refused its click, if it did.
    pub rejected: Option<String>,
    /// The windows as they are now.
    pub windows: Windows,
    /// The workspace's time zone.
    pub tz: String,
    /// Whom the link belonged to at the click, as the centre knows it.
    pub holder: Option<Holder>,
    /// When the link was next given to somebody after the click.
    pub assigned_next: Option<Timestamp>,
    /// Another attributed conversion of the same customer through the same click.
    pub touch: Option<ConversionId>,
    /// What a follow-on reverses, or would if it could.
    pub original: Option<Original>,
    /// Stored leads and sales that a follow-on may mean.
    pub candidates: i64,
    /// The terms of the click's program in force when the event happened.
    pub terms: Option<Terms>,
}

/// The event, and what became of it.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Named like the columns of `conversions`, where each is described.
pub struct Event {
    pub id: ConversionId,
    pub kind: EventType,
    pub customer_id: Option<String>,
    pub order_id: Option<String>,
    pub original_event_id: Option<String>,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub attributed_at: Option<Timestamp>,
    pub status: Status,
    pub method: Option<Method>,
    /// What it asked for, apart from what became of it; `None` where that wasn't kept.
    pub tried: Option<Method>,
    pub reason: Option<Reason>,
    pub click_id: Option<ClickId>,
    pub original_id: Option<ConversionId>,
    pub window_days: Option<i32>,
    pub link_id: Option<LinkId>,
    pub short_url: Option<String>,
    pub partner_id: Option<PartnerId>,
    pub partner_name: Option<String>,
    pub program_id: Option<ProgramId>,
    pub program_name: Option<String>,
    pub bot_reason: Option<String>,
    pub terms_version: Option<i32>,
    /// Whether those terms reward its type.
    pub rewarded: bool,
}

/// The source, as it is now.
#[derive(Debug, Clone)]
pub struct SourceFacts {
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: SourceStatus,
    /// Secrets that would verify an event now.
    pub valid_secrets: i64,
}

/// The click.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Named like the columns of `clicks`.
pub struct ClickFacts {
    pub recorded_at: Timestamp,
    pub link_id: LinkId,
    pub short_url: String,
    pub assignment_id: Option<AssignmentId>,
    pub partner_id: Option<PartnerId>,
    pub partner_name: Option<String>,
    pub program_id: Option<ProgramId>,
    pub program_name: Option<String>,
    pub bot_reason: Option<String>,
    pub token_reason: String,
    pub record_version: i64,
}

/// Windows, in days.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// The click's program's own.
    pub program: Option<i32>,
    /// The workspace's.
    pub workspace: i32,
}

/// An assignment.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Its id.
    pub id: AssignmentId,
    /// The partner, as it is called now.
    pub partner_name: String,
    /// Since when.
    pub started_at: Timestamp,
}

/// What a follow-on reverses.
#[derive(Debug, Clone)]
pub struct Original {
    /// Its id.
    pub id: ConversionId,
    /// How far its own attribution has come.
    pub status: Status,
    /// Why it has no partner.
    pub reason: Option<Reason>,
}

/// A version of reward terms.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its number.
    pub version: i32,
    /// `false`: from this version on the program has no terms.
    pub any: bool,
    /// Types that it rewards.
    pub applies_to: Vec<String>,
    /// Since when.
    pub started_at: Timestamp,
}

/// Everything about one conversion; `None` where the workspace has no such one.
///
/// # Errors
/// The database's.
pub async fn conversion(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: ConversionId,
) -> sqlx::Result<Option<ConversionFacts>> {
    let row = sqlx::query!(
        r#"select c.id as "id: ConversionId", c.type as "kind: EventType", c.customer_id, c.order_id, c.original_event_id,
           c.occurred_at as "occurred_at: Timestamp", c.recorded_at as "recorded_at: Timestamp",
           c.attributed_at as "attributed_at: Timestamp", c.status as "status: Status", c.method as "method: Method",
           c.tried as "tried: Method", c.reason as "reason: Reason", c.click_id as "click_id: ClickId",
           c.original_id as "original_id: ConversionId", c.window_days, c.link_id as "link_id: LinkId",
           'https://' || c.domain || '/' || c.slug as short_url, c.partner_id as "partner_id: PartnerId",
           c.partner_name, c.program_id as "program_id: ProgramId", c.program_name, c.bot_reason, c.terms_version,
           c.reward_basis is not null as "rewarded!",
           s.name as source_name, s.status as "source_status: SourceStatus",
           (select count(*) from source_secrets e where e.workspace_id = s.workspace_id and e.source_id = s.id
            and (e.expires_at is null or e.expires_at > now())) as "valid_secrets!",
           (select x.reason from click_rejections x where x.workspace_id = c.workspace_id and x.click_key = c.click_id)
             as rejected,
           k.recorded_at as "k_recorded_at?: Timestamp", k.link_id as "k_link_id?: LinkId",
           'https://' || k.domain || '/' || k.slug as "k_short_url?",
           k.assignment_id as "k_assignment_id?: AssignmentId", k.partner_id as "k_partner_id?: PartnerId",
           k.partner_name as "k_partner_name?", k.program_id as "k_program_id?: ProgramId",
           k.program_name as "k_program_name?", k.bot_reason as "k_bot_reason?", k.token_reason as "k_token_reason?",
           k.record_version as "k_record_version?", p.attribution_window_days as "program_window?",
           w.attribution_window_days as workspace_window, w.timezone
           from conversions c
           join workspaces w on w.id = c.workspace_id
           join sources s on s.workspace_id = c.workspace_id and s.id = c.source_id
           left join clicks k on k.workspace_id = c.workspace_id and k.click_id = c.click_id
           left join programs p on p.workspace_id = c.workspace_id and p.id = coalesce(k.program_id, c.program_id)
           where c.workspace_id = $1 and c.id = $2"#,
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let click = match (row.k_recorded_at, row.k_link_id, row.k_short_url, row.k_token_reason, row.k_record_version) {
        (Some(recorded_at), Some(link_id), Some(short_url), Some(token_reason), Some(record_version)) => {
            Some(ClickFacts {
                recorded_at,
                link_id,
                short_url,
                assignment_id: row.k_assignment_id,
                partner_id: row.k_partner_id,
                partner_name: row.k_partner_name,
                program_id: row.k_program_id,
                program_name: row.k_program_name,
                bot_reason: row.k_bot_reason,
                token_reason,
                record_version,
            })
        }
        _ => None,
    };
    let event = Event {
        id: row.id,
        kind: row.kind,
        customer_id: row.customer_id,
        order_id: row.order_id,
        original_event_id: row.original_event_id,
        occurred_at: row.occurred_at,
        recorded_at: row.recorded_at,
        attributed_at: row.attributed_at,
        status: row.status,
        method: row.method,
        tried: row.tried,
        reason: row.reason,
        click_id: row.click_id,
        original_id: row.original_id,
        window_days: row.window_days,
        link_id: row.link_id,
        short_url: row.short_url,
        partner_id: row.partner_id,
        partner_name: row.partner_name,
        program_id: row.program_id,
        program_name: row.program_name,
        bot_reason: row.bot_reason,
        terms_version: row.terms_version,
        rewarded: row.rewarded,
    };
    let link = click.as_ref().map(|click| click.link_id).or(event.link_id);
    let (holder, assigned_next) = match (link, event.click_id) {
        (Some(link), Some(click)) => around(db, workspace, link, Timestamp::from_millis(click.time())).await?,
        _ => (None, None),
    };
    let program = click.as_ref().map_or(event.program_id, |click| click.program_id);
    // An event that says it came just before its click counts as of the click.
    let counted_at =
        event.click_id.map_or(event.occurred_at, |click| event.occurred_at.max(Timestamp::from_millis(click.time())));
    let (original, candidates) =
        if event.kind.is_follow_on() { originals(db, workspace, &event).await? } else { (None, 0) };
    Ok(Some(ConversionFacts {
        touch: touch(db, workspace, &event).await?,
        terms: match program {
            Some(program) => terms(db, workspace, program, counted_at).await?,
            None => None,
        },
        source: SourceFacts { name: row.source_name, status: row.source_status, valid_secrets: row.valid_secrets },
        rejected: row.rejected,
        windows: Windows { program: row.program_window, workspace: row.workspace_window },
        tz: row.timezone,
        event,
        click,
        holder,
        assigned_next,
        original,
        candidates,
    }))
}

/// Whom a link belonged to at a moment, and when it was next given to somebody.
async fn around(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    link: LinkId,
    at: Timestamp,
) -> sqlx::Result<(Option<Holder>, Option<Timestamp>)> {
    let holder = sqlx::query_as!(
        Holder,
        r#"select a.id as "id: AssignmentId", p.display_name as partner_name, a.started_at as "started_at: Timestamp"
           from assignments a join partners p on p.workspace_id = a.workspace_id and p.id = a.partner_id
           where a.workspace_id = $1 and a.link_id = $2 and a.started_at <= $3 and (a.ended_at is null or a.ended_at > $3)
           order by a.id desc limit 1"#,
        workspace.uuid(),
        link.uuid(),
        at.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    let next = sqlx::query_scalar!(
        r#"select min(started_at) as "at: Timestamp" from assignments where workspace_id = $1 and link_id = $2 and started_at > $3"#,
        workspace.uuid(),
        link.uuid(),
        at.0,
    )
    .fetch_one(db)
    .await?;
    Ok((holder, next))
}

async fn touch(db: &mut PgConnection, workspace: WorkspaceId, event: &Event) -> sqlx::Result<Option<ConversionId>> {
    let (Some(customer), Some(click)) = (&event.customer_id, event.click_id) else { return Ok(None) };
    sqlx::query_scalar!(
        r#"select id as "id: ConversionId" from conversions
           where workspace_id = $1 and customer_id = $2 and click_id = $3 and status = 'attributed' and id <> $4
           order by id limit 1"#,
        workspace.uuid(),
        customer,
        click.uuid(),
        event.id.uuid(),
    )
    .fetch_optional(db)
    .await
}

async fn originals(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    event: &Event,
) -> sqlx::Result<(Option<Original>, i64)> {
    let original = sqlx::query_as!(
        Original,
        r#"select id as "id: ConversionId", status as "status: Status", reason as "reason: Reason"
           from conversions where workspace_id = $1 and id = $2"#,
        workspace.uuid(),
        event.original_id.map(ConversionId::uuid),
    )
    .fetch_optional(&mut *db)
    .await?;
    let candidates = sqlx::query_scalar!(
        r#"select (case when $2::text is not null
             then (select count(*) from conversions o where o.workspace_id = $1 and o.event_id = $2 and o.type in ('lead', 'sale'))
             else (select count(*) from conversions o where o.workspace_id = $1 and o.order_id = $3 and o.type in ('lead', 'sale'))
           end) as "count!""#,
        workspace.uuid(),
        event.original_event_id,
        event.order_id,
    )
    .fetch_one(db)
    .await?;
    Ok((original, candidates))
}

async fn terms(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    program: ProgramId,
    at: Timestamp,
) -> sqlx::Result<Option<Terms>> {
    sqlx::query_as!(
        Terms,
        r#"select version, basis is not null as "any!", applies_to, started_at as "started_at: Timestamp"
           from program_reward_terms
           where workspace_id = $1 and program_id = $2 and started_at <= $3
           order by version desc limit 1"#,
        workspace.uuid(),
        program.uuid(),
        at.0,
    )
    .fetch_optional(db)
    .await
}

//! What is known about a link: how it is set up now, whether the edge knows, and what has come through it lately.

use chrono::{DateTime, Utc};
use shared::{
    Millis,
    id::{ClickId, ConversionId, LinkId, WorkspaceId},
    record::link_key,
};
use sqlx::PgConnection;

use crate::{
    domains::DomainStatus,
    links::Link,
    partners::Relationship,
    programs::Program,
    reports::clicks::first_id,
    workspaces::{InactivePartnerClicks, Workspace},
};
use model::{conversion::Status as Attribution, status::Status, time::Timestamp};

/// How far back a link's traffic is looked for, in days.
pub const LOOK_BACK_DAYS: i64 = 90;

/// A link and what stands around it.
#[derive(Debug, Clone)]
pub struct LinkFacts {
    /// The link, with the assignment in force.
    pub link: Link,
    /// Its domain's state.
    pub domain_status: DomainStatus,
    /// The state of its partner, and how one stands with it; `None` where it has none.
    pub partner: Option<(Status, Relationship)>,
    /// Its program.
    pub program: Option<Program>,
    /// What clicks of inactive partners carry.
    pub inactive_partner_clicks: InactivePartnerClicks,
    /// The workspace's window, in days.
    pub workspace_window: i32,
    /// What the edge should know.
    pub replication: Replication,
    /// The workspace's sources.
    pub sources: Sources,
    /// The latest click.
    pub last_click: Option<Clicked>,
    /// The latest click that carried a token, as far as was looked.
    pub last_token: Option<Clicked>,
    /// The latest event that came with a token of this link.
    pub last_event: Option<Used>,
}

/// How far the edge is behind.
#[derive(Debug, Clone)]
pub struct Replication {
    /// The version of the link's record now.
    pub version: i64,
    /// Since when it waits to be published; `None`: it is published.
    pub waiting_since: Option<Timestamp>,
    /// How often publishing was tried meanwhile.
    pub attempts: i32,
    /// What went wrong the last time.
    pub last_error: Option<String>,
}

/// The sources of a workspace.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Those whose events are taken.
    pub active: i64,
    /// Those whose events are refused.
    pub disabled: i64,
    /// When an active one last sent a genuine request.
    pub last_used_at: Option<Timestamp>,
}

/// A click of the link.
#[derive(Debug, Clone)]
pub struct Clicked {
    /// Its id, and with it its time.
    pub id: ClickId,
    /// Whether a token was appended, and if not, why.
    pub token_reason: String,
    /// Version of the record that served it.
    pub record_version: i64,
}

/// An event that came with a token of the link.
#[derive(Debug, Clone)]
pub struct Used {
    /// The conversion.
    pub id: ConversionId,
    /// When it was received.
    pub recorded_at: Timestamp,
    /// What became of it.
    pub status: Attribution,
}

/// Everything about one link; `None` where the workspace has no such one.
///
/// # Errors
/// The database's.
pub async fn link(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: LinkId,
    now: Millis,
) -> sqlx::Result<Option<LinkFacts>> {
    let Some(link) = crate::links::get(&mut *db, workspace, id).await? else { return Ok(None) };
    let Some(settings) = crate::workspaces::get(&mut *db, workspace).await? else { return Ok(None) };
    let Workspace { inactive_partner_clicks, attribution_window_days: workspace_window, .. } = settings;
    let program = match link.assignment.as_ref().and_then(|assignment| assignment.program.as_ref()) {
        Some(program) => crate::programs::get(&mut *db, workspace, program.id).await?,
        None => None,
    };
    let around = sqlx::query!(
        r#"select d.status as "domain_status: DomainStatus", r.status as "partner_status?: Status",
           r.relationship as "relationship?: Relationship", l.record_version,
           least(o.enqueued_at, spread.begun_at) as "waiting_since?: Timestamp",
           o.attempts as "attempts?", o.last_error,
           (select count(*) from sources s where s.workspace_id = $1 and s.status = 'active') as "active!",
           (select count(*) from sources s where s.workspace_id = $1 and s.status <> 'active') as "disabled!",
           (select max(s.last_used_at) from sources s where s.workspace_id = $1 and s.status = 'active') as "last_used_at: Timestamp"
           from links l
           join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
           left join assignments a on a.workspace_id = l.workspace_id and a.link_id = l.id and a.ended_at is null
           left join partners r on r.workspace_id = l.workspace_id and r.id = a.partner_id
           left join outbox o on o.workspace_id = l.workspace_id and o.kv_key = $3
           left join lateral (
             select min(s.begun_at) as begun_at from outbox_spreads s
             where s.workspace_id = l.workspace_id and s.after_id < l.id
               and case s.kind when 'partner' then s.object_id = a.partner_id when 'program' then s.object_id = a.program_id
                   when 'domain' then s.object_id = l.domain_id else r.status <> 'active' end
           ) spread on true
           where l.workspace_id = $1 and l.id = $2"#,
        workspace.uuid(),
        id.uuid(),
        link_key(&link.domain, &link.slug),
    )
    .fetch_one(&mut *db)
    .await?;
    let since = Timestamp::from_millis(now.plus(-LOOK_BACK_DAYS * Millis::DAY)).0;
    Ok(Some(LinkFacts {
        link,
        domain_status: around.domain_status,
        partner: around.partner_status.zip(around.relationship),
        program,
        inactive_partner_clicks,
        workspace_window,
        replication: Replication {
            version: around.record_version,
            waiting_since: around.waiting_since,
            attempts: around.attempts.unwrap_or_default(),
            last_error: around.last_error,
        },
        sources: Sources { active: around.active, disabled: around.disabled, last_used_at: around.last_used_at },
        last_click: last_click(db, workspace, id, since).await?,
        last_token: last_token(db, workspace, id, since).await?,
        last_event: last_event(db, workspace, id).await?,
    }))
}

/// The latest click: its id stands in the rollups, or, where it isn't folded yet, in the deltas.
async fn last_click(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    link: LinkId,
    since: DateTime<Utc>,
) -> sqlx::Result<Option<Clicked>> {
    sqlx::query_as!(
        Clicked,
        r#"with latest as (
             (select label_click_id as click_id from click_rollups
              where workspace_id = $1 and dimension = 'link' and grain = 'day' and bucket >= $4 and key = $3
              order by bucket desc limit 1)
             union all
             (select click_id from click_deltas
              where workspace_id = $1 and link_id = $2 and click_id >= $5 order by click_id desc limit 1)
           )
           select k.click_id as "id: ClickId", k.token_reason, k.record_version
           from latest l join clicks k on k.workspace_id = $1 and k.click_id = l.click_id
           order by k.click_id desc limit 1"#,
        workspace.uuid(),
        link.uuid(),
        link.uuid().to_string(),
        since,
        first_id(Timestamp(since)),
    )
    .fetch_optional(db)
    .await
}

/// The latest click with a token. Clicks know no index by link; the rollups tell the latest quarter-hours in which
/// humans clicked, and in each of them the newest clicks are looked through, up to a number.
async fn last_token(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    link: LinkId,
    since: DateTime<Utc>,
) -> sqlx::Result<Option<Clicked>> {
    sqlx::query_as!(
        Clicked,
        r#"with spans as (
             (select bucket, label_click_id as newest from click_rollups
              where workspace_id = $1 and dimension = 'link' and grain = 'quarter' and bucket >= $4 and key = $3
                and human_link + human_qr > 0
              order by bucket desc limit 8)
           ), candidates as (
             select recent.click_id, recent.token_reason, recent.record_version
             from spans s cross join lateral (
               select k.click_id, k.link_id, k.token_reason, k.record_version from clicks k
               where k.workspace_id = $1 and k.click_id between uuid_at(s.bucket) and s.newest
               order by k.click_id desc limit 5000
             ) recent
             where recent.link_id = $2
             union all
             select k.click_id, k.token_reason, k.record_version
             from (select click_id from click_deltas
                   where workspace_id = $1 and link_id = $2 and not bot order by click_id desc limit 100) d
             join clicks k on k.workspace_id = $1 and k.click_id = d.click_id
           )
           select click_id as "id!: ClickId", token_reason as "token_reason!", record_version as "record_version!"
           from candidates where token_reason = 'appended' order by click_id desc limit 1"#,
        workspace.uuid(),
        link.uuid(),
        link.uuid().to_string(),
        since,
    )
    .fetch_optional(db)
    .await
}

/// The latest lead or sale that came with a token of the link, among its latest conversions.
async fn last_event(db: &mut PgConnection, workspace: WorkspaceId, link: LinkId) -> sqlx::Result<Option<Used>> {
    sqlx::query_as!(
        Used,
        r#"select id as "id!: ConversionId", recorded_at as "recorded_at!: Timestamp", status as "status!: Attribution"
           from (
             select id, recorded_at, status, tried, method, type from conversions
             where workspace_id = $1 and link_id = $2 order by id desc limit 1000
           ) latest
           where type in ('lead', 'sale') and coalesce(tried, method, 'token') = 'token'
           order by id desc limit 1"#,
        workspace.uuid(),
        link.uuid(),
    )
    .fetch_optional(db)
    .await
}

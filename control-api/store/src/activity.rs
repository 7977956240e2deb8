//! A partner's timeline, kind by kind: each statement answers the newest entries before a place, as many as fit a page,
//! by an index that holds their order.

use chrono::NaiveDate;
use serde_json::Value;
use shared::id::{ApiKeyId, AssignmentId, ConversionId, LinkId, NoteId, PartnerId, ProgramId, WorkspaceId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::reports::clicks::first_id;
use model::{
    conversion::{EventType, Method},
    time::Timestamp,
};

/// Which entries are asked for: of a partner, in `from..to`, below a place, at most `fetch`.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The partner.
    pub partner: PartnerId,
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// Only entries older than this moment, or of it with a smaller id.
    pub below: (Timestamp, Uuid),
    /// Rows at most.
    pub fetch: i64,
    /// Where days begin.
    pub tz: &'a str,
}

impl Span<'_> {
    /// Ids are by time: the first that is too young.
    fn end_id(&self) -> Uuid {
        let end = self.to.min(Timestamp::from_millis(self.below.0.millis().plus(1)));
        first_id(end)
    }
}

/// A change of the partner itself.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the columns of `audit`.
pub struct Change {
    pub id: Uuid,
    pub at: Timestamp,
    pub actor: Option<ApiKeyId>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Changes of one kind, by the time inside their ids.
///
/// # Errors
/// The database's.
pub async fn changes(db: &mut PgConnection, span: &Span<'_>, action: &str) -> sqlx::Result<Vec<Change>> {
    sqlx::query_as!(
        Change,
        r#"select id, uuid_extract_timestamp(id) as "at!: Timestamp", actor_key_id as "actor: ApiKeyId", before, after
           from audit
           where workspace_id = $1 and object_id = $2 and action = $8 and id >= $3 and id < $4
             and (uuid_extract_timestamp(id), id) < ($5, $6)
           order by id desc limit $7"#,
        span.workspace.uuid(),
        span.partner.uuid(),
        first_id(span.from),
        span.end_id(),
        span.below.0.0,
        span.below.1,
        span.fetch,
        action,
    )
    .fetch_all(db)
    .await
}

/// A note.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the columns of `partner_notes`.
pub struct Note {
    pub id: NoteId,
    pub at: Timestamp,
    pub author: ApiKeyId,
    pub text: String,
}

/// Notes, by the time inside their ids.
///
/// # Errors
/// The database's.
pub async fn notes(db: &mut PgConnection, span: &Span<'_>) -> sqlx::Result<Vec<Note>> {
    sqlx::query_as!(
        Note,
        r#"select id as "id: NoteId", uuid_extract_timestamp(id) as "at!: Timestamp", author_key_id as "author: ApiKeyId",
           body as text
           from partner_notes
           where workspace_id = $1 and partner_id = $2 and id >= $3 and id < $4
             and (uuid_extract_timestamp(id), id) < ($5, $6)
           order by id desc limit $7"#,
        span.workspace.uuid(),
        span.partner.uuid(),
        first_id(span.from),
        span.end_id(),
        span.below.0.0,
        span.below.1,
        span.fetch,
    )
    .fetch_all(db)
    .await
}

/// The beginning or the end of an assignment.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the columns of `assignments`.
pub struct Turn {
    pub id: AssignmentId,
    pub at: Timestamp,
    pub actor: Option<ApiKeyId>,
    pub link_id: LinkId,
    pub short_url: String,
    pub program_id: Option<ProgramId>,
    pub program_key: Option<String>,
    pub program_name: Option<String>,
}

/// Which end of an assignment is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where it began.
    First,
    /// Where it ended.
    Last,
}

/// Assignments that began, or that ended.
///
/// # Errors
/// The database's.
pub async fn turns(db: &mut PgConnection, span: &Span<'_>, end: End) -> sqlx::Result<Vec<Turn>> {
    sqlx::query_as!(
        Turn,
        // Only one half of the union is ever run; each has an index of its own.
        r#"with turns as (
             select id, link_id, program_id, started_at as at, actor_key_id as actor from assignments
             where workspace_id = $1 and partner_id = $2 and not $8 and started_at >= $3 and started_at < $4
               and started_at <= $5
             union all
             select id, link_id, program_id, ended_at, ended_by_key_id from assignments
             where workspace_id = $1 and partner_id = $2 and $8 and ended_at >= $3 and ended_at < $4 and ended_at <= $5
           )
           select t.id as "id!: AssignmentId", t.at as "at!: Timestamp", t.actor as "actor: ApiKeyId",
           t.link_id as "link_id!: LinkId", 'https://' || d.hostname || '/' || l.slug as "short_url!",
           p.id as "program_id?: ProgramId", p.key as "program_key?", p.name as "program_name?"
           from turns t
           join links l on l.workspace_id = $1 and l.id = t.link_id
           join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
           left join programs p on p.workspace_id = $1 and p.id = t.program_id
           where (t.at, t.id) < ($5, $6)
           order by t.at desc, t.id desc limit $7"#,
        span.workspace.uuid(),
        span.partner.uuid(),
        span.from.0,
        span.to.0,
        span.below.0.0,
        span.below.1,
        span.fetch,
        end == End::Last,
    )
    .fetch_all(db)
    .await
}

/// A conversion credited to the partner.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the columns of `conversions`.
pub struct Credit {
    pub id: ConversionId,
    pub at: Timestamp,
    pub kind: EventType,
    pub event_id: String,
    pub order_id: Option<String>,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub method: Option<Method>,
    pub link_id: Option<LinkId>,
    pub short_url: Option<String>,
}

/// Conversions, by the time they occurred.
///
/// # Errors
/// The database's.
pub async fn credits(db: &mut PgConnection, span: &Span<'_>) -> sqlx::Result<Vec<Credit>> {
    sqlx::query_as!(
        Credit,
        r#"select id as "id: ConversionId", occurred_at as "at!: Timestamp", type as "kind: EventType", event_id, order_id,
           amount_minor, currency, method as "method: Method", link_id as "link_id: LinkId",
           'https://' || domain || '/' || slug as short_url
           from conversions
           where workspace_id = $1 and partner_id = $2 and status = 'attributed'
             and occurred_at >= $3 and occurred_at < $4
             and occurred_at <= $5 and (occurred_at, id) < ($5, $6)
           order by occurred_at desc, id desc limit $7"#,
        span.workspace.uuid(),
        span.partner.uuid(),
        span.from.0,
        span.to.0,
        span.below.0.0,
        span.below.1,
        span.fetch,
    )
    .fetch_all(db)
    .await
}

/// The clicks of one day.
#[derive(Debug)]
pub struct Day {
    /// When the day begins.
    pub at: Timestamp,
    /// The day.
    pub day: NaiveDate,
    /// Clicks of humans.
    pub human: i64,
    /// Clicks of bots.
    pub bot: i64,
}

/// Clicks by day of the time zone: of the rollups, the quarter-hours of the latest days in which the partner had any;
/// and what isn't folded into them yet.
///
/// # Errors
/// The database's.
pub async fn days(db: &mut PgConnection, span: &Span<'_>) -> sqlx::Result<Vec<Day>> {
    // A day of the zone lies in two days of UTC at most. With twice as many of those as there are days to answer, and
    // some more, the days answered are whole; where there are more yet, the one that may be cut is left out.
    let whole_days = span.fetch.saturating_mul(2).saturating_add(4);
    sqlx::query_as!(
        Day,
        r#"with days as (
             select bucket from click_rollups
             where workspace_id = $1 and dimension = 'partner' and grain = 'day' and key = $2
               and bucket < least($5::timestamptz, $6::timestamptz) + interval '25 hours'
               and bucket >= $4::timestamptz - interval '1 day'
             order by bucket desc limit $8
           ), cells as (
             select r.bucket as at, r.human_link + r.human_qr as human, r.bot_link + r.bot_qr as bot
             from days d
             join lateral (
               select q.bucket, q.human_link, q.human_qr, q.bot_link, q.bot_qr from click_rollups q
               where q.workspace_id = $1 and q.dimension = 'partner' and q.grain = 'quarter' and q.key = $2
                 and q.bucket >= d.bucket and q.bucket < d.bucket + interval '1 day'
             ) r on true
             union all
             select uuid_extract_timestamp(c.click_id), (not c.bot)::int, c.bot::int from click_deltas c
             where c.workspace_id = $1 and c.partner_id = $3
           ), by_day as (
             select date_trunc('day', at, $7) as at, sum(human)::bigint as human, sum(bot)::bigint as bot
             from cells group by 1
           )
           select at as "at!: Timestamp", (at at time zone $7)::date as "day!", human as "human!", bot as "bot!"
           from by_day
           where at >= $4 and at < $6 and (at, '00000000-0000-0000-0000-000000000000'::uuid) < ($5, $10)
             and (at >= (select min(bucket) from days) or (select count(*) from days) < $8)
           order by at desc limit $9"#,
        span.workspace.uuid(),
        span.partner.uuid().to_string(),
        span.partner.uuid(),
        span.from.0,
        span.below.0.0,
        span.to.0,
        span.tz,
        whole_days,
        span.fetch,
        span.below.1,
    )
    .fetch_all(db)
    .await
}

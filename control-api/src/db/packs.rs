//! Packs: what the rollups hold of one dimension and bucket, in one row that reports read instead of thousands.
//!
//! Only what has come to rest is packed. Whatever changes the rollups of a bucket takes its packs away in the same
//! transaction and notes them as due (0024), so a pack that is there says what its rollups say.

pub mod format;

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use shared::Millis;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use self::format::{Clicks, Conversions, Key, Writer};
use super::{
    reports::Span,
    rollups::{self, Day},
};
use crate::time::At;

/// How long ago a day, week or month must have ended before it is packed: most of what is late has come by then.
const REST: i64 = 15 * Millis::MINUTE;
/// Only one instance looks for what is due at a time.
const LOCK: i64 = 0x6e69_6d72_7061_636b;

shared::text_enum! {
    /// What is counted.
    pub enum Facts {
        /// Clicks.
        Clicks = "clicks",
        /// Conversions.
        Conversions = "conversions",
    }
}

/// A bucket whose packs are made together: a day, a week or a month of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The workspace.
    pub workspace: Uuid,
    /// What is counted.
    pub facts: Facts,
    /// `day`, `week` or `month`.
    pub grain: String,
    /// Its first moment.
    pub start: At,
}

/// A pack by its dimension and grain.
type Packs = BTreeMap<(String, String), Vec<u8>>;

/// One that was read.
#[derive(Debug)]
pub struct Pack {
    /// `quarter` (of which it holds a day), `day`, `week` or `month`.
    pub grain: String,
    /// The first moment.
    pub bucket: At,
    /// What it holds, in the [`format`]; always a version that is known.
    pub cells: Vec<u8>,
}

/// Reads the packs of a dimension that lie in spans of a grain, in the order of time.
///
/// # Errors
/// The database's.
pub async fn read(
    db: impl PgExecutor<'_>,
    workspace: Uuid,
    facts: Facts,
    dimension: &str,
    spans: &[Span],
) -> sqlx::Result<Vec<Pack>> {
    if spans.is_empty() {
        return Ok(vec![]);
    }
    let grains: Vec<&str> = spans.iter().map(|span| span.grain).collect();
    let (from, to): (Vec<_>, Vec<_>) = spans.iter().map(|span| (span.from.0, span.to.0)).unzip();
    let mut packs = sqlx::query_as!(
        Pack,
        r#"select p.grain, p.bucket as "bucket: At", p.cells
        from unnest($4::text[], $5::timestamptz[], $6::timestamptz[]) as s (grain, first, after)
        join rollup_packs p on p.workspace_id = $1 and p.facts = $2 and p.dimension = $3 and p.grain = s.grain
            and p.bucket >= s.first and p.bucket < s.after
        order by p.bucket"#,
        workspace,
        facts.as_str(),
        dimension,
        &grains as _,
        &from,
        &to,
    )
    .fetch_all(db)
    .await?;
    packs.retain(|pack| format::is_known(&pack.cells));
    Ok(packs)
}

/// Makes packs that are due of days, weeks and months that are over, of at most `limit` of them, and answers of how many; what
/// changed meanwhile is left for another time. `None` while another instance makes some.
///
/// # Errors
/// The database's.
pub async fn make(db: &PgPool, now: At, limit: i64) -> sqlx::Result<Option<i64>> {
    let Some(turn) = rollups::try_lock(db, LOCK).await? else { return Ok(None) };
    // The latest first: they are asked for most.
    let due = sqlx::query_as!(
        Bucket,
        r#"select workspace_id as workspace, facts as "facts: Facts", grain, bucket as "start: At"
        from rollup_packs_due
        where bucket <= $1::timestamptz - case grain
            when 'day' then interval '1 day' when 'week' then interval '7 days' else interval '1 month' end
        order by bucket desc, grain, facts, workspace_id
        limit $2"#,
        At::from_millis(now.millis().plus(-REST)).0,
        limit,
    )
    .fetch_all(db)
    .await?;
    let mut made = 0;
    for bucket in &due {
        let mut tx = db.begin_with("begin isolation level repeatable read, read only").await?;
        if let Some(change) = change(&mut tx, bucket).await? {
            let packs = cells(&mut tx, bucket).await?;
            tx.commit().await?;
            made += i64::from(keep(db, bucket, change, packs).await?);
        }
    }
    turn.commit().await?;
    Ok(Some(made))
}

/// What a due bucket was changed by last.
async fn change(db: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "select change from rollup_packs_due where workspace_id = $1 and facts = $2 and grain = $3 and bucket = $4",
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.grain,
        bucket.start.0,
    )
    .fetch_optional(db)
    .await
}

/// Keeps the packs of a bucket, unless it has changed since they were made. Answers whether it has kept them.
async fn keep(db: &PgPool, bucket: &Bucket, change: Uuid, packs: Packs) -> sqlx::Result<bool> {
    let mut tx = db.begin().await?;
    let unchanged = sqlx::query!(
        "delete from rollup_packs_due
        where workspace_id = $1 and facts = $2 and grain = $3 and bucket = $4 and change = $5",
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.grain,
        bucket.start.0,
        change,
    )
    .execute(&mut *tx)
    .await?;
    if unchanged.rows_affected() == 0 {
        return Ok(false);
    }
    let (keys, cells): (Vec<(String, String)>, Vec<Vec<u8>>) = packs.into_iter().unzip();
    let (dimensions, grains): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
    sqlx::query!(
        "insert into rollup_packs (workspace_id, facts, bucket, dimension, grain, cells)
        select $1, $2, $3, * from unnest($4::text[], $5::text[], $6::bytea[])
        on conflict (workspace_id, facts, grain, bucket, dimension) do update set cells = excluded.cells",
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.start.0,
        &dimensions,
        &grains,
        &cells,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Makes the packs of a bucket from its rollups.
async fn cells(db: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<Packs> {
    let mut packs: BTreeMap<(String, String), Writer> = BTreeMap::new();
    match bucket.facts {
        Facts::Clicks => {
            let mut rows =
                sqlx::query_file!("src/db/packs/clicks.sql", bucket.workspace, bucket.grain, bucket.start.0).fetch(db);
            while let Some(row) = rows.try_next().await? {
                packs.entry((row.dimension, row.grain)).or_default().push(&Clicks {
                    part: part(row.part)?,
                    key: Key::of(&row.key),
                    human_link: row.human_link,
                    human_qr: row.human_qr,
                    bot_link: row.bot_link,
                    bot_qr: row.bot_qr,
                    human_partner: row.human_partner,
                })?;
            }
        }
        Facts::Conversions => {
            let mut rows =
                sqlx::query_file!("src/db/packs/conversions.sql", bucket.workspace, bucket.grain, bucket.start.0)
                    .fetch(db);
            while let Some(row) = rows.try_next().await? {
                packs.entry((row.dimension, row.grain)).or_default().push(&Conversions {
                    part: part(row.part)?,
                    key: Key::of(&row.key),
                    bot: row.bot,
                    currency: &row.currency,
                    reward_currency: &row.reward_currency,
                    click: row.click,
                    label: &row.label,
                    leads: row.leads,
                    sales: row.sales,
                    refunds: row.refunds,
                    cancellations: row.cancellations,
                    reversals: row.reversals,
                    gross: whole(&row.gross)?,
                    negative: whole(&row.negative)?,
                    reward: whole(&row.reward)?,
                })?;
            }
        }
    }
    Ok(packs.into_iter().map(|(key, writer)| (key, writer.finish())).collect())
}

fn part(number: i32) -> sqlx::Result<u8> {
    u8::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A sum of 64-bit amounts, as the database writes numbers that may exceed them.
///
/// # Errors
/// That it is none.
pub fn whole(text: &str) -> sqlx::Result<i128> {
    text.parse().map_err(|error| sqlx::Error::Decode(format!("a sum of integers is none: {error}: {text}").into()))
}

/// Every bucket that has packs, of one workspace or of all.
///
/// # Errors
/// The database's.
pub async fn kept(db: &PgPool, workspace: Option<Uuid>) -> sqlx::Result<Vec<Bucket>> {
    sqlx::query_as!(
        Bucket,
        r#"select distinct workspace_id as workspace, facts as "facts: Facts", grain, bucket as "start: At"
        from rollup_packs
        where grain <> 'quarter' and ($1::uuid is null or workspace_id = $1)
        order by 1, 2, 3, 4"#,
        workspace
    )
    .fetch_all(db)
    .await
}

/// How many packs of a bucket differ from its rollups.
///
/// # Errors
/// The database's.
pub async fn verify(db: &PgPool, bucket: &Bucket) -> sqlx::Result<usize> {
    let mut tx = db.begin_with("begin isolation level repeatable read, read only").await?;
    let kept = sqlx::query!(
        "select dimension, grain, cells from rollup_packs
        where workspace_id = $1 and facts = $2 and bucket = $4 and (grain = $3 or (grain = 'quarter' and $3 = 'day'))",
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.grain,
        bucket.start.0,
    )
    .fetch_all(&mut *tx)
    .await?;
    // Packs of a bucket come together or not at all: it may have changed since it was listed.
    if kept.is_empty() {
        return Ok(0);
    }
    let kept: Packs = kept.into_iter().map(|row| ((row.dimension, row.grain), row.cells)).collect();
    let must = cells(&mut tx, bucket).await?;
    let differing = must.iter().filter(|(key, cells)| kept.get(*key) != Some(*cells));
    Ok(differing.count() + kept.keys().filter(|key| !must.contains_key(*key)).count())
}

/// Takes all packs away, of one workspace or of all, to be made anew.
///
/// # Errors
/// The database's.
pub async fn discard(db: &PgPool, workspace: Option<Uuid>) -> sqlx::Result<()> {
    sqlx::query!(
        "with gone as (
            delete from rollup_packs where $1::uuid is null or workspace_id = $1
            returning workspace_id, facts, case grain when 'quarter' then 'day' else grain end as grain, bucket
        )
        insert into rollup_packs_due (workspace_id, facts, grain, bucket)
        select distinct workspace_id, facts, grain, bucket from gone
        on conflict (workspace_id, facts, grain, bucket) do update set change = default",
        workspace
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that the rollups of clicks of a day and of its month have changed, where no row of all clicks tells it.
///
/// # Errors
/// The database's.
pub async fn changed(db: impl PgExecutor<'_>, day: Day) -> sqlx::Result<()> {
    sqlx::query!(
        r#"select rollups_changed($1, 'clicks', 'day', $2)::text as "day",
            rollups_changed($1, 'clicks', 'month', $3)::text as "month""#,
        day.workspace,
        day.start.0,
        day.month().start.0,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

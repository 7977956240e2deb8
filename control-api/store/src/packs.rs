//! Packs: what the rollups hold of one dimension and bucket, in one row that reports read instead of thousands.
//!
//! Only what has come to rest is packed. Whatever changes the rollups of a bucket takes its packs away in the same
//! transaction and notes them as due (0024), so a pack that is there says what its rollups say.

mod cache;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
pub use cache::Cache;
use futures::TryStreamExt as _;
use shared::Millis;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use analytics::{
    counts::ClickCounts,
    grain::{Facts, Grain},
    pack::{self, Damaged, Pack, clicks, conversions, whole},
    spans::{Span, unpacked_runs},
};
use model::time::Timestamp;

/// How long ago a day, week or month must have ended before it is packed: most of what is late has come by then.
const REST: i64 = 15 * Millis::MINUTE;
/// Only one instance looks for what is due at a time.
const LOCK: i64 = 0x6e69_6d72_7061_636b;

/// A bucket whose packs are made together: a day, a week or a month of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The workspace.
    pub workspace: Uuid,
    /// What is counted.
    pub facts: Facts,
    /// A day, a week or a month.
    pub grain: Grain,
    /// Its first moment.
    pub start: Timestamp,
}

/// A pack by its dimension and grain.
type Packs = BTreeMap<(String, Grain), Vec<u8>>;

/// Reads the packs of a dimension that lie in spans of a grain, in the order of time, and tells which of these have none
/// though there is something to be packed.
///
/// # Errors
/// The database's.
pub async fn read(
    db: &mut PgConnection,
    cache: &Cache,
    workspace: Uuid,
    (facts, dimension): (Facts, &str),
    spans: &[Span],
) -> sqlx::Result<(Vec<Pack>, Vec<Span>)> {
    if spans.is_empty() {
        return Ok((vec![], vec![]));
    }
    let grains: Vec<&str> = spans.iter().map(|span| span.grain.as_str()).collect();
    let (from, to): (Vec<_>, Vec<_>) = spans.iter().map(|span| (span.from.0, span.to.0)).unzip();
    let listed = sqlx::query!(
        r#"select p.id, p.grain as "grain: Grain", p.bucket as "bucket: Timestamp"
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
    .fetch_all(&mut *db)
    .await?;
    let mut kept: HashMap<Uuid, Bytes> =
        listed.iter().filter_map(|pack| Some((pack.id, cache.get(pack.id)?))).collect();
    let others = listed.iter().filter(|pack| !kept.contains_key(&pack.id));
    let (others, buckets): (Vec<&str>, Vec<_>) = others.map(|pack| (pack.grain.as_str(), pack.bucket.0)).unzip();
    if !others.is_empty() {
        let mut found = sqlx::query!(
            "select p.id, p.cells
            from unnest($4::text[], $5::timestamptz[]) as s (grain, bucket)
            join rollup_packs p on p.workspace_id = $1 and p.facts = $2 and p.dimension = $3 and p.grain = s.grain
                and p.bucket = s.bucket",
            workspace,
            facts.as_str(),
            dimension,
            &others as _,
            &buckets,
        )
        .fetch(&mut *db);
        while let Some(pack) = found.try_next().await? {
            let cells = Bytes::from(pack.cells);
            cache.keep(pack.id, cells.clone());
            kept.insert(pack.id, cells);
        }
    }
    let packs = listed.into_iter().filter_map(|pack| {
        let cells = kept.remove(&pack.id)?;
        Some(Pack { grain: pack.grain, bucket: pack.bucket, cells })
    });
    let (packs, others): (Vec<Pack>, Vec<Pack>) = packs.partition(|pack| pack::is_known(&pack.cells));
    let due = sqlx::query!(
        r#"select s.grain as "grain!: Grain", d.bucket as "bucket: Timestamp"
        from unnest($3::text[], $4::timestamptz[], $5::timestamptz[]) as s (grain, first, after)
        join rollup_packs_due d on d.workspace_id = $1 and d.facts = $2
            and d.grain = case s.grain when 'quarter' then 'day' else s.grain end
            and d.bucket >= s.first and d.bucket < s.after"#,
        workspace,
        facts.as_str(),
        &grains as _,
        &from,
        &to,
    )
    .fetch_all(&mut *db)
    .await?;
    let due = due.into_iter().map(|row| (row.bucket, row.grain));
    let unpacked = due.chain(others.into_iter().map(|pack| (pack.bucket, pack.grain))).collect();
    Ok((packs, unpacked_runs(unpacked)))
}

/// Makes packs that are due of days, weeks and months that are over, of at most `limit` of them, and answers of how many. What
/// changes meanwhile, and what another instance is at, is left for another time.
///
/// # Errors
/// The database's.
pub async fn make(db: &PgPool, now: Timestamp, limit: i64) -> sqlx::Result<i64> {
    // The latest first: they are asked for most.
    let due = sqlx::query_as!(
        Bucket,
        r#"select workspace_id as workspace, facts as "facts: Facts", grain as "grain: Grain", bucket as "start: Timestamp"
        from rollup_packs_due
        where bucket <= $1::timestamptz - case grain
            when 'day' then interval '1 day' when 'week' then interval '7 days' else interval '1 month' end
        order by bucket desc, grain, facts, workspace_id
        limit $2"#,
        Timestamp::from_millis(now.millis().plus(-REST)).0,
        limit,
    )
    .fetch_all(db)
    .await?;
    let mut made = 0;
    for bucket in &due {
        match make_one(db, bucket).await {
            Ok(kept) => made += i64::from(kept),
            // It changed while it was packed.
            Err(error) if is_serialization_failure(&error) => {}
            // The others don't suffer for it.
            Err(error) => tracing::warn!(%error, ?bucket, "packing rollups failed"),
        }
    }
    Ok(made)
}

/// Makes the packs of a bucket, and answers whether it has kept them. All that it reads is of one snapshot; that it takes away
/// the note which that snapshot saw proves that nothing changed since.
async fn make_one(db: &PgPool, bucket: &Bucket) -> sqlx::Result<bool> {
    let mut tx = db.begin_with("begin isolation level repeatable read").await?;
    let mine =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "mine!""#, LOCK).fetch_one(&mut *tx).await?;
    if !mine {
        return Ok(false);
    }
    let packs = cells(&mut tx, bucket).await?;
    let noted = sqlx::query!(
        "delete from rollup_packs_due where workspace_id = $1 and facts = $2 and grain = $3 and bucket = $4",
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.grain.as_str(),
        bucket.start.0,
    )
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(false);
    }
    let (keys, cells): (Vec<_>, Vec<_>) = packs.into_iter().unzip();
    let (dimensions, grains): (Vec<String>, Vec<&str>) =
        keys.into_iter().map(|(dimension, grain)| (dimension, grain.as_str())).unzip();
    sqlx::query!(
        "insert into rollup_packs (workspace_id, facts, bucket, dimension, grain, cells)
        select $1, $2, $3, * from unnest($4::text[], $5::text[], $6::bytea[])",
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.start.0,
        &dimensions,
        &grains as _,
        &cells,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

fn is_serialization_failure(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("40001")
}

/// What the packs of a bucket must hold, by its rollups; days and weeks of conversions by the conversions themselves.
async fn cells(db: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<Packs> {
    match bucket.facts {
        Facts::Clicks => {
            let mut packs: BTreeMap<_, clicks::Writer> = BTreeMap::new();
            let mut rows =
                sqlx::query_file!("src/packs/clicks.sql", bucket.workspace, bucket.grain.as_str(), bucket.start.0)
                    .fetch(db);
            while let Some(row) = rows.try_next().await? {
                let counts = ClickCounts {
                    human_link: row.human_link,
                    human_qr: row.human_qr,
                    bot_link: row.bot_link,
                    bot_qr: row.bot_qr,
                    human_partner: row.human_partner,
                };
                packs.entry((row.dimension, row.grain)).or_default().push(row.key, part(row.part)?, counts);
            }
            packs.into_iter().map(|(of, writer)| Ok((of, writer.finish().map_err(decode)?))).collect()
        }
        Facts::Conversions => {
            let mut packs: BTreeMap<_, conversions::Writer> = BTreeMap::new();
            let mut rows =
                sqlx::query_file!("src/packs/conversions.sql", bucket.workspace, bucket.grain.as_str(), bucket.start.0)
                    .fetch(db);
            while let Some(row) = rows.try_next().await? {
                packs.entry((row.dimension, row.grain)).or_default().push(conversions::Cell {
                    key: row.key,
                    part: part(row.part)?,
                    bot: row.bot,
                    pair: (row.currency, row.reward_currency),
                    latest: (row.click, row.label),
                    numbers: conversions::Numbers {
                        leads: row.leads,
                        sales: row.sales,
                        refunds: row.refunds,
                        cancellations: row.cancellations,
                        reversals: row.reversals,
                        gross: whole(&row.gross).map_err(decode)?,
                        negative: whole(&row.negative).map_err(decode)?,
                        reward: whole(&row.reward).map_err(decode)?,
                    },
                });
            }
            packs.into_iter().map(|(of, writer)| Ok((of, writer.finish().map_err(decode)?))).collect()
        }
    }
}

fn part(number: i32) -> sqlx::Result<u8> {
    u8::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Every bucket that has packs, of one workspace or of all.
///
/// # Errors
/// The database's.
pub async fn kept(db: &PgPool, workspace: Option<Uuid>) -> sqlx::Result<Vec<Bucket>> {
    sqlx::query_as!(
        Bucket,
        r#"select distinct workspace_id as workspace, facts as "facts: Facts", grain as "grain: Grain", bucket as "start: Timestamp"
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
        r#"select dimension, grain as "grain: Grain", cells from rollup_packs
        where workspace_id = $1 and facts = $2 and bucket = $4 and (grain = $3 or (grain = 'quarter' and $3 = 'day'))"#,
        bucket.workspace,
        bucket.facts.as_str(),
        bucket.grain.as_str(),
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
    // In the order of `rollups_changed`, for the reasons told there.
    let mut tx = db.begin().await?;
    sqlx::query!(
        "insert into rollup_packs_due (workspace_id, facts, grain, bucket)
        select workspace_id, facts, grain, bucket from rollup_packs
        where grain <> 'quarter' and ($1::uuid is null or workspace_id = $1)
        union
        select workspace_id, facts, grain, bucket from rollup_packs_due where $1 is null or workspace_id = $1
        order by 1, 2, 3, 4
        on conflict (workspace_id, facts, grain, bucket) do update set bucket = excluded.bucket",
        workspace
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from rollup_packs where $1::uuid is null or workspace_id = $1", workspace)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// What can't be read, as an error of the database that holds it.
pub(super) fn decode(error: Damaged) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

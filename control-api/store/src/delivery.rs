//! What became of the clicks that the edge minted, by the hour inside their ids. All workspaces together: delivery is
//! the operator's concern.

use std::collections::{BTreeMap, HashMap};

use shared::{
    Millis,
    click::{Click, Minted},
};
use sqlx::{PgExecutor, PgPool, types::Json};
use uuid::Uuid;

use model::time::Timestamp;

/// The start of the hour that holds a moment.
#[must_use]
pub fn hour_of(at: Millis) -> Timestamp {
    Timestamp::from_millis(Millis(at.0 - at.0.rem_euclid(Millis::HOUR)))
}

/// What the clicks of a batch say about how many there are: the greatest number by hour and isolate.
#[derive(Default)]
pub struct Mints(BTreeMap<(Timestamp, i64), i64>);

impl Mints {
    /// Reads what a click says.
    pub fn note(&mut self, click: Uuid, minted: Option<Minted>) {
        let Some(minted) = minted else { return };
        let (Ok(isolate), Ok(nth)) = (i64::try_from(minted.isolate), i64::try_from(minted.nth)) else { return };
        let greatest = self.0.entry((hour_of(shared::id::uuid_millis(click)), isolate)).or_default();
        *greatest = nth.max(*greatest);
    }
}

/// The clicks of a batch that were stored before.
pub struct Duplicates(HashMap<Timestamp, i64>);

impl Duplicates {
    /// Of the admitted clicks, before it is known which are new.
    #[must_use]
    pub fn of(clicks: &[&Click<'_>]) -> Self {
        let mut hours = HashMap::new();
        for click in clicks {
            *hours.entry(hour_of(click.id.time())).or_default() += 1;
        }
        Self(hours)
    }

    /// Leaves out those that were new.
    pub fn take(&mut self, stored: &[(Uuid, Uuid)]) {
        for (_, click) in stored {
            if let Some(count) = self.0.get_mut(&hour_of(shared::id::uuid_millis(*click))) {
                *count -= 1;
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum::<i64>().unsigned_abs()
    }
}

/// Adds up what a stored batch tells. Each statement is a transaction of its own: rows that all batches touch are locked
/// for a moment only.
///
/// # Errors
/// The database's.
pub async fn add_up(db: &PgPool, mints: &Mints, duplicates: &Duplicates) -> sqlx::Result<()> {
    if !mints.0.is_empty() {
        // In the order of their key, so that statements that overlap lock rows in the same order.
        let hours: Vec<Timestamp> = mints.0.keys().map(|(hour, _)| *hour).collect();
        let isolates: Vec<i64> = mints.0.keys().map(|(_, isolate)| *isolate).collect();
        let minted: Vec<i64> = mints.0.values().copied().collect();
        sqlx::query!(
            "insert into click_mints (hour, isolate, minted) select * from unnest($1::timestamptz[], $2::bigint[], $3::bigint[])
             on conflict (hour, isolate) do update set minted = excluded.minted where click_mints.minted < excluded.minted",
            &hours as _,
            &isolates,
            &minted,
        )
        .execute(db)
        .await?;
    }
    if !duplicates.0.is_empty() {
        let (hours, counts): (Vec<Timestamp>, Vec<i64>) = duplicates.0.iter().unzip();
        sqlx::query!(
            "insert into click_hours (hour, duplicate) select * from unnest($1::timestamptz[], $2::bigint[]) order by 1
             on conflict (hour) do update set duplicate = click_hours.duplicate + excluded.duplicate",
            &hours as _,
            &counts,
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Sums up the mints of hours from which no click can come any more, and removes them.
///
/// # Errors
/// The database's.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "with over as (delete from click_mints where hour < now() - interval '16 days' returning hour, minted)
         insert into click_hours (hour, minted) select hour, sum(minted)::bigint from over group by hour order by hour
         on conflict (hour) do update set minted = click_hours.minted + excluded.minted",
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One hour.
#[derive(Debug)]
#[allow(missing_docs)] // Described where it is answered.
pub struct Hour {
    pub hour: Timestamp,
    pub minted: i64,
    pub stored: i64,
    pub duplicate: i64,
    pub rejected: Json<BTreeMap<String, i64>>,
    /// Of the rejected, those that could be read: they were minted in this hour.
    pub rejected_readable: i64,
}

/// Every hour of a range that begins and ends with one, the oldest first.
///
/// # Errors
/// The database's.
pub async fn hours(db: impl PgExecutor<'_>, from: Timestamp, to: Timestamp) -> sqlx::Result<Vec<Hour>> {
    sqlx::query_file_as!(Hour, "src/delivery/hours.sql", from.0, to.0).fetch_all(db).await
}

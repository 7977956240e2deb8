//! Sums conversions: days and months of them from packs and rollups, together with what is not folded into those yet, the
//! rest one by one. [`cells`] reads, [`sums`] adds up.

mod cells;

use sqlx::PgConnection;

use super::{
    fragments::{Sql, push_filter},
    reckon,
};
use crate::packs::Cache;
use analytics::{
    conversions::Cells,
    group::ConversionGroup,
    scope::{Bots, Scope},
    sums::ConversionGroups,
};

/// The partner-attributed conversions in scope, read and not yet summed.
pub struct Conversions(Cells);

impl Conversions {
    /// Reads them, for one kind of groups.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(
        db: &mut PgConnection,
        cache: &Cache,
        scope: &Scope,
        group: ConversionGroup,
        bots: Bots,
    ) -> sqlx::Result<Self> {
        cells::read(db, cache, scope, group, bots).await.map(Self)
    }

    /// Sums them by group.
    ///
    /// # Errors
    /// That a pack is damaged.
    pub async fn grouped(self, limit: usize) -> sqlx::Result<ConversionGroups> {
        reckon(move || self.0.top(limit)).await
    }

    /// Sums them in total and for some keys; keys without any are left out, and the others are in no order.
    ///
    /// # Errors
    /// That a pack is damaged.
    pub async fn of_keys(self, keys: Vec<String>) -> sqlx::Result<ConversionGroups> {
        reckon(move || self.0.of_keys(&keys)).await
    }
}

/// Conversions in scope that no partner is credited with: finally, and so far. Rows without a partner match no
/// filter by partner.
///
/// # Errors
/// The database's.
pub async fn beside(db: &mut PgConnection, scope: &Scope, bots: Bots) -> sqlx::Result<(i64, i64)> {
    let mut sql = Sql::new("select (");
    cells::push_unattributed(&mut sql, scope, bots);
    sql.push("), (select count(*) from conversions where workspace_id = ").push_bind(scope.workspace);
    sql.push(" and occurred_at >= ").push_bind(scope.from.0).push(" and occurred_at < ").push_bind(scope.to.0);
    match scope.known_before() {
        Some(end) => {
            sql.push(" and recorded_at < ").push_bind(end.0);
            sql.push(" and (attributed_at is null or attributed_at >= ").push_bind(end.0).push(")");
        }
        None => {
            sql.push(" and attributed_at is null");
        }
    }
    cells::push_bots(&mut sql, bots);
    push_filter(&mut sql, scope);
    sql.push(")");
    sql.build_query_as::<(i64, i64)>().fetch_one(db).await
}

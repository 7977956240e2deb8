//! Sums conversions: days and months of them from packs and rollups, together with what is not folded into those yet, the
//! rest one by one. [`cells`] reads, [`sums`] adds up.

mod cells;
mod sums;

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sums::Cells;

use super::{
    Bots, Scope, clicks,
    fragments::{Sql, push_filter},
    reckon,
};
use crate::db::packs::Cache;

shared::text_enum! {
    /// What conversions can be grouped by.
    pub enum Group {
        /// The partner credited.
        Partner = "partner",
        /// The program at the click.
        Program = "program",
        /// The link clicked.
        Link = "link",
        /// `lead`, `sale`, `refund`, `cancellation`, `reversal`.
        Type = "type",
        /// The event's own name.
        EventName = "event_name",
        /// Currency of the amounts.
        Currency = "currency",
        /// Tags that the partner carries now.
        Tag = "tag",
        /// The link's `utm_campaign` at the click.
        Campaign = "campaign",
        /// Country of the click.
        Country = "country",
        /// Hostname of the link.
        Domain = "domain",
        /// Hour.
        Hour = "hour",
        /// Calendar day.
        Day = "day",
        /// ISO 8601 week.
        Week = "week",
        /// Calendar month.
        Month = "month",
    }
}

impl Group {
    /// The same groups of clicks, where clicks have them.
    #[must_use]
    pub const fn of_clicks(self) -> Option<clicks::Group> {
        Some(match self {
            Self::Partner => clicks::Group::Partner,
            Self::Program => clicks::Group::Program,
            Self::Link => clicks::Group::Link,
            Self::Tag => clicks::Group::Tag,
            Self::Campaign => clicks::Group::Campaign,
            Self::Country => clicks::Group::Country,
            Self::Domain => clicks::Group::Domain,
            Self::Hour => clicks::Group::Hour,
            Self::Day => clicks::Group::Day,
            Self::Week => clicks::Group::Week,
            Self::Month => clicks::Group::Month,
            Self::Type | Self::EventName | Self::Currency => return None,
        })
    }

    /// The dimension of the rollups that holds it; `None` for spans of time.
    const fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Tag => Some("partner"),
            Self::Hour | Self::Day | Self::Week | Self::Month => None,
            _ => Some(self.as_str()),
        }
    }

    /// Whether its keys are ids, which people know by another name.
    const fn has_labels(self) -> bool {
        matches!(self, Self::Partner | Self::Tag | Self::Program | Self::Link)
    }

    /// Whether it is a span of time.
    const fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Week | Self::Month)
    }

    /// The key and the name of a conversion, in SQL.
    const fn key_and_label(self) -> (&'static str, &'static str) {
        match self {
            Self::Partner | Self::Tag => ("partner_id::text", "partner_name"),
            Self::Program => ("program_id::text", "program_name"),
            Self::Link => ("link_id::text", "domain || '/' || slug"),
            Self::Type => ("type", "null::text"),
            Self::EventName => ("event_name", "null::text"),
            Self::Currency => ("currency", "null::text"),
            Self::Campaign => ("utm_campaign", "null::text"),
            Self::Country => ("country", "null::text"),
            Self::Domain => ("domain", "null::text"),
            Self::Hour | Self::Day | Self::Week | Self::Month => ("null::text", "null::text"),
        }
    }
}

/// What conversions add up to. Sums of 64-bit amounts may be greater than 64 bits.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Leads.
    pub leads: i64,
    /// Sales.
    pub sales: i64,
    /// Refunds.
    pub refunds: i64,
    /// Cancellations.
    pub cancellations: i64,
    /// Reversals.
    pub reversals: i64,
    /// By currency: amounts of leads and sales, and of follow-ons, 0 or less.
    pub revenue: BTreeMap<String, (i128, i128)>,
    /// By currency of the reward: estimated commissions less clawbacks.
    pub reward: BTreeMap<String, i128>,
}

/// A group that is shown.
#[derive(Debug)]
pub struct Shown {
    /// Its key.
    pub key: String,
    /// The name at its latest click, else what names it by itself; nothing where there is no value.
    pub label: Option<String>,
    /// Its sums.
    pub sums: Sums,
}

/// Conversions by group.
#[derive(Debug)]
pub struct Grouped {
    /// All partner-attributed conversions in scope, each once.
    pub totals: Sums,
    /// Most sales first, then most leads.
    pub groups: Vec<Shown>,
    /// The sum of the groups over the limit.
    pub other: Option<Sums>,
}

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
        group: Group,
        bots: Bots,
    ) -> sqlx::Result<Self> {
        cells::read(db, cache, scope, group, bots).await.map(Self)
    }

    /// Sums them by group.
    ///
    /// # Errors
    /// That a pack is damaged.
    pub async fn grouped(self, limit: usize) -> sqlx::Result<Grouped> {
        reckon(move || self.0.top(limit)).await
    }

    /// Sums them in total and for some keys; keys without any are left out, and the others are in no order.
    ///
    /// # Errors
    /// That a pack is damaged.
    pub async fn of_keys(self, keys: Vec<String>) -> sqlx::Result<Grouped> {
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

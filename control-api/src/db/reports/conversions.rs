//! Sums conversions: months of them from rollups, together with what is not folded into those yet, the rest one by one
//! ([`cells`]).

mod cells;

use cells::base;
use sqlx::PgConnection;

use super::{
    Bots, Scope, clicks,
    fragments::{Sql, push_filter},
};

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

    const fn raw_and_label(self) -> (&'static str, &'static str) {
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
            Self::Hour | Self::Day | Self::Week | Self::Month => ("", "null::text"),
        }
    }
}

/// Sums of one part of the report, in one pair of currencies.
#[derive(Debug, sqlx::FromRow)]
pub struct Cell {
    /// 0: of the totals, 1: of a group, 2: of the groups over the limit.
    pub part: i16,
    /// Place of the group, from 1.
    pub rank: Option<i64>,
    /// Key of the group.
    pub key: Option<String>,
    /// The latest click's id and the label that it carried, in one text.
    latest: Option<String>,
    /// Currency of the amounts.
    pub currency: Option<String>,
    /// Currency of the reward.
    pub reward_currency: Option<String>,
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
    /// Amounts of leads and sales; an integer that may exceed 64 bits, as text.
    pub gross: String,
    /// Amounts of follow-ons, 0 or less; likewise.
    pub negative: String,
    /// Estimated commissions less clawbacks; likewise.
    pub reward: String,
}

impl Cell {
    /// The latest click, comparable, and its label.
    #[must_use]
    pub fn latest(&self) -> Option<(&str, &str)> {
        self.latest.as_deref().and_then(|text| text.split_at_checked(36))
    }
}

const SUMS: &str = "sum(leads)::bigint as leads, sum(sales)::bigint as sales, sum(refunds)::bigint as refunds, \
                    sum(cancellations)::bigint as cancellations, sum(reversals)::bigint as reversals, \
                    sum(gross)::text as gross, sum(negative)::text as negative, sum(reward)::text as reward";

/// Sums the partner-attributed conversions in scope by group; greatest number of sales first, then of leads.
///
/// # Errors
/// The database's.
pub async fn grouped(
    db: &mut PgConnection,
    scope: &Scope,
    group: Group,
    bots: Bots,
    limit: i64,
) -> sqlx::Result<Vec<Cell>> {
    let mut sql = base(scope, group, bots);
    sql.push(
        ", ranked as (
           select key, row_number() over (order by sum(sales) desc, sum(leads) desc, key collate \"C\") as rank
           from groups group by key order by rank limit ",
    );
    sql.push_bind(limit);
    sql.push(format_args!(
        ") select 0::smallint as part, null::bigint as rank, null as key, null as latest, currency, reward_currency, {SUMS}
         from base group by currency, reward_currency
         union all select 1::smallint, rank, key, "
    ));
    // A tag adds its partners up. All other groups are summed already.
    if group == Group::Tag {
        sql.push(format_args!(
            "max(latest), currency, reward_currency, {SUMS} from groups join ranked using (key)
             group by rank, key, currency, reward_currency"
        ));
    } else {
        sql.push(
            "latest, currency, reward_currency, leads, sales, refunds, cancellations, reversals, gross::text,
             negative::text, reward::text from groups join ranked using (key)",
        );
    }
    sql.push(format_args!(
        " union all
         select 2::smallint, null, null, null, currency, reward_currency, {SUMS}
         from groups left join ranked using (key) where rank is null group by currency, reward_currency
         order by part, rank"
    ));
    sql.build_query_as::<Cell>().fetch_all(db).await
}

/// Sums the partner-attributed conversions in scope, in total and for some keys of a group; keys without any are left
/// out.
///
/// # Errors
/// The database's.
pub async fn of_keys(
    db: &mut PgConnection,
    scope: &Scope,
    group: Group,
    bots: Bots,
    keys: &[String],
) -> sqlx::Result<Vec<Cell>> {
    let mut sql = base(scope, group, bots);
    sql.push(format_args!(
        " select 0::smallint as part, null::bigint as rank, null as key, null as latest, currency, reward_currency, {SUMS}
          from base group by currency, reward_currency
          union all
          select 1::smallint, null, key, max(latest), currency, reward_currency, {SUMS} from groups where key = any("
    ));
    sql.push_bind(keys);
    sql.push(") group by key, currency, reward_currency");
    sql.build_query_as::<Cell>().fetch_all(db).await
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

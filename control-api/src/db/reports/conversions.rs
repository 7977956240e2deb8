//! Sums conversions, always from facts: they are few beside clicks, and every sum stays checkable row by row.

use sqlx::PgConnection;

use super::{
    Bots, Scope, clicks,
    fragments::{Sql, push_filter, push_span, push_span_label, push_span_text},
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

    const fn raw_and_label(self) -> (&'static str, &'static str) {
        match self {
            Self::Partner | Self::Tag => ("partner_id", "partner_name"),
            Self::Program => ("program_id", "program_name"),
            Self::Link => ("link_id", "domain || '/' || slug"),
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
    sql.push(format_args!(
        ", ranked as (
           select key, row_number() over (order by sum(sales) desc, sum(leads) desc, key collate \"C\") as rank
           from groups group by key
         )
         select 0::smallint as part, null::bigint as rank, null as key, null as latest, currency, reward_currency, {SUMS}
         from base group by currency, reward_currency
         union all
         select 1::smallint, rank, key, max(latest), currency, reward_currency, {SUMS}
         from groups join ranked using (key) where rank <= "
    ));
    sql.push_bind(limit);
    sql.push(format_args!(
        " group by rank, key, currency, reward_currency
         union all
         select 2::smallint, null, null, null, currency, reward_currency, {SUMS}
         from groups join ranked using (key) where rank > "
    ));
    sql.push_bind(limit);
    sql.push(" group by currency, reward_currency order by part, rank");
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

/// Writes `with matched, counted, base, groups`: `base` has each conversion once, under a key and its currencies;
/// `groups` has what the report shows.
fn base(scope: &Scope, group: Group, bots: Bots) -> Sql {
    let span = group.of_clicks();
    let mut sql = Sql::new("with matched as (select ");
    let (raw, label) = group.raw_and_label();
    match span {
        Some(span) if span.is_time() => push_span(&mut sql, scope, span, "occurred_at"),
        _ => {
            sql.push(raw);
        }
    }
    // A follow-on whose event names no amount reverses the remainder. A currency without an amount is not shown.
    sql.push(format_args!(
        " as raw, {label} as label, click_id as click, type, reward,
          case when gross is not null or negative is not null then currency end as currency,
          case when reward is not null then reward_currency end as reward_currency, gross, negative
          from (
            select *,
              case when type in ('lead', 'sale') then amount_minor end as gross,
              case when type not in ('lead', 'sale') then coalesce(amount_minor, reversed_minor) end as negative,
              case when estimated_commission_minor is not null or clawback_minor is not null
                then coalesce(estimated_commission_minor, 0) - coalesce(clawback_minor, 0) end as reward
            from ("
    ));
    push_matching(&mut sql, scope, bots, "*");
    sql.push(" and status = 'attributed'");
    if let Some(end) = scope.known_before() {
        sql.push(" and attributed_at < ").push_bind(end.0);
    }
    sql.push(
        ") c) c), counted as (
           select raw, label, (max(array[click]))[1] as click, currency, reward_currency,
             count(*) filter (where type = 'lead') as leads, count(*) filter (where type = 'sale') as sales,
             count(*) filter (where type = 'refund') as refunds,
             count(*) filter (where type = 'cancellation') as cancellations,
             count(*) filter (where type = 'reversal') as reversals,
             coalesce(sum(gross), 0) as gross, -coalesce(sum(negative), 0) as negative, coalesce(sum(reward), 0) as reward
           from matched group by raw, label, currency, reward_currency
         ), base as materialized (select ",
    );
    push_span_text(&mut sql, span);
    sql.push(" as key, coalesce(click::text, repeat('0', 36)) || coalesce(");
    push_span_label(&mut sql, scope, span);
    sql.push(
        ", '') collate \"C\" as latest, currency, reward_currency, leads, sales, refunds, cancellations, reversals,
          gross, negative, reward from counted
         ), groups as (",
    );
    if group == Group::Tag {
        sql.push(
            "select tag as key, repeat('0', 36) || tag as latest, currency, reward_currency, leads, sales, refunds,
             cancellations, reversals, gross, negative, reward
             from base left join partners p on p.id::text = base.key and p.workspace_id = ",
        );
        sql.push_bind(scope.workspace);
        sql.push(" cross join lateral unnest(case when cardinality(p.tags) > 0 then p.tags else '{none}' end) as tag)");
    } else {
        sql.push("select * from base)");
    }
    sql
}

/// Conversions in scope that no partner is credited with: finally, and so far. Rows without a partner match no
/// filter by partner.
///
/// # Errors
/// The database's.
pub async fn beside(db: &mut PgConnection, scope: &Scope, bots: Bots) -> sqlx::Result<(i64, i64)> {
    let mut sql = Sql::new("select count(*) filter (where ");
    let pending = |sql: &mut Sql| {
        sql.push("(attributed_at is null");
        if let Some(end) = scope.known_before() {
            sql.push(" or attributed_at >= ").push_bind(end.0);
        }
        sql.push(")");
    };
    sql.push("status = 'unattributed' and not ");
    pending(&mut sql);
    sql.push("), count(*) filter (where ");
    pending(&mut sql);
    sql.push(") from (");
    push_matching(&mut sql, scope, bots, "status, attributed_at");
    sql.push(") c");
    sql.build_query_as::<(i64, i64)>().fetch_one(db).await
}

/// The conversions of the range, as far as they were known at `as_of`, whatever became of them.
fn push_matching(sql: &mut Sql, scope: &Scope, bots: Bots, columns: &'static str) {
    sql.push(format_args!("select {columns} from conversions where workspace_id = ")).push_bind(scope.workspace);
    sql.push(" and occurred_at >= ").push_bind(scope.from.0);
    sql.push(" and occurred_at < ").push_bind(scope.to.0);
    if let Some(end) = scope.known_before() {
        sql.push(" and recorded_at < ").push_bind(end.0);
    }
    sql.push(match bots {
        Bots::All => "",
        Bots::Human => " and bot_reason is null",
        Bots::Bot => " and bot_reason is not null",
    });
    push_filter(sql, scope);
}

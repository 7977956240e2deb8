//! Counts clicks. Rollups answer where they can: on ranges of whole quarter-hours, of the latest state, with one
//! dimension in play at most ([`cells`] says what from, [`super::spans`] how a range is cut). They are read together with the deltas that are not folded into them yet, so the
//! answer is exact at any moment. Everything else is counted from facts, bounded by the time inside click ids.

mod cells;

pub use cells::first_id;
use cells::{Measure, base, base_of, push_labelled};
use sqlx::PgConnection;

use super::{Bots, Scope};

shared::text_enum! {
    /// What clicks can be grouped by.
    pub enum Group {
        /// The partner at the click.
        Partner = "partner",
        /// The program at the click.
        Program = "program",
        /// The link.
        Link = "link",
        /// ISO 3166-1 alpha-2.
        Country = "country",
        /// Country and region.
        Region = "region",
        /// The visitor's `utm_source`, else the link's.
        Source = "source",
        /// Host of the referring page.
        Referrer = "referrer",
        /// Kind of device.
        Device = "device",
        /// Browser family.
        Browser = "browser",
        /// Operating system family.
        Os = "os",
        /// Short link or QR code.
        Trigger = "trigger",
        /// Tags that the partner carries now.
        Tag = "tag",
        /// The link's `utm_campaign`.
        Campaign = "campaign",
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
    /// Whether it is a span of time.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Week | Self::Month)
    }

    /// The dimension of the rollups that holds it; `None` for spans of time, which every dimension holds.
    const fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Tag => Some("partner"),
            Self::Hour | Self::Day | Self::Week | Self::Month => None,
            _ => Some(self.as_str()),
        }
    }
}

/// Clicks by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Counts {
    /// Humans through short links.
    pub human_link: i64,
    /// Humans through QR codes.
    pub human_qr: i64,
    /// Bots through short links.
    pub bot_link: i64,
    /// Bots through QR codes.
    pub bot_qr: i64,
}

impl Counts {
    /// Those that `bots` selects.
    const fn selected(self, bots: Bots) -> i64 {
        let (human, bot) = (self.human_link + self.human_qr, self.bot_link + self.bot_qr);
        match bots {
            Bots::All => human + bot,
            Bots::Human => human,
            Bots::Bot => bot,
        }
    }

    const fn subtract(&mut self, other: Self) {
        self.human_link -= other.human_link;
        self.human_qr -= other.human_qr;
        self.bot_link -= other.bot_link;
        self.bot_qr -= other.bot_qr;
    }
}

/// One row of the answer.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    part: i16,
    key: Option<String>,
    label: Option<String>,
    #[sqlx(flatten)]
    counts: Counts,
}

/// Clicks by group.
#[derive(Debug, Default)]
pub struct Grouped {
    /// All clicks in scope, each once.
    pub totals: Counts,
    /// Key, label and counts, by what `bots` selects, greatest first.
    pub groups: Vec<(String, Option<String>, Counts)>,
    /// The sum of the groups over the limit.
    pub other: Option<Counts>,
}

/// Whether clicks in scope are counted from facts, one by one.
#[must_use]
pub fn counts_clicks(scope: &Scope, group: Option<Group>) -> bool {
    cells::plan(scope, group) == cells::Plan::Facts
}

/// Counts the clicks in scope by group.
///
/// # Errors
/// The database's.
pub async fn grouped(
    db: &mut PgConnection,
    scope: &Scope,
    group: Group,
    bots: Bots,
    limit: i64,
) -> sqlx::Result<Grouped> {
    let sums = Measure::Kinds.sums();
    let mut sql = base(scope, Some(group), Measure::Kinds);
    let selected = match bots {
        Bots::All => "human_link + human_qr + bot_link + bot_qr",
        Bots::Human => "human_link + human_qr",
        Bots::Bot => "bot_link + bot_qr",
    };
    // Parts 0 and 3 are the totals: 3 where there are more groups than are shown, which the rest is then the difference to.
    // Tags overlap, so that their rest has to be added up.
    if group == Group::Tag {
        sql.push(format_args!(
            " select 0::smallint as part, null as key, {sums}, null as label from base
              union all select 2::smallint, null, {sums}, null from groups having count(*) > "
        ));
        sql.push_bind(limit);
    } else {
        sql.push(" select case when count(*) > ").push_bind(limit);
        sql.push(format_args!(" then 3 else 0 end::smallint as part, null as key, {sums}, null as label from base"));
    }
    sql.push(" union all select 1::smallint, g.key, g.human_link, g.human_qr, g.bot_link, g.bot_qr, ");
    push_labelled(&mut sql, scope, group, |sql| {
        sql.push(format_args!("select * from groups order by {selected} desc, key collate \"C\" limit "))
            .push_bind(limit);
    });

    let mut answer = Grouped::default();
    for row in sql.build_query_as::<Row>().fetch_all(db).await? {
        match (row.part, row.key) {
            (0, _) => answer.totals = row.counts,
            (3, _) => {
                answer.totals = row.counts;
                answer.other = Some(row.counts);
            }
            (1, Some(key)) => answer.groups.push((key, row.label, row.counts)),
            _ => answer.other = Some(row.counts),
        }
    }
    // What is joined is in no order.
    answer.groups.sort_by(|(a, _, x), (b, _, y)| y.selected(bots).cmp(&x.selected(bots)).then_with(|| a.cmp(b)));
    if let Some(rest) = &mut answer.other {
        for (_, _, shown) in &answer.groups {
            rest.subtract(*shown);
        }
    }
    Ok(answer)
}

/// Counts the clicks in scope, in total and for some keys of a group; keys without clicks are left out.
///
/// # Errors
/// The database's.
pub async fn of_keys(db: &mut PgConnection, scope: &Scope, group: Group, keys: &[String]) -> sqlx::Result<Grouped> {
    let mut sql = base(scope, Some(group), Measure::Kinds);
    let sums = Measure::Kinds.sums();
    sql.push(format_args!(
        " select 0::smallint as part, null as key, null as label, {sums} from base
          union all select 1::smallint, key, null, human_link, human_qr, bot_link, bot_qr from groups where key = any("
    ));
    sql.push_bind(keys);
    sql.push(")");
    let mut answer = Grouped::default();
    for row in sql.build_query_as::<Row>().fetch_all(db).await? {
        match row.key {
            None => answer.totals = row.counts,
            Some(key) => answer.groups.push((key, row.label, row.counts)),
        }
    }
    Ok(answer)
}

/// Humans' clicks that had a partner: what conversions are measured against.
#[derive(Debug, Default)]
pub struct Reach {
    /// All in scope, each once.
    pub total: i64,
    /// By key of the group.
    pub by_key: std::collections::HashMap<String, i64>,
}

/// Counts the clicks of humans that had a partner, in total and for some keys of a group.
///
/// # Errors
/// The database's.
pub async fn reach(db: &mut PgConnection, scope: &Scope, group: Option<Group>, keys: &[String]) -> sqlx::Result<Reach> {
    // In total by the dimension that has the fewest rows, and of the keys only their own.
    let mut sql = base(scope, None, Measure::Reach);
    sql.push(format_args!(" select {} from base", Measure::Reach.sums()));
    let total = sql.build_query_scalar::<i64>().fetch_one(&mut *db).await?;
    let mut sql = base_of(scope, group, Measure::Reach, Some(keys));
    sql.push(" select key, human_partner from groups where key = any(").push_bind(keys).push(")");
    let by_key = sql.build_query_as::<(String, i64)>().fetch_all(db).await?.into_iter().collect();
    Ok(Reach { total, by_key })
}

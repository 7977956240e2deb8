//! Counts final conversions under their keys in every dimension, by month, and all of them by quarter-hour and day too. Pure.
//!
//! The same is said in SQL by `conversion_entries` (0019), which proves and repairs what this has counted: two ways to one
//! result, held against each other by the tests.

use std::borrow::Cow;

use chrono::{DateTime, Datelike as _, DurationRound as _, NaiveTime, TimeDelta, Utc};
use hashbrown::HashMap;
use uuid::Uuid;

use crate::grain::Grain;
use model::conversion::EventType;

/// A final conversion: what it counts as, and under what.
#[allow(missing_docs)] // Named like the columns of `conversion_facts`.
pub struct Settled {
    pub workspace_id: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub attributed: bool,
    pub r#type: EventType,
    pub bot: bool,
    pub click_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub partner_name: Option<String>,
    pub program_id: Option<Uuid>,
    pub program_name: Option<String>,
    pub link_id: Option<Uuid>,
    pub domain: Option<String>,
    pub slug: Option<String>,
    pub event_name: Option<String>,
    pub currency: Option<String>,
    pub campaign: Option<String>,
    pub country: Option<String>,
    pub gross: Option<i64>,
    pub negative: Option<i64>,
    pub reward: Option<i64>,
    pub amount_currency: Option<String>,
    pub reward_currency: Option<String>,
}

/// Under what a cell stands, in the order of the rollups' key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Address<'a> {
    workspace: Uuid,
    dimension: &'static str,
    grain: Grain,
    bucket: DateTime<Utc>,
    key: Cow<'a, str>,
    bot: bool,
    currency: &'a str,
    reward_currency: &'a str,
}

/// What is counted there. Sums of 64-bit amounts may be greater than 64 bits.
#[derive(Default)]
struct Cell<'a> {
    counts: Counts,
    gross: i128,
    negative: i128,
    reward: i128,
    /// The latest click, and the name that the key had then.
    latest: Uuid,
    label: Cow<'a, str>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    leads: i64,
    sales: i64,
    refunds: i64,
    cancellations: i64,
    reversals: i64,
    unattributed: i64,
}

/// Cells as a statement takes them: a list per column, in the order of the rollups' key.
#[derive(Default)]
#[allow(missing_docs)] // Named like the columns.
pub struct Columns {
    pub workspace: Vec<Uuid>,
    pub dimension: Vec<&'static str>,
    pub grain: Vec<&'static str>,
    pub bucket: Vec<DateTime<Utc>>,
    pub key: Vec<String>,
    pub bot: Vec<bool>,
    pub currency: Vec<String>,
    pub reward_currency: Vec<String>,
    pub label: Vec<Option<String>>,
    pub latest: Vec<Uuid>,
    pub leads: Vec<i64>,
    pub sales: Vec<i64>,
    pub refunds: Vec<i64>,
    pub cancellations: Vec<i64>,
    pub reversals: Vec<i64>,
    pub unattributed: Vec<i64>,
    pub gross: Vec<String>,
    pub negative: Vec<String>,
    pub reward: Vec<String>,
}

const NONE: &str = "none";

/// All that these conversions add to the rollups.
pub fn columns(rows: &[Settled]) -> Columns {
    let mut cells: HashMap<Address<'_>, Cell<'_>> = HashMap::new();
    for row in rows {
        count(row, &mut cells);
    }
    // In the order of the key, so that neighbours in the index are written one after the other.
    let mut cells: Vec<_> = cells.into_iter().collect();
    cells.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let mut columns = Columns::default();
    for (address, cell) in cells {
        columns.workspace.push(address.workspace);
        columns.dimension.push(address.dimension);
        columns.grain.push(address.grain.as_str());
        columns.bucket.push(address.bucket);
        columns.key.push(address.key.into_owned());
        columns.bot.push(address.bot);
        columns.currency.push(address.currency.to_owned());
        columns.reward_currency.push(address.reward_currency.to_owned());
        // An empty name is none.
        columns.label.push(Some(cell.label.into_owned()).filter(|label| !label.is_empty()));
        columns.latest.push(cell.latest);
        columns.leads.push(cell.counts.leads);
        columns.sales.push(cell.counts.sales);
        columns.refunds.push(cell.counts.refunds);
        columns.cancellations.push(cell.counts.cancellations);
        columns.reversals.push(cell.counts.reversals);
        columns.unattributed.push(cell.counts.unattributed);
        columns.gross.push(cell.gross.to_string());
        columns.negative.push(cell.negative.to_string());
        columns.reward.push(cell.reward.to_string());
    }
    columns
}

/// Counts a conversion once in every dimension.
fn count<'a>(row: &'a Settled, cells: &mut HashMap<Address<'a>, Cell<'a>>) {
    let day = row.occurred_at.date_naive().and_time(NaiveTime::MIN).and_utc();
    let month = day.with_day0(0).unwrap_or(day);
    let quarter = row.occurred_at.duration_trunc(TimeDelta::minutes(15)).unwrap_or(day);
    let counts = counts(row);
    // What is credited to nobody brings no amounts, and names nobody.
    let of = |amount: Option<i64>| amount.filter(|_| row.attributed).map_or(0, i128::from);
    let shown = |currency: &'a Option<String>| currency.as_deref().filter(|_| row.attributed).unwrap_or_default();
    let click = row.click_id.filter(|_| row.attributed);

    let mut under = |dimension, grain, bucket, key: Cow<'a, str>, label: Cow<'a, str>| {
        let address = Address {
            workspace: row.workspace_id,
            dimension,
            grain,
            bucket,
            key,
            bot: row.bot,
            currency: shown(&row.amount_currency),
            reward_currency: shown(&row.reward_currency),
        };
        let cell = cells.entry(address).or_default();
        cell.counts.leads += counts.leads;
        cell.counts.sales += counts.sales;
        cell.counts.refunds += counts.refunds;
        cell.counts.cancellations += counts.cancellations;
        cell.counts.reversals += counts.reversals;
        cell.counts.unattributed += counts.unattributed;
        cell.gross += of(row.gross);
        cell.negative -= of(row.negative);
        cell.reward += of(row.reward);
        if let Some(click) = click
            && click >= cell.latest
        {
            cell.latest = click;
            cell.label = label;
        }
    };
    for (grain, bucket) in [(Grain::Quarter, quarter), (Grain::Day, day), (Grain::Month, month)] {
        under("all", grain, bucket, Cow::Borrowed("all"), Cow::Borrowed(""));
    }
    let link = match (&row.domain, &row.slug) {
        (Some(domain), Some(slug)) => Cow::Owned([domain, "/", slug].concat()),
        _ => Cow::Borrowed(""),
    };
    for (dimension, id, label) in [
        ("partner", row.partner_id, Cow::Borrowed(row.partner_name.as_deref().unwrap_or_default())),
        ("program", row.program_id, Cow::Borrowed(row.program_name.as_deref().unwrap_or_default())),
        ("link", row.link_id, link),
    ] {
        let key = id.map_or(Cow::Borrowed(NONE), |id| Cow::Owned(id.hyphenated().to_string()));
        under(dimension, Grain::Month, month, key, label);
    }
    for (dimension, key) in [
        ("domain", row.domain.as_deref()),
        ("type", Some(row.r#type.as_str())),
        ("event_name", row.event_name.as_deref()),
        ("currency", row.currency.as_deref()),
        ("campaign", row.campaign.as_deref()),
        ("country", row.country.as_deref()),
    ] {
        under(dimension, Grain::Month, month, Cow::Borrowed(key.unwrap_or(NONE)), Cow::Borrowed(""));
    }
}

fn counts(row: &Settled) -> Counts {
    let mut counts = Counts::default();
    let counted = match row.r#type {
        _ if !row.attributed => &mut counts.unattributed,
        EventType::Lead => &mut counts.leads,
        EventType::Sale => &mut counts.sales,
        EventType::Refund => &mut counts.refunds,
        EventType::Cancellation => &mut counts.cancellations,
        EventType::Reversal => &mut counts.reversals,
    };
    *counted = 1;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(at: &str, attributed: bool, click: u128, name: &str, gross: i64) -> Settled {
        Settled {
            workspace_id: Uuid::nil(),
            occurred_at: at.parse().unwrap(),
            attributed,
            r#type: EventType::Sale,
            bot: false,
            click_id: Some(Uuid::from_u128(click)),
            partner_id: attributed.then(Uuid::max),
            partner_name: attributed.then(|| name.to_owned()),
            program_id: None,
            program_name: None,
            link_id: Some(Uuid::nil()),
            domain: Some("go.acme.com".into()),
            slug: Some("x".into()),
            event_name: None,
            currency: Some("EUR".into()),
            campaign: None,
            country: None,
            gross: Some(gross),
            negative: None,
            reward: None,
            amount_currency: Some("EUR".into()),
            reward_currency: None,
        }
    }

    #[test]
    fn a_conversion_counts_once_in_every_dimension() {
        let rows = [
            // Out of their order: the latest name holds all the same.
            sale("2026-03-01T00:00:00Z", true, 3, "New", i64::MAX),
            sale("2026-03-31T23:59:59.999Z", true, 2, "Old", i64::MAX),
            sale("2026-02-28T23:59:59.999Z", false, 1, "", 5),
        ];
        let columns = columns(&rows);
        let told = |dimension: &str| -> Vec<String> {
            let of = (0..columns.key.len()).filter(|&n| columns.dimension[n] == dimension);
            of.map(|n| {
                format!(
                    "{} {} {} {:?} {:?} {} {} {}",
                    columns.grain[n],
                    columns.bucket[n].format("%m-%dT%H:%M"),
                    &columns.key[n][..columns.key[n].len().min(4)],
                    columns.label[n].as_deref().unwrap_or_default(),
                    columns.currency[n],
                    columns.sales[n],
                    columns.unattributed[n],
                    columns.gross[n]
                )
            })
            .collect()
        };
        assert_eq!(
            told("partner"),
            [
                "month 02-01T00:00 none \"\" \"\" 0 1 0",
                "month 03-01T00:00 ffff \"New\" \"EUR\" 2 0 18446744073709551614",
            ]
        );
        assert_eq!(told("link")[0], "month 02-01T00:00 0000 \"\" \"\" 0 1 0", "nobody's names nobody");
        assert_eq!(told("link")[1].split(' ').nth(3), Some("\"go.acme.com/x\""));
        let grains: Vec<String> = told("all").iter().map(|row| row[..row.find('T').unwrap() + 6].to_owned()).collect();
        assert_eq!(
            grains,
            [
                "day 02-28T00:00",
                "day 03-01T00:00",
                "day 03-31T00:00",
                "month 02-01T00:00",
                "month 03-01T00:00",
                "quarter 02-28T23:45",
                "quarter 03-01T00:00",
                "quarter 03-31T23:45",
            ]
        );
        let dimensions: std::collections::BTreeSet<_> = columns.dimension.iter().collect();
        assert_eq!(dimensions.len(), 10);
    }
}

//! Counts clicks under their keys in every dimension, by quarter-hour, day and month. Pure.
//!
//! The same is said in SQL by `click_rollups_of_day` (0020), which proves and repairs what this has counted: two ways to
//! one result, held against each other by the tests.

use chrono::{DateTime, Datelike as _, NaiveTime, Utc};
use hashbrown::HashMap;
use shared::Millis;
use uuid::Uuid;

use crate::grain::Grain;

/// A row of `click_deltas`, and where it stood.
#[allow(missing_docs)] // Named like the columns.
pub struct Delta {
    pub workspace_id: Uuid,
    pub click_id: Uuid,
    pub link_id: Uuid,
    pub domain: String,
    pub slug: String,
    pub partner_id: Option<Uuid>,
    pub partner_name: Option<String>,
    pub program_id: Option<Uuid>,
    pub program_name: Option<String>,
    pub trigger: String,
    pub source: Option<String>,
    pub campaign: Option<String>,
    pub referrer_host: Option<String>,
    pub country: Option<String>,
    pub region: Option<String>,
    pub device: String,
    pub browser: String,
    pub os: String,
    pub bot: bool,
    pub place: String,
}

/// What is counted under a key.
#[derive(Clone, Default)]
struct Cell {
    human_link: i64,
    human_qr: i64,
    bot_link: i64,
    bot_qr: i64,
    human_partner: i64,
    /// The latest click, and the name that the key had then.
    latest: Uuid,
    label: Option<String>,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.human_link += other.human_link;
        self.human_qr += other.human_qr;
        self.bot_link += other.bot_link;
        self.bot_qr += other.bot_qr;
        self.human_partner += other.human_partner;
        if other.latest >= self.latest {
            self.latest = other.latest;
            self.label.clone_from(&other.label);
        }
    }
}

/// Under what a cell stands, in the order of the rollups' key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Address<'a> {
    workspace: Uuid,
    dimension: &'static str,
    grain: Grain,
    bucket: DateTime<Utc>,
    key: &'a str,
}

/// The cells of one quarter-hour by dimension and key.
type Quarter = HashMap<&'static str, HashMap<String, Cell>>;

/// See the module.
#[derive(Default)]
pub struct Tally(HashMap<(Uuid, i64), Quarter>);

/// Cells as a statement takes them: a list per column, in the order of the rollups' key.
#[derive(Default)]
#[allow(missing_docs)] // Named like the columns.
pub struct Columns {
    pub workspace: Vec<Uuid>,
    pub dimension: Vec<&'static str>,
    pub grain: Vec<&'static str>,
    pub bucket: Vec<DateTime<Utc>>,
    pub key: Vec<String>,
    pub label: Vec<Option<String>>,
    pub latest: Vec<Uuid>,
    pub human_link: Vec<i64>,
    pub human_qr: Vec<i64>,
    pub bot_link: Vec<i64>,
    pub bot_qr: Vec<i64>,
    pub human_partner: Vec<i64>,
}

const QUARTER: i64 = 15 * Millis::MINUTE;
const NONE: &str = "none";

impl Tally {
    /// Counts a click once in every dimension.
    pub fn count(&mut self, click: &Delta) {
        let bucket = shared::id::uuid_millis(click.click_id).0.div_euclid(QUARTER) * QUARTER;
        let quarter = self.0.entry((click.workspace_id, bucket)).or_default();
        let qr = click.trigger == "qr";
        let one = |of: bool| i64::from(of);
        let (human_link, human_qr) = (one(!click.bot && !qr), one(!click.bot && qr));
        let (bot_link, bot_qr) = (one(click.bot && !qr), one(click.bot && qr));
        let human_partner = one(!click.bot && click.partner_id.is_some());
        let mut under = |dimension, key: &str, label: Option<&str>| {
            let cell = quarter.entry(dimension).or_default().entry_ref(key).or_default();
            cell.human_link += human_link;
            cell.human_qr += human_qr;
            cell.bot_link += bot_link;
            cell.bot_qr += bot_qr;
            cell.human_partner += human_partner;
            if click.click_id >= cell.latest {
                cell.latest = click.click_id;
                if cell.label.as_deref() != label {
                    cell.label = label.map(str::to_owned);
                }
            }
        };
        let mut room = [0; 3 * uuid::fmt::Hyphenated::LENGTH];
        let (partner, room) = room.split_at_mut(uuid::fmt::Hyphenated::LENGTH);
        let (program, link) = room.split_at_mut(uuid::fmt::Hyphenated::LENGTH);
        under("all", "all", None);
        under("partner", id(click.partner_id, partner), click.partner_name.as_deref());
        under("program", id(click.program_id, program), click.program_name.as_deref());
        under("link", id(Some(click.link_id), link), Some(&[&*click.domain, "/", &click.slug].concat()));
        under("domain", &click.domain, None);
        under("trigger", &click.trigger, None);
        under("source", click.source.as_deref().unwrap_or(NONE), None);
        under("campaign", click.campaign.as_deref().unwrap_or(NONE), None);
        under("referrer", click.referrer_host.as_deref().unwrap_or(NONE), None);
        under("country", click.country.as_deref().unwrap_or(NONE), None);
        match (&click.country, &click.region) {
            (Some(country), Some(region)) => under("region", &[&**country, "-", region].concat(), None),
            _ => under("region", NONE, None),
        }
        under("device", &click.device, None);
        under("browser", &click.browser, None);
        under("os", &click.os, None);
    }

    /// All that was counted, and its days and months.
    pub fn columns(&self) -> Columns {
        let mut sums: HashMap<Address<'_>, Cell> = HashMap::new();
        for (&(workspace, millis), quarter) in &self.0 {
            let at = DateTime::from_timestamp_millis(millis).unwrap_or_default();
            let day = at.date_naive().and_time(NaiveTime::MIN).and_utc();
            let month = day.with_day0(0).unwrap_or(day);
            for (&dimension, cells) in quarter {
                for (key, cell) in cells {
                    for (grain, bucket) in [(Grain::Quarter, at), (Grain::Day, day), (Grain::Month, month)] {
                        sums.entry(Address { workspace, dimension, grain, bucket, key }).or_default().add(cell);
                    }
                }
            }
        }
        // In the order of the key, so that neighbours in the index are written one after the other.
        let mut sums: Vec<(Address<'_>, Cell)> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|&(address, _)| address);
        let mut columns = Columns::default();
        for (Address { workspace, dimension, grain, bucket, key }, cell) in sums {
            columns.workspace.push(workspace);
            columns.dimension.push(dimension);
            columns.grain.push(grain.as_str());
            columns.bucket.push(bucket);
            columns.key.push(key.to_owned());
            // An empty name is none.
            columns.label.push(cell.label.filter(|label| !label.is_empty()));
            columns.latest.push(cell.latest);
            columns.human_link.push(cell.human_link);
            columns.human_qr.push(cell.human_qr);
            columns.bot_link.push(cell.bot_link);
            columns.bot_qr.push(cell.bot_qr);
            columns.human_partner.push(cell.human_partner);
        }
        columns
    }
}

/// An id as the rollups' keys have it.
fn id(id: Option<Uuid>, room: &mut [u8]) -> &str {
    id.map_or(NONE, |id| id.hyphenated().encode_lower(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(at: &str, bot: bool, trigger: &str, name: Option<&str>) -> Delta {
        let at = DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis();
        let text = |text: &str| text.to_owned();
        Delta {
            workspace_id: Uuid::nil(),
            click_id: shared::id::uuid_v7(Millis(at), [0; 10]),
            link_id: Uuid::nil(),
            domain: text("go.acme.com"),
            slug: text("x"),
            partner_id: name.map(|_| Uuid::max()),
            partner_name: name.map(text),
            program_id: None,
            program_name: None,
            trigger: text(trigger),
            source: None,
            campaign: None,
            referrer_host: None,
            country: Some(text("DE")),
            region: None,
            device: text("mobile"),
            browser: text("safari"),
            os: text("ios"),
            bot,
            place: String::new(),
        }
    }

    #[test]
    fn a_click_counts_once_in_every_dimension_and_grain() {
        let mut tally = Tally::default();
        // Out of their order: the latest name holds all the same.
        for (at, bot, trigger, name) in [
            ("2026-03-01T00:00:00Z", false, "link", Some("New")),
            ("2026-02-28T23:59:59.999Z", false, "qr", Some("Old")),
            ("2026-02-28T23:44:59.999Z", true, "link", None),
        ] {
            tally.count(&click(at, bot, trigger, name));
        }
        let columns = tally.columns();
        let rows = |dimension: &str| -> Vec<String> {
            let of = (0..columns.key.len()).filter(|&n| columns.dimension[n] == dimension);
            of.map(|n| {
                format!(
                    "{} {} {} {:?} {}{}{}{} {}",
                    columns.grain[n],
                    columns.bucket[n].format("%m-%dT%H:%M"),
                    &columns.key[n][..columns.key[n].len().min(4)],
                    columns.label[n].as_deref().unwrap_or_default(),
                    columns.human_link[n],
                    columns.human_qr[n],
                    columns.bot_link[n],
                    columns.bot_qr[n],
                    columns.human_partner[n]
                )
            })
            .collect()
        };
        assert_eq!(
            rows("partner"),
            [
                "day 02-28T00:00 ffff \"Old\" 0100 1",
                "day 02-28T00:00 none \"\" 0010 0",
                "day 03-01T00:00 ffff \"New\" 1000 1",
                "month 02-01T00:00 ffff \"Old\" 0100 1",
                "month 02-01T00:00 none \"\" 0010 0",
                "month 03-01T00:00 ffff \"New\" 1000 1",
                "quarter 02-28T23:30 none \"\" 0010 0",
                "quarter 02-28T23:45 ffff \"Old\" 0100 1",
                "quarter 03-01T00:00 ffff \"New\" 1000 1",
            ]
        );
        assert_eq!(
            rows("region").last().unwrap(),
            "quarter 03-01T00:00 none \"\" 1000 1",
            "a region needs its country"
        );
        let dimensions: std::collections::BTreeSet<_> = columns.dimension.iter().collect();
        assert_eq!(dimensions.len(), 14);
    }
}

//! The traffic report.

use serde::Serialize;

use super::{Filters, Range, public_key, ratio, refused, settle, shown};
use crate::{
    app::App,
    db::reports::{
        self, Bots, Scope,
        clicks::{Counts, Group},
    },
    domain::csv::Table,
    error::ApiError,
};

/// Clicks of the range, and how they spread over groups.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrafficReport {
    /// What it covers.
    pub range: Range,
    /// How it was asked for.
    pub filters: Filters,
    /// All clicks in scope, each once.
    pub totals: TrafficTotals,
    /// Greatest first.
    pub groups: Vec<TrafficGroup>,
    /// The sum of the groups over the limit; `null` where there are none.
    pub other: Option<TrafficCounts>,
}

/// All clicks in scope. `total`, `human` and `bot` ignore `bots`; the others obey it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrafficTotals {
    /// Clicks.
    pub total: i64,
    /// Clicks that `bots` selects.
    pub selected: i64,
    /// Clicks of humans.
    pub human: i64,
    /// Clicks of bots.
    pub bot: i64,
    /// Selected clicks through short links.
    pub short_link: i64,
    /// Selected clicks through QR codes.
    pub qr_scan: i64,
}

/// One group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrafficGroup {
    /// Id, text or span of time; `none` where clicks had no value.
    #[schema(example = "prt_01h455vb4pex5vsknk084sn02q")]
    pub key: String,
    /// Name at the latest click in the range; `null` for `none`.
    pub label: Option<String>,
    #[serde(flatten)]
    #[allow(missing_docs)] // Flattened: its fields stand here.
    pub counts: TrafficCounts,
}

/// Clicks of a group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrafficCounts {
    /// Clicks that `bots` selects.
    pub selected: i64,
    /// Clicks of humans.
    pub human: i64,
    /// Clicks of bots.
    pub bot: i64,
    /// Selected clicks through short links.
    pub short_link: i64,
    /// Selected clicks through QR codes.
    pub qr_scan: i64,
    /// Part of all selected clicks, 0 to 1.
    pub share: f64,
}

const fn through_links(counts: Counts, bots: Bots) -> i64 {
    match bots {
        Bots::All => counts.human_link + counts.bot_link,
        Bots::Human => counts.human_link,
        Bots::Bot => counts.bot_link,
    }
}

const fn through_codes(counts: Counts, bots: Bots) -> i64 {
    match bots {
        Bots::All => counts.human_qr + counts.bot_qr,
        Bots::Human => counts.human_qr,
        Bots::Bot => counts.bot_qr,
    }
}

impl TrafficTotals {
    const fn of(counts: Counts, bots: Bots) -> Self {
        let (short_link, qr_scan) = (through_links(counts, bots), through_codes(counts, bots));
        let (human, bot) = (counts.human_link + counts.human_qr, counts.bot_link + counts.bot_qr);
        Self { total: human + bot, selected: short_link + qr_scan, human, bot, short_link, qr_scan }
    }
}

impl TrafficCounts {
    fn of(counts: Counts, bots: Bots, all_selected: i64) -> Self {
        let TrafficTotals { selected, human, bot, short_link, qr_scan, .. } = TrafficTotals::of(counts, bots);
        Self { selected, human, bot, short_link, qr_scan, share: ratio(selected, all_selected).unwrap_or_default() }
    }
}

/// Makes the report.
///
/// # Errors
/// The database's.
pub async fn report(app: &App, scope: &Scope, group: Group, bots: Bots, limit: i64) -> Result<TrafficReport, ApiError> {
    settle(app, scope.as_of).await?;
    let mut snapshot = reports::snapshot(&app.reads).await?;
    let grouped = reports::clicks::grouped(&mut snapshot, scope, group, bots, limit).await.map_err(refused)?;
    snapshot.commit().await?;

    let (range, filters) = shown(scope, group.as_str(), bots, limit);
    let totals = TrafficTotals::of(grouped.totals, bots);
    let selected = totals.selected;
    let groups = grouped.groups.into_iter().map(|(key, label, counts)| TrafficGroup {
        key: public_key(group.as_str(), key),
        label,
        counts: TrafficCounts::of(counts, bots, selected),
    });
    Ok(TrafficReport {
        range,
        filters,
        groups: groups.collect(),
        other: grouped.other.map(|counts| TrafficCounts::of(counts, bots, selected)),
        totals,
    })
}

impl TrafficReport {
    /// The groups as CSV, and what is over the limit as a last row `(other)`, so that the rows add up.
    ///
    /// # Errors
    /// Never, as long as rows are as wide as the header.
    pub fn csv(&self) -> anyhow::Result<Vec<u8>> {
        let mut table = Table::new(&["key", "label", "selected", "human", "bot", "short_link", "qr_scan", "share"])?;
        let rows = self.groups.iter().map(|group| (group.key.as_str(), group.label.as_deref(), &group.counts));
        for (key, label, counts) in rows.chain(self.other.iter().map(|counts| (super::OTHER, None, counts))) {
            table.text(Some(key))?;
            table.text(label)?;
            for number in [counts.selected, counts.human, counts.bot, counts.short_link, counts.qr_scan] {
                table.number(Some(number))?;
            }
            table.number(Some(counts.share))?;
            table.end_row()?;
        }
        table.take()
    }
}

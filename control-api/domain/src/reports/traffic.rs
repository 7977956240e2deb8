//! The traffic report.

use std::collections::HashMap;

use serde::Serialize;

use super::{
    Compare, Filters, Range, View,
    compare::{Step, change},
    hints::{self, Hint, TrafficFacts},
    public_key, ratio, settle, shown, snapshot,
};
use crate::{context::Context, csv::Table, error::Error};
use analytics::{
    counts::{ClickCounts, ClickGroups},
    group::ClickGroup,
    scope::{Bots, Scope},
};
use store::reports;

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
    /// The period before, with `compare=previous`; else `null`.
    pub previous: Option<TrafficBefore>,
    /// Why no click is selected, where none is; and whether clicks are missing that have been removed.
    pub hints: Vec<Hint>,
}

/// The period before.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrafficBefore {
    /// What it covers: the same length, ending where the report begins.
    pub range: Range,
    /// All its clicks in scope, each once.
    pub totals: TrafficTotals,
    /// What became of them.
    pub change: TrafficChange,
}

/// Changes against the period before, as parts of what was: 0.5 is half as much again. `null` where there was nothing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrafficChange {
    /// Of selected clicks.
    pub selected: Option<f64>,
    /// Of clicks of humans.
    pub human: Option<f64>,
    /// Of clicks of bots.
    pub bot: Option<f64>,
    /// Of selected clicks through short links.
    pub short_link: Option<f64>,
    /// Of selected clicks through QR codes.
    pub qr_scan: Option<f64>,
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
    /// The same group of the period before; `null` without `compare`, and for a span of time without counterpart.
    pub previous: Option<TrafficCounts>,
    /// What became of it; `null` where `previous` is.
    pub change: Option<TrafficChange>,
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

const fn through_links(counts: ClickCounts, bots: Bots) -> i64 {
    match bots {
        Bots::All => counts.human_link + counts.bot_link,
        Bots::Human => counts.human_link,
        Bots::Bot => counts.bot_link,
    }
}

const fn through_codes(counts: ClickCounts, bots: Bots) -> i64 {
    match bots {
        Bots::All => counts.human_qr + counts.bot_qr,
        Bots::Human => counts.human_qr,
        Bots::Bot => counts.bot_qr,
    }
}

impl TrafficTotals {
    const fn of(counts: ClickCounts, bots: Bots) -> Self {
        let (short_link, qr_scan) = (through_links(counts, bots), through_codes(counts, bots));
        let (human, bot) = (counts.human_link + counts.human_qr, counts.bot_link + counts.bot_qr);
        Self { total: human + bot, selected: short_link + qr_scan, human, bot, short_link, qr_scan }
    }
}

impl TrafficCounts {
    fn of(counts: ClickCounts, bots: Bots, all_selected: i64) -> Self {
        let TrafficTotals { selected, human, bot, short_link, qr_scan, .. } = TrafficTotals::of(counts, bots);
        Self { selected, human, bot, short_link, qr_scan, share: ratio(selected, all_selected).unwrap_or_default() }
    }
}

impl TrafficChange {
    fn of(now: ClickCounts, then: ClickCounts, bots: Bots) -> Self {
        let (now, then) = (TrafficTotals::of(now, bots), TrafficTotals::of(then, bots));
        Self {
            selected: change(now.selected, then.selected),
            human: change(now.human, then.human),
            bot: change(now.bot, then.bot),
            short_link: change(now.short_link, then.short_link),
            qr_scan: change(now.qr_scan, then.qr_scan),
        }
    }
}

/// What was counted in the period before.
struct Before {
    step: Step,
    scope: Scope,
    totals: ClickCounts,
    by_key: HashMap<String, ClickCounts>,
}

/// Makes the report.
///
/// # Errors
/// The database's.
pub async fn report(context: &Context, scope: &Scope, group: ClickGroup, view: View) -> Result<TrafficReport, Error> {
    let View { bots, limit, compare } = view;
    settle(context, scope.as_of).await?;
    let mut db = snapshot(context).await?;
    reports::read_by_page(&mut *db, true).await?;
    let grouped = reports::clicks::grouped(&mut db, &context.packs, scope, group, bots, shown(limit)).await?;
    let before = match compare {
        Some(Compare::Previous) => {
            let step = Step::of(scope);
            let keys: Vec<String> =
                grouped.groups.iter().filter_map(|(key, ..)| step.key(Some(group), key, scope.tz)).collect();
            let scope = step.before(scope);
            let found = reports::clicks::of_keys(&mut db, &context.packs, &scope, group, keys).await?;
            let by_key = found.groups.into_iter().map(|(key, _, counts)| (key, counts)).collect();
            Some(Before { step, scope, totals: found.totals, by_key })
        }
        None => None,
    };
    let totals = TrafficTotals::of(grouped.totals, bots);
    let mut hints = vec![];
    if totals.selected == 0 {
        reports::read_by_page(&mut *db, false).await?;
        let mut facts = TrafficFacts { left_out: totals.total, later: None, sides: vec![] };
        if totals.total == 0 {
            facts.later = reports::hints::clicks_after(&mut db, scope).await?;
            facts.sides = hints::sides(&mut db, scope).await?;
        }
        hints = hints::of_traffic((scope, bots).into(), &facts);
    }
    if reports::clicks::counts_clicks(scope, Some(group)) {
        let from = before.as_ref().map_or(scope.from, |before| before.scope.from);
        hints.extend(hints::pruned(&mut db, scope.workspace, from).await?);
    }
    db.commit().await?;
    Ok(assemble(scope, group, view, grouped, before.as_ref(), hints))
}

fn assemble(
    scope: &Scope,
    group: ClickGroup,
    view: View,
    grouped: ClickGroups,
    before: Option<&Before>,
    hints: Vec<Hint>,
) -> TrafficReport {
    let bots = view.bots;
    let totals = TrafficTotals::of(grouped.totals, bots);
    let selected = totals.selected;
    let groups = grouped.groups.into_iter().map(|(key, label, counts)| {
        let then = before.and_then(|before| {
            let key = before.step.key(Some(group), &key, scope.tz)?;
            Some((before.by_key.get(&key).copied().unwrap_or_default(), before))
        });
        TrafficGroup {
            key: public_key(group.as_str(), key),
            label,
            counts: TrafficCounts::of(counts, bots, selected),
            previous: then
                .map(|(then, before)| TrafficCounts::of(then, bots, TrafficTotals::of(before.totals, bots).selected)),
            change: then.map(|(then, _)| TrafficChange::of(counts, then, bots)),
        }
    });
    TrafficReport {
        range: Range::of(scope),
        filters: Filters::of(scope, group.as_str(), view),
        groups: groups.collect(),
        other: grouped.other.map(|counts| TrafficCounts::of(counts, bots, selected)),
        previous: before.map(|before| TrafficBefore {
            range: Range::of(&before.scope),
            totals: TrafficTotals::of(before.totals, bots),
            change: TrafficChange::of(grouped.totals, before.totals, bots),
        }),
        hints,
        totals,
    }
}

impl TrafficReport {
    /// The groups as CSV, and what is over the limit as a last row `(other)`, so that the rows add up. A comparison adds
    /// columns behind.
    ///
    /// # Errors
    /// Never, as long as rows are as wide as the header.
    pub fn csv(&self) -> anyhow::Result<Vec<u8>> {
        const OWN: [&str; 8] = ["key", "label", "selected", "human", "bot", "short_link", "qr_scan", "share"];
        const COMPARED: [&str; 6] = [
            "previous_selected",
            "previous_human",
            "previous_bot",
            "previous_short_link",
            "previous_qr_scan",
            "selected_change",
        ];
        let compared = self.previous.is_some();
        let mut table = Table::new(&[&OWN[..], if compared { &COMPARED[..] } else { &[] }].concat())?;
        let numbers = |counts: &TrafficCounts| {
            [counts.selected, counts.human, counts.bot, counts.short_link, counts.qr_scan].map(Some)
        };
        let other = self.other.iter().map(|counts| (super::OTHER, None, counts, None));
        let groups = self.groups.iter().map(|group| (&*group.key, group.label.as_deref(), &group.counts, Some(group)));
        for (key, label, counts, group) in groups.chain(other) {
            table.text(Some(key))?;
            table.text(label)?;
            for number in numbers(counts) {
                table.number(number)?;
            }
            table.number(Some(counts.share))?;
            if compared {
                for number in group.and_then(|group| group.previous.as_ref()).map_or([None; 5], numbers) {
                    table.number(number)?;
                }
                table.number(group.and_then(|group| group.change.as_ref()?.selected))?;
            }
            table.end_row()?;
        }
        table.take()
    }
}

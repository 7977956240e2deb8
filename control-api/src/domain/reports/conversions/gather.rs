//! Gathers what the database counted, cell by cell, into the report.

use std::collections::BTreeMap;

use super::{
    super::{
        Compare, Filters, Range, View, compare::Step, hints, hints::ConversionFacts, public_key, ratio, refused,
        settle, snapshot,
    },
    ConversionGroup, ConversionReport, ConversionsBefore, Outcome, OutcomeChange, Revenue, Reward,
};
use crate::{
    app::App,
    db::reports::{
        self, Scope,
        clicks::Reach,
        conversions::{self, Cell, Group},
    },
    error::ApiError,
};

/// Sums being gathered: 128 bits hold any number of 64-bit amounts.
#[derive(Default)]
struct Gathered<'a> {
    key: Option<&'a str>,
    latest: Option<(&'a str, &'a str)>,
    outcome: Outcome,
    revenue: BTreeMap<&'a str, (i128, i128)>,
    reward: BTreeMap<&'a str, i128>,
}

impl<'a> Gathered<'a> {
    fn add(&mut self, cell: &'a Cell) -> Result<(), ApiError> {
        self.key = cell.key.as_deref();
        self.latest = self.latest.max(cell.latest());
        self.outcome.leads += cell.leads;
        self.outcome.sales += cell.sales;
        self.outcome.refunds += cell.refunds;
        self.outcome.cancellations += cell.cancellations;
        self.outcome.reversals += cell.reversals;
        if let Some(currency) = &cell.currency {
            let (gross, negative) = self.revenue.entry(currency).or_default();
            *gross += whole(&cell.gross)?;
            *negative += whole(&cell.negative)?;
        }
        if let Some(currency) = &cell.reward_currency {
            *self.reward.entry(currency).or_default() += whole(&cell.reward)?;
        }
        Ok(())
    }

    fn finish(self, human_clicks: Option<i64>) -> Result<Outcome, ApiError> {
        let mut outcome = self.outcome;
        for (currency, (gross, negative)) in self.revenue {
            outcome.revenue.push(Revenue {
                currency: currency.to_owned(),
                gross_minor: fits(gross)?,
                negative_minor: fits(negative)?,
                net_minor: fits(gross + negative)?,
            });
        }
        for (currency, amount) in self.reward {
            outcome.estimated_reward.push(Reward { currency: currency.to_owned(), amount_minor: fits(amount)? });
        }
        outcome.human_clicks = human_clicks;
        outcome.lead_rate = human_clicks.and_then(|clicks| ratio(outcome.leads, clicks));
        outcome.sale_rate = human_clicks.and_then(|clicks| ratio(outcome.sales, clicks));
        Ok(outcome)
    }
}

fn whole(text: &str) -> Result<i128, ApiError> {
    text.parse().map_err(|_| ApiError::Internal(anyhow::anyhow!("a sum of integers is no integer: {text}")))
}

/// A sum that JSON's readers can't hold is refused by name, never clamped.
fn fits(sum: i128) -> Result<i64, ApiError> {
    i64::try_from(sum).map_err(|_| {
        ApiError::field("?to", "amount_out_of_range", "a sum of amounts exceeds 64 bits; ask for a shorter range")
    })
}

/// What was summed in the period before.
struct Before {
    step: Step,
    scope: Scope,
    cells: Vec<Cell>,
    reach: Reach,
}

/// Makes the report.
///
/// # Errors
/// 422 where a sum exceeds 64 bits; the database's.
pub async fn report(app: &App, scope: &Scope, group: Group, view: View) -> Result<ConversionReport, ApiError> {
    let View { bots, limit, compare } = view;
    settle(app, scope.as_of).await?;
    let mut db = snapshot(app).await?;
    reports::read_by_page(&mut *db, true).await.map_err(refused)?;
    let cells = conversions::grouped(&mut db, scope, group, bots, limit).await.map_err(refused)?;
    let (unattributed, pending) = conversions::beside(&mut db, scope, bots).await.map_err(refused)?;
    let mut keys: Vec<String> = cells.iter().filter_map(|cell| cell.key.clone()).collect();
    keys.dedup();
    let of_clicks = group.of_clicks();
    let reach = reports::clicks::reach(&mut db, scope, of_clicks, &keys).await.map_err(refused)?;
    let before = match compare {
        Some(Compare::Previous) => {
            let step = Step::of(scope);
            let keys: Vec<String> = keys.iter().filter_map(|key| step.key(of_clicks, key, scope.tz)).collect();
            let scope = step.before(scope);
            let cells = conversions::of_keys(&mut db, &scope, group, bots, &keys).await.map_err(refused)?;
            let reach = reports::clicks::reach(&mut db, &scope, of_clicks, &keys).await.map_err(refused)?;
            Some(Before { step, scope, cells, reach })
        }
        None => None,
    };

    let sums = Sums::of(group, &cells, &reach)?;
    let mut hints = vec![];
    if sums.totals.is_empty() {
        reports::read_by_page(&mut *db, false).await.map_err(refused)?;
        let facts = ConversionFacts {
            left_out: reports::hints::left_out(&mut db, scope, bots).await.map_err(refused)?,
            unattributed,
            pending,
            later: reports::hints::conversions_after(&mut db, scope).await.map_err(refused)?,
            conversions: reports::hints::conversions(&mut db, scope, bots).await.map_err(refused)?,
            has_events: reports::hints::has_events(&mut db, scope).await.map_err(refused)?,
            tracking: reports::hints::tracking(&mut db, scope).await.map_err(refused)?,
            sides: hints::sides(&mut db, scope).await.map_err(refused)?,
        };
        hints = hints::of_conversions((scope, bots).into(), &facts);
    }
    if of_clicks.is_some() && reports::clicks::counts_clicks(scope, of_clicks) {
        let from = before.as_ref().map_or(scope.from, |before| before.scope.from);
        hints.extend(hints::pruned(&mut db, scope.workspace, from).await?);
    }
    db.commit().await?;

    let then = before.as_ref().map(|before| Sums::of(group, &before.cells, &before.reach)).transpose()?;
    let mut report = ConversionReport {
        range: Range::of(scope),
        filters: Filters::of(scope, group.as_str(), view),
        totals: sums.totals,
        groups: vec![],
        other: sums.other,
        unattributed,
        pending,
        previous: None,
        hints,
    };
    let (mut by_key, nothing) =
        (BTreeMap::new(), || Outcome { human_clicks: of_clicks.map(|_| 0), ..Outcome::default() });
    if let (Some(before), Some(then)) = (before.as_ref(), then) {
        let change = OutcomeChange::of(&report.totals, &then.totals);
        report.previous = Some(ConversionsBefore { range: Range::of(&before.scope), totals: then.totals, change });
        by_key = then.groups.into_iter().map(|(key, _, outcome)| (key, outcome)).collect();
    }
    for (key, label, outcome) in sums.groups {
        let step = before.as_ref().and_then(|before| before.step.key(of_clicks, &key, scope.tz));
        let previous = step.map(|key| by_key.remove(&key).unwrap_or_else(nothing));
        let change = previous.as_ref().map(|then| OutcomeChange::of(&outcome, then));
        let key = public_key(group.as_str(), key);
        report.groups.push(ConversionGroup { key, label, outcome, previous, change });
    }
    Ok(report)
}

/// The cells of one period, gathered.
struct Sums {
    totals: Outcome,
    /// Key, label and sums, in the order of their cells' ranks, else of their keys.
    groups: Vec<(String, Option<String>, Outcome)>,
    other: Option<Outcome>,
}

impl Sums {
    fn of(group: Group, cells: &[Cell], reach: &Reach) -> Result<Self, ApiError> {
        let mut totals = Gathered::default();
        let mut other: Option<Gathered<'_>> = None;
        let mut by_rank: BTreeMap<(Option<i64>, Option<&str>), Gathered<'_>> = BTreeMap::new();
        for cell in cells {
            match cell.part {
                0 => totals.add(cell)?,
                1 => by_rank.entry((cell.rank, cell.key.as_deref())).or_default().add(cell)?,
                _ => other.get_or_insert_default().add(cell)?,
            }
        }
        let mut groups = vec![];
        for gathered in by_rank.into_values() {
            let key = gathered.key.unwrap_or("none").to_owned();
            let label = match gathered.latest {
                Some((_, label)) if !label.is_empty() && key != "none" => Some(label.to_owned()),
                _ => (key != "none").then(|| key.clone()),
            };
            let clicks = group.of_clicks().map(|_| reach.by_key.get(&key).copied().unwrap_or_default());
            groups.push((key, label, gathered.finish(clicks)?));
        }
        Ok(Self {
            totals: totals.finish(Some(reach.total))?,
            groups,
            other: other.map(|gathered| gathered.finish(None)).transpose()?,
        })
    }
}

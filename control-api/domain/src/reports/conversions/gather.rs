//! Gathers what the database counted into the report.

use std::collections::BTreeMap;

use super::{
    super::{
        Compare, Filters, Range, View, compare::Step, hints, hints::ConversionFacts, public_key, ratio, settle, shown,
        snapshot,
    },
    ConversionGroup, ConversionReport, ConversionsBefore, Outcome, OutcomeChange, Revenue, Reward,
};
use crate::{context::Context, error::Error};
use analytics::{
    counts::Reach,
    group,
    scope::Scope,
    sums::{ConversionGroups, ShownGroup, Sums},
};
use store::reports::{
    self,
    clicks::Measure,
    conversions::{self, Conversions},
};

impl Outcome {
    fn of(sums: Sums, human_clicks: Option<i64>) -> Result<Self, Error> {
        let Sums { leads, sales, refunds, cancellations, reversals, revenue, reward } = sums;
        let revenue = revenue.into_iter().map(|(currency, (gross, negative))| {
            Ok::<_, Error>(Revenue {
                currency,
                gross_minor: fits(gross)?,
                negative_minor: fits(negative)?,
                net_minor: fits(gross + negative)?,
            })
        });
        let reward = reward
            .into_iter()
            .map(|(currency, amount)| Ok::<_, Error>(Reward { currency, amount_minor: fits(amount)? }));
        Ok(Self {
            leads,
            sales,
            refunds,
            cancellations,
            reversals,
            revenue: revenue.collect::<Result<_, _>>()?,
            human_clicks,
            lead_rate: human_clicks.and_then(|clicks| ratio(leads, clicks)),
            sale_rate: human_clicks.and_then(|clicks| ratio(sales, clicks)),
            estimated_reward: reward.collect::<Result<_, _>>()?,
        })
    }
}

/// A sum that JSON's readers can't hold is refused by name, never clamped.
fn fits(sum: i128) -> Result<i64, Error> {
    i64::try_from(sum).map_err(|_| {
        Error::field("?to", "amount_out_of_range", "a sum of amounts exceeds 64 bits; ask for a shorter range")
    })
}

/// One period, as the database summed it.
struct Period {
    grouped: ConversionGroups,
    reach: Reach,
}

/// The period before.
struct Before {
    step: Step,
    scope: Scope,
    period: Period,
}

/// Makes the report.
///
/// # Errors
/// 422 where a sum exceeds 64 bits; the database's.
pub async fn report(
    context: &Context,
    scope: &Scope,
    group: group::ConversionGroup,
    view: View,
) -> Result<ConversionReport, Error> {
    let View { bots, limit, compare } = view;
    settle(context, scope.as_of).await?;
    let mut db = snapshot(context).await?;
    reports::read_by_page(&mut *db, true).await?;
    let of_clicks = group.of_clicks();
    let found = Conversions::read(&mut db, &context.packs, scope, group, bots).await?;
    // Conversions are summed while the clicks are read that they are measured against.
    let (grouped, clicks) =
        tokio::join!(found.grouped(shown(limit)), Measure::read(&mut db, &context.packs, scope, of_clicks));
    let (grouped, clicks) = (grouped?, clicks?);
    let keys: Vec<String> = grouped.groups.iter().map(|shown| shown.key.clone()).collect();
    let before = match compare {
        Some(Compare::Previous) => {
            let step = Step::of(scope);
            let keys: Vec<String> = keys.iter().filter_map(|key| step.key(of_clicks, key, scope.tz)).collect();
            let scope = step.before(scope);
            let found = Conversions::read(&mut db, &context.packs, &scope, group, bots).await?;
            let clicks = Measure::read(&mut db, &context.packs, &scope, of_clicks).await?;
            let grouped = found.of_keys(keys.clone()).await?;
            let reach = clicks.of_keys(keys).await?;
            Some(Before { step, scope, period: Period { grouped, reach } })
        }
        None => None,
    };
    let reach = clicks.of_keys(keys);
    let beside = conversions::beside(&mut db, scope, bots);
    let (reach, beside) = tokio::join!(reach, beside);
    let (reach, (unattributed, pending)) = (reach?, beside?);

    let now = Outcomes::of(group, Period { grouped, reach })?;
    let mut hints = vec![];
    if now.totals.is_empty() {
        reports::read_by_page(&mut *db, false).await?;
        let facts = ConversionFacts {
            left_out: reports::hints::left_out(&mut db, scope, bots).await?,
            unattributed,
            pending,
            later: reports::hints::conversions_after(&mut db, scope).await?,
            conversions: reports::hints::conversions(&mut db, scope, bots).await?,
            has_events: reports::hints::has_events(&mut db, scope).await?,
            tracking: reports::hints::tracking(&mut db, scope).await?,
            sides: hints::sides(&mut db, scope).await?,
        };
        hints = hints::of_conversions((scope, bots).into(), &facts);
    }
    if of_clicks.is_some() && reports::clicks::counts_clicks(scope, of_clicks) {
        let from = before.as_ref().map_or(scope.from, |before| before.scope.from);
        hints.extend(hints::pruned(&mut db, scope.workspace, from).await?);
    }
    db.commit().await?;

    let mut report = ConversionReport {
        range: Range::of(scope),
        filters: Filters::of(scope, group.as_str(), view),
        totals: now.totals,
        groups: vec![],
        other: now.other,
        unattributed,
        pending,
        previous: None,
        hints,
    };
    let (mut by_key, mut step) = (BTreeMap::new(), None);
    if let Some(before) = before {
        let then = Outcomes::of(group, before.period)?;
        let change = OutcomeChange::of(&report.totals, &then.totals);
        report.previous = Some(ConversionsBefore { range: Range::of(&before.scope), totals: then.totals, change });
        by_key = then.groups.into_iter().map(|(key, _, outcome)| (key, outcome)).collect();
        step = Some(before.step);
    }
    let nothing = || Outcome { human_clicks: of_clicks.map(|_| 0), ..Outcome::default() };
    for (key, label, outcome) in now.groups {
        let beside = step.and_then(|step| step.key(of_clicks, &key, scope.tz));
        let previous = beside.map(|key| by_key.remove(&key).unwrap_or_else(nothing));
        let change = previous.as_ref().map(|then| OutcomeChange::of(&outcome, then));
        let key = public_key(group.as_str(), key);
        report.groups.push(ConversionGroup { key, label, outcome, previous, change });
    }
    Ok(report)
}

/// What came of one period.
struct Outcomes {
    totals: Outcome,
    /// Key, label and outcome.
    groups: Vec<(String, Option<String>, Outcome)>,
    other: Option<Outcome>,
}

impl Outcomes {
    fn of(group: group::ConversionGroup, Period { grouped, reach }: Period) -> Result<Self, Error> {
        let groups = grouped.groups.into_iter().map(|ShownGroup { key, label, sums }| {
            let clicks = group.of_clicks().map(|_| reach.by_key.get(&key).copied().unwrap_or_default());
            Ok((key, label, Outcome::of(sums, clicks)?))
        });
        Ok(Self {
            groups: groups.collect::<Result<_, Error>>()?,
            totals: Outcome::of(grouped.totals, Some(reach.total))?,
            other: grouped.other.map(|sums| Outcome::of(sums, None)).transpose()?,
        })
    }
}

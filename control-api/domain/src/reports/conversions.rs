//! The conversion report: what it says. How it is put together stands in [`gather`], how it looks as a table in [`table`].

mod gather;
mod table;

pub use gather::report;

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Filters, Range, compare::change, hints::Hint};

/// Partner-attributed conversions of the range, and how they spread over groups.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConversionReport {
    /// What it covers.
    pub range: Range,
    /// How it was asked for.
    pub filters: Filters,
    /// All of them, each once.
    pub totals: Outcome,
    /// Most sales first, then most leads.
    pub groups: Vec<ConversionGroup>,
    /// The sum of the groups over the limit; `null` where there are none.
    pub other: Option<Outcome>,
    /// Events that no partner is credited with, finally. Counted under the same filters, so those by partner or
    /// program leave none.
    pub unattributed: i64,
    /// Events that still wait for their click or their original.
    pub pending: i64,
    /// The period before, with `compare=previous`; else `null`.
    pub previous: Option<ConversionsBefore>,
    /// Why there are no conversions, where there are none; and whether `human_clicks` misses some that have been removed.
    pub hints: Vec<Hint>,
}

/// The period before.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConversionsBefore {
    /// What it covers: the same length, ending where the report begins.
    pub range: Range,
    /// All its conversions, each once.
    pub totals: Outcome,
    /// What became of them.
    pub change: OutcomeChange,
}

/// One group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConversionGroup {
    /// Id, text or span of time; `none` where rows have no value.
    #[schema(example = "prt_01h455vb4pex5vsknk084sn02q")]
    pub key: String,
    /// Name at the latest click among its rows; `null` for `none`.
    pub label: Option<String>,
    #[serde(flatten)]
    #[allow(missing_docs)] // Flattened: its fields stand here.
    pub outcome: Outcome,
    /// The same group of the period before; `null` without `compare`, and for a span of time without counterpart.
    pub previous: Option<Outcome>,
    /// What became of it; `null` where `previous` is.
    pub change: Option<OutcomeChange>,
}

/// What came of clicks.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Outcome {
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
    /// By currency.
    pub revenue: Vec<Revenue>,
    /// Clicks of humans that had a partner, of the same group and range. `null` where clicks have no such groups
    /// (`type`, `event_name`, `currency`), and in `other`.
    pub human_clicks: Option<i64>,
    /// Leads per human click; `null` without clicks.
    pub lead_rate: Option<f64>,
    /// Sales per human click; `null` without clicks.
    pub sale_rate: Option<f64>,
    /// Estimated commissions less clawbacks, by currency of the reward.
    pub estimated_reward: Vec<Reward>,
}

/// Revenue in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Revenue {
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Amounts of leads and sales.
    pub gross_minor: i64,
    /// Amounts of refunds, cancellations and reversals, 0 or less.
    pub negative_minor: i64,
    /// Both together.
    pub net_minor: i64,
}

/// Estimated reward in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Reward {
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Estimated commissions less clawbacks.
    pub amount_minor: i64,
}

/// Changes against the period before, as parts of what was: 0.5 is half as much again. `null` where there was nothing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OutcomeChange {
    /// Of leads.
    pub leads: Option<f64>,
    /// Of sales.
    pub sales: Option<f64>,
    /// Of refunds.
    pub refunds: Option<f64>,
    /// Of cancellations.
    pub cancellations: Option<f64>,
    /// Of reversals.
    pub reversals: Option<f64>,
    /// Of clicks of humans.
    pub human_clicks: Option<f64>,
    /// By currency of either period.
    pub revenue: Vec<RevenueChange>,
    /// By currency of the reward, of either period.
    pub estimated_reward: Vec<RewardChange>,
}

/// Change of revenue in one currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RevenueChange {
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Of amounts of leads and sales.
    pub gross: Option<f64>,
    /// Of what follow-ons leave of them.
    pub net: Option<f64>,
}

/// Change of the estimated reward in one currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RewardChange {
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Of estimated commissions less clawbacks.
    pub amount: Option<f64>,
}

impl Outcome {
    fn is_empty(&self) -> bool {
        [self.leads, self.sales, self.refunds, self.cancellations, self.reversals].iter().all(|&count| count == 0)
    }
}

impl OutcomeChange {
    fn of(now: &Outcome, then: &Outcome) -> Self {
        let revenue = |of: &Outcome, currency: &str| {
            let found = of.revenue.iter().find(|revenue| revenue.currency == currency);
            found.map_or((0, 0), |revenue| (revenue.gross_minor, revenue.net_minor))
        };
        let reward = |of: &Outcome, currency: &str| {
            let found = of.estimated_reward.iter().find(|reward| reward.currency == currency);
            found.map_or(0, |reward| reward.amount_minor)
        };
        let both = || [now, then].into_iter();
        let currencies: BTreeSet<&String> = both().flat_map(|of| &of.revenue).map(|one| &one.currency).collect();
        let rewarded: BTreeSet<&String> = both().flat_map(|of| &of.estimated_reward).map(|one| &one.currency).collect();
        Self {
            leads: change(now.leads, then.leads),
            sales: change(now.sales, then.sales),
            refunds: change(now.refunds, then.refunds),
            cancellations: change(now.cancellations, then.cancellations),
            reversals: change(now.reversals, then.reversals),
            human_clicks: now.human_clicks.zip(then.human_clicks).and_then(|(now, then)| change(now, then)),
            revenue: currencies
                .into_iter()
                .map(|currency| {
                    let ((gross, net), before) = (revenue(now, currency), revenue(then, currency));
                    RevenueChange {
                        currency: currency.clone(),
                        gross: change(gross, before.0),
                        net: change(net, before.1),
                    }
                })
                .collect(),
            estimated_reward: rewarded
                .into_iter()
                .map(|currency| RewardChange {
                    currency: currency.clone(),
                    amount: change(reward(now, currency), reward(then, currency)),
                })
                .collect(),
        }
    }
}

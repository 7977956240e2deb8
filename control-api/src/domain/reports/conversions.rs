//! The conversion report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Filters, Range, public_key, ratio, refused, settle, shown};
use crate::{
    app::App,
    db::reports::{
        self, Bots, Scope,
        clicks::Reach,
        conversions::{Cell, Group},
    },
    domain::csv::Table,
    error::ApiError,
};

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

/// Makes the report.
///
/// # Errors
/// 422 where a sum exceeds 64 bits; the database's.
pub async fn report(
    app: &App,
    scope: &Scope,
    group: Group,
    bots: Bots,
    limit: i64,
) -> Result<ConversionReport, ApiError> {
    settle(app, scope.as_of).await?;
    let mut snapshot = reports::snapshot(&app.reads).await?;
    let cells = reports::conversions::grouped(&mut snapshot, scope, group, bots, limit).await.map_err(refused)?;
    let (unattributed, pending) = reports::conversions::beside(&mut snapshot, scope, bots).await.map_err(refused)?;
    let mut keys: Vec<String> = cells.iter().filter_map(|cell| cell.key.clone()).collect();
    keys.dedup();
    let of_clicks = group.of_clicks();
    let reach = reports::clicks::reach(&mut snapshot, scope, of_clicks, &keys).await.map_err(refused)?;
    snapshot.commit().await?;
    assemble(scope, (group, bots, limit), &cells, &reach, (unattributed, pending))
}

fn assemble(
    scope: &Scope,
    (group, bots, limit): (Group, Bots, i64),
    cells: &[Cell],
    reach: &Reach,
    (unattributed, pending): (i64, i64),
) -> Result<ConversionReport, ApiError> {
    let mut totals = Gathered::default();
    let mut other: Option<Gathered<'_>> = None;
    let mut by_rank: BTreeMap<i64, Gathered<'_>> = BTreeMap::new();
    for cell in cells {
        match (cell.part, cell.rank) {
            (0, _) => totals.add(cell)?,
            (1, Some(rank)) => by_rank.entry(rank).or_default().add(cell)?,
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
        let outcome = gathered.finish(clicks)?;
        groups.push(ConversionGroup { key: public_key(group.as_str(), key), label, outcome });
    }
    let (range, filters) = shown(scope, group.as_str(), bots, limit);
    Ok(ConversionReport {
        range,
        filters,
        totals: totals.finish(Some(reach.total))?,
        groups,
        other: other.map(|gathered| gathered.finish(None)).transpose()?,
        unattributed,
        pending,
    })
}

impl ConversionReport {
    /// The groups as CSV, one row each, with columns per currency; what is over the limit is a last row `(other)`.
    ///
    /// # Errors
    /// Never, as long as rows are as wide as the header.
    pub fn csv(&self) -> anyhow::Result<Vec<u8>> {
        let mut header: Vec<String> = [
            "key",
            "label",
            "leads",
            "sales",
            "refunds",
            "cancellations",
            "reversals",
            "human_clicks",
            "lead_rate",
            "sale_rate",
        ]
        .map(str::to_owned)
        .to_vec();
        for Revenue { currency, .. } in &self.totals.revenue {
            header.extend(["gross", "negative", "net"].map(|what| format!("{what}_minor_{currency}")));
        }
        for Reward { currency, .. } in &self.totals.estimated_reward {
            header.push(format!("estimated_reward_minor_{currency}"));
        }
        let mut table = Table::new(&header)?;
        let rows = self.groups.iter().map(|group| (group.key.as_str(), group.label.as_deref(), &group.outcome));
        for (key, label, outcome) in rows.chain(self.other.iter().map(|outcome| (super::OTHER, None, outcome))) {
            table.text(Some(key))?;
            table.text(label)?;
            let Outcome { leads, sales, refunds, cancellations, reversals, .. } = outcome;
            for number in [leads, sales, refunds, cancellations, reversals] {
                table.number(Some(number))?;
            }
            table.number(outcome.human_clicks)?;
            table.number(outcome.lead_rate)?;
            table.number(outcome.sale_rate)?;
            for Revenue { currency, .. } in &self.totals.revenue {
                let own = outcome.revenue.iter().find(|revenue| revenue.currency == *currency);
                table.number(own.map(|revenue| revenue.gross_minor))?;
                table.number(own.map(|revenue| revenue.negative_minor))?;
                table.number(own.map(|revenue| revenue.net_minor))?;
            }
            for Reward { currency, .. } in &self.totals.estimated_reward {
                let own = outcome.estimated_reward.iter().find(|reward| reward.currency == *currency);
                table.number(own.map(|reward| reward.amount_minor))?;
            }
            table.end_row()?;
        }
        table.take()
    }
}

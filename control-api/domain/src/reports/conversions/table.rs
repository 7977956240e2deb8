//! The conversion report as a table.

use super::{super::OTHER, ConversionReport, Outcome, Revenue, Reward};
use crate::csv::Table;

const COUNTS: [&str; 6] = ["leads", "sales", "refunds", "cancellations", "reversals", "human_clicks"];

fn counts(outcome: &Outcome) -> [Option<i64>; 6] {
    let Outcome { leads, sales, refunds, cancellations, reversals, human_clicks, .. } = *outcome;
    [Some(leads), Some(sales), Some(refunds), Some(cancellations), Some(reversals), human_clicks]
}

impl ConversionReport {
    /// The groups as CSV, one row each, with columns per currency; what is over the limit is a last row `(other)`. A
    /// comparison adds columns behind.
    ///
    /// # Errors
    /// Never, as long as rows are as wide as the header.
    pub fn csv(&self) -> anyhow::Result<Vec<u8>> {
        let mut header = vec!["key".to_owned(), "label".to_owned()];
        header.extend(COUNTS.map(str::to_owned));
        header.extend(["lead_rate", "sale_rate"].map(str::to_owned));
        header.extend(currencies(&self.totals, ""));
        if let Some(before) = &self.previous {
            header.extend(COUNTS.map(|name| format!("previous_{name}")));
            header.extend(currencies(&before.totals, "previous_"));
        }
        let mut table = Table::new(&header)?;
        let other = self.other.iter().map(|outcome| (OTHER, None, outcome, None));
        let groups = self
            .groups
            .iter()
            .map(|group| (group.key.as_str(), group.label.as_deref(), &group.outcome, group.previous.as_ref()));
        for (key, label, outcome, previous) in groups.chain(other) {
            table.text(Some(key))?;
            table.text(label)?;
            for number in counts(outcome) {
                table.number(number)?;
            }
            table.number(outcome.lead_rate)?;
            table.number(outcome.sale_rate)?;
            amounts(&mut table, &self.totals, Some(outcome))?;
            if let Some(before) = &self.previous {
                for number in previous.map_or([None; 6], counts) {
                    table.number(number)?;
                }
                amounts(&mut table, &before.totals, previous)?;
            }
            table.end_row()?;
        }
        table.take()
    }
}

/// Columns for each currency of the totals.
fn currencies<'a>(totals: &'a Outcome, before: &'a str) -> impl Iterator<Item = String> + 'a {
    let revenue = totals.revenue.iter().flat_map(move |Revenue { currency, .. }| {
        ["gross", "negative", "net"].map(|what| format!("{before}{what}_minor_{currency}"))
    });
    let reward = totals.estimated_reward.iter();
    revenue.chain(reward.map(move |Reward { currency, .. }| format!("{before}estimated_reward_minor_{currency}")))
}

/// A group's amounts under those columns.
fn amounts(table: &mut Table, totals: &Outcome, own: Option<&Outcome>) -> anyhow::Result<()> {
    for Revenue { currency, .. } in &totals.revenue {
        let own = own.and_then(|own| own.revenue.iter().find(|revenue| revenue.currency == *currency));
        table.number(own.map(|revenue| revenue.gross_minor))?;
        table.number(own.map(|revenue| revenue.negative_minor))?;
        table.number(own.map(|revenue| revenue.net_minor))?;
    }
    for Reward { currency, .. } in &totals.estimated_reward {
        let own = own.and_then(|own| own.estimated_reward.iter().find(|reward| reward.currency == *currency));
        table.number(own.map(|reward| reward.amount_minor))?;
    }
    Ok(())
}

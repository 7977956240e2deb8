//! What a conversion may be worth to its partner: estimates for finance to review, never a payout.
//!
//! All amounts are minor units of the row's currency. Products run in `i128`, so nothing wraps; rounding
//! is half-even (banker's), so that many small rows don't drift.

use serde::{Deserialize, Serialize};

text_enum! {
    /// How a reward is reckoned.
    pub enum Basis {
        /// A share of the amount.
        Percentage = "percentage",
        /// A fixed sum per conversion.
        Fixed = "fixed",
    }
}

text_enum! {
    /// The conversions that terms can apply to.
    pub enum AppliesTo {
        /// Sales.
        Sale = "sale",
        /// Leads.
        Lead = "lead",
    }
}

/// The sum a reward is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "snake_case")]
pub enum Reward {
    /// `rate_bps` hundredths of a percent of the amount, in the amount's currency.
    Percentage {
        /// Basis points, 0..=10,000.
        rate_bps: u16,
    },
    /// `amount_minor` of `currency`, whatever the amount.
    Fixed {
        /// Minor units, ≥ 0.
        amount_minor: i64,
        /// ISO 4217.
        currency: String,
    },
}

/// `value * numerator / denominator`, half-even. `None` where the result leaves an `i64` or the denominator
/// isn't positive.
#[must_use]
pub fn scale(value: i64, numerator: i64, denominator: i64) -> Option<i64> {
    if denominator <= 0 {
        return None;
    }
    let product = i128::from(value) * i128::from(numerator);
    let denominator = i128::from(denominator);
    let (floor, rest) = (product.div_euclid(denominator), product.rem_euclid(denominator));
    let up = match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => floor.rem_euclid(2),
        std::cmp::Ordering::Greater => 1,
    };
    i64::try_from(floor + up).ok()
}

impl Reward {
    /// The commission of a conversion. A percentage of a row without an amount is nothing.
    #[must_use]
    pub fn commission(&self, amount_minor: Option<i64>) -> Option<i64> {
        match self {
            Self::Percentage { rate_bps } => scale(amount_minor.unwrap_or(0), i64::from(*rate_bps), 10_000),
            Self::Fixed { amount_minor, .. } => Some(*amount_minor),
        }
    }

    /// The share of the commission that a cumulative reversal takes back, capped at the commission.
    /// A fixed reward is prorated by amount, and taken back whole where the original has none.
    #[must_use]
    pub fn reversed(&self, original_minor: Option<i64>, reversed_minor: i64) -> Option<i64> {
        let commission = self.commission(original_minor)?;
        let share = match (self, original_minor) {
            (Self::Percentage { rate_bps }, _) => scale(reversed_minor, i64::from(*rate_bps), 10_000)?,
            (Self::Fixed { .. }, None | Some(0)) => commission,
            (Self::Fixed { .. }, Some(original)) => scale(commission, reversed_minor, original)?,
        };
        Some(share.min(commission))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounds_half_even() {
        for (value, numerator, denominator, expected) in [
            (5, 1, 2, Some(2)),
            (7, 1, 2, Some(4)),
            (3, 1, 2, Some(2)),
            (-5, 1, 2, Some(-2)),
            (-7, 1, 2, Some(-4)),
            (999, 1_000, 10_000, Some(100)),
            (1_995, 1_000, 10_000, Some(200)),
            (i64::MAX, 10_000, 10_000, Some(i64::MAX)),
            (i64::MAX, 10_001, 10_000, None),
            (1, 1, 0, None),
        ] {
            assert_eq!(scale(value, numerator, denominator), expected, "{value} {numerator} {denominator}");
        }
    }

    #[test]
    fn fixed_rewards_are_prorated_or_whole() {
        let fixed = Reward::Fixed { amount_minor: 500, currency: "USD".into() };
        assert_eq!(fixed.commission(None), Some(500));
        assert_eq!(fixed.reversed(Some(10_000), 2_500), Some(125));
        assert_eq!(fixed.reversed(Some(10_000), 20_000), Some(500), "capped");
        assert_eq!(fixed.reversed(None, 0), Some(500), "whole");
        assert_eq!(fixed.reversed(Some(0), 0), Some(500), "whole");
    }

    proptest! {
        /// However a sale is refunded in parts, the parts of the clawback add up to the commission.
        #[test]
        fn partial_refunds_claw_back_exactly_the_commission(
            amount in 1_i64..1_000_000_000, rate_bps in 0_u16..=10_000, cuts in proptest::collection::vec(0_i64..1_000_000, 0..6),
        ) {
            let reward = Reward::Percentage { rate_bps };
            let (mut reversed, mut clawed) = (0_i64, 0);
            for cut in cuts.into_iter().chain([i64::MAX]) {
                reversed = reversed.saturating_add(cut).min(amount);
                let step = reward.reversed(Some(amount), reversed).unwrap() - clawed;
                prop_assert!(step >= 0);
                clawed += step;
            }
            prop_assert_eq!(Some(clawed), reward.commission(Some(amount)));
        }
    }
}

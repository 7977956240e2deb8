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

/// What a follow-on reverses.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// The terms it was estimated by; `None` where no reward applied to it.
    pub reward: Option<&'a Reward>,
    /// Minor units.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<&'a str>,
}

/// What the follow-ons of one original have reversed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoFar {
    /// Minor units of the original's currency, whatever exceeded it included.
    pub reversed_minor: i64,
    /// Minor units of the reward's currency.
    pub clawback_minor: i64,
}

/// What one follow-on comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reversal {
    /// What counts as reversed, in minor units of the follow-on's currency; `None` where neither side names an amount.
    pub reversed_minor: Option<i64>,
    /// What is taken back of the commission; `None` where there is no reward.
    pub clawback_minor: Option<i64>,
    /// What finance should look at.
    pub flag: Option<ReversalFlag>,
}

text_enum! {
    /// Why a part of a follow-on takes nothing back.
    pub enum ReversalFlag {
        /// It reverses more than was left of its original.
        ExceedsOriginal = "exceeds_original",
        /// It is in another currency than its original.
        CurrencyMismatch = "currency_mismatch",
    }
}

impl Original<'_> {
    /// Reckons a follow-on with this amount and currency, as received. An omitted amount is the remainder. What
    /// exceeds the original or is in another currency is kept and flagged, and takes nothing back. The rest takes
    /// back the reward of all that is reversed so far, less what was taken back before.
    #[must_use]
    pub fn reverse(&self, so_far: SoFar, amount_minor: Option<i64>, currency: Option<&str>) -> Reversal {
        // Where the original has no currency, there is no other one.
        if let (Some(own), Some(other)) = (self.currency, currency)
            && own != other
        {
            return Reversal {
                reversed_minor: amount_minor,
                clawback_minor: self.reward.map(|_| 0),
                flag: Some(ReversalFlag::CurrencyMismatch),
            };
        }
        let remainder = self.amount_minor.map(|whole| whole.saturating_sub(so_far.reversed_minor).max(0));
        let reversed_minor = amount_minor.or(remainder);
        let exceeds = matches!((amount_minor, remainder), (Some(amount), Some(left)) if amount > left);
        let cumulative = so_far.reversed_minor.saturating_add(reversed_minor.unwrap_or(0));
        let counted = self.amount_minor.map_or(cumulative, |whole| cumulative.min(whole));
        let due = self.reward.and_then(|reward| reward.reversed(self.amount_minor, counted));
        Reversal {
            reversed_minor,
            clawback_minor: due.map(|due| (due - so_far.clawback_minor).max(0)),
            flag: exceeds.then_some(ReversalFlag::ExceedsOriginal),
        }
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

    /// Rows: what is reversed, and its follow-ons: amount and currency as received; what counts as reversed, what is
    /// taken back, and the flag.
    #[test]
    fn reversals_add_up() {
        type Step<'a> = (Option<i64>, Option<&'a str>, Option<i64>, Option<i64>, Option<&'a str>);
        type Case<'a> = (Option<&'a Reward>, Option<i64>, Option<&'a str>, &'a [Step<'a>]);
        let share = Reward::Percentage { rate_bps: 1_000 };
        let fixed = Reward::Fixed { amount_minor: 500, currency: "EUR".into() };
        let (excess, mismatch) = (Some("exceeds_original"), Some("currency_mismatch"));
        let (eur, usd) = (Some("EUR"), Some("USD"));
        let table: &[Case<'_>] = &[
            // Omitted: the remainder.
            (Some(&share), Some(1_000), usd, &[(None, None, Some(1_000), Some(100), None)]),
            (
                Some(&share),
                Some(1_000),
                usd,
                &[(Some(300), usd, Some(300), Some(30), None), (None, None, Some(700), Some(70), None)],
            ),
            // Half-even on the sum so far, not on each part: 2, 5, 8 instead of 2, 2, 2.
            (
                Some(&share),
                Some(75),
                usd,
                &[
                    (Some(25), usd, Some(25), Some(2), None),
                    (Some(25), usd, Some(25), Some(3), None),
                    (Some(25), usd, Some(25), Some(3), None),
                ],
            ),
            // Excess: the part within counts.
            (Some(&share), Some(1_000), usd, &[(Some(1_200), usd, Some(1_200), Some(100), excess)]),
            (
                Some(&share),
                Some(1_000),
                usd,
                &[
                    (Some(900), usd, Some(900), Some(90), None),
                    (Some(900), usd, Some(900), Some(10), excess),
                    (None, None, Some(0), Some(0), None),
                    (Some(1), usd, Some(1), Some(0), excess),
                ],
            ),
            // Another currency takes nothing back and leaves the remainder as it was.
            (
                Some(&share),
                Some(1_000),
                usd,
                &[
                    (Some(500), eur, Some(500), Some(0), mismatch),
                    (None, eur, None, Some(0), mismatch),
                    (None, None, Some(1_000), Some(100), None),
                ],
            ),
            // A fixed reward is prorated by amount, and its own currency is no matter.
            (
                Some(&fixed),
                Some(900),
                usd,
                &[
                    (Some(100), usd, Some(100), Some(56), None),
                    (Some(100), usd, Some(100), Some(55), None),
                    (None, None, Some(700), Some(389), None),
                ],
            ),
            // Whole, once, where the original has no amount; whatever the follow-on says.
            (Some(&fixed), None, None, &[(None, None, None, Some(500), None), (None, None, None, Some(0), None)]),
            (
                Some(&fixed),
                None,
                None,
                &[(Some(700), usd, Some(700), Some(500), None), (Some(700), eur, Some(700), Some(0), None)],
            ),
            (Some(&fixed), Some(0), usd, &[(None, None, Some(0), Some(500), None)]),
            (Some(&share), None, None, &[(Some(700), usd, Some(700), Some(0), None)]),
            // Without a reward there is nothing to take back.
            (
                None,
                Some(100),
                usd,
                &[(Some(200), usd, Some(200), None, excess), (Some(1), eur, Some(1), None, mismatch)],
            ),
            // Nothing wraps.
            (
                Some(&share),
                Some(i64::MAX),
                usd,
                &[
                    (Some(i64::MAX), usd, Some(i64::MAX), Some(922_337_203_685_477_581), None),
                    (Some(i64::MAX), usd, Some(i64::MAX), Some(0), excess),
                    (Some(i64::MAX), usd, Some(i64::MAX), Some(0), excess),
                ],
            ),
        ];
        for (reward, amount_minor, currency, steps) in table {
            let original = Original { reward: *reward, amount_minor: *amount_minor, currency: *currency };
            let mut so_far = SoFar::default();
            for (number, (amount, currency, reversed, clawback, flag)) in steps.iter().enumerate() {
                let got = original.reverse(so_far, *amount, *currency);
                let found = (got.reversed_minor, got.clawback_minor, got.flag.map(ReversalFlag::as_str));
                assert_eq!(found, (*reversed, *clawback, *flag), "step {number} of {original:?}");
                if got.flag != Some(ReversalFlag::CurrencyMismatch) {
                    so_far.reversed_minor = so_far.reversed_minor.saturating_add(got.reversed_minor.unwrap_or(0));
                }
                so_far.clawback_minor += got.clawback_minor.unwrap_or(0);
            }
        }
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

//! What a stored conversion amounts to, and whether finance should look at it first.

use store::conversions::{ReviewStatus, Row};

/// Its amount with its sign, in minor units: follow-ons are 0 or less. A follow-on whose event names no amount
/// reverses the remainder.
#[must_use]
pub fn signed_amount(row: &Row) -> Option<i64> {
    if row.kind.is_follow_on() {
        row.amount_minor.or(row.reversed_minor).map(|amount| -amount)
    } else {
        row.amount_minor
    }
}

/// Why finance should look at a row before anybody is paid. The partner counts as it was at the moment that is read,
/// not as at the click: a ban after the sale matters. The list's filter asks the same of the database.
#[must_use]
pub fn review_reasons(row: &Row) -> Vec<String> {
    let mut reasons = vec![];
    if let Some(relationship) = row.partner_relationship.as_deref().filter(|&relationship| relationship != "approved") {
        reasons.push(format!("relationship_{relationship}"));
    }
    if let Some(status) = row.partner_status.as_deref().filter(|&status| status != "active") {
        reasons.push(format!("partner_{status}"));
    }
    let found = [
        (row.bot_reason.is_some(), "bot_click"),
        (row.terms_version.is_none(), "no_reward_terms"),
        (row.is_reversed, "refunded"),
    ];
    reasons.extend(found.iter().filter(|(is, _)| *is).map(|(_, reason)| (*reason).to_owned()));
    reasons.extend(row.flags.iter().cloned());
    reasons
}

/// Whether a row with these reasons is to be reviewed.
#[must_use]
pub const fn review_status(reasons: &[String]) -> ReviewStatus {
    if reasons.is_empty() { ReviewStatus::Ready } else { ReviewStatus::Review }
}

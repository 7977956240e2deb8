//! Refunds, cancellations and reversals: they inherit everything from the conversion they reverse, and take
//! back a share of its estimated commission. The original row is locked meanwhile and never changed.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::attribution::{refuse, reward};
use crate::{
    db::{
        self,
        events::{Conversion, Method, Reason, SoFar, Status},
    },
    error::ApiError,
};

/// Settles a follow-on if its original is known and settled; else it is left `pending_original`.
///
/// # Errors
/// The database's.
pub async fn settle(tx: &mut PgConnection, follow_on: &mut Conversion) -> Result<(), ApiError> {
    follow_on.status = Status::PendingOriginal;
    let candidates = db::events::originals(&mut *tx, follow_on).await?;
    let Some(choice) = choose(follow_on, &candidates) else { return Ok(()) };
    let Ok(original) = choice else {
        refuse(follow_on, Reason::OriginalAmbiguous);
        return Ok(());
    };
    let Some(original) = db::events::lock(&mut *tx, original.workspace_id, original.id).await? else { return Ok(()) };
    if !original.status.is_final() {
        return Ok(());
    }
    let so_far = db::events::so_far(&mut *tx, &original).await?;
    inherit(follow_on, &original, so_far);
    Ok(())
}

/// Of what a follow-on may reverse, best first: the one it does. `None`: there is none yet; `Err`: several
/// fit equally, and they belong to different partners or programs.
fn choose<'a>(follow_on: &Conversion, candidates: &'a [Conversion]) -> Option<Result<&'a Conversion, ()>> {
    let best = candidates.first()?;
    let by_event = follow_on.original_event_id.is_some();
    let equal = |other: &&Conversion| {
        let same_source = (other.source_id == follow_on.source_id) == (best.source_id == follow_on.source_id);
        same_source && (by_event || other.r#type == best.r#type)
    };
    let owner = |one: &Conversion| (one.partner_id, one.program_id);
    let agreed = candidates.iter().filter(equal).all(|other| owner(other) == owner(best));
    Some(if agreed { Ok(best) } else { Err(()) })
}

/// Copies what the original got, and works out what is reversed and taken back.
fn inherit(follow_on: &mut Conversion, original: &Conversion, so_far: SoFar) {
    follow_on.original_id = Some(original.id);
    follow_on.status = original.status;
    follow_on.method = (original.status == Status::Attributed).then_some(Method::Original);
    follow_on.reason = original.reason;
    follow_on.click_id = original.click_id;
    follow_on.window_days = original.window_days;
    follow_on.link_id = original.link_id;
    follow_on.domain.clone_from(&original.domain);
    follow_on.slug.clone_from(&original.slug);
    follow_on.destination.clone_from(&original.destination);
    follow_on.assignment_id = original.assignment_id;
    follow_on.partner_id = original.partner_id;
    follow_on.partner_key.clone_from(&original.partner_key);
    follow_on.partner_name.clone_from(&original.partner_name);
    follow_on.program_id = original.program_id;
    follow_on.program_key.clone_from(&original.program_key);
    follow_on.program_name.clone_from(&original.program_name);
    follow_on.utm_source.clone_from(&original.utm_source);
    follow_on.utm_medium.clone_from(&original.utm_medium);
    follow_on.utm_campaign.clone_from(&original.utm_campaign);
    follow_on.utm_term.clone_from(&original.utm_term);
    follow_on.utm_content.clone_from(&original.utm_content);
    follow_on.experiment.clone_from(&original.experiment);
    follow_on.variant.clone_from(&original.variant);
    follow_on.country.clone_from(&original.country);
    follow_on.bot_reason.clone_from(&original.bot_reason);
    follow_on.terms_version = original.terms_version;
    follow_on.reward_basis = original.reward_basis;
    follow_on.reward_rate_bps = original.reward_rate_bps;
    follow_on.reward_amount_minor = original.reward_amount_minor;
    follow_on.reward_currency.clone_from(&original.reward_currency);
    follow_on.hold_until = original.hold_until;
    reverse(follow_on, original, so_far);
}

/// Reversal arithmetic: an omitted amount is the remainder; what exceeds the original, or is in
/// another currency, is kept and flagged, and takes nothing back.
fn reverse(follow_on: &mut Conversion, original: &Conversion, so_far: SoFar) {
    if follow_on.currency.is_some() && follow_on.currency != original.currency {
        flag(follow_on, "currency_mismatch");
        follow_on.reversed_minor = follow_on.amount_minor;
        follow_on.clawback_minor = Some(0);
        return;
    }
    follow_on.currency.clone_from(&original.currency);
    let remainder = original.amount_minor.map(|whole| whole.saturating_sub(so_far.reversed_minor).max(0));
    follow_on.reversed_minor = follow_on.amount_minor.or(remainder);
    let cumulative = so_far.reversed_minor.saturating_add(follow_on.reversed_minor.unwrap_or(0));
    if let Some(whole) = original.amount_minor
        && cumulative > whole
    {
        flag(follow_on, "exceeds_original");
    }
    let counted = original.amount_minor.map_or(cumulative, |whole| cumulative.min(whole));
    let due = reward(original).and_then(|reward| reward.reversed(original.amount_minor, counted));
    follow_on.clawback_minor = due.map(|due| (due - so_far.clawback_minor).max(0));
}

fn flag(conversion: &mut Conversion, flag: &str) {
    if !conversion.flags.iter().any(|there| there == flag) {
        conversion.flags.push(flag.to_owned());
    }
}

/// Leads and sales were settled in this transaction: settles the follow-ons that waited for them.
///
/// # Errors
/// The database's.
pub async fn originals_settled(tx: &mut PgConnection, originals: &[Conversion]) -> Result<(), ApiError> {
    let Some(first) = originals.first() else { return Ok(()) };
    let events: HashSet<&str> = originals.iter().map(|one| one.event_id.as_str()).collect();
    let orders: HashSet<&str> = originals.iter().filter_map(|one| one.order_id.as_deref()).collect();
    let (events, orders) = (Vec::from_iter(events), Vec::from_iter(orders));
    let waiting = db::events::waiting_for_originals(&mut *tx, first.workspace_id, &events, &orders).await?;
    settle_each(tx, waiting).await
}

/// Settles follow-ons one by one, because each counts on those before it. All are locked.
///
/// # Errors
/// The database's.
pub async fn settle_each(tx: &mut PgConnection, waiting: Vec<Conversion>) -> Result<(), ApiError> {
    for mut follow_on in waiting {
        settle(tx, &mut follow_on).await?;
        if follow_on.status.is_final() {
            db::events::settle(&mut *tx, std::slice::from_ref(&follow_on)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{db::events::EventType, time::At};

    fn conversion(kind: EventType, amount_minor: Option<i64>, currency: Option<&str>) -> Conversion {
        let now = At::from_millis(shared::Millis(0));
        Conversion {
            r#type: kind,
            amount_minor,
            currency: currency.map(str::to_owned),
            status: Status::Attributed,
            terms_version: Some(1),
            reward_basis: Some(shared::reward::Basis::Percentage),
            reward_rate_bps: Some(1_000),
            reward_currency: currency.map(str::to_owned),
            ..Conversion::received(
                shared::Id::from_uuid(uuid::Uuid::nil()),
                shared::Id::from_uuid(uuid::Uuid::nil()),
                shared::Id::from_uuid(uuid::Uuid::nil()),
                [0; 32],
                now,
            )
        }
    }

    /// Rows: the sale's amount; then each follow-on's amount and currency, what it reverses, what it takes
    /// back at 10 %, and its flags.
    #[test]
    fn reversals_add_up() {
        type Step<'a> = (Option<i64>, Option<&'a str>, Option<i64>, Option<i64>, &'a [&'a str]);
        let table: &[(Option<i64>, &[Step<'_>])] = &[
            (Some(1_000), &[(None, None, Some(1_000), Some(100), &[])]),
            (
                Some(1_000),
                &[(Some(300), Some("USD"), Some(300), Some(30), &[]), (None, None, Some(700), Some(70), &[])],
            ),
            (Some(1_000), &[(Some(1_200), None, Some(1_200), Some(100), &["exceeds_original"])]),
            (
                Some(1_000),
                &[
                    (Some(900), None, Some(900), Some(90), &[]),
                    (Some(900), None, Some(900), Some(10), &["exceeds_original"]),
                    (None, None, Some(0), Some(0), &["exceeds_original"]),
                ],
            ),
            (Some(1_000), &[(Some(500), Some("EUR"), Some(500), Some(0), &["currency_mismatch"])]),
            (None, &[(None, None, None, Some(0), &[])]),
        ];
        for (amount, steps) in table {
            let sale = conversion(EventType::Sale, *amount, Some("USD"));
            let mut so_far = SoFar::default();
            for (amount, currency, reversed, clawback, flags) in *steps {
                let mut refund = conversion(EventType::Refund, *amount, *currency);
                inherit(&mut refund, &sale, so_far);
                assert_eq!((refund.reversed_minor, refund.clawback_minor), (*reversed, *clawback), "{steps:?}");
                assert_eq!(refund.flags, *flags, "{steps:?}");
                if refund.currency == sale.currency {
                    so_far.reversed_minor += refund.reversed_minor.unwrap_or(0);
                    so_far.clawback_minor += refund.clawback_minor.unwrap_or(0);
                }
            }
        }
    }
}

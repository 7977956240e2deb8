//! Who gets the credit of a lead or sale: by the event's own token, else by the customer's latest attributed
//! touch. Decided once; what is decided is copied onto the row and never changes. Follow-ons inherit, see
//! [`super::follow_ons`].
//!
//! What counts is the order in which events were received, not when their clicks arrived. An event may be stored
//! before its click: then it waits as `pending_click`. So does an event without a token while a touch that its customer
//! made before it waits, and would be the latest. Both are settled by the transaction that stores the click, or, where
//! two ran at once, by the sweep of [`late attribution`].

use shared::{
    Millis,
    id::{ClickId, WorkspaceId},
    reward::Reward,
};
use store::PgConnection;
use uuid::Uuid;

use crate::error::Error;
use model::{
    conversion::{Method, Reason, Status},
    time::Timestamp,
};
use store::events::{Conversion, Terms, Touch};

/// How long before its click an event may say it happened, in milliseconds: clocks differ.
pub const CLOCK_TOLERANCE_MILLIS: i64 = 5 * Millis::MINUTE;
/// How long an event waits for its click or its original, in days.
pub const PATIENCE_DAYS: i32 = 15;

/// What a click says about an event that happened at some time.
fn judge(occurred_at: Millis, touch: &Touch) -> Result<(), Reason> {
    let clicked_at = ClickId::from_uuid(touch.click_id).time();
    let elapsed = occurred_at.since(clicked_at);
    if elapsed < -CLOCK_TOLERANCE_MILLIS {
        Err(Reason::BeforeClick)
    } else if elapsed > i64::from(touch.window_days) * Millis::DAY {
        Err(Reason::OutsideWindow)
    } else if touch.token_reason == "tracking_disabled" {
        Err(Reason::TrackingDisabled)
    } else if touch.snapshot.partner_id.is_none() {
        Err(Reason::NoPartnerAssignment)
    } else {
        Ok(())
    }
}

/// Settles a lead or sale by a click: copies what the click was, and with it its partner and the terms in force, or says
/// why not those.
pub fn settle_by(conversion: &mut Conversion, method: Method, touch: Touch) {
    let verdict = judge(conversion.occurred_at.millis(), &touch);
    conversion.click_id = Some(touch.click_id);
    conversion.window_days = Some(touch.window_days);
    if let Err(reason) = verdict {
        conversion.snapshot = touch.snapshot.without_owner();
        return refuse(conversion, reason);
    }
    conversion.snapshot = touch.snapshot;
    conversion.status = Status::Attributed;
    conversion.method = Some(method);
    conversion.reason = None;
    if let Some(terms) = touch.terms {
        copy_terms(conversion, touch.click_id, terms);
    }
}

/// The terms in force. Where they don't apply to such events, the row says by which version there is no reward.
fn copy_terms(conversion: &mut Conversion, click: Uuid, terms: Terms) {
    conversion.terms_version = Some(terms.version);
    if !terms.applies_to.iter().any(|word| word == conversion.r#type.as_str()) {
        return;
    }
    conversion.reward_basis = Some(terms.basis);
    conversion.reward_rate_bps = terms.rate_bps;
    conversion.reward_amount_minor = terms.amount_minor;
    // A share is paid in the currency of the sale, a fixed sum in its own.
    conversion.reward_currency = terms.currency.or_else(|| conversion.currency.clone());
    let hold = i64::from(terms.hold_days) * Millis::DAY;
    let counted_from = conversion.occurred_at.millis().max(ClickId::from_uuid(click).time());
    conversion.hold_until = Some(Timestamp::from_millis(counted_from.plus(hold)));
    conversion.estimated_commission_minor =
        reward(conversion).and_then(|reward| reward.commission(conversion.amount_minor));
}

/// The reward terms that were copied onto a conversion.
#[must_use]
pub fn reward(conversion: &Conversion) -> Option<Reward> {
    match conversion.reward_basis? {
        shared::reward::Basis::Percentage => {
            let rate_bps = u16::try_from(conversion.reward_rate_bps?).ok()?;
            Some(Reward::Percentage { rate_bps })
        }
        shared::reward::Basis::Fixed => Some(Reward::Fixed {
            amount_minor: conversion.reward_amount_minor?,
            currency: conversion.reward_currency.clone()?,
        }),
    }
}

/// Settles a conversion without a partner.
pub fn refuse(conversion: &mut Conversion, reason: Reason) {
    conversion.status = Status::Unattributed;
    conversion.method = None;
    conversion.reason = Some(reason);
}

/// Settles leads and sales of one workspace as far as what is stored tells; the rest is left `pending_click`. Those that
/// brought a token name their click already.
///
/// # Errors
/// The database's.
pub async fn attribute(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    method: Method,
    rows: &mut [Conversion],
) -> Result<(), Error> {
    let mut decided: Vec<&mut Conversion> = match method {
        Method::Token => rows.iter_mut().filter(|row| row.status == Status::PendingClick).collect(),
        Method::Customer => by_touch(tx, workspace, rows).await?,
        Method::Original => vec![],
    };
    if decided.is_empty() {
        return Ok(());
    }
    let clicks: Vec<Uuid> = decided.iter().filter_map(|row| row.click_id).collect();
    let times: Vec<Timestamp> = decided.iter().map(|row| row.occurred_at).collect();
    let touches = store::events::touches(&mut *tx, workspace, &clicks, &times).await?;
    for (row, touch) in decided.iter_mut().zip(touches) {
        match touch {
            Some(touch) => settle_by(row, method, touch),
            // A touch whose click has left the store: that is kept for longer than any window lasts.
            None if method == Method::Customer => refuse(row, Reason::OutsideWindow),
            None => {}
        }
    }
    Ok(())
}

/// Gives events without a token the click of their customer's latest touch. Answers those for which that is certain.
async fn by_touch<'a>(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    rows: &'a mut [Conversion],
) -> Result<Vec<&'a mut Conversion>, Error> {
    let asked: Vec<&Conversion> = rows.iter().collect();
    let touches = store::events::customer_touches(&mut *tx, workspace, &asked).await?;
    let mut certain = vec![];
    for (row, touch) in rows.iter_mut().zip(touches) {
        row.click_id = touch.map(|touch| touch.click_id);
        row.status = Status::PendingClick;
        match touch {
            Some(touch) if touch.attributed => certain.push(row),
            Some(_) => {}
            None => refuse(row, Reason::NoToken),
        }
    }
    Ok(certain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::events::Snapshot;

    fn touch(clicked_at: Millis) -> Touch {
        Touch {
            click_id: ClickId::mint(clicked_at, [0; 10]).uuid(),
            snapshot: Snapshot { partner_id: Some(Uuid::nil()), ..Snapshot::default() },
            token_reason: "appended".into(),
            window_days: 30,
            terms: None,
        }
    }

    #[test]
    fn the_window_counts_from_the_click() {
        let click = Millis(1_790_000_000_000);
        let late = 30 * Millis::DAY;
        for (offset, verdict) in [
            (0, Ok(())),
            (-5 * Millis::MINUTE, Ok(())),
            (-5 * Millis::MINUTE - 1, Err(Reason::BeforeClick)),
            (late, Ok(())),
            (late + 1, Err(Reason::OutsideWindow)),
        ] {
            assert_eq!(judge(click.plus(offset), &touch(click)), verdict, "{offset}");
        }
        let untracked = Touch { token_reason: "tracking_disabled".into(), ..touch(click) };
        assert_eq!(judge(click, &untracked), Err(Reason::TrackingDisabled));
        let unassigned = Touch { snapshot: Snapshot::default(), ..touch(click) };
        assert_eq!(judge(click, &unassigned), Err(Reason::NoPartnerAssignment));
    }
}

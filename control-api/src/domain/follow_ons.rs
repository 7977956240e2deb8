//! Refunds, cancellations and reversals: they inherit everything from the conversion they reverse, and take
//! back a share of its estimated commission. The original row is locked meanwhile and never changed.
//!
//! What counts is the order in which events were received, not when their clicks arrived: a follow-on chooses among
//! the originals received before it. Where there is none, it waits for the first that comes. Where one of those it
//! would choose from is not settled itself, it waits for that.

use std::collections::BTreeMap;

use shared::{
    id::WorkspaceId,
    reward::{Original, SoFar},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::attribution::{refuse, reward};
use crate::{
    db::{
        self,
        events::{Conversion, Method, Reason, Status},
    },
    error::ApiError,
};

/// What a follow-on has found.
#[derive(Debug, PartialEq)]
enum Choice<'a> {
    /// Nothing yet.
    None,
    /// Something that waits itself.
    Open,
    /// Several that fit equally and belong to different partners or programs.
    Ambiguous,
    /// What it reverses.
    One(&'a Conversion),
}

/// Of what a follow-on may reverse, best first: the one it does.
fn choose<'a>(follow_on: &Conversion, candidates: &'a [Conversion]) -> Choice<'a> {
    let Some(best) = candidates.first() else { return Choice::None };
    let by_event = follow_on.original_event_id.is_some();
    let as_good = |other: &&Conversion| {
        let same_source = (other.source_id == follow_on.source_id) == (best.source_id == follow_on.source_id);
        same_source && (by_event || other.r#type == best.r#type)
    };
    let owner = |one: &Conversion| (one.partner_id, one.program_id);
    let mut equals = candidates.iter().filter(as_good);
    if equals.clone().any(|other| !other.status.is_final()) {
        Choice::Open
    } else if equals.all(|other| owner(other) == owner(best)) {
        Choice::One(best)
    } else {
        Choice::Ambiguous
    }
}

/// Settles a follow-on if what it reverses is known and settled; else it is left `pending_original`. What it may
/// reverse is locked. False: nothing is known yet.
async fn settle(tx: &mut PgConnection, follow_on: &mut Conversion) -> Result<bool, ApiError> {
    follow_on.status = Status::PendingOriginal;
    let candidates = db::events::originals(&mut *tx, follow_on).await?;
    match choose(follow_on, &candidates) {
        Choice::None => return Ok(false),
        Choice::Open => {}
        Choice::Ambiguous => refuse(follow_on, Reason::OriginalAmbiguous),
        Choice::One(original) => {
            let so_far = db::events::so_far(&mut *tx, original).await?;
            inherit(follow_on, original, so_far);
        }
    }
    Ok(true)
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

    let terms = reward(original);
    let reversed = Original {
        reward: terms.as_ref(),
        amount_minor: original.amount_minor,
        currency: original.currency.as_deref(),
    };
    let reversal = reversed.reverse(so_far, follow_on.amount_minor, follow_on.currency.as_deref());
    follow_on.reversed_minor = reversal.reversed_minor;
    follow_on.clawback_minor = reversal.clawback_minor;
    follow_on.flags.extend(reversal.flag.map(|flag| flag.to_string()));
    if follow_on.currency.is_none() {
        follow_on.currency.clone_from(&original.currency);
    }
}

/// The events and orders that follow-ons of one workspace name.
fn named(follow_ons: &[Conversion]) -> (Vec<&str>, Vec<&str>) {
    let events = follow_ons.iter().filter_map(|one| one.original_event_id.as_deref());
    let unnamed = follow_ons.iter().filter(|one| one.original_event_id.is_none());
    (sorted(events), sorted(unnamed.filter_map(|one| one.order_id.as_deref())))
}

fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Stores new follow-ons, and settles them as far as it can be told now. Answers the ids stored.
///
/// # Errors
/// The database's.
pub async fn store(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    mut follow_ons: Vec<Conversion>,
) -> Result<Vec<Uuid>, ApiError> {
    if follow_ons.is_empty() {
        return Ok(vec![]);
    }
    for follow_on in &mut follow_ons {
        follow_on.tried = Some(Method::Original);
        follow_on.status = Status::PendingOriginal;
    }
    let stored = db::events::insert(&mut *tx, &follow_ons).await?;
    let (events, orders) = named(&follow_ons);
    db::events::hold_originals(&mut *tx, workspace.uuid(), &events, &orders).await?;
    // These, behind what came before them and was overlooked until now: each counts on those before it.
    let waiting = db::events::waiting_for_originals(&mut *tx, workspace.uuid(), &events, &orders).await?;
    settle_held(tx, waiting).await?;
    Ok(stored)
}

/// Leads and sales were settled in this transaction: settles the follow-ons that waited for them.
///
/// # Errors
/// The database's.
pub async fn originals_settled(tx: &mut PgConnection, originals: &[Conversion]) -> Result<(), ApiError> {
    for (workspace, originals) in by_workspace(originals.iter()) {
        let events = sorted(originals.iter().map(|one| one.event_id.as_str()));
        let orders = sorted(originals.iter().filter_map(|one| one.order_id.as_deref()));
        let waiting = db::events::waiting_for_originals(&mut *tx, workspace, &events, &orders).await?;
        settle_each(tx, waiting).await?;
    }
    Ok(())
}

/// Settles follow-ons that wait, in their order. All are locked. Answers those of which nothing is known yet.
///
/// # Errors
/// The database's.
pub async fn settle_each(tx: &mut PgConnection, waiting: Vec<Conversion>) -> Result<Vec<Conversion>, ApiError> {
    let mut unknown = vec![];
    for (workspace, waiting) in by_workspace(waiting.into_iter()) {
        let (events, orders) = named(&waiting);
        db::events::hold_originals(&mut *tx, workspace, &events, &orders).await?;
        unknown.extend(settle_held(tx, waiting).await?);
    }
    Ok(unknown)
}

/// The same, where what they may reverse is locked already. One by one, because each counts on those before it.
async fn settle_held(tx: &mut PgConnection, waiting: Vec<Conversion>) -> Result<Vec<Conversion>, ApiError> {
    let mut unknown = vec![];
    for mut follow_on in waiting {
        if !settle(tx, &mut follow_on).await? {
            unknown.push(follow_on);
        } else if follow_on.status.is_final() {
            db::events::settle(&mut *tx, std::slice::from_ref(&follow_on)).await?;
        }
    }
    Ok(unknown)
}

/// Rows by their workspace, each in the order given.
pub(super) fn by_workspace<T: std::borrow::Borrow<Conversion>>(
    rows: impl Iterator<Item = T>,
) -> BTreeMap<Uuid, Vec<T>> {
    let mut grouped: BTreeMap<Uuid, Vec<T>> = BTreeMap::new();
    for row in rows {
        grouped.entry(row.borrow().workspace_id).or_default().push(row);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use shared::Id;

    use super::*;
    use crate::{db::events::EventType, time::At};

    const OWN: u128 = 1;
    const OTHER: u128 = 2;

    fn conversion(kind: EventType, source: u128, partner: Option<u128>) -> Conversion {
        let source = Id::from_uuid(Uuid::from_u128(source));
        let (nil, now) = (Uuid::nil(), At::from_millis(shared::Millis(0)));
        Conversion {
            r#type: kind,
            partner_id: partner.map(Uuid::from_u128),
            status: if partner == Some(0) { Status::PendingClick } else { Status::Attributed },
            ..Conversion::received(Id::from_uuid(nil), source, Id::from_uuid(nil), [0; 32], now)
        }
    }

    /// Rows: whether the follow-on names an event; candidates, best first, by source, type and partner (0: pending);
    /// what is chosen.
    #[test]
    fn the_best_is_chosen_where_its_equals_agree() {
        use EventType::{Lead, Sale};
        type Row<'a> = (bool, &'a [(u128, EventType, u128)], &'a str);
        let table: &[Row<'_>] = &[
            (false, &[], "none"),
            (true, &[], "none"),
            (false, &[(OWN, Sale, 7)], "first"),
            // What is less good says nothing, neither by its partner nor by waiting.
            (false, &[(OWN, Sale, 7), (OWN, Lead, 8), (OTHER, Sale, 9)], "first"),
            (false, &[(OWN, Sale, 7), (OWN, Lead, 0), (OTHER, Sale, 0)], "first"),
            (true, &[(OWN, Sale, 7), (OTHER, Sale, 8)], "first"),
            // Equals must agree, and be settled.
            (false, &[(OWN, Sale, 7), (OWN, Sale, 7)], "first"),
            (false, &[(OWN, Sale, 7), (OWN, Sale, 8)], "ambiguous"),
            (false, &[(OWN, Sale, 7), (OWN, Sale, 0)], "open"),
            (false, &[(OWN, Sale, 7), (OWN, Sale, 8), (OWN, Sale, 0)], "open"),
            (false, &[(OWN, Sale, 0), (OWN, Lead, 7)], "open"),
            // Events of other sources are equals whatever their type.
            (true, &[(OTHER, Lead, 7), (OTHER, Sale, 8)], "ambiguous"),
            (true, &[(OTHER, Lead, 7), (OTHER, Sale, 7)], "first"),
        ];
        for (by_event, candidates, expected) in table {
            let mut refund = conversion(EventType::Refund, OWN, None);
            refund.original_event_id = by_event.then(|| "e".to_owned());
            let candidates: Vec<Conversion> =
                candidates.iter().map(|(source, kind, partner)| conversion(*kind, *source, Some(*partner))).collect();
            let choice = choose(&refund, &candidates);
            let found = match &choice {
                Choice::None => "none",
                Choice::Open => "open",
                Choice::Ambiguous => "ambiguous",
                Choice::One(one) if std::ptr::eq(*one, &raw const candidates[0]) => "first",
                Choice::One(_) => "another",
            };
            assert_eq!(found, *expected, "{by_event} {candidates:?}");
        }
    }
}

//! Refunds, cancellations and reversals: they inherit everything from the conversion they reverse, and take
//! back a share of its estimated commission. The original row is locked meanwhile and never changed.
//!
//! What counts is the order in which events were received, not when their clicks arrived: a follow-on chooses among
//! the originals received before it. Where there is none, it waits for the first that comes. Where one of those it
//! would choose from is not settled itself, it waits for that.

use std::collections::{BTreeMap, HashMap};

use shared::{
    id::WorkspaceId,
    reward::{Original, SoFar},
};
use store::PgConnection;
use uuid::Uuid;

use crate::{
    Error,
    attribution::{refuse, reward},
    transaction::expected_new,
};
use model::conversion::{EventType, Method, Reason, Status};
use store::{copy::InsertMode, events::Conversion};

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

/// Of the leads and sales of the event or order that a follow-on names: the one it reverses. It chooses among those
/// received before it or with it; where there are none, among those of the first request that brought any.
fn choose<'a>(follow_on: &Conversion, named: &[&'a Conversion]) -> Choice<'a> {
    let Some(first) = named.iter().map(|one| one.recorded_at).min() else { return Choice::None };
    let until = first.max(follow_on.recorded_at);
    let by_order = follow_on.original_event_id.is_none();
    // Its own source before others; of an order, sales before leads.
    let rank = |one: &Conversion| (one.source_id != follow_on.source_id, by_order && one.r#type == EventType::Lead);
    let known = named.iter().copied().filter(|one| one.recorded_at <= until);
    let Some(best) = known.clone().map(rank).min() else { return Choice::None };
    let mut equals: Vec<&Conversion> = known.filter(|&one| rank(one) == best).collect();
    equals.sort_unstable_by_key(|one| (one.recorded_at, one.id));
    let owner = |one: &Conversion| (one.snapshot.partner_id, one.snapshot.program_id);
    if equals.iter().any(|one| !one.status.is_final()) {
        Choice::Open
    } else if equals.iter().any(|one| owner(one) != owner(equals[0])) {
        Choice::Ambiguous
    } else {
        Choice::One(equals[0])
    }
}

/// Copies what the original got, and works out what is reversed and taken back.
fn inherit(follow_on: &mut Conversion, original: &Conversion, so_far: &mut SoFar) {
    follow_on.original_id = Some(original.id);
    follow_on.status = original.status;
    follow_on.method = (original.status == Status::Attributed).then_some(Method::Original);
    follow_on.reason = original.reason;
    follow_on.click_id = original.click_id;
    follow_on.window_days = original.window_days;
    follow_on.snapshot.clone_from(&original.snapshot);
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
    let reversal = reversed.reverse(*so_far, follow_on.amount_minor, follow_on.currency.as_deref());
    follow_on.reversed_minor = reversal.reversed_minor;
    follow_on.clawback_minor = reversal.clawback_minor;
    follow_on.flags.extend(reversal.flag.map(|flag| flag.to_string()));
    if follow_on.currency.is_none() {
        follow_on.currency.clone_from(&original.currency);
    }
    // As the store will add up.
    if follow_on.currency.is_some() && follow_on.currency == original.currency {
        so_far.reversed_minor = so_far.reversed_minor.saturating_add(reversal.reversed_minor.unwrap_or(0));
    }
    so_far.clawback_minor = so_far.clawback_minor.saturating_add(reversal.clawback_minor.unwrap_or(0));
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
pub(super) async fn store(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    mut follow_ons: Vec<Conversion>,
    mode: InsertMode,
) -> Result<Vec<Uuid>, Error> {
    if follow_ons.is_empty() {
        return Ok(vec![]);
    }
    for follow_on in &mut follow_ons {
        follow_on.tried = Some(Method::Original);
        follow_on.status = Status::PendingOriginal;
    }
    let stored = expected_new(store::events::insert(tx, &follow_ons, mode).await?)?;
    let (events, orders) = named(&follow_ons);
    // These, behind what came before them and was overlooked until now: each counts on those before it.
    let waiting = store::events::waiting_for_originals(&mut *tx, workspace.uuid(), &events, &orders).await?;
    settle_each(tx, waiting).await?;
    Ok(stored)
}

/// Leads and sales were settled in this transaction: settles the follow-ons that waited for them.
///
/// # Errors
/// The database's.
pub async fn originals_settled(
    tx: &mut PgConnection,
    originals: impl Iterator<Item = &Conversion>,
) -> Result<(), Error> {
    for (workspace, originals) in by_workspace(originals) {
        let events = sorted(originals.iter().map(|one| one.event_id.as_str()));
        let orders = sorted(originals.iter().filter_map(|one| one.order_id.as_deref()));
        let waiting = store::events::waiting_for_originals(&mut *tx, workspace, &events, &orders).await?;
        settle_each(tx, waiting).await?;
    }
    Ok(())
}

/// Settles follow-ons that wait, in their order, if what they reverse is known and settled. All are stored and locked.
/// Answers those of which nothing is known yet.
///
/// # Errors
/// The database's.
pub async fn settle_each(tx: &mut PgConnection, waiting: Vec<Conversion>) -> Result<Vec<Conversion>, Error> {
    let (mut settled, mut unknown) = (vec![], vec![]);
    for (workspace, waiting) in by_workspace(waiting.into_iter()) {
        let (events, orders) = named(&waiting);
        let originals = store::events::hold_originals(&mut *tx, workspace, &events, &orders).await?;
        let ids: Vec<Uuid> = originals.iter().map(|one| one.id).collect();
        let mut so_far = store::events::so_far(&mut *tx, workspace, &ids).await?;
        let (mut by_event, mut by_order) = (HashMap::<&str, Vec<_>>::new(), HashMap::<&str, Vec<_>>::new());
        for one in &originals {
            by_event.entry(&one.event_id).or_default().push(one);
            if let Some(order) = &one.order_id {
                by_order.entry(order).or_default().push(one);
            }
        }
        for mut follow_on in waiting {
            let found = match (&follow_on.original_event_id, &follow_on.order_id) {
                (Some(event), _) => by_event.get(event.as_str()),
                (None, Some(order)) => by_order.get(order.as_str()),
                (None, None) => None,
            };
            match choose(&follow_on, found.map(Vec::as_slice).unwrap_or_default()) {
                Choice::None => {
                    unknown.push(follow_on);
                    continue;
                }
                Choice::Open => continue,
                Choice::Ambiguous => refuse(&mut follow_on, Reason::OriginalAmbiguous),
                // Each counts on those before it.
                Choice::One(original) => inherit(&mut follow_on, original, so_far.entry(original.id).or_default()),
            }
            settled.push(follow_on);
        }
    }
    store::events::settle(&mut *tx, &settled).await?;
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
    use shared::{Id, Millis};

    use super::*;
    use model::time::Timestamp;
    use store::events::Snapshot;

    const OWN: u128 = 1;
    const OTHER: u128 = 2;

    fn conversion(kind: EventType, source: u128, partner: u128, at: i64) -> Conversion {
        let source = Id::from_uuid(Uuid::from_u128(source));
        let (nil, now) = (Uuid::nil(), Timestamp::from_millis(Millis(at)));
        Conversion {
            r#type: kind,
            snapshot: Snapshot { partner_id: Some(Uuid::from_u128(partner)), ..Snapshot::default() },
            status: if partner == 0 { Status::PendingClick } else { Status::Attributed },
            recorded_at: Some(now),
            ..Conversion::received(Id::from_uuid(nil), source, Id::from_uuid(nil), [0; 32], now)
        }
    }

    /// Rows: whether the follow-on names an event; what there is of it, by source, type, partner (0: pending) and time of
    /// receipt, the follow-on's being 5; what is chosen, by its place.
    #[test]
    fn the_best_is_chosen_where_its_equals_agree() {
        use EventType::{Lead, Sale};
        type Row<'a> = (bool, &'a [(u128, EventType, u128, i64)], &'a str);
        let table: &[Row<'_>] = &[
            (false, &[], "none"),
            (true, &[], "none"),
            (false, &[(OWN, Sale, 7, 1)], "0"),
            // What is less good says nothing, neither by its partner nor by waiting.
            (false, &[(OWN, Lead, 8, 1), (OTHER, Sale, 9, 2), (OWN, Sale, 7, 3)], "2"),
            (false, &[(OWN, Lead, 0, 1), (OTHER, Sale, 0, 2), (OWN, Sale, 7, 3)], "2"),
            (false, &[(OTHER, Sale, 8, 1), (OWN, Lead, 7, 2)], "1"),
            (true, &[(OTHER, Lead, 8, 1), (OWN, Sale, 7, 2)], "1"),
            // Equals must agree, and be settled.
            (false, &[(OWN, Sale, 7, 2), (OWN, Sale, 7, 1)], "1"),
            (false, &[(OWN, Sale, 7, 1), (OWN, Sale, 8, 2)], "ambiguous"),
            (false, &[(OWN, Sale, 7, 1), (OWN, Sale, 0, 2)], "open"),
            (false, &[(OWN, Sale, 7, 1), (OWN, Sale, 8, 2), (OWN, Sale, 0, 3)], "open"),
            (false, &[(OWN, Lead, 7, 1), (OWN, Sale, 0, 2)], "open"),
            // Events of other sources are equals whatever their type.
            (true, &[(OTHER, Lead, 7, 1), (OTHER, Sale, 8, 2)], "ambiguous"),
            (true, &[(OTHER, Sale, 7, 1), (OTHER, Lead, 7, 2)], "0"),
            // What is received later says nothing, unless there is nothing else.
            (false, &[(OWN, Lead, 7, 5), (OWN, Sale, 8, 6)], "0"),
            (false, &[(OWN, Sale, 8, 7), (OWN, Lead, 7, 6), (OTHER, Sale, 9, 6)], "1"),
        ];
        for (by_event, there, expected) in table {
            let mut refund = conversion(EventType::Refund, OWN, 0, 5);
            refund.original_event_id = by_event.then(|| "e".to_owned());
            let there: Vec<Conversion> =
                there.iter().map(|&(source, kind, partner, at)| conversion(kind, source, partner, at)).collect();
            let found = match choose(&refund, &there.iter().collect::<Vec<_>>()) {
                Choice::None => "none".to_owned(),
                Choice::Open => "open".to_owned(),
                Choice::Ambiguous => "ambiguous".to_owned(),
                Choice::One(one) => there.iter().position(|other| std::ptr::eq(one, other)).unwrap().to_string(),
            };
            assert_eq!(found, *expected, "{by_event} {there:?}");
        }
    }
}

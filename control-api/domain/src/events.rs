//! Signed conversion events: each is stored once, known already, or refused by name; and each gets an
//! attribution, at once or later.

pub mod new_event;
pub mod outcome;
mod rehearsal;

use std::collections::{HashMap, HashSet};

use model::conversion::{EventType, Method, Reason, Status};
use shared::{
    id::{SourceId, WorkspaceId},
    token,
};
use store::{PgConnection, copy::InsertMode, events::Conversion};
use uuid::Uuid;

use self::{new_event::Received, outcome::conflict};
pub use self::{
    new_event::{NewEvent, Rejected},
    outcome::{AttributedLink, Attribution, EventResult, Outcome},
    rehearsal::{Rehearsed, TokenState, rehearse},
};
use crate::{
    Context, Error,
    attribution::{attribute, refuse},
    follow_ons,
    transaction::{Attempts, expected_new},
};

/// The most events that came one by one and are stored together: few enough for nobody to wait long.
const MOST_TOGETHER: usize = 100;

/// Stores one event. Those of its source that come while a transaction runs are stored by the next one, together: a
/// transaction costs several times what an event in it does.
///
/// # Errors
/// Only where it was not stored: the database is out of reach.
pub async fn ingest_one(
    context: &Context,
    workspace: WorkspaceId,
    source: SourceId,
    event: NewEvent,
) -> Result<Outcome, Error> {
    let serving = context.clone();
    let serve = move |events: Vec<NewEvent>| {
        let context = serving.clone();
        async move { ingest_each(&context, workspace, source, events).await }
    };
    context.events.serve(source, event, MOST_TOGETHER, serve).await.unwrap_or_else(|| Err(Error::unanswered()))
}

/// The same for several, in one transaction if it can be.
async fn ingest_each(
    context: &Context,
    workspace: WorkspaceId,
    source: SourceId,
    events: Vec<NewEvent>,
) -> Vec<Result<Outcome, Error>> {
    let again = events.clone();
    match ingest(context, workspace, source, events.into_iter().map(Ok).collect()).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if again.len() == 1 => vec![Err(error)],
        Err(error @ Error::Unavailable(_)) => again.iter().map(|_| Err(error.for_another())).collect(),
        // One of them may be at fault, or in another's way: the others don't suffer for it.
        Err(_) => {
            let mut each = vec![];
            for event in again {
                let outcomes = ingest(context, workspace, source, vec![Ok(event)]).await;
                each.push(outcomes.and_then(|mut outcomes| outcomes.pop().ok_or_else(Error::unanswered)));
            }
            each
        }
    }
}

/// Stores events of one source in one transaction: the good ones are kept, the bad ones named.
///
/// # Errors
/// Only where nothing was stored: the database is out of reach.
pub async fn ingest(
    context: &Context,
    workspace: WorkspaceId,
    source: SourceId,
    events: Vec<Result<NewEvent, Rejected>>,
) -> Result<Vec<Outcome>, Error> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(events.len());
    // The first of a batch under an event id is stored; what repeats it is compared with that.
    let mut firsts: Vec<Received> = vec![];
    let mut claims: Vec<(usize, String, Vec<u8>)> = vec![];
    let mut first_of: HashMap<String, usize> = HashMap::new();
    for (index, event) in events.into_iter().enumerate() {
        match event.and_then(|event| event.receive(&context.clock, workspace, source)) {
            Ok(event) => {
                let row = &event.row;
                claims.push((index, row.event_id.clone(), row.payload_hash.clone()));
                if !first_of.contains_key(&row.event_id) {
                    first_of.insert(row.event_id.clone(), index);
                    firsts.push(event);
                }
                outcomes.push(None);
            }
            Err(rejected) => outcomes.push(Some(Outcome::Rejected(rejected))),
        }
    }
    // Ids sort like the batch: that is the order in which follow-ons of one original have their turns.
    let mut ids: Vec<Uuid> = firsts.iter().map(|event| event.row.id).collect();
    ids.sort_unstable();
    for (event, id) in firsts.iter_mut().zip(ids) {
        event.row.id = id;
    }

    let mut attempts = Attempts::of("events", firsts.len(), InsertMode::Serialized);
    let (stored, rows) = loop {
        match write(context, workspace, source, &firsts, attempts.mode()).await {
            Ok(written) => break written,
            Err(error) => attempts.again(error)?,
        }
    };

    let mut rows: HashMap<String, Conversion> = rows.into_iter().map(|row| (row.event_id.clone(), row)).collect();
    // From behind, so that the first under an id, told last, may take the row.
    for (index, event_id, hash) in claims.into_iter().rev() {
        let first = first_of.get(&event_id) == Some(&index);
        let row = if first { rows.remove(&event_id) } else { rows.get(&event_id).cloned() };
        let row = row.ok_or_else(|| anyhow::anyhow!("event {event_id} was stored and is not there"))?;
        outcomes[index] = Some(if first && stored.contains(&row.id) {
            Outcome::Accepted(Box::new(row))
        } else if row.payload_hash == hash {
            Outcome::Duplicate(Box::new(row))
        } else {
            Outcome::Rejected(conflict(event_id))
        });
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Stores what is new of these events, each with an id of its own, in one transaction. Answers the ids stored, and the
/// row of every event.
async fn write(
    context: &Context,
    workspace: WorkspaceId,
    source: SourceId,
    events: &[Received],
    mode: InsertMode,
) -> Result<(HashSet<Uuid>, Vec<Conversion>), Error> {
    let names: Vec<&str> = events.iter().map(|event| event.row.event_id.as_str()).collect();
    let mut tx = store::events::begin(&context.db, mode).await?;
    if mode == InsertMode::Serialized {
        let sales = events.iter().filter(|event| event.row.r#type == EventType::Sale);
        let orders: Vec<&str> = sales.filter_map(|event| event.row.order_id.as_deref()).collect();
        store::events::lock_orders(&mut *tx, source.uuid(), &orders).await?;
    }
    let known = store::events::by_event(&mut *tx, workspace, source.uuid(), &names).await?;
    let known: HashSet<&str> = known.iter().map(|row| row.event_id.as_str()).collect();
    let new = events.iter().filter(|event| !known.contains(event.row.event_id.as_str())).cloned().collect();
    let (mut rows, follow_ons) = store(context, &mut tx, workspace, source, new, mode).await?;
    let stored = rows.iter().map(|row| row.id).chain(follow_ons).collect();
    // Leads and sales are as they were stored. The rest is known longer, or was settled after it was stored.
    let told: HashSet<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
    let others: Vec<&str> = names.into_iter().filter(|name| !told.contains(name)).collect();
    if !others.is_empty() {
        rows.extend(store::events::by_event(&mut *tx, workspace, source.uuid(), &others).await?);
    }
    tx.commit().await?;
    Ok((stored, rows))
}

/// Stores events that are new, in the order in which one may build on another: those with a token, those
/// known by their customer, then follow-ons. Answers the leads and sales stored, and the ids of the follow-ons.
async fn store(
    context: &Context,
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    source: SourceId,
    mut events: Vec<Received>,
    mode: InsertMode,
) -> Result<(Vec<Conversion>, Vec<Uuid>), Error> {
    flag_duplicate_orders(tx, workspace, source, events.iter_mut().map(|event| &mut event.row)).await?;
    let (follow_ons, leading): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.row.r#type.is_follow_on());
    let (by_token, by_customer): (Vec<_>, Vec<_>) = leading.into_iter().partition(|event| event.token.is_some());

    let by_token = by_token.into_iter().map(|event| with_token(context, workspace, event)).collect();
    let mut stored = store_leading(tx, workspace, source, Method::Token, by_token, mode).await?;
    let by_customer = by_customer.into_iter().map(|event| event.row).collect();
    stored.extend(store_leading(tx, workspace, source, Method::Customer, by_customer, mode).await?);
    let follow_ons = follow_ons.into_iter().map(|event| event.row).collect();
    Ok((stored, follow_ons::store(tx, workspace, follow_ons, mode).await?))
}

/// What a token says by itself: whose click it names, or that it is none of ours. Then nothing else is tried.
fn with_token(context: &Context, workspace: WorkspaceId, event: Received) -> Conversion {
    let Received { mut row, token } = event;
    match token::verify(&context.token_secrets, workspace, token.as_deref().unwrap_or_default()) {
        Ok(click) => {
            row.click_id = Some(click.uuid());
            row.status = Status::PendingClick;
        }
        Err(token::InvalidToken) => refuse(&mut row, Reason::TokenInvalid),
    }
    row
}

/// Stores leads and sales, and settles the follow-ons that came before them. Answers those that were new.
async fn store_leading(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    source: SourceId,
    method: Method,
    mut rows: Vec<Conversion>,
    mode: InsertMode,
) -> Result<Vec<Conversion>, Error> {
    if rows.is_empty() {
        return Ok(vec![]);
    }
    for row in &mut rows {
        row.tried = Some(method);
    }
    attribute(tx, workspace, method, &mut rows).await?;
    let mut ids: HashSet<Uuid> = expected_new(store::events::insert(tx, &rows, mode).await?)?.into_iter().collect();
    // What was left out is known by now, or its order was sold meanwhile.
    let left_out = rows.iter_mut().filter(|row| !ids.contains(&row.id));
    flag_duplicate_orders(tx, workspace, source, left_out).await?;
    let again: Vec<Conversion> =
        rows.iter().filter(|row| !ids.contains(&row.id) && !row.flags.is_empty()).cloned().collect();
    ids.extend(expected_new(store::events::insert(tx, &again, InsertMode::SkipExisting).await?)?);
    rows.retain(|row| ids.contains(&row.id));
    follow_ons::originals_settled(tx, rows.iter().filter(|row| row.status.is_final())).await?;
    Ok(rows)
}

/// Flags each sale whose order the source has sold before, in the store or earlier among these.
async fn flag_duplicate_orders(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    source: SourceId,
    rows: impl Iterator<Item = &mut Conversion>,
) -> Result<(), Error> {
    let sales = rows.filter(|row| row.r#type == EventType::Sale && row.flags.is_empty());
    let sales: Vec<(String, &mut Conversion)> = sales.filter_map(|row| Some((row.order_id.clone()?, row))).collect();
    if sales.is_empty() {
        return Ok(());
    }
    let orders: Vec<&str> = sales.iter().map(|(order, _)| order.as_str()).collect();
    let mut sold: HashSet<String> =
        store::events::sold_orders(&mut *tx, workspace, source.uuid(), &orders).await?.into_iter().collect();
    for (order, row) in sales {
        if !sold.insert(order) {
            row.flags.push("duplicate_order".to_owned());
        }
    }
    Ok(())
}

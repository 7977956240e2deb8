//! Signed conversion events: each is stored once, known already, or refused by name; and each gets an
//! attribution, at once or later.

mod outcome;
mod read;
mod rehearsal;

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use shared::{
    id::{SourceId, WorkspaceId},
    token,
};
use sqlx::PgConnection;
use uuid::Uuid;

pub use outcome::{AttributedLink, Attribution, EventResult, Outcome};
use read::Event;
pub use rehearsal::{Rehearsed, TokenState, rehearse};

use super::{
    attribution::{refuse, settle_by},
    follow_ons,
};
use crate::{
    app::App,
    db::{
        self,
        events::{Conversion, EventType, Method, Reason, Status},
    },
    error::ApiError,
    time::At,
};

/// The most events in one request.
pub const MAX_BATCH: usize = 1_000;

/// The events of a body.
pub enum Sent {
    /// One, on its own.
    One(Value),
    /// A batch of 1 to [`MAX_BATCH`].
    Batch(Vec<Value>),
}

impl Sent {
    /// Reads a body's shape; the events themselves are read one by one.
    ///
    /// # Errors
    /// 422 where a batch is none, or has too few or too many events.
    pub fn read(mut body: Value) -> Result<Self, ApiError> {
        let alone = body.as_object().is_some_and(|object| object.len() == 1);
        match body.get_mut("events").map(Value::take) {
            None => Ok(Self::One(body)),
            Some(Value::Array(events)) if (1..=MAX_BATCH).contains(&events.len()) => {
                if alone {
                    Ok(Self::Batch(events))
                } else {
                    Err(ApiError::field("", "unknown_field", "a batch holds `events` and nothing else"))
                }
            }
            Some(Value::Array(_)) => Err(ApiError::field("/events", "length", "must have 1 to 1,000 events")),
            Some(_) => Err(ApiError::field("/events", "type", "must be a list of events")),
        }
    }
}

/// An event id that stands for another event already.
fn conflict(event_id: &str) -> ApiError {
    let detail =
        format!("event_id {event_id} was used for another event of this source; send the correction under a new id");
    ApiError::Conflict { code: "event_id_conflict", detail }
}

/// Stores events of one source in one transaction: the good ones are kept, the bad ones named.
///
/// # Errors
/// Only where nothing was stored: the database is out of reach.
pub async fn ingest(
    app: &App,
    workspace: WorkspaceId,
    source: SourceId,
    values: &[Value],
) -> Result<Vec<Outcome>, ApiError> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(values.len());
    // The first of a batch under an event id is stored; what repeats it is compared with that.
    let mut firsts: Vec<Event> = vec![];
    let mut claims: Vec<(usize, String, Vec<u8>, Uuid)> = vec![];
    let mut seen: HashSet<String> = HashSet::new();
    for (index, value) in values.iter().enumerate() {
        match read::read(app, workspace, source, value) {
            Ok(event) => {
                let row = &event.row;
                claims.push((index, row.event_id.clone(), row.payload_hash.clone(), row.id));
                if seen.insert(row.event_id.clone()) {
                    firsts.push(event);
                }
                outcomes.push(None);
            }
            Err(error) => {
                let event_id = value.get("event_id").and_then(Value::as_str).map(str::to_owned);
                outcomes.push(Some(Outcome::Rejected { event_id, error }));
            }
        }
    }

    let mut tx = app.db.begin().await?;
    let ids: Vec<&str> = seen.iter().map(String::as_str).collect();
    let known: HashSet<String> = db::events::by_event(&mut *tx, workspace, source.uuid(), &ids)
        .await?
        .into_iter()
        .map(|row| row.event_id)
        .collect();
    firsts.retain(|event| !known.contains(&event.row.event_id));
    let stored = store(app, &mut tx, workspace, source, firsts).await?;
    let rows = db::events::by_event(&mut *tx, workspace, source.uuid(), &ids).await?;
    tx.commit().await?;

    let rows: HashMap<&str, &Conversion> = rows.iter().map(|row| (row.event_id.as_str(), row)).collect();
    for (index, event_id, hash, id) in claims {
        let row = rows
            .get(event_id.as_str())
            .ok_or_else(|| anyhow::anyhow!("event {event_id} was stored and is not there"))?;
        let row = Box::new((*row).clone());
        outcomes[index] = Some(if stored.contains(&id) {
            Outcome::Accepted(row)
        } else if row.payload_hash == hash {
            Outcome::Duplicate(row)
        } else {
            let error = conflict(&event_id);
            Outcome::Rejected { event_id: Some(event_id), error }
        });
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Stores events that are new, in the order in which one may build on another: those with a token, those
/// known by their customer, then follow-ons. Answers the ids stored.
async fn store(
    app: &App,
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    source: SourceId,
    events: Vec<Event>,
) -> Result<HashSet<Uuid>, ApiError> {
    let (follow_ons, leading): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.row.r#type.is_follow_on());
    let (by_token, by_customer): (Vec<_>, Vec<_>) = leading.into_iter().partition(|event| event.token.is_some());
    let mut stored = HashSet::new();

    let mut rows = attribute_by_token(app, tx, workspace, by_token).await?;
    flag_duplicate_orders(tx, workspace, source, &mut rows).await?;
    stored.extend(insert(tx, rows).await?);

    let mut rows = attribute_by_customer(tx, workspace, by_customer).await?;
    flag_duplicate_orders(tx, workspace, source, &mut rows).await?;
    stored.extend(insert(tx, rows).await?);

    for Event { mut row, .. } in follow_ons {
        follow_ons::settle(tx, &mut row).await?;
        stored.extend(db::events::insert(&mut *tx, std::slice::from_ref(&row)).await?);
    }
    Ok(stored)
}

/// Stores leads and sales, and settles the follow-ons that came before them.
async fn insert(tx: &mut PgConnection, rows: Vec<Conversion>) -> Result<Vec<Uuid>, ApiError> {
    if rows.is_empty() {
        return Ok(vec![]);
    }
    let ids = db::events::insert(&mut *tx, &rows).await?;
    let new: Vec<Conversion> = rows.into_iter().filter(|row| ids.contains(&row.id) && row.status.is_final()).collect();
    follow_ons::originals_settled(tx, &new).await?;
    Ok(ids)
}

async fn attribute_by_token(
    app: &App,
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    events: Vec<Event>,
) -> Result<Vec<Conversion>, ApiError> {
    let mut rows = Vec::with_capacity(events.len());
    for Event { mut row, token } in events {
        match token::verify(&app.config.token_secrets, workspace, token.as_deref().unwrap_or_default()) {
            Ok(click) => {
                row.click_id = Some(click.uuid());
                row.status = Status::PendingClick;
            }
            Err(token::InvalidToken) => refuse(&mut row, Reason::TokenInvalid),
        }
        rows.push(row);
    }
    settle_pending(tx, workspace, &mut rows, Method::Token).await?;
    Ok(rows)
}

async fn attribute_by_customer(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    events: Vec<Event>,
) -> Result<Vec<Conversion>, ApiError> {
    let mut rows: Vec<Conversion> = events.into_iter().map(|event| event.row).collect();
    let asked: Vec<&Conversion> = rows.iter().filter(|row| row.customer_id.is_some()).collect();
    let customers: Vec<&str> = asked.iter().filter_map(|row| row.customer_id.as_deref()).collect();
    let times: Vec<At> = asked.iter().map(|row| row.occurred_at).collect();
    let mut found = db::events::customer_clicks(&mut *tx, workspace, &customers, &times).await?.into_iter();
    for row in &mut rows {
        let click = if row.customer_id.is_some() { found.next().flatten() } else { None };
        match click {
            Some(click) => {
                row.click_id = Some(click);
                row.status = Status::PendingClick;
            }
            None => refuse(row, Reason::NoToken),
        }
    }
    settle_pending(tx, workspace, &mut rows, Method::Customer).await?;
    Ok(rows)
}

/// Settles those rows whose click is stored.
async fn settle_pending(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    rows: &mut [Conversion],
    method: Method,
) -> Result<(), ApiError> {
    let pending: Vec<&mut Conversion> = rows.iter_mut().filter(|row| row.status == Status::PendingClick).collect();
    let clicks: Vec<Uuid> = pending.iter().filter_map(|row| row.click_id).collect();
    let times: Vec<At> = pending.iter().map(|row| row.occurred_at).collect();
    let touches = db::events::touches(&mut *tx, workspace, &clicks, &times).await?;
    for (row, touch) in pending.into_iter().zip(touches) {
        if let Some(touch) = touch {
            settle_by(row, method, &touch);
        }
    }
    Ok(())
}

/// Flags each sale whose order the source has sold before, in the store or earlier in the batch.
async fn flag_duplicate_orders(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    source: SourceId,
    rows: &mut [Conversion],
) -> Result<(), ApiError> {
    let orders: Vec<String> =
        rows.iter().filter(|row| row.r#type == EventType::Sale).filter_map(|row| row.order_id.clone()).collect();
    if orders.is_empty() {
        return Ok(());
    }
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    db::events::lock_orders(&mut *tx, source.uuid(), &orders).await?;
    let mut sold: HashSet<String> =
        db::events::sold_orders(&mut *tx, workspace, source.uuid(), &orders).await?.into_iter().collect();
    for row in rows.iter_mut().filter(|row| row.r#type == EventType::Sale) {
        if let Some(order) = &row.order_id
            && !sold.insert(order.clone())
        {
            row.flags.push("duplicate_order".to_owned());
        }
    }
    Ok(())
}

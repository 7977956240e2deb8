//! Signed conversion events: each is stored once, known already, or refused by name; and each gets an
//! attribution, at once or later.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::{
    Millis,
    click::Named,
    id::{ConversionId, Partner, PartnerId, Program, ProgramId, SourceId, WorkspaceId},
    token,
};
use sqlx::PgConnection;
use uuid::Uuid;

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
    http::fields::{Fields, currency, integer, line, metadata, small, text, time, word},
    time::At,
};

/// The most events in one request.
pub const MAX_BATCH: usize = 1_000;
/// How far ahead of our clock an event may say it happened, in milliseconds.
const MAX_AHEAD_MILLIS: i64 = 5 * Millis::MINUTE;
/// How long ago, in milliseconds: two years.
const MAX_AGE_MILLIS: i64 = 730 * Millis::DAY;

/// An event that reads well, with its click token.
struct Event {
    row: Conversion,
    token: Option<String>,
}

/// What became of one event.
pub enum Outcome {
    /// Stored.
    Accepted(Box<Conversion>),
    /// Stored before.
    Duplicate(Box<Conversion>),
    /// Refused; its id is still free.
    Rejected {
        /// As sent, if it is a text.
        event_id: Option<String>,
        /// Why.
        error: ApiError,
    },
}

/// The answer to one event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventResult {
    /// As sent.
    pub event_id: Option<String>,
    /// `accepted`, `duplicate` or `rejected`.
    #[schema(example = "accepted")]
    pub status: &'static str,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong and what to do, where it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Every wrong field, where it was rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<crate::error::FieldFault>,
    /// The stored conversion.
    #[schema(value_type = Option<String>)]
    pub conversion_id: Option<ConversionId>,
    /// Who gets the credit, as far as is known.
    pub attribution: Option<Attribution>,
}

/// Who gets the credit, as far as is known.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Attribution {
    /// `attributed`, `pending_click`, `pending_original` or `unattributed`.
    #[schema(value_type = String, example = "attributed")]
    pub status: Status,
    /// `token`, `customer` or `original`.
    #[schema(value_type = Option<String>, example = "token")]
    pub method: Option<Method>,
    /// Why there is no partner.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// The partner at the click: `{id, key, name}`.
    #[schema(value_type = Option<Object>)]
    pub partner: Option<Named<'static, Partner>>,
    /// The program at the click: `{id, key, name}`.
    #[schema(value_type = Option<Object>)]
    pub program: Option<Named<'static, Program>>,
    /// The link: `{id, short_url}`.
    pub link: Option<AttributedLink>,
}

/// The link of an attribution.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AttributedLink {
    /// Its id.
    #[schema(value_type = String)]
    pub id: shared::id::LinkId,
    /// Its address.
    pub short_url: String,
}

impl Attribution {
    /// What a stored conversion says.
    #[must_use]
    pub fn of(row: &Conversion) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default().into();
        let partner = row.partner_id.map(|id| Named {
            id: PartnerId::from_uuid(id),
            key: text(&row.partner_key),
            name: text(&row.partner_name),
        });
        let program = row.program_id.map(|id| Named {
            id: ProgramId::from_uuid(id),
            key: text(&row.program_key),
            name: text(&row.program_name),
        });
        let link = row.link_id.map(|id| AttributedLink {
            id: shared::Id::from_uuid(id),
            short_url: format!(
                "https://{}/{}",
                row.domain.as_deref().unwrap_or_default(),
                row.slug.as_deref().unwrap_or_default()
            ),
        });
        Self { status: row.status, method: row.method, reason: row.reason, partner, program, link }
    }
}

impl From<Outcome> for EventResult {
    fn from(outcome: Outcome) -> Self {
        let (status, row) = match outcome {
            Outcome::Accepted(row) => ("accepted", row),
            Outcome::Duplicate(row) => ("duplicate", row),
            Outcome::Rejected { event_id, error } => {
                let (code, detail) = (error.status_and_code().1, error.to_string());
                let errors = error.field_faults();
                return Self {
                    event_id,
                    status: "rejected",
                    code: Some(code),
                    detail: Some(detail),
                    errors,
                    conversion_id: None,
                    attribution: None,
                };
            }
        };
        Self {
            conversion_id: Some(ConversionId::from_uuid(row.id)),
            attribution: Some(Attribution::of(&row)),
            event_id: Some(row.event_id),
            status,
            code: None,
            detail: None,
            errors: vec![],
        }
    }
}

/// SHA-256 of canonical JSON: names sorted, no spaces. Two texts of the same event hash alike.
fn canonical_hash(value: &Value) -> [u8; 32] {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(fields) => {
                let mut names: Vec<_> = fields.iter().collect();
                names.sort_unstable_by_key(|(name, _)| *name);
                out.push('{');
                for (index, (name, value)) in names.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push(':');
                    write(value, out);
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            plain => out.push_str(&plain.to_string()),
        }
    }
    let mut text = String::new();
    write(value, &mut text);
    Sha256::digest(text).into()
}

/// Reads one event.
fn read(app: &App, workspace: WorkspaceId, source: SourceId, value: &Value) -> Result<Event, ApiError> {
    let now = app.ambient.now();
    let mut row =
        Conversion::received(workspace, source, app.ambient.id(), canonical_hash(value), At::from_millis(now));
    let mut fields = Fields::of(value)?;
    fields.require(&["event_id", "type"]);
    fields.set("event_id", &mut row.event_id, line(255));
    fields.set("type", &mut row.r#type, word);
    fields.set_option("event_name", &mut row.event_name, line(100));
    // Any text is taken as a token: one that isn't ours makes the event unattributed, not refused.
    let token = fields.get("nim_ct", text(2_000));
    fields.set_option("customer_id", &mut row.customer_id, line(255));
    fields.set_option("order_id", &mut row.order_id, line(255));
    fields.set_option("original_event_id", &mut row.original_event_id, line(255));
    fields.set_option("amount_minor", &mut row.amount_minor, integer(0..=i64::MAX));
    fields.set_option("currency", &mut row.currency, currency);
    fields.set_option("quantity", &mut row.quantity, small(1..=1_000_000));
    fields.set("occurred_at", &mut row.occurred_at, time);
    let mut extra = None;
    fields.set_option("metadata", &mut extra, metadata(8 << 10));
    row.metadata = extra.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if fields.has("amount_minor") && !fields.has("currency") {
        fields.fault("currency", "required", "is required with amount_minor");
    }
    if row.r#type.is_follow_on() && !fields.has("original_event_id") && !fields.has("order_id") {
        let detail = "a follow-on must name what it reverses: give original_event_id or order_id";
        fields.fault("original_event_id", "required", detail);
    }
    if !row.r#type.is_follow_on() && fields.has("original_event_id") {
        fields.fault("original_event_id", "unexpected", "only refund, cancellation and reversal have an original");
    }
    fields.finish()?;
    let ahead = row.occurred_at.millis().since(now);
    let rule = |code, detail: &str| ApiError::Rule { code, pointer: "/occurred_at", detail: detail.into() };
    if ahead > MAX_AHEAD_MILLIS {
        return Err(rule(
            "occurred_at_in_future",
            "occurred_at must not be more than 5 minutes ahead; check the clock",
        ));
    }
    if ahead < -MAX_AGE_MILLIS {
        return Err(rule("occurred_at_too_old", "occurred_at must not be more than two years ago"));
    }
    Ok(Event { row, token })
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
        match read(app, workspace, source, value) {
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
            let detail = format!(
                "event_id {event_id} was used for another event of this source; send the correction under a new id"
            );
            let error = ApiError::Conflict { code: "event_id_conflict", detail };
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_event_hashes_alike_however_it_is_written() {
        let one: Value = serde_json::from_str(r#"{"b":{"y":1,"x":[1,{"q":2,"p":"é\n"}]},"a":null}"#).unwrap();
        let two: Value =
            serde_json::from_str("{ \"a\": null, \"b\": {\"x\": [1, {\"p\":\"\\u00e9\\n\",\"q\":2}], \"y\": 1} }")
                .unwrap();
        assert_eq!(canonical_hash(&one), canonical_hash(&two));
        assert_ne!(canonical_hash(&one), canonical_hash(&json!({"a": null})));
        assert_ne!(canonical_hash(&json!({"a": [1, 2]})), canonical_hash(&json!({"a": [2, 1]})));
    }
}

//! An event as any sender brings it, whatever form it had on its way.

use model::{
    conversion::EventType,
    time::{Clock, Timestamp},
};
use serde_json::Value;
use shared::{
    Millis,
    id::{SourceId, WorkspaceId},
};
use store::events::Conversion;

use crate::Error;

/// How far ahead of our clock an event may say it happened, in milliseconds.
const MAX_AHEAD_MILLIS: i64 = 5 * Millis::MINUTE;
/// How long ago, in milliseconds: two years.
const MAX_AGE_MILLIS: i64 = 730 * Millis::DAY;

/// A conversion event that reads well.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The sender's id of the event.
    pub event_id: String,
    /// Its type.
    pub r#type: EventType,
    /// The sender's own name for such events.
    pub event_name: Option<String>,
    /// The click token it carries.
    pub nim_ct: Option<String>,
    /// The sender's id of the customer.
    pub customer_id: Option<String>,
    /// The sender's id of the order.
    pub order_id: Option<String>,
    /// Of a follow-on: the event it reverses.
    pub original_event_id: Option<String>,
    /// Amount in minor units of the currency, 0 or more.
    pub amount_minor: Option<i64>,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// How many items.
    pub quantity: Option<i32>,
    /// When it happened; the time of receipt where it does not say.
    pub occurred_at: Option<Timestamp>,
    /// The sender's own object.
    pub metadata: Value,
    /// SHA-256 of the event as received, by which a repeated one is told from another one of the same id.
    pub payload_hash: [u8; 32],
}

/// An event that is refused; its id is still free.
#[derive(Debug)]
pub struct Rejected {
    /// As sent, if it is a text.
    pub event_id: Option<String>,
    /// Why.
    pub error: Error,
}

/// A row to be stored, with the event's click token.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) row: Conversion,
    pub(super) token: Option<String>,
}

impl NewEvent {
    /// The row of an event that is received now.
    pub(super) fn receive(
        &self,
        clock: &Clock,
        workspace: WorkspaceId,
        source: SourceId,
    ) -> Result<Received, Rejected> {
        let now = clock.now();
        let mut row =
            Conversion::received(workspace, source, clock.id(), self.payload_hash, Timestamp::from_millis(now));
        // To the millisecond, as it is shown: what is compared with it is read by those who see no more.
        row.occurred_at = self.occurred_at.map_or(row.occurred_at, |at| Timestamp::from_millis(at.millis()));
        let ahead = row.occurred_at.millis().since(now);
        let rule = |code, detail: &str| {
            let error = Error::Rule { code, pointer: "/occurred_at", detail: detail.into() };
            Err(Rejected { event_id: Some(self.event_id.clone()), error })
        };
        if ahead > MAX_AHEAD_MILLIS {
            return rule("occurred_at_in_future", "occurred_at must not be more than 5 minutes ahead; check the clock");
        }
        if ahead < -MAX_AGE_MILLIS {
            return rule("occurred_at_too_old", "occurred_at must not be more than two years ago");
        }
        row.event_id.clone_from(&self.event_id);
        row.r#type = self.r#type;
        row.event_name.clone_from(&self.event_name);
        row.customer_id.clone_from(&self.customer_id);
        row.order_id.clone_from(&self.order_id);
        row.original_event_id.clone_from(&self.original_event_id);
        row.amount_minor = self.amount_minor;
        row.currency.clone_from(&self.currency);
        row.quantity = self.quantity;
        row.metadata.clone_from(&self.metadata);
        Ok(Received { row, token: self.nim_ct.clone() })
    }
}

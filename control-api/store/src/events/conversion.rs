//! A row of `conversions`.

use model::{
    conversion::{EventType, Method, Reason, Status},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use shared::id::WorkspaceId;
use uuid::Uuid;

/// A click's context on a conversion: the link, the partner and program it belonged to at the click, and the visitor's own
/// words, as the edge record that served it said. Named like the columns of `conversions`.
#[serde_with::skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // The migration comments every column.
pub struct Snapshot {
    pub link_id: Option<Uuid>,
    pub domain: Option<String>,
    pub slug: Option<String>,
    pub destination: Option<String>,
    pub assignment_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub partner_key: Option<String>,
    pub partner_name: Option<String>,
    pub program_id: Option<Uuid>,
    pub program_key: Option<String>,
    pub program_name: Option<String>,
    pub utm_source: Option<String>,
    pub utm_medium: Option<String>,
    pub utm_campaign: Option<String>,
    pub utm_term: Option<String>,
    pub utm_content: Option<String>,
    pub experiment: Option<String>,
    pub variant: Option<String>,
    pub country: Option<String>,
    pub bot_reason: Option<String>,
}

impl Snapshot {
    /// The context without whom the click belonged to.
    #[must_use]
    pub fn without_owner(self) -> Self {
        Self {
            assignment_id: None,
            partner_id: None,
            partner_key: None,
            partner_name: None,
            program_id: None,
            program_key: None,
            program_name: None,
            ..self
        }
    }
}

/// A row of `conversions`, named like its columns. Most are NULL, and the database reads what is left out so.
#[serde_with::skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // The migration comments every column.
pub struct Conversion {
    pub workspace_id: Uuid,
    pub id: Uuid,
    pub source_id: Uuid,
    pub event_id: String,
    #[serde(serialize_with = "bytea")]
    pub payload_hash: Vec<u8>,
    pub r#type: EventType,
    pub event_name: Option<String>,
    pub customer_id: Option<String>,
    pub order_id: Option<String>,
    pub original_event_id: Option<String>,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub quantity: Option<i32>,
    pub occurred_at: Timestamp,
    pub metadata: Value,
    pub recorded_at: Option<Timestamp>,
    pub status: Status,
    pub method: Option<Method>,
    pub tried: Option<Method>,
    pub reason: Option<Reason>,
    pub attributed_at: Option<Timestamp>,
    pub click_id: Option<Uuid>,
    pub original_id: Option<Uuid>,
    pub window_days: Option<i32>,
    #[serde(flatten)]
    pub snapshot: Snapshot,
    pub terms_version: Option<i32>,
    pub reward_basis: Option<shared::reward::Basis>,
    pub reward_rate_bps: Option<i32>,
    pub reward_amount_minor: Option<i64>,
    pub reward_currency: Option<String>,
    pub hold_until: Option<Timestamp>,
    pub estimated_commission_minor: Option<i64>,
    pub reversed_minor: Option<i64>,
    pub clawback_minor: Option<i64>,
    pub flags: Vec<String>,
}

impl Conversion {
    /// An event as received, of nobody yet. Its time is the receipt's until it says otherwise.
    #[must_use]
    pub fn received(
        workspace: WorkspaceId,
        source: shared::id::SourceId,
        id: shared::id::ConversionId,
        payload_hash: [u8; 32],
        now: Timestamp,
    ) -> Self {
        Self {
            workspace_id: workspace.uuid(),
            id: id.uuid(),
            source_id: source.uuid(),
            event_id: String::new(),
            payload_hash: payload_hash.to_vec(),
            r#type: EventType::Lead,
            event_name: None,
            customer_id: None,
            order_id: None,
            original_event_id: None,
            amount_minor: None,
            currency: None,
            quantity: None,
            occurred_at: now,
            metadata: Value::Null,
            recorded_at: None,
            status: Status::Unattributed,
            method: None,
            tried: None,
            reason: None,
            attributed_at: None,
            click_id: None,
            original_id: None,
            window_days: None,
            snapshot: Snapshot::default(),
            terms_version: None,
            reward_basis: None,
            reward_rate_bps: None,
            reward_amount_minor: None,
            reward_currency: None,
            hold_until: None,
            estimated_commission_minor: None,
            reversed_minor: None,
            clawback_minor: None,
            flags: vec![],
        }
    }
}

fn bytea<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("\\x{}", hex::encode(bytes)))
}

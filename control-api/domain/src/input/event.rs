//! Reading of one conversion event.

use model::conversion::EventType;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Fields, Parsed, currency, fault, integer, json::holds_nul, line, metadata, small, time, word};
use crate::{
    Error,
    events::{NewEvent, Rejected},
};

/// The most events in one request.
pub const MAX_BATCH: usize = 1_000;

/// The events of a body, each read or refused.
#[allow(clippy::large_enum_variant)] // Made once per request.
pub enum Sent {
    /// One, on its own.
    One(Result<NewEvent, Rejected>),
    /// A batch of 1 to [`MAX_BATCH`].
    Batch(Vec<Result<NewEvent, Rejected>>),
}

impl Sent {
    /// Reads a body.
    ///
    /// # Errors
    /// 422 where a batch is none, or has too few or too many events.
    pub fn read(mut body: Value) -> Result<Self, Error> {
        let alone = body.as_object().is_some_and(|object| object.len() == 1);
        match body.get_mut("events").map(Value::take) {
            None => Ok(Self::One(read(&body))),
            Some(Value::Array(events)) if (1..=MAX_BATCH).contains(&events.len()) => {
                if alone {
                    Ok(Self::Batch(events.iter().map(read).collect()))
                } else {
                    Err(Error::field("", "unknown_field", "a batch holds `events` and nothing else"))
                }
            }
            Some(Value::Array(_)) => Err(Error::field("/events", "length", "must have 1 to 1,000 events")),
            Some(_) => Err(Error::field("/events", "type", "must be a list of events")),
        }
    }
}

/// Metadata that the store can hold.
fn stored_metadata(value: &Value) -> Parsed<Value> {
    if holds_nul(value) { fault("characters", "must not hold the character U+0000") } else { metadata(8 << 10)(value) }
}

/// Reads one event as a sender writes it.
///
/// # Errors
/// All faults, with the event's id as far as it is a text.
pub fn read(value: &Value) -> Result<NewEvent, Rejected> {
    fields(value).map_err(|error| {
        let event_id = value.get("event_id").and_then(Value::as_str).map(str::to_owned);
        Rejected { event_id, error }
    })
}

fn fields(value: &Value) -> Result<NewEvent, Error> {
    let mut event = NewEvent {
        event_id: String::new(),
        r#type: EventType::Lead,
        event_name: None,
        nim_ct: None,
        customer_id: None,
        order_id: None,
        original_event_id: None,
        amount_minor: None,
        currency: None,
        quantity: None,
        occurred_at: None,
        metadata: Value::Object(Map::new()),
        payload_hash: canonical_hash(value),
    };
    let mut fields = Fields::of(value)?;
    fields.require(&["event_id", "type"]);
    fields.set("event_id", &mut event.event_id, line(255));
    fields.set("type", &mut event.r#type, word);
    fields.set_option("event_name", &mut event.event_name, line(100));
    // Any text is taken as a token: one that isn't ours makes the event unattributed, not refused.
    fields.set_option("nim_ct", &mut event.nim_ct, |value| {
        value.as_str().map_or_else(|| fault("type", "must be a string"), |text| Ok(text.to_owned()))
    });
    fields.set_option("customer_id", &mut event.customer_id, line(255));
    fields.set_option("order_id", &mut event.order_id, line(255));
    fields.set_option("original_event_id", &mut event.original_event_id, line(255));
    fields.set_option("amount_minor", &mut event.amount_minor, integer(0..=i64::MAX));
    fields.set_option("currency", &mut event.currency, currency);
    fields.set_option("quantity", &mut event.quantity, small(1..=1_000_000));
    fields.set_option("occurred_at", &mut event.occurred_at, time);
    fields.set_or_empty("metadata", &mut event.metadata, stored_metadata);
    // A follow-on has its original's, unless it says otherwise.
    if fields.has("amount_minor") && !fields.has("currency") && !event.r#type.is_follow_on() {
        fields.fault("currency", "required", "is required with amount_minor");
    }
    if event.r#type.is_follow_on() && !fields.has("original_event_id") && !fields.has("order_id") {
        let detail = "a follow-on must name what it reverses: give original_event_id or order_id";
        fields.fault("original_event_id", "required", detail);
    }
    fields.finish()?;
    if event.metadata.is_null() {
        event.metadata = Value::Object(Map::new());
    }
    Ok(event)
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

//! Reading of one event.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::{
    Millis,
    id::{SourceId, WorkspaceId},
};

use crate::{
    context::Context,
    error::Error,
    input::{Fields, Parsed, currency, fault, integer, json::holds_nul, line, metadata, small, time, word},
};
use model::time::Timestamp;
use store::events::Conversion;

/// How far ahead of our clock an event may say it happened, in milliseconds.
const MAX_AHEAD_MILLIS: i64 = 5 * Millis::MINUTE;
/// How long ago, in milliseconds: two years.
const MAX_AGE_MILLIS: i64 = 730 * Millis::DAY;

/// An event that reads well, with its click token.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) row: Conversion,
    pub(super) token: Option<String>,
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

/// Metadata that the store can hold.
fn stored_metadata(value: &Value) -> Parsed<Value> {
    if holds_nul(value) { fault("characters", "must not hold the character U+0000") } else { metadata(8 << 10)(value) }
}

/// Reads one event.
pub(super) fn read(context: &Context, workspace: WorkspaceId, source: SourceId, value: &Value) -> Result<Event, Error> {
    let now = context.clock.now();
    let mut row =
        Conversion::received(workspace, source, context.clock.id(), canonical_hash(value), Timestamp::from_millis(now));
    let mut fields = Fields::of(value)?;
    fields.require(&["event_id", "type"]);
    fields.set("event_id", &mut row.event_id, line(255));
    fields.set("type", &mut row.r#type, word);
    fields.set_option("event_name", &mut row.event_name, line(100));
    // Any text is taken as a token: one that isn't ours makes the event unattributed, not refused.
    let token = fields.get("nim_ct", |value| {
        value.as_str().map_or_else(|| fault("type", "must be a string"), |text| Ok(text.to_owned()))
    });
    fields.set_option("customer_id", &mut row.customer_id, line(255));
    fields.set_option("order_id", &mut row.order_id, line(255));
    fields.set_option("original_event_id", &mut row.original_event_id, line(255));
    fields.set_option("amount_minor", &mut row.amount_minor, integer(0..=i64::MAX));
    fields.set_option("currency", &mut row.currency, currency);
    fields.set_option("quantity", &mut row.quantity, small(1..=1_000_000));
    // To the millisecond, as it is shown: what is compared with it is read by those who see no more.
    row.occurred_at = fields.get("occurred_at", time).map_or(row.occurred_at, |at| Timestamp::from_millis(at.millis()));
    let extra = fields.get("metadata", stored_metadata);
    row.metadata = extra.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    // A follow-on has its original's, unless it says otherwise.
    if fields.has("amount_minor") && !fields.has("currency") && !row.r#type.is_follow_on() {
        fields.fault("currency", "required", "is required with amount_minor");
    }
    if row.r#type.is_follow_on() && !fields.has("original_event_id") && !fields.has("order_id") {
        let detail = "a follow-on must name what it reverses: give original_event_id or order_id";
        fields.fault("original_event_id", "required", detail);
    }
    fields.finish()?;
    let ahead = row.occurred_at.millis().since(now);
    let rule = |code, detail: &str| Error::Rule { code, pointer: "/occurred_at", detail: detail.into() };
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

//! JSON texts.

use serde_json::Value;

use crate::Error;

/// Reads JSON text; what Postgres can't store (a NUL in a text) is refused with it.
///
/// # Errors
/// 400 `invalid_json`.
pub fn parse(raw: &[u8]) -> Result<Value, Error> {
    let value = parse_any(raw)?;
    if holds_nul(&value) {
        return Err(Error::InvalidJson("texts must not hold the character U+0000".to_owned()));
    }
    Ok(value)
}

/// Reads JSON text whose faults are for its reader to name, item by item.
///
/// # Errors
/// 400 `invalid_json`.
pub fn parse_any(raw: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(raw).map_err(|error| Error::InvalidJson(error.to_string()))
}

/// Whether a text or name in it holds U+0000, which Postgres can't store.
#[must_use]
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

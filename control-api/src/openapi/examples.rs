//! Examples. Bodies are written by hand, by the name of their schema; what has none of its own is composed of the
//! examples of its fields. Answers are what the service answers to a story told with these bodies, by operation:
//! tests/it/examples.rs makes them.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{component, resolve};

static BODIES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("bodies.json")).unwrap_or_default());
static ANSWERS: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("answers.json")).unwrap_or_default());

/// Adds an example to the body and to the JSON answer of an operation.
pub(super) fn add(path: &str, method: &str, operation: &mut Value, schemas: &Value) {
    let contents = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut);
    for (_, content) in contents.into_iter().flatten() {
        if content.get("example").is_none() && content.get("examples").is_none() {
            content["example"] = compose(&content["schema"], schemas, 0);
        }
    }
    let Some(answer) = ANSWERS.get(&format!("{method} {path}")) else { return };
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for (_, response) in responses.into_iter().flatten().filter(|(status, _)| status.starts_with('2')) {
        if let Some(content) = response.pointer_mut("/content/application~1json") {
            content["example"] = answer.clone();
        }
    }
}

/// An example made of the schema's own parts: required fields, and those that bring an example.
fn compose(schema: &Value, schemas: &Value, depth: u32) -> Value {
    if let Some(written) = component(schema).and_then(|name| BODIES.get(name)) {
        return written.clone();
    }
    let schema = resolve(schema, schemas);
    if !schema["example"].is_null() {
        return schema["example"].clone();
    }
    for choices in ["oneOf", "anyOf"] {
        if let Some(first) = schema[choices].as_array().and_then(|all| all.first()) {
            return compose(first, schemas, depth + 1);
        }
    }
    if let Some(word) = schema["enum"].as_array().and_then(|words| words.first()) {
        return word.clone();
    }
    let kind = schema["type"].as_array().and_then(|kinds| kinds.first()).unwrap_or(&schema["type"]);
    match kind.as_str() {
        Some("object") if depth < 5 => {
            let required =
                |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
            let fields = schema["properties"].as_object().into_iter().flatten();
            let shown = fields.filter(|(name, field)| required(name) || !field["example"].is_null());
            Value::Object(shown.map(|(name, field)| (name.clone(), compose(field, schemas, depth + 1))).collect())
        }
        Some("array") if depth < 5 => json!([compose(&schema["items"], schemas, depth + 1)]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 1.into()),
        Some("boolean") => true.into(),
        Some("string") => match schema["format"].as_str() {
            Some("uri") => "https://shop.example.com/".into(),
            Some("date-time") => "2026-03-01T09:30:00.000Z".into(),
            Some("email") => "ada@example.com".into(),
            _ => "text".into(),
        },
        _ => json!({}),
    }
}

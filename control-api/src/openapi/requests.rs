//! How requests are read: strictly, field by field, and a change as a JSON merge patch.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{component, reached, vocabulary};

/// Describes the parameters, headers and body of an operation.
pub(super) fn complete(path: &str, method: &str, operation: &mut Value, schemas: &mut Value) {
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        for parameter in parameters {
            vocabulary::parameter(path, parameter);
        }
    }
    let by_key = |one: &Value| !one["api_key"].is_null() || !one["operator_key"].is_null();
    let keyed = operation["security"].as_array().is_some_and(|all| all.iter().any(by_key));
    // A rehearsal has no effect that could be repeated.
    if method != "get" && keyed && !path.ends_with("/test") {
        header(
            operation,
            "Idempotency-Key",
            "Repeats the first answer, kept 24 h, in place of doing it again",
            &json!({"type": "string", "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}),
            "order-4711",
        );
    }
    if method == "patch" || !operation["responses"]["412"].is_null() {
        header(
            operation,
            "If-Match",
            "The `version` that is changed, as the `ETag` gives it",
            &json!({"type": "string", "maxLength": 30, "pattern": "^(\"[1-9][0-9]{0,17}\"|\\*)$"}),
            "*",
        );
    }
    leave_out(operation);
    if method == "patch" {
        patch(operation, schemas);
    }
}

/// A body that may be left out: utoipa also lets it be `null`, which is no object.
fn leave_out(operation: &mut Value) {
    let contents = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut);
    for (_, content) in contents.into_iter().flatten() {
        let either = content["schema"]["oneOf"].as_array();
        let body = either.filter(|all| all.iter().any(|one| one["type"] == "null"));
        if let Some(body) = body.and_then(|all| all.iter().find(|one| one["type"] != "null")).cloned() {
            content["schema"] = body;
        }
    }
}

fn header(operation: &mut Value, name: &str, about: &str, schema: &Value, example: &str) {
    let parameter = json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema, "example": example});
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}

/// A change takes what a create takes, each field optional, and without what can't be changed.
fn patch(operation: &mut Value, schemas: &mut Value) {
    let Some(content) = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut) else { return };
    let Some(mut body) = content.get("application/json").cloned() else { return };
    if let Some(name) = component(&body["schema"]).and_then(|name| name.strip_prefix("New")) {
        let changed = format!("{name}Change");
        let mut schema = schemas[format!("New{name}")].clone();
        for fixed in IMMUTABLE.iter().filter(|(of, _)| *of == name).map(|(_, field)| *field) {
            if let Some(properties) = schema["properties"].as_object_mut() {
                properties.remove(fixed);
            }
        }
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("required");
        }
        schema["description"] = MERGED.into();
        // The one object of a fixed form that is required to be whole when it is new.
        if let Some(terms) = schema.pointer_mut("/properties/reward_terms") {
            let mut changed = schemas["NewRewardTerms"].clone();
            if let Some(changed) = changed.as_object_mut() {
                changed.remove("required");
            }
            changed["description"] = MERGED.into();
            schemas["RewardTermsChange"] = changed;
            *terms = json!({"oneOf": [{"$ref": "#/components/schemas/RewardTermsChange"}, {"type": "null"}]});
        }
        schemas[&changed] = schema;
        body["schema"] = json!({"$ref": format!("#/components/schemas/{changed}")});
    }
    content.insert("application/json".to_owned(), body.clone());
    content.insert("application/merge-patch+json".to_owned(), body);
}

const MERGED: &str = "A JSON merge patch: what is absent stays, `null` clears.";

/// What is given once and for all.
const IMMUTABLE: [(&str, &str); 4] =
    [("Program", "key"), ("Partner", "key"), ("Domain", "hostname"), ("Source", "kind")];

/// Closes the bodies: an unknown field is a fault. Also says which fields can't be `null`.
pub(super) fn close(paths: &Value, schemas: &mut Value) {
    for name in bodies(paths, schemas) {
        let (schema, owner) = (&mut schemas[&name], name.as_str());
        if schema["type"] != "object" {
            continue;
        }
        schema["additionalProperties"] = false.into();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        for (field, property) in properties {
            vocabulary::field(owner, field, property);
        }
    }
}

/// The components that request bodies are made of.
pub(super) fn bodies(paths: &Value, schemas: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in paths.as_object().into_iter().flatten().flat_map(|(_, item)| item.as_object()) {
        for operation in item.values() {
            reached(&operation["requestBody"], schemas, &mut found);
        }
    }
    found
}

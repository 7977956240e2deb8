//! How a request may end: the refusals that all requests of a kind share, the headers, and where to go from there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{reached, requests, resolve};

/// Fields that an answer leaves out where they say nothing, by the beginning of their schema's name. All others are always there, if only as `null`.
const LEFT_OUT: [(&str, &str); 15] = [
    ("Problem", "errors"),
    ("Problem", "event_id"),
    ("BulkResult", "code"),
    ("BulkResult", "errors"),
    ("BulkResult", "id"),
    ("BulkResult", "link"),
    ("BulkResult", "partner"),
    ("ImportedObject", "key"),
    ("ImportedObject", "short_url"),
    ("FieldFault", "line"),
    ("FieldFault", "column"),
    ("EventResult", "code"),
    ("EventResult", "detail"),
    ("EventResult", "errors"),
    ("Utm", "*"),
];

/// Says of the schemas of answers which fields are always there.
pub(super) fn complete_schemas(paths: &Value, schemas: &mut Value) {
    let mut answered = BTreeSet::new();
    for item in paths.as_object().into_iter().flatten().flat_map(|(_, item)| item.as_object()) {
        for operation in item.values() {
            reached(&operation["responses"], schemas, &mut answered);
        }
    }
    answered.insert("Problem".to_owned());
    for name in answered.difference(&requests::bodies(paths, schemas)) {
        always(name, &mut schemas[name]);
    }
}

fn always(name: &str, schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object() {
        let left_out =
            |field: &str| LEFT_OUT.iter().any(|(of, left)| name.starts_with(of) && (*left == field || *left == "*"));
        schema["required"] = properties.keys().filter(|field| !left_out(field)).map(String::as_str).collect();
    }
    for choice in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        always(name, choice);
    }
    let inner = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, property) in inner.into_iter().flatten() {
        always(name, property);
        if property["items"].is_object() {
            always(name, &mut property["items"]);
        }
    }
}

/// Adds to an operation what holds for all of its kind. What a route says itself stands.
pub(super) fn complete(path: &str, method: &str, operation: &mut Value, schemas: &Value) {
    let security =
        |scheme: &str| operation["security"].as_array().is_some_and(|all| all.iter().any(|one| !one[scheme].is_null()));
    let (key, operator) = (security("api_key"), security("operator_key"));
    let body = operation["requestBody"].is_object();
    let given = |place: &str| {
        operation["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["in"] == place)
    };
    let parameters = operation["parameters"].as_array();
    let repeatable = parameters.into_iter().flatten().any(|parameter| parameter["name"] == "Idempotency-Key");
    let may_end = [
        (body, "400", "`invalid_json`"),
        (key || operator, "401", "`unauthorized`"),
        (key, "403", "`role_forbidden`, `plan_required` or `access_disabled`"),
        (path.contains('{'), "404", "`not_found`"),
        (method == "patch", "412", "`version_mismatch`: read it again and repeat the change"),
        (body, "408", "`request_timeout`: the body took over 30 s to arrive"),
        (body, "413", "`payload_too_large`: over 1 MiB"),
        (body, "415", "`unsupported_media_type`"),
        (body || given("query") || given("header"), "422", "`validation_failed`"),
        (path.starts_with("/v1/"), "429", "`rate_limited`; `Retry-After` tells when to try again"),
        (true, "503", "`unavailable`: try again after `Retry-After`"),
    ];
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (_, status, about) in may_end.into_iter().filter(|(applies, ..)| *applies) {
        responses.entry(status).or_insert_with(|| json!({"description": about}));
    }
    if repeatable && let Some(about) = responses.get("422").and_then(|refused| refused["description"].as_str()) {
        responses["422"]["description"] = format!("{about}, `idempotency_key_reused`").into();
    }
    for (status, response) in responses {
        if status.starts_with(['4', '5']) && response["content"].is_null() {
            let example = problem(status, response["description"].as_str().unwrap_or_default());
            response["content"] = json!({"application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example,
            }});
        }
        headers(method, status, response, schemas);
    }
}

/// The problem document of the first code that a description names.
fn problem(status: &str, about: &str) -> Value {
    let code = about.split('`').nth(1).unwrap_or("internal");
    let number: u16 = status.parse().unwrap_or_default();
    let title = code.replace('_', " ");
    let title = title.get(..1).unwrap_or_default().to_uppercase() + title.get(1..).unwrap_or_default();
    let mut problem = json!({
        "type": format!("urn:nimriz:problem:{code}"), "title": title, "status": number, "code": code,
        "detail": "What is wrong with this request, and what to do.", "request_id": "req_5f3a1c2b9d8e7f6a4b3c2d1e",
    });
    if code == "validation_failed" {
        problem["detail"] = "one field of the request is wrong".into();
        problem["errors"] = json!([{"pointer": "/name", "code": "required", "detail": "is required"}]);
    }
    problem
}

fn headers(method: &str, status: &str, response: &mut Value, schemas: &Value) {
    let mut add = |name: &str, required: bool, about: &str, schema: Value| {
        let header = json!({"description": about, "required": required, "schema": schema});
        match response["headers"].as_object_mut() {
            Some(headers) => drop(headers.entry(name).or_insert(header)),
            None => response["headers"] = json!({name: header}),
        }
    };
    add("X-Request-Id", true, "Finds the request in the logs; yours, if you sent one", json!({"type": "string"}));
    match status {
        "401" => add("WWW-Authenticate", true, "How to authenticate", json!({"type": "string"})),
        "429" => {
            add("Retry-After", true, "Seconds to wait", json!({"type": "integer", "minimum": 1}));
            add("RateLimit", false, "What is left of the quota, and when it is full again", json!({"type": "string"}));
            add("RateLimit-Policy", false, "The quota and its window", json!({"type": "string"}));
        }
        "503" => add("Retry-After", true, "Seconds to wait", json!({"type": "integer", "minimum": 1})),
        "200" | "201" | "202" => {
            if method != "get" {
                let replayed = json!({"type": "string", "const": "true"});
                add("Idempotent-Replayed", false, "Sent where this repeats an earlier answer", replayed);
            }
            let schema = resolve(&response["content"]["application/json"]["schema"], schemas);
            if schema["properties"]["version"]["type"] == "integer" {
                let header = json!({"type": "string", "pattern": "^\"[0-9]+\"$", "examples": ["\"3\""]});
                let header =
                    json!({"description": "The `version`, for `If-Match`", "required": true, "schema": header});
                response["headers"]["ETag"] = header;
            }
        }
        _ => {}
    }
}

/// Links what a create answers to the operations on what was created.
pub(super) fn link(paths: &mut Value) {
    let targets: Vec<(String, String, String)> = super::operations(paths)
        .filter_map(|(path, _, operation)| {
            let (collection, rest) = path.split_once("/{")?;
            let (parameter, _) = rest.split_once('}')?;
            let id = operation["operationId"].as_str()?;
            Some((collection.to_owned(), parameter.to_owned(), id.to_owned()))
        })
        .collect();
    for (path, method, operation) in super::operations(paths) {
        for status in ["201", "202"] {
            if method != "post" || operation["responses"][status].is_null() || path.contains('{') {
                continue;
            }
            let links = targets.iter().filter(|(collection, ..)| collection == path).map(|(_, parameter, id)| {
                (id.clone(), json!({"operationId": id, "parameters": {parameter: "$response.body#/id"}}))
            });
            let links: serde_json::Map<String, Value> = links.collect();
            if !links.is_empty() {
                operation["responses"][status]["links"] = links.into();
            }
        }
    }
}

//! The OpenAPI document, made of the routes themselves.
//!
//! A route names what is its own: its body, its answers, and the refusals that only it knows. What holds wherever
//! it occurs stands here once, and is added to every operation: what a name such as `currency` or `partner` stands
//! for ([`vocabulary`]), how bodies are read ([`requests`]), how a request may end ([`answers`]). So a new route is
//! described in full by naming its fields as the others do. Never here: what a single route does.

mod answers;
mod examples;
mod requests;
mod vocabulary;

use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use web::problem::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nimriz Partners",
        description = "Link-native partner attribution: setup, signed conversion events, reports and exports. \
                       Times are RFC 3339 in UTC with milliseconds; money is an integer in minor units with an \
                       ISO 4217 code; errors are RFC 9457 problem documents with a stable `code`."
    ),
    components(schemas(Problem))
)]
struct Base;

/// A router that begins the document.
pub fn base() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Base::openapi())
}

/// What the tags hold together, in the order in which a reader meets them.
const TAGS: [(&str, &str); 15] = [
    ("workspaces", "The operator makes workspaces; their admins read and change their own."),
    ("api keys", "Keys of a workspace, shown once."),
    ("domains", "Hostnames of short links."),
    ("programs", "What partners take part in, with defaults for links and reward terms."),
    ("partners", "Affiliates, creators, agencies: who brings visitors."),
    ("links", "Short links and their QR codes."),
    ("assignments", "Which partner a link belongs to, now and before."),
    ("sources", "Servers that send signed events, and their secrets."),
    ("events", "The door of the customers' servers: signed conversion events."),
    ("conversions", "Accepted events, and what became of them."),
    ("reports", "Clicks and conversions, summed."),
    ("exports", "Files for finance."),
    ("audit", "Every change of the setup."),
    ("admin", "How the service as a whole is doing, for its operator."),
    ("system", "Health."),
];

/// Completes what the routes say of themselves.
#[must_use]
pub fn complete(declared: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(declared).unwrap_or_default();
    document["servers"] = json!([{"url": "/", "description": "The service that answers this document"}]);
    document["tags"] = TAGS.iter().map(|(name, about)| json!({"name": name, "description": about})).collect();
    document["components"]["securitySchemes"] = security_schemes();

    let mut paths = document["paths"].take();
    let mut schemas = document["components"]["schemas"].take();
    flatten(&mut schemas);
    for (path, method, operation) in operations(&mut paths) {
        name(operation);
        requests::complete(path, method, operation, &mut schemas);
    }
    requests::close(&paths, &mut schemas);
    answers::complete_schemas(&paths, &mut schemas);
    vocabulary::describe(&mut schemas);
    for (path, method, operation) in operations(&mut paths) {
        answers::complete(path, method, operation, &schemas);
        examples::add(path, method, operation, &schemas);
    }
    answers::link(&mut paths);
    document["paths"] = paths;
    document["components"]["schemas"] = schemas;
    document
}

fn security_schemes() -> Value {
    json!({
        "api_key": {"type": "http", "scheme": "bearer", "description": "A workspace's API key, `nim_…`"},
        "operator_key": {"type": "http", "scheme": "bearer", "description": "The operator's key"},
        "signature": {
            "type": "apiKey", "in": "header", "name": "webhook-signature",
            "description": "[Standard Webhooks](https://www.standardwebhooks.com): one or more of `v1,<base64>`, \
                separated by spaces, each the HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{raw body}`. The key \
                is what the base64 behind `whsec_` of the source's secret stands for.",
        },
    })
}

/// Every operation with its path and method.
fn operations(paths: &mut Value) -> impl Iterator<Item = (&str, &str, &mut Value)> {
    paths.as_object_mut().into_iter().flatten().flat_map(|(path, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Names the operation by its tag and its handler, since handlers are called alike in every resource.
fn name(operation: &mut Value) {
    let tag = operation["tags"][0].as_str().unwrap_or_default().replace(' ', "_");
    let handler = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = format!("{tag}_{handler}").into();
}

/// Makes one object of each schema that is composed of several: easier to read, and it can be closed.
fn flatten(schemas: &mut Value) {
    let composed: Vec<String> = schemas.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    for name in composed {
        let flat = flat(&schemas[&name], schemas);
        schemas[&name] = flat;
    }
}

fn flat(schema: &Value, schemas: &Value) -> Value {
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let parts: Vec<Value> = parts.iter().map(|part| flat(resolve(part, schemas), schemas)).collect();
    // What is one of several and something beside that: one of several, each with what is beside it.
    if let Some(place) = parts.iter().position(|part| part["oneOf"].is_array()) {
        let each = parts[place]["oneOf"].as_array().into_iter().flatten().map(|one| {
            let mut whole = parts.clone();
            whole[place] = one.clone();
            flat(&json!({"allOf": whole, "description": one["description"]}), schemas)
        });
        let each: Vec<Value> = each.collect();
        return json!({"oneOf": each, "description": schema["description"]});
    }
    let (mut properties, mut required) = (Map::new(), vec![]);
    for part in parts {
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
    }
    let mut whole = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        whole["required"] = required.into();
    }
    if !schema["description"].is_null() {
        whole["description"] = schema["description"].clone();
    }
    whole
}

/// What a schema stands for: itself, or the component that it names.
fn resolve<'a>(schema: &'a Value, schemas: &'a Value) -> &'a Value {
    component(schema).map_or(schema, |name| &schemas[name])
}

/// The component that a schema names.
fn component(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

/// The names of all components that a part of the document leads to.
fn reached(from: &Value, schemas: &Value, found: &mut std::collections::BTreeSet<String>) {
    if let Some(name) = component(from)
        && found.insert(name.to_owned())
    {
        reached(&schemas[name], schemas, found);
    }
    match from {
        Value::Array(items) => items.iter().for_each(|item| reached(item, schemas, found)),
        Value::Object(fields) => fields.values().for_each(|field| reached(field, schemas, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

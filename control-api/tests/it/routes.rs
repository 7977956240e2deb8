//! Every route of the OpenAPI document, for the tests that walk them all.

use axum::http::Method;
use serde_json::Value;

/// A route as the document describes it.
pub struct Route {
    pub method: Method,
    /// With its parameters in braces.
    pub path: String,
    /// Names of query parameters.
    pub query: Vec<String>,
    /// Names of the fields of its JSON body; `None` where it takes none.
    pub body: Option<Vec<String>>,
}

impl Route {
    /// As the lists of these tests and of the documents name it.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        self.method != Method::GET
    }

    /// The collection that its path picks from, if it picks.
    pub fn collection(&self) -> Option<&str> {
        self.path.split_once("/{")?.0.rsplit('/').next()
    }

    /// Its path, each parameter filled in by the collection that it picks from: `partners`, `links`, …
    pub fn fill(&self, id: impl Fn(&str) -> String) -> String {
        let mut collection = "";
        let filled = self.path.split('/').map(|part| {
            if part.starts_with('{') {
                return id(collection);
            }
            collection = part;
            part.to_owned()
        });
        filled.collect::<Vec<_>>().join("/")
    }
}

/// All of them.
pub fn all() -> Vec<Route> {
    let document = serde_json::to_value(control_api::router::document()).unwrap();
    let mut routes = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
            assert!(known.contains(&method), "{method} {path}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let query = query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            let body = operation.get("requestBody").map(|body| {
                let mut names = vec![];
                for content in body["content"].as_object().unwrap().values() {
                    fields(&document, &content["schema"], &mut names);
                }
                names
            });
            routes.push(Route { method, path: path.clone(), query, body });
        }
    }
    assert!(routes.len() > 40, "the document has lost its paths");
    routes
}

/// The names of all fields of a schema, also of those inside it.
fn fields(document: &Value, schema: &Value, names: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        let pointer = target.strip_prefix('#').unwrap();
        return fields(document, document.pointer(pointer).unwrap(), names);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        names.push(name.clone());
        fields(document, inner, names);
    }
    for inner in ["allOf", "oneOf", "anyOf"].iter().filter_map(|key| schema[key].as_array()).flatten() {
        fields(document, inner, names);
    }
    if schema["items"].is_object() {
        fields(document, &schema["items"], names);
    }
}

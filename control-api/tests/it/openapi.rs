//! The document is complete, and the committed copy is what the routes say. Whether the service keeps to it is for
//! `cargo xtask fuzz` to find out.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgPool;

use super::service::Service;

/// `cargo xtask openapi` writes it anew.
#[test]
fn the_committed_document_is_current() {
    let current = serde_json::to_string_pretty(&control_api::router::document()).expect("a document");
    let committed = include_str!("../../../openapi.json");
    assert!(current.trim() == committed.trim(), "openapi.json has drifted; run `cargo xtask openapi` and commit it");
}

/// What a reader needs to call an operation without asking anybody.
#[test]
fn every_operation_is_described_in_full() {
    let document = control_api::router::document();
    let tags: Vec<&Value> = list(&document["tags"]).iter().map(|tag| &tag["name"]).collect();
    let (mut gaps, mut ids) = (vec![], BTreeSet::new());
    for (path, item) in fields(&document["paths"]) {
        for (method, operation) in fields(item) {
            let mut check = |good: bool, what: &str| {
                if !good {
                    gaps.push(format!("{method} {path}: {what}"));
                }
            };
            check(has_text(&operation["summary"]), "no summary (the first line of the handler's doc comment)");
            check(list(&operation["tags"]).iter().all(|tag| tags.contains(&tag)), "a tag that `openapi::TAGS` lacks");
            check(!list(&operation["tags"]).is_empty(), "no tag");
            check(ids.insert(operation["operationId"].as_str()), "an operationId that another has as well");
            for parameter in list(&operation["parameters"]) {
                check(has_text(&parameter["description"]) || parameter["in"] == "path", "a parameter without words");
                check(parameter["schema"].is_object(), "a parameter without a schema");
            }
            let good = fields(&operation["responses"]).filter(|(status, _)| status.starts_with('2'));
            let good: Vec<_> = good.map(|(status, answer)| (status.as_str(), &answer["content"])).collect();
            check(!good.is_empty(), "no answer for success");
            for (status, content) in good {
                let described = fields(content).any(|(_, body)| body["schema"].is_object());
                check(described || status == "204", "an answer without a schema");
            }
            for (status, answer) in fields(&operation["responses"]).filter(|(status, _)| status.starts_with(['4', '5']))
            {
                let problem = &answer["content"]["application/problem+json"];
                let named = problem["schema"]["$ref"] == "#/components/schemas/Problem";
                check(named && problem["example"].is_object(), &format!("{status} is no problem document"));
            }
            for (status, answer) in fields(&operation["responses"]).filter(|(status, _)| status.starts_with('2')) {
                let content = &answer["content"]["application/json"];
                check(content.is_null() || !content["example"].is_null(), &format!("no example of its {status}"));
            }
            for (kind, body) in fields(&operation["requestBody"]["content"]) {
                let shown = body["example"].is_null() && body["examples"].is_null();
                check(!shown, &format!("no example of its {kind} body"));
            }
        }
    }
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}

/// What a reader copies is right, and what a client's types are made of fits what they will read.
#[test]
fn every_example_fits_its_schema() {
    let document = control_api::router::document();
    let (mut seen, mut faults) = (0, vec![]);
    for (path, item) in fields(&document["paths"]) {
        for (method, operation) in fields(item) {
            let bodies = [&operation["requestBody"]["content"]].into_iter();
            let answers = fields(&operation["responses"]).map(|(_, answer)| &answer["content"]);
            for (kind, content) in bodies.chain(answers).flat_map(fields) {
                if content["example"].is_null() || !kind.contains("json") {
                    continue;
                }
                seen += 1;
                let mut schema = content["schema"].clone();
                schema["components"] = document["components"].clone();
                let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
                for fault in validator.iter_errors(&content["example"]) {
                    faults.push(format!("{method} {path} {kind} at {}: {fault}", fault.instance_path()));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} examples");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Unknown fields are faults, so the schemas of bodies must say so.
#[test]
fn bodies_are_closed_and_nothing_points_nowhere() {
    let document = control_api::router::document();
    let schemas = &document["components"]["schemas"];
    let (mut bodies, mut all) = (BTreeSet::new(), BTreeSet::new());
    for (_, item) in fields(&document["paths"]) {
        for (_, operation) in fields(item) {
            reach(&operation["requestBody"], schemas, &mut bodies);
        }
    }
    reach(&document, schemas, &mut all);
    let missing: Vec<_> = all.iter().filter(|name| schemas[name.as_str()].is_null()).collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
    let is_open = |name: &&String| {
        let schema = &schemas[name.as_str()];
        schema["type"] == "object" && schema["additionalProperties"] != false
    };
    let open: Vec<_> = bodies.iter().filter(is_open).collect();
    assert!(open.is_empty(), "not closed: {open:?}");
}

/// Every code that the document names has its remedy in docs/reference/errors.md.
#[test]
fn every_code_has_a_remedy() {
    let rules = include_str!("../../../docs/reference/errors.md");
    let document = control_api::router::document();
    let mut codes = BTreeSet::new();
    for (_, item) in fields(&document["paths"]) {
        for (_, operation) in fields(item) {
            for (_, answer) in fields(&operation["responses"]) {
                codes.extend(
                    answer["content"]["application/problem+json"]["example"]["code"].as_str().map(str::to_owned),
                );
            }
        }
    }
    assert!(codes.len() > 10, "{codes:?}");
    let told = |code: &String| rules.lines().any(|line| line.starts_with("| ") && line.contains(&format!("`{code}`")));
    let untold: Vec<_> = codes.iter().filter(|code| !told(code)).collect();
    assert!(untold.is_empty(), "no line in the table of docs/reference/errors.md for {untold:?}");
}

/// And every code of that table is one that the document names, where it can be told by an operation.
#[test]
fn every_code_of_the_table_is_documented() {
    /// Of no operation in particular: a fault of ours, and a method that a path doesn't take.
    const OF_NONE: [&str; 2] = ["internal", "method_not_allowed"];
    let rules = include_str!("../../../docs/reference/errors.md");
    let rows = rules.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let codes = rows.filter_map(|row| row.split('|').nth(2)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let document = control_api::router::document()["paths"].to_string();
    let (mut seen, mut unnamed) = (0, vec![]);
    for code in codes.filter(|code| !OF_NONE.contains(code)) {
        seen += 1;
        if !document.contains(code) {
            unnamed.push(code);
        }
    }
    assert!(seen > 20, "only {seen} codes are in the table");
    assert!(unnamed.is_empty(), "the document names nowhere: {unnamed:?}");
}

/// Every word that the document lets a parameter of a list or report have is one that the service takes.
#[sqlx::test(migrations = "../migrations")]
async fn every_documented_word_is_taken(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let document = control_api::router::document();
    let (mut asked, mut refused) = (0, vec![]);
    for (path, item) in fields(&document["paths"]).filter(|(path, _)| !path.contains('{')) {
        let operation = &item["get"];
        if list(&operation["security"]).iter().all(|one| one["api_key"].is_null()) {
            continue;
        }
        let range = if path.contains("/reports/") { "from=2026-01-01&to=2026-02-01&" } else { "" };
        let group = if path.contains("/reports/") { "group_by=month&" } else { "" };
        for parameter in list(&operation["parameters"]).iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap_or_default();
            for word in list(&parameter["schema"]["enum"]) {
                let word = word.as_str().unwrap_or_default();
                let group = if name == "group_by" { "" } else { group };
                let answer = team.get(&format!("{path}?{range}{group}{name}={word}")).await;
                asked += 1;
                if answer.status != 200 {
                    refused.push(format!("{path} {name}={word}: {}", answer.status));
                }
            }
        }
    }
    assert!(asked > 60, "only {asked} words are documented");
    assert!(refused.is_empty(), "{refused:#?}");
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Gathers the components that a part of the document leads to.
fn reach(from: &Value, schemas: &Value, found: &mut BTreeSet<String>) {
    if let Some(name) = from["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/"))
        && found.insert(name.to_owned())
    {
        reach(&schemas[name], schemas, found);
    }
    match from {
        Value::Array(items) => items.iter().for_each(|item| reach(item, schemas, found)),
        Value::Object(fields) => fields.values().for_each(|field| reach(field, schemas, found)),
        _ => {}
    }
}

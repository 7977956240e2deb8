//! The trail: every change is in it, can be found by each filter, and tells no secret.

use axum::{
    body::Body,
    http::{Request, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sqlx::PgPool;

use super::{
    everything::{Everything, dump},
    routes,
    service::{OPERATOR, Service, text},
};

/// Every route that changes something, with a body, in an order in which each succeeds; the action that the trail then
/// shows; and whether there was something before.
const CHANGES: &[(&str, &str, Option<&str>, bool)] = &[
    ("POST /v1/workspaces", r#"{"name": "X", "slug": "x", "plan": "starter"}"#, Some("workspace.create"), false),
    ("PATCH /v1/workspaces/{id}", r#"{"plan": "enterprise"}"#, Some("workspace.update"), true),
    ("PATCH /v1/workspace", r#"{"name": "X"}"#, Some("workspace.update"), true),
    ("POST /v1/api-keys", r#"{"name": "X", "role": "viewer"}"#, Some("api_key.create"), false),
    ("DELETE /v1/api-keys/{id}", "", Some("api_key.revoke"), true),
    ("POST /v1/programs", r#"{"name": "X"}"#, Some("program.create"), false),
    ("PATCH /v1/programs/{program}", r#"{"name": "X"}"#, Some("program.update"), true),
    ("POST /v1/domains", r#"{"hostname": "x.example.com"}"#, Some("domain.create"), false),
    ("PATCH /v1/domains/{domain}", r#"{"not_found_url": "https://example.com"}"#, Some("domain.update"), true),
    (
        "POST /v1/links",
        r#"{"domain": "x.example.com", "slug": "x", "destination": "https://example.com"}"#,
        Some("link.create"),
        false,
    ),
    ("PATCH /v1/links/{id}", r#"{"title": "X"}"#, Some("link.update"), true),
    ("DELETE /v1/links/{id}/assignment", "", Some("assignment.end"), true),
    ("PUT /v1/links/{id}/assignment", r#"{"partner": "key:kyoto-partner"}"#, Some("assignment.create"), false),
    ("POST /v1/partners", r#"{"display_name": "X"}"#, Some("partner.create"), false),
    ("PATCH /v1/partners/{partner}", r#"{"contact_name": "X"}"#, Some("partner.update"), true),
    ("POST /v1/partners/{partner}/notes", r#"{"text": "X"}"#, Some("note.create"), false),
    ("POST /v1/partners/{partner}/erase", "", Some("partner.erase"), true),
    ("POST /v1/sources", r#"{"name": "X"}"#, Some("source.create"), false),
    ("POST /v1/sources/{id}/rotate", "", Some("source.rotate"), true),
    ("PATCH /v1/sources/{id}", r#"{"status": "disabled"}"#, Some("source.update"), true),
    (
        "POST /v1/exports",
        r#"{"kind": "traffic", "from": "2026-01-01", "to": "2026-02-01"}"#,
        Some("export.create"),
        false,
    ),
    ("DELETE /v1/exports/{id}", "", Some("export.cancel"), true),
    // One row in the trail for each object that they make, see `bulk`.
    ("POST /v1/partners/bulk", "{}", None, false),
    ("POST /v1/partners/import", "", None, false),
    ("POST /v1/links/bulk", "{}", None, false),
    ("POST /v1/links/import", "", None, false),
    // Changes nothing.
    ("POST /v1/sources/{id}/test", "{}", None, false),
    // Facts, not setup: each is its own row for ever.
    ("POST /v1/sources/{source_id}/events", "{}", None, false),
];

#[test]
fn every_route_that_changes_something_is_walked() {
    let mut listed: Vec<String> = CHANGES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let mut served: Vec<String> =
        routes::all().iter().filter(|route| route.changes()).map(routes::Route::name).collect();
    listed.sort();
    served.sort();
    assert_eq!(listed, served, "left: CHANGES; right: the document");
}

#[sqlx::test(migrations = "../migrations")]
async fn every_change_is_in_the_trail_and_tells_no_secret(pool: PgPool) {
    let service = Service::start(&pool).await;
    let everything = Everything::make(&service, "kyoto").await;
    let team = &everything.team;
    let mine = team.get("/v1/api-keys").await.expect(200)["data"].as_array().unwrap().last().unwrap()["id"].clone();
    let mut shown = vec![team.key.clone(), format!("whsec_{}", STANDARD.encode(everything.source.secret.bytes()))];

    for (name, body, action, had_before) in CHANGES {
        let route = routes::all().into_iter().find(|route| route.name() == *name).expect(name);
        let Some(action) = action else { continue };
        let by_operator = name.contains("/v1/workspaces");
        let key = if by_operator { OPERATOR } else { &team.key };
        let request = Request::builder()
            .method(route.method.clone())
            .uri(route.fill(|collection| everything.id(collection)))
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header("idempotency-key", *name)
            .header("x-request-id", action.replace('.', "-"));
        let answer = service.send(request.body(Body::from(*body)).unwrap()).await;
        assert!(answer.status.is_success(), "{name}: {}", answer.text);
        for pointer in ["/key", "/secret", "/api_key/key"] {
            // Programs and partners have a `key` too, which is none.
            let found = answer.json.pointer(pointer).and_then(Value::as_str);
            shown.extend(
                found.filter(|found| found.starts_with("nim_") || found.starts_with("whsec_")).map(str::to_owned),
            );
        }

        // Each filter alone finds it, and all together find only it.
        let actor = if by_operator { "operator" } else { mine.as_str().unwrap() };
        let reader = match answer.json["api_key"]["key"].as_str() {
            Some(key) => super::service::Team { key: key.to_owned(), ..team.clone() },
            None => team.clone(),
        };
        let newest = reader.get(&format!("/v1/audit?action={action}&actor={actor}&limit=1")).await.expect(200);
        let entry = &newest["data"][0];
        assert_eq!(entry["request_id"], action.replace('.', "-"), "{name}: {entry}");
        assert_eq!(entry["actor"], actor, "{entry}");
        assert_eq!(entry["object_type"], action.split('.').next().unwrap(), "{entry}");
        assert_eq!(entry["before"].is_object(), *had_before, "{name}: {entry}");
        assert!(entry["after"].is_object() && entry["after"] != entry["before"], "{name}: {entry}");
        assert_eq!(entry["after"]["id"], entry["object"], "{name}: {entry}");
        if *had_before {
            assert_eq!(entry["before"]["id"], entry["object"], "{name}: {entry}");
        }
        let (object, kind) = (text(entry, "/object"), text(entry, "/object_type"));
        for filter in [format!("object={object}"), format!("object_type={kind}"), format!("action={action}")] {
            let found = reader.get(&format!("/v1/audit?limit=100&{filter}")).await.expect(200);
            let (field, value) = filter.split_once('=').unwrap();
            let rows = found["data"].as_array().unwrap();
            assert!(rows.contains(entry), "{filter}: {found}");
            assert!(rows.iter().all(|row| row[field] == value), "{filter}: {found}");
        }
        let at = text(entry, "/at");
        let ids = async |range: &str| {
            let found = reader.get(&format!("/v1/audit?limit=100&action={action}&{range}={at}")).await.expect(200);
            found["data"].as_array().unwrap().contains(entry)
        };
        assert!(ids("from").await, "from is inclusive: {entry}");
        assert!(!ids("to").await, "to is exclusive: {entry}");
    }

    // No secret that was ever shown lies anywhere, neither as text nor as bytes.
    assert_eq!(shown.len(), 6, "a workspace, a key, a source, a rotation, and two from before");
    for secret in &shown {
        let bytes = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).unwrap(),
            None => secret.as_bytes().to_vec(),
        };
        for (table, row) in dump(&pool).await {
            let row = row.to_string();
            assert!(!row.contains(secret.as_str()), "{table}: {row}");
            assert!(!row.contains(&hex::encode(&bytes)), "{table}: {row}");
        }
    }
}

//! Two workspaces on one service: neither finds, changes or sees anything of the other.
//!
//! The walks go by the OpenAPI document, so a new route is walked without being named here. It is named here only if its
//! body must hold something before the service looks anything up ([`BODIES`]), or refers to something ([`REFERRING`]).

use std::collections::BTreeSet;

use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    everything::{Everything, dump},
    routes::{self, Route},
    service::{Answer, Service},
};

/// Bodies of routes that need more than `{}` to get as far as looking up their path.
const BODIES: &[(&str, &str)] = &[
    ("POST /v1/partners/{partner}/notes", r#"{"text": "x"}"#),
    ("PUT /v1/links/{id}/assignment", r#"{"partner": "key:kyoto-partner"}"#),
];

/// Routes that take no key of a workspace: what they answer to a stranger's path.
const OTHER_DOORS: &[(&str, u16, &str)] = &[
    ("PATCH /v1/workspaces/{id}", 401, "unauthorized"),
    ("POST /v1/sources/{source_id}/events", 401, "signature_missing"),
];

/// Bodies that name what isn't the caller's: each `<field>` becomes every name of the other workspace's object. A field
/// of [`REFERENCES`] in any body of the document must stand in one of them.
const REFERRING: &[(&str, &str)] = &[
    ("POST /v1/partners", r#"{"display_name": "x", "primary_program": "<primary_program>"}"#),
    ("POST /v1/partners/bulk", r#"{"partners": [{"display_name": "x", "primary_program": "<primary_program>"}]}"#),
    ("PATCH /v1/partners/{partner}", r#"{"primary_program": "<primary_program>"}"#),
    ("POST /v1/links", r#"{"domain": "<domain>", "destination": "https://example.com"}"#),
    (
        "POST /v1/links",
        r#"{"domain": "go.kyoto.example.com", "destination": "https://example.com", "partner": "<partner>"}"#,
    ),
    (
        "POST /v1/links",
        r#"{"domain": "go.kyoto.example.com", "destination": "https://example.com", "program": "<program>"}"#,
    ),
    ("POST /v1/links/bulk", r#"{"links": [{"domain": "<domain>", "destination": "https://example.com"}]}"#),
    (
        "POST /v1/links/bulk",
        r#"{"links": [{"domain": "go.kyoto.example.com", "destination": "https://example.com", "partner": "<partner>"}]}"#,
    ),
    (
        "POST /v1/links/bulk",
        r#"{"links": [{"domain": "go.kyoto.example.com", "destination": "https://example.com", "program": "<program>"}]}"#,
    ),
    ("PUT /v1/links/{id}/assignment", r#"{"partner": "<partner>"}"#),
    ("PUT /v1/links/{id}/assignment", r#"{"partner": "key:kyoto-partner", "program": "<program>"}"#),
    (
        "POST /v1/exports",
        r#"{"kind": "conversions", "from": "2025-01-01", "to": "2035-01-01", "partner": "<partner>"}"#,
    ),
    ("POST /v1/exports", r#"{"kind": "traffic", "from": "2025-01-01", "to": "2035-01-01", "program": "<program>"}"#),
];

/// Fields and parameters that name an object, and its collection.
const REFERENCES: &[(&str, &str)] = &[
    ("partner", "partners"),
    ("primary_program", "programs"),
    ("program", "programs"),
    ("domain", "domains"),
    ("link", "links"),
];

/// Parameters that name an object, while a field of that name in a body (`utm.source`) names none.
const QUERY_REFERENCES: &[(&str, &str)] = &[("source", "sources")];

/// Parameters that name an object of any kind: nothing is found by them, and that is no fault.
const SOUGHT: &[(&str, &str)] = &[("object", "partners"), ("actor", "api-keys"), ("cursor", "links")];

/// Parameters that name nothing.
const PLAIN: &[&str] = &[
    "limit",
    "status",
    "q",
    "tag",
    "relationship",
    "from",
    "to",
    "type",
    "attribution",
    "review_status",
    "group_by",
    "bots",
    "country",
    "tz",
    "as_of",
    "compare",
    "object_type",
    "action",
    "sort",
    "dry_run",
    "kind",
    "partial",
    "event_id",
    "order_id",
    "customer_id",
];

const RANGE: &str = "from=2025-01-01T00:00:00Z&to=2035-01-01T00:00:00Z";

fn collection(field: &str) -> Option<&'static str> {
    REFERENCES.iter().find(|(name, _)| *name == field).map(|(_, collection)| *collection)
}

/// The range that a report must be given.
fn range(route: &Route) -> &'static str {
    if route.query.iter().any(|name| name == "from") { RANGE } else { "" }
}

fn body(route: &Route) -> Option<Value> {
    let given = BODIES.iter().find(|(name, _)| *name == route.name()).map(|(_, body)| *body);
    route.body.as_ref().map(|_| serde_json::from_str(given.unwrap_or("{}")).unwrap())
}

/// Nothing of the other workspace was found: the whole request is 404, or each of its results says so.
#[track_caller]
fn assert_not_found(answer: &Answer, theirs: &Everything, what: &str) {
    match answer.json["results"].as_array() {
        Some(results) => {
            assert!(!results.is_empty(), "{what}: {}", answer.text);
            for result in results {
                assert!(result.to_string().contains(r#""code":"not_found""#), "{what}: {}", answer.text);
            }
        }
        None => assert_eq!(
            (answer.status.as_u16(), answer.json["code"].as_str()),
            (404, Some("not_found")),
            "{what}: {}; if the body isn't read so far, say in BODIES what it must hold",
            answer.text
        ),
    }
    assert!(!theirs.is_in(&answer.text), "{what}: {}", answer.text);
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_of_another_workspace_is_found_or_changed(pool: PgPool) {
    let service = Service::start(&pool).await;
    let ours = Everything::make(&service, "kyoto").await;
    let theirs = Everything::make(&service, "zanzibar").await;
    let rows_of = async |whose: &Everything| {
        let id = whose.team.id().uuid().to_string();
        let mut rows = dump(&pool).await;
        for (_, row) in &mut rows {
            // The one column that reading may change.
            row.as_object_mut().unwrap().remove("last_used_at");
        }
        rows.retain(|(_, row)| row["workspace_id"] == id.as_str() || row["id"] == id.as_str());
        rows
    };
    let before = (rows_of(&ours).await, rows_of(&theirs).await);
    assert!(before.1.len() > 20, "the walk needs something to find");

    for route in routes::all() {
        let (name, body) = (route.name(), body(&route));
        // By path.
        if let Some(collection) = route.collection() {
            for reference in theirs.names(collection) {
                let path = format!("{}?{}", route.fill(|_| reference.to_owned()), range(&route));
                let answer = ours.team.send(route.method.clone(), &path, body.as_ref()).await;
                match OTHER_DOORS.iter().find(|(door, ..)| *door == name) {
                    Some((_, status, code)) => answer.expect_problem(*status, code),
                    None => assert_not_found(&answer, &theirs, &format!("{name} of {reference}")),
                }
            }
        }
        // By query.
        for parameter in &route.query {
            let of = |list: &[(&str, &'static str)]| {
                list.iter().find(|(known, _)| known == parameter).map(|(_, collection)| *collection)
            };
            let path = route.fill(|collection| ours.id(collection));
            if let Some(collection) = of(REFERENCES).or_else(|| of(QUERY_REFERENCES)) {
                for reference in theirs.names(collection) {
                    let path = format!("{path}?{}&{parameter}={reference}", range(&route));
                    let answer = ours.team.send(route.method.clone(), &path, body.as_ref()).await;
                    assert_not_found(&answer, &theirs, &format!("{} {path}", route.method));
                }
            } else if let Some(collection) = of(SOUGHT) {
                let path = format!("{path}?{}&{parameter}={}", range(&route), theirs.id(collection));
                let answer = ours.team.send(route.method.clone(), &path, body.as_ref()).await;
                let found = match parameter.as_str() {
                    "cursor" => theirs.is_in(&answer.text),
                    _ => answer.json["data"] != json!([]),
                };
                assert!(!found && [200, 422].contains(&answer.status.as_u16()), "{path}: {}", answer.text);
            } else {
                assert!(PLAIN.contains(&parameter.as_str()), "what does ?{parameter} of {name} name? Say it here");
            }
        }
    }
    // By body.
    for (name, template) in REFERRING {
        let route = routes::all().into_iter().find(|route| route.name() == *name).expect(name);
        let (field, collection) = REFERENCES
            .iter()
            .find(|(field, _)| template.contains(&format!("<{field}>")))
            .unwrap_or_else(|| panic!("{template} refers to nothing"));
        for reference in theirs.names(collection) {
            let body: Value = serde_json::from_str(&template.replace(&format!("<{field}>"), reference)).unwrap();
            let path = route.fill(|collection| ours.id(collection));
            let answer = ours.team.send(route.method.clone(), &path, Some(&body)).await;
            assert_not_found(&answer, &theirs, &format!("{name} {body}"));
        }
    }
    assert!(rows_of(&theirs).await == before.1, "the walk has changed something of theirs");
    assert!(rows_of(&ours).await == before.0, "a request that found nothing has changed something");
}

/// A body that learns to name something must be walked too.
#[test]
fn every_reference_in_a_body_is_walked() {
    let mut named = BTreeSet::new();
    for route in routes::all() {
        for field in route.body.iter().flatten().filter(|field| collection(field).is_some()) {
            named.insert((route.name(), field.clone()));
        }
    }
    let mut walked = BTreeSet::new();
    for (name, template) in REFERRING {
        for (field, _) in REFERENCES.iter().filter(|(field, _)| template.contains(&format!("<{field}>"))) {
            walked.insert(((*name).to_owned(), (*field).to_owned()));
        }
    }
    assert_eq!(named, walked, "left: in the document; right: in REFERRING");
}

#[sqlx::test(migrations = "../migrations")]
async fn lists_reports_exports_and_the_trail_hold_only_ones_own(pool: PgPool) {
    let service = Service::start(&pool).await;
    let ours = Everything::make(&service, "kyoto").await;
    let theirs = Everything::make(&service, "zanzibar").await;
    let mut walked = 0;
    for route in routes::all() {
        let of_tenants = route.path.starts_with("/v1/") && !route.path.starts_with("/v1/admin/");
        if route.method != Method::GET || route.path.contains('{') || !of_tenants {
            continue;
        }
        let path = format!("{}?{}", route.path, range(&route));
        let answer = ours.team.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(ours.is_in(&answer.text), "{path} shows nothing at all: {}", answer.text);
        assert!(!theirs.is_in(&answer.text), "{path}: {}", answer.text);
        walked += 1;
    }
    assert!(walked >= 11, "lists and reports: {walked}");

    // Reports: from rollups and from facts (the odd minute), by each grouping whose keys could be another's.
    for report in ["traffic", "conversions"] {
        for group in ["partner", "program", "link", "tag", "campaign", "domain", "day"] {
            for from in ["2025-01-01T00:00:00Z", "2025-01-01T00:01:00Z"] {
                if (report, group) == ("conversions", "domain") {
                    continue;
                }
                let path = format!("/v1/reports/{report}?from={from}&to=2035-01-01T00:00:00Z&group_by={group}");
                let answer = ours.team.get(&path).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.text);
                assert!(!theirs.is_in(&answer.text), "{path}: {}", answer.text);
                let counted = if report == "traffic" { "total" } else { "sales" };
                assert_eq!(answer.json["totals"][counted], 1, "{path}: {}", answer.text);
            }
        }
        let csv = Request::get(format!("/v1/reports/{report}?{RANGE}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", ours.team.key))
            .header(header::ACCEPT, "text/csv");
        let csv = service.send(csv.body(axum::body::Body::empty()).unwrap()).await.text;
        assert!(ours.is_in(&csv) && !theirs.is_in(&csv), "{csv}");
    }

    let _work = service.work();
    let file = ours.file().await;
    assert!(ours.is_in(&file) && !theirs.is_in(&file), "{file}");
}

/// What a customer's server says can't reach into another workspace, by none of the ways in which an event is attributed.
#[sqlx::test(migrations = "../migrations")]
async fn events_find_nothing_of_another_workspace(pool: PgPool) {
    let service = Service::start(&pool).await;
    let ours = Everything::make(&service, "kyoto").await;
    let theirs = Everything::make(&service, "zanzibar").await;
    let sale = |id: &str, more: Value| {
        let mut event = json!({"event_id": id, "type": "sale", "amount_minor": 1, "currency": "EUR"});
        event.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        event
    };
    let cases = [
        (sale("0", json!({"nim_ct": theirs.token})), "unattributed", json!("token_invalid")),
        (sale("a", json!({"customer_id": "zanzibar-customer"})), "unattributed", json!("no_token")),
        (sale("b", json!({"type": "refund", "original_event_id": "zanzibar-event"})), "pending_original", Value::Null),
        (sale("c", json!({"type": "refund", "order_id": "zanzibar-order"})), "pending_original", Value::Null),
    ];
    for (event, status, reason) in cases {
        let result = ours.source.accepted(event).await;
        assert_eq!(result["attribution"]["status"], status, "{result}");
        assert_eq!(result["attribution"]["reason"], reason, "{result}");
        let attribution = result["attribution"].to_string();
        assert!(!theirs.is_in(&attribution), "{result}");
    }
    // Ids of events are each source's own.
    ours.source.accepted(sale("zanzibar-event", json!({}))).await;
    // Our secret at their source's door.
    let forged = super::service::Source { id: theirs.source.id.clone(), ..ours.source.clone() };
    forged.send(&sale("d", json!({}))).await.expect_problem(401, "signature_invalid");
    // The hosts are one name space: theirs is taken, and that is all we learn.
    let taken = ours.team.post("/v1/domains", json!({"hostname": theirs.hostname})).await;
    taken.expect_problem(409, "conflict");
}

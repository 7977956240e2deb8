//! Exports as their callers meet them: asked for, waited for, downloaded, called off, expired. The storage is a folder.

use std::collections::{BTreeMap, HashMap};

use axum::http::{Method, Request, header};
use control_api::jobs;
use object_store::ObjectStoreExt as _;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Answer, OPERATOR, Service, Source, Team, Visited, text};

/// A range that everything falls into that a test does now.
pub fn range() -> (String, String) {
    let day = |days: i64| (chrono::Utc::now() + chrono::Duration::days(days)).format("%Y-%m-%d").to_string();
    (day(-2), day(2))
}

/// Asks for an export and answers it.
pub async fn ask(team: &Team, kind: &str) -> Value {
    let (from, to) = range();
    team.post("/v1/exports", json!({"kind": kind, "from": from, "to": to})).await.expect(202)
}

/// Reads an export until its state is the awaited one.
pub async fn until(team: &Team, export: &Value, status: &str) -> Value {
    let path = format!("/v1/exports/{}", text(export, "/id"));
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let found = team.get(&path).await.expect(200);
            if found["status"] == status {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    match waited.await {
        Ok(found) => found,
        Err(_) => panic!("never {status}: {}", team.get(&path).await.text),
    }
}

pub async fn file(team: &Team, export: &Value) -> Answer {
    team.get(&format!("/v1/exports/{}/file", text(export, "/id"))).await
}

pub fn rows(csv: &str) -> Vec<HashMap<String, String>> {
    csv::Reader::from_reader(csv.as_bytes()).deserialize().collect::<Result<_, _>>().unwrap()
}

pub async fn clicked(service: &Service, host: &str) -> Visited {
    let visited = service.visit(host, "nomura", service.now()).await;
    assert_eq!(service.deliver(&[&visited]).await["stored"], 1);
    visited
}

pub async fn sell(source: &Source, id: &str, click: &Visited, amount: i64, currency: &str) {
    let sale =
        json!({"event_id": id, "type": "sale", "nim_ct": click.token, "amount_minor": amount, "currency": currency});
    source.accepted(sale).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_file_agrees_with_the_reports_of_its_moment(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    team.patch("/v1/partners/key:nomura", json!({"external_id": "crm-1"})).await.expect(200);
    let (one, two) = (clicked(&service, &host).await, clicked(&service, &host).await);
    sell(&source, "1", &one, 10_000, "EUR").await;
    sell(&source, "2", &two, 500, "JPY").await;
    let refund =
        json!({"event_id": "3", "type": "refund", "original_event_id": "1", "amount_minor": 2_500, "currency": "EUR"});
    source.accepted(refund).await;
    source.accepted(json!({"event_id": "4", "type": "lead", "nim_ct": two.token})).await;

    let conversions = ask(&team, "conversions").await;
    assert_eq!((&conversions["status"], &conversions["rows"]), (&json!("queued"), &json!(0)));
    let traffic = ask(&team, "traffic").await;
    file(&team, &conversions).await.expect_problem(409, "export_not_ready");
    // What lands from here on is of later moments: a click, a sale, a refund, and the partner's ban.
    let three = clicked(&service, &host).await;
    sell(&source, "5", &three, 7_777, "EUR").await;
    source.accepted(json!({"event_id": "6", "type": "refund", "original_event_id": "2"})).await;
    team.patch("/v1/partners/key:nomura", json!({"relationship": "banned", "external_id": "crm-2"})).await.expect(200);
    let _work = service.work();

    // The report waits until its moment is settled, as the file does.
    let (from, to) = range();
    let of = |export: &Value| text(export, "/as_of");
    let query = format!("from={from}&to={to}&as_of={}", of(&conversions));
    let report = team.get(&format!("/v1/reports/conversions?{query}&group_by=type")).await.expect(200);
    let done = until(&team, &conversions, "completed").await;
    let answer = file(&team, &conversions).await;
    assert_eq!(answer.status, 200);
    let id = text(&conversions, "/id");
    for (name, expected) in [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_LENGTH, answer.text.len().to_string()),
        (header::ETAG, format!("\"{id}-1\"")),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"conversions_{from}_{to}_{id}.csv\"")),
    ] {
        assert_eq!(answer.headers[&name], expected, "{name}");
    }
    assert!(answer.text.starts_with("entry_id,event_id,type,"), "no byte order mark: {}", answer.text);
    assert_eq!((&done["rows"], &done["bytes"]), (&json!(4), &json!(answer.text.len())));

    let file_rows = rows(&answer.text);
    let mut net = BTreeMap::<&str, i64>::new();
    let (mut by_type, mut reward) = (BTreeMap::<&str, i64>::new(), 0);
    let number = |text: &str| if text.is_empty() { 0 } else { text.parse::<i64>().unwrap() };
    for row in &file_rows {
        *by_type.entry(&row["type"]).or_default() += 1;
        if !row["currency"].is_empty() {
            *net.entry(&row["currency"]).or_default() += number(&row["amount_minor"]);
        }
        if row["reward_currency"] == "EUR" {
            reward += number(&row["estimated_commission_minor"]) + number(&row["clawback_minor"]);
        }
        assert_eq!((&*row["partner_relationship"], &*row["partner_external_id"]), ("approved", "crm-1"));
    }
    assert_eq!(net, BTreeMap::from([("EUR", 7_500), ("JPY", 500)]));
    let totals = &report["totals"];
    let revenue: BTreeMap<&str, i64> = totals["revenue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["currency"].as_str().unwrap(), one["net_minor"].as_i64().unwrap()))
        .collect();
    assert_eq!(revenue, net, "{report}");
    for (name, kind) in [("leads", "lead"), ("sales", "sale"), ("refunds", "refund")] {
        assert_eq!(totals[name], json!(by_type[kind]), "{report}");
    }
    assert_eq!(totals["estimated_reward"][0], json!({"currency": "EUR", "amount_minor": reward}), "{report}");
    // The same as a table.
    let request = Request::get(format!("/v1/reports/conversions?{query}&group_by=type"))
        .header(header::AUTHORIZATION, format!("Bearer {}", team.key))
        .header(header::ACCEPT, "text/csv");
    let table = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
    let sum: i64 = rows(&table.text).iter().map(|row| number(&row["net_minor_EUR"])).sum();
    assert_eq!(sum, net["EUR"], "{}", table.text);

    // Clicks likewise.
    until(&team, &traffic, "completed").await;
    let query = format!("from={from}&to={to}&as_of={}", of(&traffic));
    let report = team.get(&format!("/v1/reports/traffic?{query}")).await.expect(200);
    let clicks: i64 = rows(&file(&team, &traffic).await.text).iter().map(|row| number(&row["clicks"])).sum();
    assert_eq!((clicks, &report["totals"]["total"]), (2, &json!(2)), "{report}");
    // Without a moment, everything counts.
    let report = team.get(&format!("/v1/reports/conversions?from={from}&to={to}")).await.expect(200);
    assert_eq!((&report["totals"]["sales"], &report["totals"]["refunds"]), (&json!(3), &json!(2)), "{report}");

    // Written once more, after the ban and all: the same file to the byte.
    sqlx::query("update exports set status = 'queued', leased_until = null where kind = 'conversions'")
        .execute(&pool)
        .await
        .unwrap();
    until(&team, &conversions, "completed").await;
    let again = file(&team, &conversions).await;
    assert_eq!(again.headers[header::ETAG], format!("\"{id}-2\""));
    assert_eq!(again.text, answer.text);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_export_is_for_those_who_may(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (from, to) = range();
    let body = json!({"kind": "traffic", "from": from, "to": to});
    for (role, can_export, expected) in [
        ("admin", false, Err("role_forbidden")),
        ("viewer", false, Err("role_forbidden")),
        ("viewer", true, Ok(202)),
        ("member", true, Ok(202)),
    ] {
        let key = team.with_key(role, can_export).await;
        let made = key.post("/v1/exports", body.clone()).await;
        match expected {
            Ok(status) => drop(made.expect(status)),
            Err(code) => made.expect_problem(403, code),
        }
    }
    service.team_on("starter").await.post("/v1/exports", body.clone()).await.expect_problem(403, "plan_required");

    let export = ask(&team, "conversions").await;
    let stranger = service.team().await;
    let path = format!("/v1/exports/{}", text(&export, "/id"));
    for (method, path) in
        [(Method::GET, path.clone()), (Method::DELETE, path.clone()), (Method::GET, format!("{path}/file"))]
    {
        stranger.send(method, &path, None).await.expect_problem(404, "not_found");
    }
    assert_eq!(stranger.get("/v1/exports").await.expect(200)["data"], json!([]));

    for (filter, expected) in [
        ("", 3),
        ("?kind=traffic", 2),
        ("?kind=conversions", 1),
        ("?status=queued", 3),
        ("?status=completed", 0),
        ("?kind=traffic&status=queued&limit=1", 1),
    ] {
        let list = team.get(&format!("/v1/exports{filter}")).await.expect(200);
        assert_eq!(list["data"].as_array().map(Vec::len), Some(expected), "{filter}");
        assert_eq!(list["next_cursor"].is_null(), !filter.contains("limit"), "{list}");
    }
    team.get("/v1/exports?kind=all&status=done").await.expect_problem(422, "validation_failed");

    // Either of the two flags shuts it.
    for flag in ["partner_exports", "partner_conversion_reporting"] {
        let workspace = format!("/v1/workspaces/{}", team.workspace);
        let access = |on: bool| json!({"access": {flag: on}});
        service.ask(OPERATOR, Method::PATCH, &workspace, Some(&access(false))).await.expect(200);
        team.get(&path).await.expect_problem(403, "access_disabled");
        service.ask(OPERATOR, Method::PATCH, &workspace, Some(&access(true))).await.expect(200);
    }
    team.get(&path).await.expect(200);
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_asked_for_wrongly_is_refused_at_once(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    for (body, expected) in [
        (json!({}), vec!["/kind required", "/from required", "/to required"]),
        (
            json!({"kind": "all", "from": "2026-03-02", "to": "2026-03-01", "types": ["sale", "gift"], "partner": 5, "surprise": 1}),
            vec!["/kind value", "/partner type", "/types/1 value", "/surprise unknown_field", "/to value"],
        ),
        (json!({"kind": "conversions", "from": "2026-03-01", "to": "2026-03-02", "types": []}), vec!["/types length"]),
        (
            json!({"kind": "traffic", "from": "2026-03-01", "to": "2026-03-02", "types": ["sale"]}),
            vec!["/types unexpected"],
        ),
        (json!({"kind": "traffic", "from": "1970-01-01", "to": "2200-01-01"}), vec!["/to range"]),
    ] {
        let answer = team.post("/v1/exports", body.clone()).await;
        answer.expect_problem(422, "validation_failed");
        let faults = answer.json["errors"].as_array().unwrap();
        let mut faults: Vec<String> =
            faults.iter().map(|fault| format!("{} {}", text(fault, "/pointer"), text(fault, "/code"))).collect();
        let mut expected = expected;
        faults.sort_unstable();
        expected.sort_unstable();
        assert_eq!(faults, expected, "{body}");
    }
    let unknown = json!({"kind": "traffic", "from": "2026-03-01", "to": "2026-03-02", "partner": "key:nobody"});
    team.post("/v1/exports", unknown).await.expect_problem(404, "not_found");
}

#[sqlx::test(migrations = "../migrations")]
async fn an_export_is_called_off_and_a_file_expires(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let cancelled = ask(&team, "traffic").await;
    let path = format!("/v1/exports/{}", text(&cancelled, "/id"));
    for _ in 0..2 {
        assert_eq!(team.delete(&path).await.expect(200)["status"], "cancelled");
    }
    file(&team, &cancelled).await.expect_problem(409, "conflict");

    let kept = ask(&team, "traffic").await;
    let work = service.work();
    let done = until(&team, &kept, "completed").await;
    drop(work);
    assert_eq!(until(&team, &cancelled, "cancelled").await["rows"], 0, "what is called off is never written");
    let days = |name: &str| chrono::DateTime::parse_from_rfc3339(&text(&done, name)).unwrap();
    assert_eq!((days("/expires_at") - days("/completed_at")).num_days(), 7);
    team.delete(&format!("/v1/exports/{}", text(&kept, "/id"))).await.expect_problem(409, "conflict");
    file(&team, &kept).await.expect(200);

    // A file that a run left which was killed: of the one that was called off.
    let at = |export: &Value| jobs::exports::path(&service.app, team.id(), text(export, "/id").parse().unwrap(), 1);
    let store = &service.app.exports.0;
    store.put(&at(&cancelled), "half".into()).await.unwrap();
    sqlx::query("update exports set attempts = 1, cleared_at = null where status = 'cancelled'")
        .execute(&pool)
        .await
        .unwrap();
    store.head(&at(&kept)).await.unwrap();

    jobs::exports::clear(&service.app).await.unwrap();
    assert!(store.head(&at(&cancelled)).await.is_err());
    store.head(&at(&kept)).await.unwrap();
    sqlx::query("update exports set expires_at = now() where status = 'completed'").execute(&pool).await.unwrap();
    jobs::exports::clear(&service.app).await.unwrap();
    assert!(store.head(&at(&kept)).await.is_err());
    assert_eq!(until(&team, &kept, "expired").await["rows"], done["rows"]);
    file(&team, &kept).await.expect_problem(404, "not_found");
    let left: i64 =
        sqlx::query_scalar("select count(*) from exports where cleared_at is null").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0, "what is cleared is not looked for again");
}

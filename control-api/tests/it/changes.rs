//! Changes that several make at once, or one makes twice: versions and idempotency keys.

use axum::http::{HeaderValue, Method, Request, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Answer, Service, Team, text};

impl Team {
    async fn send_with(&self, method: Method, path: &str, head: (&'static str, &str), body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .header(head.0, head.1);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.service.send(request.body(body.into()).unwrap()).await
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn changes_are_guarded_by_version_and_repeatable_by_key(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    for (path, change) in [
        ("/v1/partners/key:nomura".to_owned(), json!({"display_name": "N"})),
        ("/v1/programs/key:creators".to_owned(), json!({"name": "C"})),
        (format!("/v1/domains/{host}"), json!({"not_found_url": "https://a.example.com/"})),
        (format!("/v1/links/{}", text(&link, "/id")), json!({"title": "T"})),
        (format!("/v1/sources/{}", team.source().await.id), json!({"name": "S"})),
        ("/v1/workspace".to_owned(), json!({"name": "W"})),
    ] {
        let read = team.get(&path).await;
        assert_eq!(read.headers[header::ETAG], "\"1\"", "{path}");
        let changed = team.send_with(Method::PATCH, &path, ("if-match", "\"1\""), &change).await;
        assert_eq!(
            (changed.status.as_u16(), &changed.headers[header::ETAG], &changed.json["version"]),
            (200, &HeaderValue::from_static("\"2\""), &json!(2))
        );
        team.send_with(Method::PATCH, &path, ("if-match", "\"1\""), &change)
            .await
            .expect_problem(412, "version_mismatch");
        team.send_with(Method::PATCH, &path, ("if-match", "x"), &change).await.expect_problem(412, "version_mismatch");
        assert_eq!(team.patch(&path, change).await.expect(200)["version"], 3);
    }
}

/// Nobody rotates, erases or assigns what has become something else meanwhile.
#[sqlx::test(migrations = "../migrations")]
async fn what_is_no_patch_is_guarded_too(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (_, link) = team.campaign().await;
    let source = team.source().await;
    let rotate = format!("/v1/sources/{}/rotate", source.id);
    for (path, body) in [(rotate.as_str(), json!({})), ("/v1/partners/key:nomura/erase", Value::Null)] {
        let refused = team.send_with(Method::POST, path, ("if-match", "\"7\""), &body).await;
        refused.expect_problem(412, "version_mismatch");
        assert_eq!(team.send_with(Method::POST, path, ("if-match", "\"1\""), &body).await.status, 200, "{path}");
    }
    // A link shows whom it belongs to, so a change of that is a new version of it.
    let path = format!("/v1/links/{}", text(&link, "/id"));
    let assignment = format!("{path}/assignment");
    let version = async || team.get(&path).await.expect(200)["version"].clone();
    let other = json!({"partner": "key:nomura", "program": null});
    let put = async |tag: &str| team.send_with(Method::PUT, &assignment, ("if-match", tag), &other).await;
    put("\"2\"").await.expect_problem(412, "version_mismatch");
    assert_eq!(put("\"1\"").await.status, 200);
    assert_eq!(version().await, 2);
    put("\"1\"").await.expect_problem(412, "version_mismatch");
    assert_eq!(put("\"2\"").await.status, 200);
    assert_eq!(version().await, 2, "the same again changes nothing");
    let end = async |tag: &str| team.send_with(Method::DELETE, &assignment, ("if-match", tag), &Value::Null).await;
    end("\"1\"").await.expect_problem(412, "version_mismatch");
    assert_eq!(end("\"2\"").await.status, 200);
    assert_eq!((version().await, end("*").await.status.as_u16(), version().await), (json!(3), 200, json!(3)));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_has_one_effect_and_one_answer_for_a_day(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    // Eight at once under one key have one effect and one answer.
    let body = json!({"display_name": "Once"});
    let send = || team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k"), &body);
    let answers = futures::future::join_all((0..8).map(|_| send())).await;
    let ids: std::collections::BTreeSet<_> =
        answers.into_iter().map(|answer| text(&answer.expect(201), "/id")).collect();
    assert_eq!(ids.len(), 1);
    let other = json!({"display_name": "Twice"});
    let reused = team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k"), &other).await;
    reused.expect_problem(422, "idempotency_key_reused");
    let long = "k".repeat(256);
    team.send_with(Method::POST, "/v1/partners", ("idempotency-key", &long), &other)
        .await
        .expect_problem(422, "validation_failed");
    // A refused request uses up no key, and a secret is shown once.
    let bad =
        team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k2"), &json!({"display_name": ""})).await;
    bad.expect_problem(422, "validation_failed");
    team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k2"), &other).await.expect(201);
    let source = json!({"name": "shop", "kind": "signed"});
    let made = team.send_with(Method::POST, "/v1/sources", ("idempotency-key", "k3"), &source).await.expect(201);
    let again = team.send_with(Method::POST, "/v1/sources", ("idempotency-key", "k3"), &source).await.expect(201);
    assert_eq!((&made["id"], &again["secret"]), (&again["id"], &Value::Null));
    assert!(made["secret"].is_string());
    // A day later the key is free.
    let body = json!({"display_name": "Late"});
    let at =
        |hours: &str| format!("update idempotency_keys set created_at = now() - interval '{hours}' where key = 'k2'");
    sqlx::query(sqlx::AssertSqlSafe(at("23 hours 59 minutes"))).execute(&pool).await.unwrap();
    let early = team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k2"), &body).await;
    early.expect_problem(422, "idempotency_key_reused");
    sqlx::query(sqlx::AssertSqlSafe(at("24 hours 1 second"))).execute(&pool).await.unwrap();
    let late = team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k2"), &body).await;
    assert!(!late.headers.contains_key("idempotent-replayed"));
    assert_eq!(late.expect(201)["display_name"], "Late");
}

//! What the operator does to workspaces.

use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Answer, OPERATOR, Service, text};

async fn make(service: &Service, key: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/workspaces")
        .header(header::AUTHORIZATION, format!("Bearer {OPERATOR}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key);
    service.send(request.body(body.to_string().into()).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_workspace_is_made_once_per_idempotency_key(pool: PgPool) {
    let service = Service::start(&pool).await;
    let acme = json!({"name": "Acme", "slug": "acme", "plan": "enterprise"});
    let made = make(&service, "k", &acme).await.expect(201);
    let again = make(&service, "k", &acme).await.expect(201);
    assert_eq!((&made["id"], &again["api_key"]["key"]), (&again["id"], &Value::Null), "the key is shown once");
    assert!(made["api_key"]["key"].is_string());
    let other = json!({"name": "Other", "slug": "other", "plan": "enterprise"});
    make(&service, "k", &other).await.expect_problem(422, "idempotency_key_reused");
    make(&service, "l", &acme).await.expect_problem(409, "conflict");
    make(&service, "l", &other).await.expect(201);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_plan_that_comes_and_goes_changes_no_choice(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team_on("starter").await;
    let path = format!("/v1/workspaces/{}", team.workspace);
    let change = async |body: Value| service.ask(OPERATOR, Method::PATCH, &path, Some(&body)).await.expect(200);
    let on = json!({"partner_setup": true, "partner_reporting": true, "partner_conversion_reporting": true, "partner_exports": true});
    assert_eq!(change(json!({"plan": "professional"})).await["access"], on, "nothing was chosen before");
    let chosen = change(json!({"access": {"partner_exports": false}})).await["access"].clone();
    assert_eq!(chosen["partner_exports"], false);
    change(json!({"plan": "starter"})).await;
    assert_eq!(change(json!({"plan": "professional"})).await["access"], chosen);
    let none = json!({"partner_setup": false, "partner_reporting": false, "partner_conversion_reporting": false, "partner_exports": false});
    assert_eq!(change(json!({"access": none})).await["access"], none);
    assert_eq!(change(json!({"plan": "enterprise"})).await["access"], none, "a plan that had Partners gains nothing");
}

#[sqlx::test(migrations = "../migrations")]
async fn keys_need_no_name_and_pages_no_cursor(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let made = team.post("/v1/api-keys", json!({"role": "viewer", "can_export": true})).await.expect(201);
    assert_eq!((text(&made, "/name").as_str(), &made["can_export"]), ("viewer key", &json!(true)));
    for path in ["/v1/api-keys", "/v1/partners", "/v1/audit"] {
        let (empty, none) = (team.get(&format!("{path}?cursor=")).await, team.get(path).await);
        assert_eq!(empty.expect(200), none.expect(200), "{path}");
    }
}

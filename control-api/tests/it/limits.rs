//! How often callers may ask, and how they are told.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, header},
};
use serde_json::json;
use sqlx::PgPool;

use super::service::{Answer, OPERATOR, Service};

/// The numbers of the two fields: what is left, and the seconds to wait.
#[track_caller]
fn standing(answer: &Answer, policy: &str) -> (u32, u32) {
    let field = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let limit = field("ratelimit-policy");
    assert!(limit.starts_with(&format!("\"{policy}\";q=")), "{limit}");
    let value = field("ratelimit");
    let numbers = value.strip_prefix(&format!("\"{policy}\";r=")).unwrap_or_else(|| panic!("{value}"));
    let (left, wait) = numbers.split_once(";t=").unwrap();
    (left.parse().unwrap(), wait.parse().unwrap())
}

#[track_caller]
fn assert_limited(answer: &Answer, policy: &str, at_most: u32) {
    answer.expect_problem(429, "rate_limited");
    let (left, wait) = standing(answer, policy);
    assert_eq!(left, 0);
    assert!((1..=at_most).contains(&wait), "{wait}");
    assert_eq!(answer.headers[header::RETRY_AFTER], wait.to_string());
}

#[sqlx::test(migrations = "../migrations")]
async fn each_key_has_its_own_share(pool: PgPool) {
    let service = Service::with(&pool, &["--rate-limit-api", "4/3600"]).await;
    let team = service.team().await;
    let viewer = team.with_key("viewer", false).await;
    assert_eq!(standing(&team.get("/v1/workspace").await, "api-key").0, 2);
    let answer = team.get("/v1/workspace").await;
    assert_eq!(answer.headers["ratelimit-policy"], "\"api-key\";q=4;w=3600");
    assert_eq!(standing(&answer, "api-key"), (1, 2_700));
    // A refused request is a request.
    let missing = team.get("/v1/partners/key:nobody").await;
    assert_eq!((missing.status.as_u16(), standing(&missing, "api-key").0), (404, 0));
    assert_limited(&team.get("/v1/workspace").await, "api-key", 900);
    // Another key of the workspace, the operator and the open doors are not held up.
    assert_eq!(standing(&viewer.get("/v1/workspace").await, "api-key").0, 3);
    assert_eq!(standing(&viewer.get("/v1/audit").await, "api-key").0, 2);
    service.team().await;
    let open = service.ask(OPERATOR, Method::GET, "/healthz", None).await;
    assert!(open.status == 200 && !open.headers.contains_key("ratelimit"));
}

#[sqlx::test(migrations = "../migrations")]
async fn each_source_has_its_own_share_and_a_batch_is_one(pool: PgPool) {
    let service = Service::with(&pool, &["--rate-limit-events", "3/3600", "--rate-limit-api", "off"]).await;
    let team = service.team().await;
    assert!(!team.get("/v1/workspace").await.headers.contains_key("ratelimit"), "off is off");
    let (source, other) = (team.source().await, team.source().await);
    let event = |id: u32| json!({"event_id": id.to_string(), "type": "lead"});
    // What is forged in a source's name takes nothing from it.
    let forged = super::service::Source { secret: other.secret.clone(), ..source.clone() };
    for _ in 0..5 {
        let refused = forged.send(&event(0)).await;
        refused.expect_problem(401, "signature_invalid");
        assert!(!refused.headers.contains_key("ratelimit"), "who isn't known learns nothing of limits");
    }
    let batch = json!({"events": (0..100).map(event).collect::<Vec<_>>()});
    assert_eq!(standing(&source.send(&batch).await, "source").0, 2);
    assert_eq!(standing(&source.send(&batch).await, "source").0, 1);
    let single = source.send(&event(100)).await;
    assert_eq!((single.status.as_u16(), standing(&single, "source").0), (200, 0));
    assert_limited(&source.send(&event(101)).await, "source", 1_200);
    other.accepted(event(101)).await;
    // What was refused was not taken: it comes again later, as new.
    let stored = sqlx::query_scalar::<_, i64>("select count(*) from conversions").fetch_one(&pool).await.unwrap();
    assert_eq!(stored, 102);
}

#[sqlx::test(migrations = "../migrations")]
async fn refusals_are_bounded_by_address_and_shut_nobody_out(pool: PgPool) {
    let service = Service::with(&pool, &["--rate-limit-refused", "3/3600", "--forwarded-hops", "1"]).await;
    let team = service.team().await;
    let ask = async |from: &str, key: &str, path: &str| {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        // The last address is our proxy's word; what stands before it is the caller's.
        let request = request.header("x-forwarded-for", format!("203.0.113.7, {from}"));
        service.send(request.body(Body::empty()).unwrap()).await
    };
    ask("198.51.100.1", "nim_guess", "/v1/workspace").await.expect_problem(401, "unauthorized");
    ask("198.51.100.1", "", "/v1/partners").await.expect_problem(401, "unauthorized");
    let event = Request::post("/v1/sources/src_none/events").header("x-forwarded-for", "198.51.100.1");
    service.send(event.body(Body::from("{}")).unwrap()).await.expect_problem(401, "signature_missing");
    assert_limited(&ask("198.51.100.1", "nim_guess", "/v1/workspace").await, "refused", 1_200);
    let made = Request::post("/v1/workspaces").header("x-forwarded-for", "198.51.100.1");
    assert_limited(&service.send(made.body(Body::empty()).unwrap()).await, "refused", 1_200);
    // A valid key from there still opens, and elsewhere a wrong one is told so.
    assert_eq!(ask("198.51.100.1", &team.key, "/v1/workspace").await.status, 200);
    let elsewhere = ask("198.51.100.2", "nim_guess", "/v1/workspace").await;
    elsewhere.expect_problem(401, "unauthorized");

    // Without a proxy the connection's address counts, whatever a caller claims.
    let bare = Service::with(&pool, &["--rate-limit-refused", "1/3600"]).await;
    let knock = async |peer: &str, claimed: &str| {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = Request::get("/v1/workspace").header("x-forwarded-for", claimed).extension(ConnectInfo(peer));
        bare.send(request.body(Body::empty()).unwrap()).await
    };
    knock("[2001:db8::1]:1", "192.0.2.1").await.expect_problem(401, "unauthorized");
    assert_limited(&knock("[2001:db8::2]:2", "192.0.2.2").await, "refused", 3_600);
}

#[sqlx::test(migrations = "../migrations")]
async fn our_own_worker_is_never_held_up(pool: PgPool) {
    let none = ["--rate-limit-api", "1/3600", "--rate-limit-events", "1/3600", "--rate-limit-refused", "1/3600"];
    let service = Service::with(&pool, &none).await;
    for _ in 0..5 {
        let fill = service.as_edge(Method::GET, "/internal/v1/links?host=x.example.com&slug=x", vec![]).await;
        assert_eq!(fill.status, 200, "{}", fill.text);
        assert!(!fill.headers.contains_key("ratelimit"));
    }
}

//! Records on their way into Cloudflare's KV, and the second look at what is there. Cloudflare's API is played by a small
//! server, as documented: <https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/>.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{post, put},
};
use control_api::jobs;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Service, Team, text};

const TOKEN: &str = "a-token-that-may-edit-kv";

/// What the API does with the next request.
enum Next {
    /// Too many requests; come again after this many seconds.
    SlowDown(u64),
    /// Does it, and fails to say so.
    BreakOff,
    /// Writes all but this key.
    AllBut(String),
}

#[derive(Default)]
struct Api {
    stored: HashMap<String, String>,
    next: VecDeque<Next>,
    requests: usize,
}

#[derive(Clone, Default)]
struct Cloudflare(Arc<Mutex<Api>>);

impl Cloudflare {
    /// Starts the API, and the service that publishes through it.
    async fn start(pool: &PgPool) -> (Self, Service) {
        let double = Self::default();
        let namespace = "/client/v4/accounts/acc/storage/kv/namespaces/ns";
        let router = Router::new()
            .route(&format!("{namespace}/bulk"), put(write))
            .route(&format!("{namespace}/bulk/get"), post(read))
            .with_state(double.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let arguments =
            ["--publisher", "kv", "--kv-api-url", &url, "--kv-account-id", "acc", "--kv-namespace-id", "ns"];
        let service = Service::with(pool, &[&arguments[..], &["--kv-token", TOKEN]].concat()).await;
        (double, service)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Api) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }

    fn record(&self, key: &str) -> Value {
        self.with(|api| api.stored.get(key).map_or(Value::Null, |text| serde_json::from_str(text).unwrap()))
    }
}

/// The next answer that is not the ordinary one, if the request is allowed at all.
fn admit(api: &mut Api, headers: &HeaderMap) -> Result<Option<Next>, Box<Response>> {
    api.requests += 1;
    let authorized = headers.get("authorization").is_some_and(|v| v.as_bytes() == format!("Bearer {TOKEN}").as_bytes());
    if !authorized {
        let fault = json!({"success": false, "errors": [{"code": 10000, "message": "Authentication error"}]});
        return Err(Box::new((StatusCode::FORBIDDEN, Json(fault)).into_response()));
    }
    match api.next.pop_front() {
        Some(Next::SlowDown(seconds)) => {
            let fault =
                json!({"success": false, "result": null, "errors": [{"code": 10013, "message": "rate limited"}]});
            let answer = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())], Json(fault));
            Err(Box::new(answer.into_response()))
        }
        next => Ok(next),
    }
}

async fn write(State(double): State<Cloudflare>, headers: HeaderMap, Json(pairs): Json<Vec<Value>>) -> Response {
    double.with(|api| {
        let next = match admit(api, &headers) {
            Ok(next) => next,
            Err(refusal) => return *refusal,
        };
        assert!(pairs.len() <= 10_000, "a bulk write takes 10,000 pairs");
        let mut failed = vec![];
        for pair in &pairs {
            let (key, value) = (text(pair, "/key"), text(pair, "/value"));
            assert!(key.len() <= 512, "{key}");
            if matches!(&next, Some(Next::AllBut(refused)) if *refused == key) {
                failed.push(key);
            } else {
                api.stored.insert(key, value);
            }
        }
        if matches!(next, Some(Next::BreakOff)) {
            return (StatusCode::BAD_GATEWAY, "<html>").into_response();
        }
        let result = json!({"successful_key_count": pairs.len() - failed.len(), "unsuccessful_keys": failed});
        Json(json!({"success": true, "errors": [], "messages": [], "result": result})).into_response()
    })
}

async fn read(State(double): State<Cloudflare>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    double.with(|api| {
        if let Err(refusal) = admit(api, &headers) {
            return *refusal;
        }
        let keys: Vec<&str> = asked["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        assert!(keys.len() <= 100 && asked["type"] == "text", "a bulk read takes 100 keys: {asked}");
        let values: HashMap<&str, Option<&String>> = keys.into_iter().map(|key| (key, api.stored.get(key))).collect();
        Json(json!({"success": true, "errors": [], "messages": [], "result": {"values": values}})).into_response()
    })
}

/// Publishes what is due, without waiting for what is not.
async fn publish(service: &Service) -> usize {
    let publisher = service.app.publisher.clone().unwrap();
    jobs::replicator::publish_due(&service.app, &*publisher).await.unwrap()
}

/// Lets all pauses pass.
async fn later(pool: &PgPool) {
    for statement in [
        "update outbox set not_before = now()",
        "update edge_api set next_at = now()",
        "update edge_sweep set not_before = now()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
}

async fn queued(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select kv_key from outbox order by 1").fetch_all(pool).await.unwrap()
}

/// A whole round of the sweep, and what it found.
async fn sweep(service: &Service, pool: &PgPool) -> Value {
    let publisher = service.app.publisher.clone().unwrap();
    let finished = || sqlx::query_scalar::<_, Option<Value>>("select to_jsonb(last_finished_at) from edge_sweep");
    let before = finished().fetch_one(pool).await.unwrap();
    loop {
        later(pool).await;
        assert!(jobs::reconciler::next_page(&service.app, &*publisher).await.unwrap());
        if finished().fetch_one(pool).await.unwrap() != before {
            return sqlx::query_scalar("select last_counts from edge_sweep").fetch_one(pool).await.unwrap();
        }
    }
}

async fn rename_partner(team: &Team, name: &str) {
    team.patch("/v1/partners/key:nomura", json!({"display_name": name})).await.expect(200);
}

#[sqlx::test(migrations = "../migrations")]
async fn changes_reach_the_store_whatever_it_answers(pool: PgPool) {
    let (cloudflare, service) = Cloudflare::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let (domain_key, link_key) = (format!("d:{host}"), format!("l:{host}/nomura"));

    assert_eq!(publish(&service).await, 2);
    assert_eq!(queued(&pool).await, [""; 0]);
    assert_eq!(cloudflare.with(|api| api.requests), 1, "one request for all that is due");
    let first = cloudflare.record(&link_key);
    assert_eq!(first["record"]["assignment"]["partner"]["name"], "Nomura", "{first}");
    assert_eq!(first["record"]["link"], link["id"]);

    // Too fast: everybody leaves the API alone for as long as it says.
    rename_partner(&team, "Second").await;
    cloudflare.with(|api| api.next.push_back(Next::SlowDown(40)));
    publish(&service).await;
    let (paused, silent): (bool, bool) = sqlx::query_as(
        "select o.not_before > now() + interval '35 seconds', a.next_at > now() + interval '35 seconds' from outbox o, edge_api a",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(paused && silent);
    assert_eq!(publish(&service).await, 0, "it is not due");

    // Written, but nobody says so: it is written again.
    later(&pool).await;
    cloudflare.with(|api| api.next.push_back(Next::BreakOff));
    publish(&service).await;
    assert_eq!(queued(&pool).await, std::slice::from_ref(&link_key));
    later(&pool).await;
    publish(&service).await;
    assert_eq!(queued(&pool).await, [""; 0]);
    let second = cloudflare.record(&link_key);
    assert_eq!(second["record"]["assignment"]["partner"]["name"], "Second");
    assert!(second["version"].as_u64() > first["version"].as_u64());

    // One key of several is not taken: only that one stays. A domain that ends leaves a tombstone.
    let domain = team.get("/v1/domains").await.expect(200)["data"][0]["id"].clone();
    let path = format!("/v1/domains/{}", domain.as_str().unwrap());
    team.patch(&path, json!({"status": "archived"})).await.expect(200);
    cloudflare.with(|api| api.next.push_back(Next::AllBut(link_key.clone())));
    publish(&service).await;
    assert_eq!(queued(&pool).await, std::slice::from_ref(&link_key));
    assert_eq!(cloudflare.record(&domain_key)["record"], Value::Null);
    later(&pool).await;
    publish(&service).await;
    assert_eq!(cloudflare.record(&link_key)["record"]["status"], "archived");
}

#[sqlx::test(migrations = "../migrations")]
async fn requests_are_spaced_among_all_instances(pool: PgPool) {
    let spacing = std::time::Duration::from_millis(300);
    let mut waits = vec![];
    for _ in 0..4 {
        waits.push(store::outbox::api_turn(&pool, spacing).await.unwrap());
    }
    // The turns lie 300 ms apart; what passed between the questions is already waited.
    assert!(waits[0] < spacing && waits[3] <= spacing * 3 && waits[3] > spacing * 2, "{waits:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_sweep_finds_and_repairs_what_differs(pool: PgPool) {
    let (cloudflare, service) = Cloudflare::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    for slug in ["a", "b", "c", "d"] {
        let link = json!({"domain": host, "slug": slug, "destination": "https://shop.example.com/"});
        team.post("/v1/links", link).await.expect(201);
    }
    let key = |slug: &str| format!("l:{host}/{slug}");
    publish(&service).await;
    let clean = json!({"compared": 6, "missing": 0, "behind": 0, "ahead": 0, "different": 0});
    assert_eq!(sweep(&service, &pool).await, clean);
    let good = cloudflare.with(|api| api.stored.clone());

    // Four ways to differ; a fifth key waits in the outbox and is none of the sweep's business.
    cloudflare.with(|api| {
        api.stored.remove(&key("a"));
        let older = json!({"version": 1, "record": null}).to_string();
        api.stored.insert(key("b"), older.clone());
        let mut newer: Value = serde_json::from_str(&good[&key("c")]).unwrap();
        newer["version"] = json!(newer["version"].as_u64().unwrap() + 1_000);
        api.stored.insert(key("c"), newer.to_string());
        api.stored.insert(key("d"), good[&key("d")].replace("shop", "sh0p"));
        api.stored.insert(key("nomura"), older);
    });
    rename_partner(&team, "Renamed").await;
    let found = sweep(&service, &pool).await;
    assert_eq!(found, json!({"compared": 6, "missing": 1, "behind": 1, "ahead": 1, "different": 1}));
    publish(&service).await;
    for slug in ["a", "b", "c", "d"] {
        let (now, before) = (cloudflare.record(&key(slug)), serde_json::from_str::<Value>(&good[&key(slug)]).unwrap());
        assert_eq!(now["record"], before["record"], "{slug}");
        let above = now["version"].as_u64().unwrap() - before["version"].as_u64().unwrap();
        assert_eq!(
            above,
            match slug {
                "a" | "b" => 0,
                "c" => 1_001,
                _ => 1,
            },
            "{slug}"
        );
    }
    assert_eq!(sweep(&service, &pool).await, clean, "what is repaired differs no more");

    let told = service.ask(super::service::OPERATOR, axum::http::Method::GET, "/v1/admin/delivery", None).await;
    assert_eq!(told.expect(200)["records"]["last_sweep"]["compared"], 6);
}

#[sqlx::test(migrations = "../migrations")]
async fn republish_is_above_all_that_the_edge_may_hold(pool: PgPool) {
    let (cloudflare, service) = Cloudflare::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    publish(&service).await;
    // A day is lost: the database forgets fifty renames that the edge has seen.
    sqlx::query("update links set record_version = record_version - 50").execute(&pool).await.unwrap();
    let held = cloudflare.record(&format!("l:{host}/nomura"))["version"].as_u64().unwrap();
    for _ in 0..2 {
        assert_eq!(store::outbox::raise_and_enqueue_all(&pool).await.unwrap(), 2);
    }
    cloudflare.with(|api| api.stored.clear());
    assert_eq!(publish(&service).await, 2);
    assert!(cloudflare.record(&format!("l:{host}/nomura"))["version"].as_u64().unwrap() > held);
    assert!(cloudflare.record(&format!("d:{host}"))["record"].is_object());
    // And what is made again under a name that the edge remembers begins above it.
    let link = json!({"domain": host, "slug": "again", "destination": "https://shop.example.com/"});
    team.post("/v1/links", link).await.expect(201);
    publish(&service).await;
    assert!(cloudflare.record(&format!("l:{host}/again"))["version"].as_u64().unwrap() > held);
}

/// A rename reaches every link, however many there are, without one long transaction.
#[sqlx::test(migrations = "../migrations")]
async fn a_change_of_many_links_is_spread_in_steps(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    for statement in [
        "insert into links select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'slug', 'copy-' || n))).*
         from links l, generate_series(1, 2499) n",
        "insert into assignments select (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid(), 'link_id', l.id))).*
         from assignments a, links l where l.slug like 'copy-%'",
        "delete from outbox",
        // As autovacuum does within a minute; until then plans are made for tables that are nearly empty.
        "analyze",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let raised = async || -> i64 {
        sqlx::query_scalar("select count(*) from links where record_version > 1").fetch_one(&pool).await.unwrap()
    };
    let spread = async || {
        let mut steps = 0;
        while store::outbox::fan_out_step(&pool).await.unwrap() {
            steps += 1;
        }
        steps
    };
    let check = format!("/v1/links/{}/attribution-check", text(&link, "/id"));
    let synced = async || {
        let checks = team.get(&check).await.expect(200);
        let found =
            checks["checks"].as_array().unwrap().iter().find(|check| check["check"] == "edge_in_sync").unwrap().clone();
        found["result"] == "pass"
    };
    assert!(synced().await);
    let domain = format!("/v1/domains/{host}");
    for (path, body) in [
        ("/v1/partners/key:nomura", json!({"display_name": "N"})),
        ("/v1/programs/key:creators", json!({"name": "C"})),
        (domain.as_str(), json!({"status": "archived"})),
        (domain.as_str(), json!({"status": "active"})),
        ("/v1/partners/key:nomura", json!({"status": "paused"})),
        ("/v1/workspace", json!({"inactive_partner_clicks": "discard_context"})),
    ] {
        sqlx::query("update links set record_version = 1").execute(&pool).await.unwrap();
        team.patch(path, body).await.expect(200);
        assert_eq!(raised().await, 0, "{path}: the change itself is short");
        assert!(!synced().await, "{path}");
        assert_eq!(
            (spread().await, raised().await),
            (4, 2_500),
            "{path}: 1,000, 1,000, 500, and a look behind the last"
        );
        let queued: i64 =
            sqlx::query_scalar("select count(*) from outbox where link_id is not null").fetch_one(&pool).await.unwrap();
        assert_eq!(queued, 2_500, "{path}");
        sqlx::query("delete from outbox").execute(&pool).await.unwrap();
        assert!(synced().await, "{path}");
    }
    // One that changes again while it is spread begins anew.
    sqlx::query("update links set record_version = 1").execute(&pool).await.unwrap();
    team.patch("/v1/partners/key:nomura", json!({"display_name": "First"})).await.expect(200);
    assert!(store::outbox::fan_out_step(&pool).await.unwrap());
    team.patch("/v1/partners/key:nomura", json!({"display_name": "Second"})).await.expect(200);
    assert_eq!((spread().await, raised().await), (4, 2_500));
}

//! The stage of these tests: the whole service in this process, on the database of one test, with a clock that the
//! test may move.
//!
//! Nothing runs in the background unless a test starts it ([`Service::work`]), so what is stored is what was asked for.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use clap::Parser as _;
use control_api::{app::App, config::Config, jobs, router};
use model::time::Clock;
use serde_json::{Value, json};
use shared::{
    Millis,
    id::WorkspaceId,
    internal::{self, Direction},
    record::Fill,
    redirect::{self, Decision, Visit},
    token::TokenKey,
    webhook::{self, Secret},
};
use sqlx::{ConnectOptions as _, PgPool};
use store::rollups::Place;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

pub const OPERATOR: &str = "operator-operator-operator-operator";
const RING: &str = "1:secret-secret-secret-secret-secret-secret";
/// An ordinary phone, so that clicks are a human's.
pub const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

/// The running service.
#[derive(Clone)]
pub struct Service {
    pub app: App,
    router: Router,
    /// Milliseconds that the service's clock is ahead of the machine's.
    ahead: Arc<AtomicI64>,
}

/// Ends the background work with the test.
pub struct Work {
    stop: CancellationToken,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Service {
    /// Starts the service on the test's database.
    pub async fn start(pool: &PgPool) -> Self {
        Self::with(pool, &[]).await
    }

    /// The same with more arguments of `control-api serve`.
    pub async fn with(pool: &PgPool, arguments: &[&str]) -> Self {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            config: Config,
        }
        store::migrations::migrate(pool).await.unwrap();
        let url = pool.connect_options().to_url_lossy().to_string();
        let exports = std::env::temp_dir().join(format!("nimriz-it-{}", uuid::Uuid::from_bytes(random())));
        let exports = format!("file://{}", exports.display());
        let fixed = [
            ("--database-url", url.as_str()),
            ("--database-connections", "10"),
            ("--operator-key", OPERATOR),
            ("--data-keys", RING),
            ("--token-secrets", RING),
            ("--edge-secrets", RING),
            ("--publisher", "off"),
            ("--export-url", exports.as_str()),
        ];
        let fixed = fixed.iter().filter(|(name, _)| !arguments.contains(name)).flat_map(|(name, value)| [*name, value]);
        let arguments = ["control-api"].into_iter().chain(fixed).chain(arguments.iter().copied());
        let config = Arguments::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).config;
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&ahead);
        let now = move || Millis(chrono::Utc::now().timestamp_millis() + clock.load(Ordering::Relaxed));
        let app = App::connect(config, Clock::fixed(now)).await.unwrap();
        Self { router: router::router(app.clone()), app, ahead }
    }

    /// Starts what runs without a request; it ends when the answer is dropped.
    pub fn work(&self) -> Work {
        let stop = CancellationToken::new();
        jobs::start(&self.app, &stop, &TaskTracker::new());
        Work { stop }
    }

    /// Moves the service's clock. Postgres keeps its own.
    pub fn advance(&self, millis: i64) {
        self.ahead.fetch_add(millis, Ordering::Relaxed);
    }

    /// The service's time.
    pub fn now(&self) -> Millis {
        self.app.clock.now()
    }

    /// Any request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8_lossy(&to_bytes(body, usize::MAX).await.unwrap()).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, text, json }
    }

    /// A request with a bearer key.
    pub async fn ask(&self, key: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        self.send(
            match body {
                Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into()),
                None => request.body(Body::empty()),
            }
            .unwrap(),
        )
        .await
    }

    /// A new workspace on the professional plan and its admin.
    pub async fn team(&self) -> Team {
        self.team_on("professional").await
    }

    /// A new workspace and its admin.
    pub async fn team_on(&self, plan: &str) -> Team {
        let slug = format!("team-{:x}", u64::from_be_bytes(random()));
        let body = json!({"name": "Acme", "slug": slug, "plan": plan});
        let made = self.ask(OPERATOR, Method::POST, "/v1/workspaces", Some(&body)).await.expect(201);
        Team { service: self.clone(), workspace: text(&made, "/id"), key: text(&made, "/api_key/key") }
    }

    /// A request of our worker, signed.
    pub async fn as_edge(&self, method: Method, target: &str, body: Vec<u8>) -> Answer {
        let signed = internal::Request { method: method.as_str(), target, body: &body };
        let ring = &self.app.config.edge_secrets;
        let (timestamp, signature) = internal::sign(ring, Direction::EdgeToControl, signed, self.now());
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(internal::TIMESTAMP_HEADER, timestamp)
            .header(internal::SIGNATURE_HEADER, signature);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// What the edge decides about a visit at `at`: the click and its token, not yet delivered. The record is asked
    /// for as the worker asks.
    pub async fn visit(&self, host: &str, slug: &str, at: Millis) -> Visited {
        self.visit_as(&Visit { host, slug, agent: PHONE, ..Visit::default() }, at).await
    }

    /// The same, by any visitor.
    pub async fn visit_as(&self, visit: &Visit<'_>, at: Millis) -> Visited {
        let target = format!("/internal/v1/links?host={}&slug={}", visit.host, visit.slug);
        let fill = self.as_edge(Method::GET, &target, vec![]).await;
        let fill: Fill = serde_json::from_str(&fill.text).unwrap();
        let stored = fill.link.expect("a record");
        let link = stored.record.as_ref().expect("a link");
        let key = TokenKey::signing(&self.app.config.token_secrets, link.workspace);
        match redirect::decide((link, stored.version), visit, at, random(), &key) {
            Decision::Redirect { click, location } => Visited {
                id: click.id.to_string(),
                token: key.token(click.id),
                click: serde_json::to_value(&click).unwrap(),
                location,
            },
            Decision::Unavailable(why) => panic!("no redirect: {why:?}"),
        }
    }

    /// Delivers clicks, as the worker's consumer does, and answers the receipt.
    pub async fn deliver(&self, clicks: &[&Visited]) -> Value {
        let clicks: Vec<_> = clicks.iter().map(|visited| &visited.click).collect();
        let body = json!({"clicks": clicks}).to_string();
        self.as_edge(Method::POST, "/internal/v1/clicks", body.into_bytes()).await.expect(200)
    }
}

/// A click that the edge has decided on.
#[derive(Clone)]
pub struct Visited {
    pub id: String,
    /// What `nim_ct` would be, also where the decision was not to append it.
    pub token: String,
    pub click: Value,
    pub location: String,
}

/// A team: a workspace and its admin key.
#[derive(Clone)]
pub struct Team {
    pub service: Service,
    pub workspace: String,
    pub key: String,
}

impl Team {
    pub fn id(&self) -> WorkspaceId {
        self.workspace.parse().unwrap()
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.service.ask(&self.key, method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// The same workspace by a key of another role.
    pub async fn with_key(&self, role: &str, can_export: bool) -> Self {
        let made = self.post("/v1/api-keys", json!({"name": role, "role": role, "can_export": can_export})).await;
        Self { key: text(&made.expect(201), "/key"), ..self.clone() }
    }

    /// Program `creators` with 10 % on sales, its partner `nomura`, a domain, and the partner's link `nomura` on it: the
    /// hostname, and the link as made.
    pub async fn campaign(&self) -> (String, Value) {
        let host = format!("go-{:x}.example.com", u64::from_be_bytes(random()));
        let terms = json!({"basis": "percentage", "rate_bps": 1000, "applies_to": ["sale"], "hold_days": 30});
        let program = json!({"name": "Creators", "kind": "creator", "reward_terms": terms});
        self.post("/v1/programs", program).await.expect(201);
        let partner = json!({"display_name": "Nomura", "primary_program": "key:creators"});
        self.post("/v1/partners", partner).await.expect(201);
        self.post("/v1/domains", json!({"hostname": host})).await.expect(201);
        let link = json!({"domain": host, "slug": "nomura", "destination": "https://shop.example.com/?a=1#top", "partner": "key:nomura"});
        let link = self.post("/v1/links", link).await.expect(201);
        (host, link)
    }

    /// A source of signed events.
    pub async fn source(&self) -> Source {
        let made = self.post("/v1/sources", json!({"name": "shop", "kind": "signed"})).await.expect(201);
        let secret = Secret::parse(&text(&made, "/secret")).unwrap();
        Source { service: self.service.clone(), id: text(&made, "/id"), secret }
    }
}

/// A customer's server.
#[derive(Clone)]
pub struct Source {
    pub service: Service,
    pub id: String,
    pub secret: Secret,
}

impl Source {
    /// Sends a body, signed now.
    pub async fn send(&self, body: &Value) -> Answer {
        self.send_raw(&body.to_string()).await
    }

    /// The same for a text that may be no JSON.
    pub async fn send_raw(&self, raw: &str) -> Answer {
        let at = self.service.now();
        let request = Request::post(format!("/v1/sources/{}/events", self.id))
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", at.seconds())
            .header("webhook-signature", webhook::sign(&self.secret, "msg_1", at, raw.as_bytes()))
            .header(header::CONTENT_TYPE, "application/json");
        self.service.send(request.body(raw.to_owned().into()).unwrap()).await
    }

    /// Sends an event that must be accepted, and answers its result.
    pub async fn accepted(&self, event: Value) -> Value {
        let result = self.send(&event).await.expect(200);
        assert_eq!(result["status"], "accepted", "{result}");
        result
    }
}

/// An answer of the service.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// The text as JSON; `null` where it is none.
    pub json: Value,
}

impl Answer {
    /// The JSON of an answer that must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json
    }

    /// Checks that this is a problem document with this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
    }
}

/// The text at a JSON pointer.
#[track_caller]
pub fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} of {value}")).to_owned()
}

/// Folds some of what is stored into the rollups, as the background work does, and answers how much.
pub async fn fold(pool: &PgPool, limit: i64) -> i64 {
    let clicks = store::rollups::fold_from(pool, limit, &mut Place::default()).await.unwrap();
    let conversions = store::conversion_rollups::fold(pool, limit).await.unwrap();
    clicks.unwrap_or_default() + conversions.unwrap_or_default()
}

/// Pointer and code of each fault of a problem, sorted.
#[track_caller]
pub fn codes(problem: &Answer) -> Vec<(String, String)> {
    let all = problem.json["errors"].as_array().unwrap_or_else(|| panic!("no faults: {}", problem.text));
    let mut codes: Vec<_> = all.iter().map(|fault| (text(fault, "/pointer"), text(fault, "/code"))).collect();
    codes.sort();
    codes
}

/// A field of each object on a page.
pub fn keys(list: &Value, name: &str) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|one| text(one, &format!("/{name}"))).collect()
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

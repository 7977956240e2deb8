//! Who speaks in the stories: a team with its key, its server with a source, and visitors.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    Millis,
    webhook::{self, Secret},
};

use crate::{Stack, eventually, now, random};

/// An ordinary phone, so that clicks are a human's.
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Content type, without parameters.
    pub content_type: String,
    /// Text.
    pub text: String,
    /// The text as JSON; `null` where it is none.
    pub json: Value,
}

impl Answer {
    /// Reads an answer whole.
    ///
    /// # Panics
    /// Where the connection breaks.
    pub async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().to_owned();
        let text = response.text().await.expect("the whole answer arrives");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, content_type, text, json }
    }

    /// The JSON of an answer that must have this status.
    ///
    /// # Panics
    /// Where it has another.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// Checks that this is a problem document with this status and code.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.content_type, "application/problem+json");
        for field in ["type", "title", "detail", "request_id"] {
            assert!(self.json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {}", self.text);
        }
    }

    /// Pointers and codes of the faults, sorted.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let text = |fault: &Value, name: &str| fault[name].as_str().unwrap_or_default().to_owned();
        let faults = self.json["errors"].as_array().cloned().unwrap_or_default();
        let mut faults: Vec<_> = faults.iter().map(|f| (text(f, "pointer"), text(f, "code"))).collect();
        faults.sort();
        faults
    }
}

/// A team: a workspace and its admin key.
pub struct Team<'a> {
    /// The stage.
    pub stack: &'a Stack,
    /// The workspace's id.
    pub workspace: String,
    /// The admin key.
    pub key: String,
}

/// What a visitor got.
#[derive(Debug)]
pub struct Redirect {
    /// Status.
    pub status: u16,
    /// `Location`; empty where there is none.
    pub location: String,
    /// The click token in it; empty where there is none.
    pub token: String,
}

impl<'a> Team<'a> {
    /// Of the answer that made the workspace.
    #[must_use]
    pub fn new(stack: &'a Stack, made: &Value) -> Self {
        Self { stack, workspace: text(made, "/id"), key: text(made, "/api_key/key") }
    }

    /// A request with the team's key.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.stack.http.request(method, format!("{}{path}", self.stack.api_url)).bearer_auth(&self.key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Answer::of(request.send().await.expect("control-api answers")).await
    }

    /// Reads.
    ///
    /// # Panics
    /// Where the answer is not 200.
    pub async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await.expect(200)
    }

    /// Makes.
    ///
    /// # Panics
    /// Where the answer is not 201.
    pub async fn make(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, Some(&body)).await.expect(201)
    }

    /// Changes.
    ///
    /// # Panics
    /// Where the answer is not 200.
    pub async fn change(&self, path: &str, body: Value) -> Value {
        self.send(Method::PATCH, path, Some(&body)).await.expect(200)
    }

    /// A program with 10 % on sales, a partner, a domain, and a link of the partner's: the hostname and the
    /// link.
    ///
    /// # Panics
    /// Where one of them can't be made.
    pub async fn campaign(&self) -> (String, Value) {
        let host = format!("go-{:x}.example.com", u32::from_be_bytes(random()));
        let terms = json!({"basis": "percentage", "rate_bps": 1000, "applies_to": ["sale"], "hold_days": 30});
        self.make("/v1/programs", json!({"name": "Creators", "kind": "creator", "reward_terms": terms})).await;
        self.make("/v1/partners", json!({"display_name": "Nomura", "primary_program": "key:creators"})).await;
        self.make("/v1/domains", json!({"hostname": host})).await;
        let link = json!({"domain": host, "slug": "nomura", "destination": "https://shop.example.com/?a=1#top", "partner": "key:nomura"});
        (host.clone(), self.make("/v1/links", link).await)
    }

    /// A source of signed events.
    ///
    /// # Panics
    /// Where it can't be made.
    pub async fn source(&self) -> Source<'a> {
        let made = self.make("/v1/sources", json!({"name": "shop", "kind": "signed"})).await;
        let secret = Secret::parse(&text(&made, "/secret")).expect("a secret");
        Source { stack: self.stack, id: text(&made, "/id"), secret }
    }

    /// A visit of a short link, by a phone.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn visit(&self, host: &str, path: &str) -> Redirect {
        self.visit_as(host, path, PHONE).await
    }

    /// A visit of a short link.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn visit_as(&self, host: &str, path: &str, agent: &str) -> Redirect {
        let request = self.stack.http.get(format!("{}{path}", self.stack.edge_url)).header("host", host);
        let response = request.header("user-agent", agent).send().await.expect("the worker answers");
        let status = response.status().as_u16();
        let location = response.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let after = location.split_once("nim_ct=").map(|(_, rest)| rest).unwrap_or_default();
        let token = after.split(['&', '#']).next().unwrap_or_default().to_owned();
        Redirect { status, location, token }
    }

    /// A report over the days around now.
    ///
    /// # Panics
    /// Where the answer is not 200.
    pub async fn report(&self, kind: &str, group_by: &str) -> Value {
        self.get(&format!("/v1/reports/{kind}?{}&group_by={group_by}", around_now())).await
    }

    /// The traffic report by partner, once it counts this many clicks.
    ///
    /// # Panics
    /// Where it never does.
    pub async fn traffic_of(&self, clicks: i64) -> Value {
        eventually(&format!("{clicks} clicks in the report"), || async {
            let report = self.report("traffic", "partner").await;
            (report["totals"]["total"] == clicks).then_some(report)
        })
        .await
    }

    /// The rows of a conversions export, by column.
    ///
    /// # Panics
    /// Where the job doesn't end well.
    pub async fn export(&self) -> String {
        let (from, to) = days_around_now();
        let body = json!({"kind": "conversions", "from": from, "to": to});
        let job = self.send(Method::POST, "/v1/exports", Some(&body)).await.expect(202);
        let path = format!("/v1/exports/{}", text(&job, "/id"));
        eventually("the export to be completed", || async {
            let job = self.get(&path).await;
            assert_ne!(job["status"], "failed", "{job}");
            (job["status"] == "completed").then_some(())
        })
        .await;
        let file = self.send(Method::GET, &format!("{path}/file"), None).await;
        assert_eq!((file.status, file.content_type.as_str()), (200, "text/csv"), "{}", file.text);
        file.text
    }
}

/// A customer's server.
pub struct Source<'a> {
    /// The stage.
    pub stack: &'a Stack,
    /// The source's id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

impl Source<'_> {
    /// Sends a body, signed now by the source's secret.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn send(&self, body: &Value) -> Answer {
        self.send_signed(body, &self.secret, now()).await
    }

    /// Sends a body, signed by any secret at any time.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn send_signed(&self, body: &Value, secret: &Secret, at: Millis) -> Answer {
        let raw = body.to_string();
        let signature = webhook::sign(secret, "msg_1", at, raw.as_bytes());
        let request = self.stack.http.post(format!("{}/v1/sources/{}/events", self.stack.api_url, self.id));
        let request = request.header("webhook-id", "msg_1").header("webhook-timestamp", at.seconds());
        let request = request.header("webhook-signature", signature).header("content-type", "application/json");
        Answer::of(request.body(raw).send().await.expect("control-api answers")).await
    }

    /// Sends an event that must be accepted, and answers its result.
    ///
    /// # Panics
    /// Where it is not.
    pub async fn accepted(&self, event: Value) -> Value {
        let result = self.send(&event).await.expect(200);
        assert_eq!(result["status"], "accepted", "{result}");
        result
    }
}

/// The text at a JSON pointer.
///
/// # Panics
/// Where there is none.
#[must_use]
#[track_caller]
pub fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
        .to_owned()
}

fn days_around_now() -> (String, String) {
    let day = |days| (chrono::Utc::now() + chrono::Duration::days(days)).format("%Y-%m-%dT00:00:00Z").to_string();
    (day(-1), day(2))
}

fn around_now() -> String {
    let (from, to) = days_around_now();
    format!("from={from}&to={to}")
}

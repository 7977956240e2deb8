//! A small world for reports: clicks and events around the night in which Europe puts its clocks forward, few enough to
//! reckon with by hand.

use axum::http::{Request, header};
use serde_json::{Value, json};
use shared::{Millis, redirect::Visit};
use sqlx::PgPool;

use super::service::{Answer, PHONE, Service, Source, Team, Visited, text};

const DESKTOP: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
/// All that ever happened in [`World`], from midnight to midnight.
pub const ALL: &str = "from=2026-03-28&to=2026-04-02&tz=Europe/Berlin";

pub fn at(text: &str) -> Millis {
    model::time::Timestamp::parse(text).unwrap().millis()
}

/// A service whose clock stands at a moment.
pub async fn service_at(pool: &PgPool, moment: &str) -> Service {
    let service = Service::start(pool).await;
    for days in ["-1 month", "0", "1 month"] {
        sqlx::query("select ensure_click_partition($1::timestamptz + $2::text::interval)")
            .bind(model::time::Timestamp::parse(moment).unwrap())
            .bind(days)
            .execute(pool)
            .await
            .unwrap();
    }
    service.advance(at(moment).0 - service.now().0);
    service
}

/// Two partners and three links, clicked nine times, with seven events.
///
/// | click | Berlin | link | partner | by |
/// |---|---|---|---|---|
/// | 0 | 29 March 00:30 | nomura | Nomura | phone, DE |
/// | 1 | 29 March 01:59 | nomura | Nomura | phone, JP, QR |
/// | 2 | 29 March 03:00 | nomura | Nomura | crawler, DE |
/// | 3 | 30 March 07:00 | nomura | Nomura | probe |
/// | 4 | 30 March 00:15 | solo | Solo | phone, DE, `utm_source=mail` |
/// | 5 | 30 March 12:00 | solo | Solo | desktop, US |
/// | 6 | 31 March 23:59 | plain | | phone |
/// | 7 | 1 April 00:00 | plain | | phone |
/// | 8 | 1 April 14:00 | plain | | phone |
pub struct World {
    pub service: Service,
    pub team: Team,
    pub source: Source,
    host: String,
    pub clicks: Vec<Visited>,
    /// Ids and hostnames, and the names that the tests give them.
    names: Vec<(String, &'static str)>,
}

impl World {
    pub async fn new(pool: &PgPool) -> Self {
        let service = service_at(pool, "2026-04-02T12:00:00Z").await;
        let team = service.team().await;
        let (host, nomura) = team.campaign().await;
        // Terms begin by the database's clock, which nobody moves.
        sqlx::query("update program_reward_terms set started_at = '2026-03-01'").execute(pool).await.unwrap();
        let other = format!("other-{host}");
        team.patch("/v1/partners/key:nomura", json!({"tags": ["vip", "eu"]})).await.expect(200);
        let solo = json!({"display_name": "Solo", "key": "solo", "tags": ["eu"]});
        let solo = team.post("/v1/partners", solo).await.expect(201);
        team.post("/v1/domains", json!({"hostname": other})).await.expect(201);
        let link = json!({"domain": other, "slug": "solo", "destination": "https://shop.example.com/solo",
            "partner": "key:solo", "utm": {"source": "news", "campaign": "summer"}});
        let solo_link = team.post("/v1/links", link).await.expect(201);
        let link = json!({"domain": host, "slug": "plain", "destination": "https://shop.example.com/plain"});
        let plain = team.post("/v1/links", link).await.expect(201);

        let base = || Visit { agent: PHONE, ..Visit::default() };
        let (one, two) = (host.as_str(), other.as_str());
        let mut clicks = vec![];
        for (moment, host, slug, visit) in [
            (
                "2026-03-28T23:30:00Z",
                one,
                "nomura",
                Visit { country: "DE", region: "BE", referrer: "https://blog.example.org/post?a=1", ..base() },
            ),
            ("2026-03-29T00:59:59.999Z", one, "nomura", Visit { country: "JP", region: "13", query: "qr=1", ..base() }),
            ("2026-03-29T01:00:00Z", one, "nomura", Visit { country: "DE", agent: CRAWLER, ..base() }),
            ("2026-03-30T05:00:00Z", one, "nomura", Visit { head: true, ..base() }),
            ("2026-03-29T22:15:00Z", two, "solo", Visit { country: "DE", query: "utm_source=mail", ..base() }),
            ("2026-03-30T10:00:00Z", two, "solo", Visit { country: "US", agent: DESKTOP, ..base() }),
            ("2026-03-31T21:59:00Z", one, "plain", base()),
            ("2026-03-31T22:00:00Z", one, "plain", base()),
            ("2026-04-01T12:00:00Z", one, "plain", base()),
        ] {
            clicks.push(service.visit_as(&Visit { host, slug, ..visit }, at(moment)).await);
        }
        assert_eq!(service.deliver(&clicks.iter().collect::<Vec<_>>()).await["stored"], 9);

        let partner = team.get("/v1/partners/key:nomura").await.expect(200);
        let names = vec![
            (text(&partner, "/id"), "<nomura>"),
            (text(&solo, "/id"), "<solo>"),
            (text(&partner, "/primary_program/id"), "<creators>"),
            (text(&nomura, "/id"), "<link nomura>"),
            (text(&solo_link, "/id"), "<link solo>"),
            (text(&plain, "/id"), "<link plain>"),
            (other.clone(), "<two>"),
            (host.clone(), "<one>"),
        ];
        let source = team.source().await;
        Self { service, team, source, host, clicks, names }
    }

    /// Events, as they are sent. The last two are nobody's: of a link without partner, and of a click that is not there.
    pub async fn events(&self) {
        let lost = self.service.visit(&self.host, "nomura", at("2026-03-30T11:00:00Z")).await;
        let token = |click: usize| self.clicks[click].token.as_str();
        for (id, kind, click, amount, currency, occurred) in [
            ("1", "sale", token(0), 10_000, "EUR", "2026-03-29T00:30:00Z"),
            ("2", "lead", token(1), 0, "", "2026-03-30T08:00:00Z"),
            ("3", "sale", token(2), 700, "EUR", "2026-03-30T06:00:00Z"),
            ("4", "sale", token(4), 500, "JPY", "2026-03-30T09:00:00Z"),
            ("5", "sale", token(5), 1_234, "KWD", "2026-04-01T00:00:00Z"),
            ("6", "sale", token(6), 900, "EUR", "2026-04-01T00:00:00Z"),
            ("7", "sale", lost.token.as_str(), 900, "EUR", "2026-03-31T00:00:00Z"),
        ] {
            let mut event = json!({"event_id": id, "type": kind, "nim_ct": click, "occurred_at": occurred});
            if !currency.is_empty() {
                event["amount_minor"] = json!(amount);
                event["currency"] = json!(currency);
                event["event_name"] = json!("order");
            }
            self.source.accepted(event).await;
        }
        self.source
            .accepted(json!({"event_id": "8", "type": "refund", "original_event_id": "1", "amount_minor": 2_500,
                "currency": "EUR", "occurred_at": "2026-03-31T08:00:00Z"}))
            .await;
    }

    pub async fn get(&self, report: &str, query: &str) -> Value {
        self.team.get(&format!("/v1/reports/{report}?{query}")).await.expect(200)
    }

    pub async fn csv(&self, path: &str, accept: &str) -> Answer {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.team.key))
            .header(header::ACCEPT, accept);
        self.service.send(request.body(axum::body::Body::empty()).unwrap()).await
    }

    /// With the names of the tests instead of ids and hosts.
    pub fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }

    /// A query with ids and hosts instead of names.
    pub fn query(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(name, id))
    }

    /// Groups of a report of traffic as `key | label | selected human bot short_link qr_scan`.
    pub async fn traffic(&self, query: &str) -> Vec<String> {
        let report = self.get("traffic", query).await;
        let line = |group: &Value| self.named(&format!("{} | {}", head(group), counts(group)));
        report["groups"].as_array().unwrap().iter().map(line).collect()
    }

    /// Groups of a report of conversions as `key | label | leads sales refunds human_clicks | revenue | reward`.
    pub async fn conversions(&self, query: &str) -> Vec<String> {
        let report = self.get("conversions", query).await;
        let line = |group: &Value| self.named(&format!("{} | {}", head(group), outcome(group)));
        report["groups"].as_array().unwrap().iter().map(line).collect()
    }
}

pub fn head(group: &Value) -> String {
    format!("{} | {}", group["key"].as_str().unwrap(), group["label"].as_str().unwrap_or("-"))
}

pub fn counts(group: &Value) -> String {
    ["selected", "human", "bot", "short_link", "qr_scan"].map(|name| group[name].to_string()).join(" ")
}

pub fn outcome(group: &Value) -> String {
    let counts = ["leads", "sales", "refunds", "human_clicks"].map(|name| group[name].to_string()).join(" ");
    let amounts = |list: &str, names: &[&str]| {
        let one = |of: &Value| {
            let amounts: Vec<String> = names.iter().map(|name| of[name].to_string()).collect();
            format!("{} {}", of["currency"].as_str().unwrap(), amounts.join(" "))
        };
        group[list].as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let revenue = amounts("revenue", &["gross_minor", "negative_minor", "net_minor"]);
    format!("{counts} | {revenue} | {}", amounts("estimated_reward", &["amount_minor"]))
}

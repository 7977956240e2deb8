//! Reports as their callers meet them: every grouping, filter and total, on a few clicks and events around the night in
//! which Europe puts its clocks forward. What each line must say is reckoned by hand from [`World`].

use axum::http::{Request, header};
use serde_json::{Value, json};
use shared::{Millis, redirect::Visit};
use sqlx::PgPool;

use super::service::{Answer, PHONE, Service, Source, Team, Visited, text};

const DESKTOP: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
/// All that ever happened in [`World`], from midnight to midnight.
const ALL: &str = "from=2026-03-28&to=2026-04-02&tz=Europe/Berlin";

pub fn at(text: &str) -> Millis {
    control_api::time::At::parse(text).unwrap().millis()
}

/// A service whose clock stands at a moment.
pub async fn service_at(pool: &PgPool, moment: &str) -> Service {
    let service = Service::start(pool).await;
    for days in ["-1 month", "0", "1 month"] {
        sqlx::query("select ensure_click_partition($1::timestamptz + $2::text::interval)")
            .bind(control_api::time::At::parse(moment).unwrap())
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
struct World {
    service: Service,
    team: Team,
    source: Source,
    host: String,
    clicks: Vec<Visited>,
    /// Ids and hostnames, and the names that the tests give them.
    names: Vec<(String, &'static str)>,
}

impl World {
    async fn new(pool: &PgPool) -> Self {
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
    async fn events(&self) {
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

    async fn get(&self, report: &str, query: &str) -> Value {
        self.team.get(&format!("/v1/reports/{report}?{query}")).await.expect(200)
    }

    async fn csv(&self, path: &str, accept: &str) -> Answer {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.team.key))
            .header(header::ACCEPT, accept);
        self.service.send(request.body(axum::body::Body::empty()).unwrap()).await
    }

    /// With the names of the tests instead of ids and hosts.
    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }

    /// A query with ids and hosts instead of names.
    fn query(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(name, id))
    }

    /// Groups of a report of traffic as `key | label | selected human bot short_link qr_scan`.
    async fn traffic(&self, query: &str) -> Vec<String> {
        let report = self.get("traffic", query).await;
        let line = |group: &Value| self.named(&format!("{} | {}", head(group), counts(group)));
        report["groups"].as_array().unwrap().iter().map(line).collect()
    }

    /// Groups of a report of conversions as `key | label | leads sales refunds human_clicks | revenue | reward`.
    async fn conversions(&self, query: &str) -> Vec<String> {
        let report = self.get("conversions", query).await;
        let line = |group: &Value| self.named(&format!("{} | {}", head(group), outcome(group)));
        report["groups"].as_array().unwrap().iter().map(line).collect()
    }
}

fn head(group: &Value) -> String {
    format!("{} | {}", group["key"].as_str().unwrap(), group["label"].as_str().unwrap_or("-"))
}

fn counts(group: &Value) -> String {
    ["selected", "human", "bot", "short_link", "qr_scan"].map(|name| group[name].to_string()).join(" ")
}

fn outcome(group: &Value) -> String {
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

#[sqlx::test(migrations = "../migrations")]
async fn clicks_in_every_grouping(pool: PgPool) {
    let world = World::new(&pool).await;
    let totals = json!({"total": 9, "selected": 9, "human": 7, "bot": 2, "short_link": 8, "qr_scan": 1});
    for (group, expected) in [
        ("partner", vec!["<nomura> | Nomura | 4 2 2 3 1", "none | - | 3 3 0 3 0", "<solo> | Solo | 2 2 0 2 0"]),
        ("program", vec!["none | - | 5 5 0 5 0", "<creators> | Creators | 4 2 2 3 1"]),
        (
            "link",
            vec![
                "<link nomura> | <one>/nomura | 4 2 2 3 1",
                "<link plain> | <one>/plain | 3 3 0 3 0",
                "<link solo> | <two>/solo | 2 2 0 2 0",
            ],
        ),
        ("country", vec!["none | - | 4 3 1 4 0", "DE | DE | 3 2 1 3 0", "JP | JP | 1 1 0 0 1", "US | US | 1 1 0 1 0"]),
        ("region", vec!["none | - | 7 5 2 7 0", "DE-BE | DE-BE | 1 1 0 1 0", "JP-13 | JP-13 | 1 1 0 0 1"]),
        ("source", vec!["none | - | 7 5 2 6 1", "mail | mail | 1 1 0 1 0", "news | news | 1 1 0 1 0"]),
        ("referrer", vec!["none | - | 8 6 2 7 1", "blog.example.org | blog.example.org | 1 1 0 1 0"]),
        ("trigger", vec!["link | link | 8 6 2 8 0", "qr | qr | 1 1 0 0 1"]),
        ("tag", vec!["eu | eu | 6 4 2 5 1", "vip | vip | 4 2 2 3 1", "none | - | 3 3 0 3 0"]),
        ("campaign", vec!["none | - | 7 5 2 6 1", "summer | summer | 2 2 0 2 0"]),
        ("domain", vec!["<one> | <one> | 7 5 2 6 1", "<two> | <two> | 2 2 0 2 0"]),
        (
            "day",
            vec![
                "2026-03-29 | 2026-03-29 | 3 2 1 2 1",
                "2026-03-30 | 2026-03-30 | 3 2 1 3 0",
                "2026-04-01 | 2026-04-01 | 2 2 0 2 0",
                "2026-03-31 | 2026-03-31 | 1 1 0 1 0",
            ],
        ),
        ("week", vec!["2026-03-30 | 2026-W14 | 6 5 1 6 0", "2026-03-23 | 2026-W13 | 3 2 1 2 1"]),
        ("month", vec!["2026-03 | 2026-03 | 7 5 2 6 1", "2026-04 | 2026-04 | 2 2 0 2 0"]),
        (
            "hour",
            vec![
                "2026-03-28T23:00:00.000Z | 2026-03-29 00:00 | 1 1 0 1 0",
                "2026-03-29T00:00:00.000Z | 2026-03-29 01:00 | 1 1 0 0 1",
                // Two o'clock did not come that night.
                "2026-03-29T01:00:00.000Z | 2026-03-29 03:00 | 1 0 1 1 0",
                "2026-03-29T22:00:00.000Z | 2026-03-30 00:00 | 1 1 0 1 0",
                "2026-03-30T05:00:00.000Z | 2026-03-30 07:00 | 1 0 1 1 0",
                "2026-03-30T10:00:00.000Z | 2026-03-30 12:00 | 1 1 0 1 0",
                "2026-03-31T21:00:00.000Z | 2026-03-31 23:00 | 1 1 0 1 0",
                "2026-03-31T22:00:00.000Z | 2026-04-01 00:00 | 1 1 0 1 0",
                "2026-04-01T12:00:00.000Z | 2026-04-01 14:00 | 1 1 0 1 0",
            ],
        ),
    ] {
        let query = format!("{ALL}&group_by={group}");
        assert_eq!(world.traffic(&query).await, expected, "{group}");
        let report = world.get("traffic", &query).await;
        assert_eq!((&report["totals"], &report["hints"]), (&totals, &json!([])), "{group}");
        assert_eq!((&report["other"], &report["previous"]), (&json!(null), &json!(null)), "{group}");
    }
    // What devices and browsers are called is another test's matter; that they add up is this one's.
    for group in ["device", "browser", "os"] {
        let report = world.get("traffic", &format!("{ALL}&group_by={group}")).await;
        let groups = report["groups"].as_array().unwrap();
        assert!(groups.len() > 1, "{report}");
        assert_eq!(groups.iter().map(|group| group["selected"].as_i64().unwrap()).sum::<i64>(), 9, "{report}");
        assert_eq!(report["totals"], totals, "{group}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn clicks_under_every_filter(pool: PgPool) {
    let world = World::new(&pool).await;
    for (filter, expected) in [
        ("bots=all", "9 9 7 2"),
        // `total`, `human` and `bot` ignore it.
        ("bots=human", "9 7 7 2"),
        ("bots=bot", "9 2 7 2"),
        ("partner=key:nomura", "4 4 2 2"),
        ("partner=<solo>", "2 2 2 0"),
        ("program=key:creators", "4 4 2 2"),
        ("program=<creators>", "4 4 2 2"),
        ("link=<link plain>", "3 3 3 0"),
        ("domain=<two>", "2 2 2 0"),
        ("country=de", "3 3 2 1"),
        ("tag=vip", "4 4 2 2"),
        ("tag=eu", "6 6 4 2"),
        ("tag=eu&country=DE&bots=human", "3 2 2 1"),
        ("partner=key:nomura&domain=<two>", "0 0 0 0"),
    ] {
        // Whichever way it is counted.
        for group in ["partner", "country", "day", "tag"] {
            let report = world.get("traffic", &world.query(&format!("{ALL}&group_by={group}&{filter}"))).await;
            let totals = ["total", "selected", "human", "bot"].map(|name| report["totals"][name].to_string());
            assert_eq!(totals.join(" "), expected, "{group} {filter}");
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn days_and_hours_are_cut_in_the_zone(pool: PgPool) {
    let world = World::new(&pool).await;
    let kathmandu = "from=2026-03-29&to=2026-04-02&tz=Asia/Kathmandu";
    assert_eq!(
        world.traffic(&format!("{kathmandu}&group_by=day")).await,
        [
            "2026-03-29 | 2026-03-29 | 3 2 1 2 1",
            "2026-03-30 | 2026-03-30 | 3 2 1 3 0",
            "2026-04-01 | 2026-04-01 | 3 3 0 3 0",
        ]
    );
    // Hours of a zone at a quarter to: 00:59 and 01:00 UTC are both within six and seven.
    let hours = world.traffic(&world.query(&format!("{kathmandu}&group_by=hour&link=<link nomura>"))).await;
    assert_eq!(
        hours,
        [
            "2026-03-29T00:15:00.000Z | 2026-03-29 06:00 | 2 1 1 1 1",
            "2026-03-28T23:15:00.000Z | 2026-03-29 05:00 | 1 1 0 1 0",
            "2026-03-30T04:15:00.000Z | 2026-03-30 10:00 | 1 0 1 1 0",
        ]
    );
    // A quarter-hour's end cuts exactly there: in Kathmandu the day of the last click ends at 18:15 UTC.
    for (query, expected) in [
        ("from=2026-03-28T23:30:00Z&to=2026-03-29T00:59:59.999Z", 1),
        ("from=2026-03-28T23:30:00.001Z&to=2026-03-29T01:00:00Z", 1),
        ("from=2026-03-29&to=2026-03-30&tz=Europe/Berlin", 3),
        ("from=2026-03-29&to=2026-03-30&tz=UTC", 3),
        ("from=2026-03-29&to=2026-03-30&tz=America/New_York", 1),
        ("from=2026-04-01&to=2026-04-02&tz=Asia/Kathmandu", 3),
        ("from=2026-04-01&to=2026-04-02&tz=Europe/Berlin", 2),
        ("from=2026-04-01&to=2026-04-02&tz=UTC", 1),
    ] {
        assert_eq!(world.get("traffic", query).await["totals"]["total"], expected, "{query}");
    }
    // Dates begin in the workspace's own zone where none is named.
    world.team.patch("/v1/workspace", json!({"timezone": "Asia/Kathmandu"})).await.expect(200);
    let report = world.get("traffic", "from=2026-04-01&to=2026-04-02").await;
    assert_eq!((&report["totals"]["total"], &report["range"]["tz"]), (&json!(3), &json!("Asia/Kathmandu")));
    assert_eq!(report["range"]["from"], "2026-03-31T18:15:00.000Z", "{report}");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_night_with_an_hour_more(pool: PgPool) {
    let service = service_at(&pool, "2026-10-28T12:00:00Z").await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let mut clicks = vec![];
    for moment in [
        "2026-10-24T21:59:59.999Z",
        "2026-10-24T22:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T01:45:00Z",
        "2026-10-25T22:59:59.999Z",
        "2026-10-25T23:00:00Z",
    ] {
        clicks.push(service.visit(&host, "nomura", at(moment)).await);
    }
    service.deliver(&clicks.iter().collect::<Vec<_>>()).await;

    let get = async |query: &str| team.get(&format!("/v1/reports/traffic?tz=Europe/Berlin&{query}")).await.expect(200);
    let day = get("from=2026-10-25&to=2026-10-26&group_by=hour").await;
    let hours: Vec<(&str, &str, i64)> = day["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            (group["key"].as_str().unwrap(), group["label"].as_str().unwrap(), group["selected"].as_i64().unwrap())
        })
        .collect();
    // Two o'clock came twice; each is an hour of its own.
    assert_eq!(
        hours,
        [
            ("2026-10-25T01:00:00.000Z", "2026-10-25 02:00", 2),
            ("2026-10-24T22:00:00.000Z", "2026-10-25 00:00", 1),
            ("2026-10-25T00:00:00.000Z", "2026-10-25 02:00", 1),
            ("2026-10-25T22:00:00.000Z", "2026-10-25 23:00", 1),
        ]
    );
    assert_eq!(day["totals"]["total"], 5, "25 hours: {day}");
    let days = get("from=2026-10-24&to=2026-10-27&group_by=day&compare=previous").await;
    let keys: Vec<(&str, i64)> = days["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["key"].as_str().unwrap(), group["selected"].as_i64().unwrap()))
        .collect();
    assert_eq!(keys, [("2026-10-25", 5), ("2026-10-24", 1), ("2026-10-26", 1)]);
    // Three days before three days, of which one had 25 hours.
    assert_eq!(days["previous"]["range"]["from"], "2026-10-20T22:00:00.000Z", "{days}");
    let day = get("from=2026-10-26&to=2026-10-27&compare=previous").await;
    assert_eq!(day["previous"]["range"]["from"], "2026-10-24T22:00:00.000Z", "{day}");
    assert_eq!((&day["totals"]["total"], &day["previous"]["totals"]["total"]), (&json!(1), &json!(5)));
    assert_eq!(day["previous"]["change"]["selected"], -0.8, "{day}");
}

#[sqlx::test(migrations = "../migrations")]
async fn conversions_in_every_grouping(pool: PgPool) {
    let world = World::new(&pool).await;
    world.events().await;
    let totals = "1 4 1 4 | EUR 10700 -2500 8200, JPY 500 0 500, KWD 1234 0 1234 | EUR 820";
    let nomura = "1 2 1 2 | EUR 10700 -2500 8200 | EUR 820";
    let solo = "0 2 0 2 | JPY 500 0 500, KWD 1234 0 1234 | ";
    for (group, expected) in [
        ("partner", vec![format!("<nomura> | Nomura | {nomura}"), format!("<solo> | Solo | {solo}")]),
        ("program", vec![format!("<creators> | Creators | {nomura}"), format!("none | - | {solo}")]),
        (
            "link",
            vec![format!("<link nomura> | <one>/nomura | {nomura}"), format!("<link solo> | <two>/solo | {solo}")],
        ),
        ("domain", vec![format!("<one> | <one> | {nomura}"), format!("<two> | <two> | {solo}")]),
        ("tag", vec![format!("eu | eu | {totals}"), format!("vip | vip | {nomura}")]),
        ("campaign", vec![format!("none | - | {nomura}"), format!("summer | summer | {solo}")]),
        (
            "type",
            vec![
                "sale | sale | 0 4 0 null | EUR 10700 0 10700, JPY 500 0 500, KWD 1234 0 1234 | EUR 1070".into(),
                "lead | lead | 1 0 0 null |  | ".into(),
                "refund | refund | 0 0 1 null | EUR 0 -2500 -2500 | EUR -250".into(),
            ],
        ),
        (
            "event_name",
            vec![
                "order | order | 0 4 0 null | EUR 10700 0 10700, JPY 500 0 500, KWD 1234 0 1234 | EUR 1070".into(),
                "none | - | 1 0 1 null | EUR 0 -2500 -2500 | EUR -250".into(),
            ],
        ),
        (
            "currency",
            vec![
                "EUR | EUR | 0 2 1 null | EUR 10700 -2500 8200 | EUR 820".into(),
                "JPY | JPY | 0 1 0 null | JPY 500 0 500 | ".into(),
                "KWD | KWD | 0 1 0 null | KWD 1234 0 1234 | ".into(),
                "none | - | 1 0 0 null |  | ".into(),
            ],
        ),
        (
            "country",
            vec![
                "DE | DE | 0 3 1 2 | EUR 10700 -2500 8200, JPY 500 0 500 | EUR 820".into(),
                "US | US | 0 1 0 1 | KWD 1234 0 1234 | ".into(),
                "JP | JP | 1 0 0 1 |  | ".into(),
            ],
        ),
        (
            "day",
            vec![
                "2026-03-30 | 2026-03-30 | 1 2 0 2 | EUR 700 0 700, JPY 500 0 500 | EUR 70".into(),
                "2026-03-29 | 2026-03-29 | 0 1 0 2 | EUR 10000 0 10000 | EUR 1000".into(),
                "2026-04-01 | 2026-04-01 | 0 1 0 0 | KWD 1234 0 1234 | ".into(),
                "2026-03-31 | 2026-03-31 | 0 0 1 0 | EUR 0 -2500 -2500 | EUR -250".into(),
            ],
        ),
        (
            "week",
            vec![
                "2026-03-30 | 2026-W14 | 1 3 1 2 | EUR 700 -2500 -1800, JPY 500 0 500, KWD 1234 0 1234 | EUR -180"
                    .into(),
                "2026-03-23 | 2026-W13 | 0 1 0 2 | EUR 10000 0 10000 | EUR 1000".into(),
            ],
        ),
        (
            "month",
            vec![
                "2026-03 | 2026-03 | 1 3 1 4 | EUR 10700 -2500 8200, JPY 500 0 500 | EUR 820".into(),
                "2026-04 | 2026-04 | 0 1 0 0 | KWD 1234 0 1234 | ".into(),
            ],
        ),
        (
            "hour",
            vec![
                "2026-03-29T00:00:00.000Z | 2026-03-29 01:00 | 0 1 0 1 | EUR 10000 0 10000 | EUR 1000".into(),
                "2026-03-30T06:00:00.000Z | 2026-03-30 08:00 | 0 1 0 0 | EUR 700 0 700 | EUR 70".into(),
                "2026-03-30T09:00:00.000Z | 2026-03-30 11:00 | 0 1 0 0 | JPY 500 0 500 | ".into(),
                "2026-04-01T00:00:00.000Z | 2026-04-01 02:00 | 0 1 0 0 | KWD 1234 0 1234 | ".into(),
                "2026-03-30T08:00:00.000Z | 2026-03-30 10:00 | 1 0 0 0 |  | ".into(),
                "2026-03-31T08:00:00.000Z | 2026-03-31 10:00 | 0 0 1 0 | EUR 0 -2500 -2500 | EUR -250".into(),
            ],
        ),
    ] {
        let query = format!("{ALL}&group_by={group}");
        assert_eq!(world.conversions(&query).await, expected, "{group}");
        let report = world.get("conversions", &query).await;
        assert_eq!(outcome(&report["totals"]), totals, "{group}");
        assert_eq!((&report["unattributed"], &report["pending"]), (&json!(1), &json!(1)), "{group}");
        assert_eq!((&report["totals"]["lead_rate"], &report["totals"]["sale_rate"]), (&json!(0.25), &json!(1.0)));
    }
    for (filter, expected) in [
        ("bots=human", "1 3 1 | 1 1"),
        ("bots=bot", "0 1 0 | 0 0"),
        ("partner=key:solo", "0 2 0 | 0 0"),
        ("program=key:creators", "1 2 1 | 0 0"),
        // The link's own event without partner is known, the one that waits for its click is not.
        ("link=<link plain>", "0 0 0 | 1 0"),
        ("domain=<one>", "1 2 1 | 1 0"),
        ("country=JP", "1 0 0 | 0 0"),
        ("tag=vip", "1 2 1 | 0 0"),
    ] {
        let report = world.get("conversions", &world.query(&format!("{ALL}&{filter}"))).await;
        let totals = ["leads", "sales", "refunds"].map(|name| report["totals"][name].to_string()).join(" ");
        assert_eq!(format!("{totals} | {} {}", report["unattributed"], report["pending"]), expected, "{filter}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_over_the_limit_stands_beside(pool: PgPool) {
    let world = World::new(&pool).await;
    world.events().await;
    let report = world.get("traffic", &format!("{ALL}&limit=1&bots=human")).await;
    // By what `bots` selects: the links of nobody lead then.
    let shown = |value: &Value| format!("{} {:.4}", counts(value), value["share"].as_f64().unwrap());
    assert_eq!(report["groups"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        (report["groups"][0]["key"].as_str(), shown(&report["groups"][0])),
        (Some("none"), "3 3 0 3 0 0.4286".into())
    );
    assert_eq!(shown(&report["other"]), "4 4 2 3 1 0.5714", "{report}");
    assert_eq!(report["filters"]["limit"], 1);

    let report = world.get("conversions", &format!("{ALL}&limit=1")).await;
    assert_eq!(report["groups"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(outcome(&report["other"]), "0 2 0 null | JPY 500 0 500, KWD 1234 0 1234 | ", "{report}");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_period_before_stands_beside(pool: PgPool) {
    const TWO_DAYS: &str = "from=2026-03-30&to=2026-04-01&tz=Europe/Berlin&compare=previous";
    let world = World::new(&pool).await;
    world.events().await;
    let report = world.get("traffic", TWO_DAYS).await;
    assert_eq!(
        report["previous"]["range"],
        json!({"from": "2026-03-27T23:00:00.000Z", "to": "2026-03-29T22:00:00.000Z", "tz": "Europe/Berlin"})
    );
    assert_eq!(report["previous"]["totals"]["total"], 3, "{report}");
    let before = |group: &Value| {
        let change = ["selected", "human", "bot"].map(|name| match group["change"][name].as_f64() {
            Some(change) => format!("{change:+.3}"),
            None => "-".to_owned(),
        });
        world.named(&format!("{} | {} | {}", head(group), counts(&group["previous"]), change.join(" ")))
    };
    let lines: Vec<String> = report["groups"].as_array().unwrap().iter().map(before).collect();
    assert_eq!(
        lines,
        [
            "<solo> | Solo | 0 0 0 0 0 | - - -",
            "<nomura> | Nomura | 3 2 1 2 1 | -0.667 -1.000 +0.000",
            "none | - | 0 0 0 0 0 | - - -",
        ]
    );
    let report = world.get("traffic", &format!("{TWO_DAYS}&group_by=day")).await;
    let lines: Vec<String> = report["groups"].as_array().unwrap().iter().map(before).collect();
    assert_eq!(
        lines,
        ["2026-03-30 | 2026-03-30 | 0 0 0 0 0 | - - -", "2026-03-31 | 2026-03-31 | 3 2 1 2 1 | -0.667 -0.500 -1.000",]
    );
    // Spans of time without counterpart say so.
    let report = world.get("traffic", &format!("{TWO_DAYS}&group_by=week")).await;
    assert_eq!((&report["groups"][0]["previous"], &report["groups"][0]["change"]), (&json!(null), &json!(null)));

    let report = world.get("conversions", &format!("{TWO_DAYS}&partner=key:nomura")).await;
    let group = &report["groups"][0];
    assert_eq!(outcome(group), "1 1 1 0 | EUR 700 -2500 -1800 | EUR -180", "{report}");
    assert_eq!(outcome(&group["previous"]), "0 1 0 2 | EUR 10000 0 10000 | EUR 1000", "{report}");
    assert_eq!(
        group["change"],
        json!({"leads": null, "sales": 0.0, "refunds": null, "cancellations": null, "reversals": null,
            "human_clicks": -1.0, "revenue": [{"currency": "EUR", "gross": -0.93, "net": -1.18}],
            "estimated_reward": [{"currency": "EUR", "amount": -1.18}]})
    );
    assert_eq!(report["previous"]["change"], group["change"]);

    let path = format!("/v1/reports/traffic?{TWO_DAYS}&limit=2");
    let table = world.csv(&path, "text/csv").await.text;
    assert_eq!(
        world.named(&table),
        "key,label,selected,human,bot,short_link,qr_scan,share,previous_selected,previous_human,previous_bot,\
         previous_short_link,previous_qr_scan,selected_change\r\n\
         <solo>,Solo,2,2,0,2,0,0.5,0,0,0,0,0,\r\n\
         <nomura>,Nomura,1,0,1,1,0,0.25,3,2,1,2,1,-0.6666666666666666\r\n\
         (other),,1,1,0,1,0,0.25,,,,,,\r\n"
    );
    let path = format!("/v1/reports/conversions?{TWO_DAYS}&partner=key:nomura");
    let table = world.csv(&path, "text/csv").await.text;
    assert_eq!(
        world.named(&table),
        "key,label,leads,sales,refunds,cancellations,reversals,human_clicks,lead_rate,sale_rate,gross_minor_EUR,\
         negative_minor_EUR,net_minor_EUR,estimated_reward_minor_EUR,previous_leads,previous_sales,previous_refunds,\
         previous_cancellations,previous_reversals,previous_human_clicks,previous_gross_minor_EUR,\
         previous_negative_minor_EUR,previous_net_minor_EUR,previous_estimated_reward_minor_EUR\r\n\
         <nomura>,Nomura,1,1,1,0,0,0,,,700,-2500,-1800,-180,0,1,0,0,0,2,10000,0,10000,1000\r\n"
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn csv_comes_to_those_who_would_rather_have_it(pool: PgPool) {
    let world = World::new(&pool).await;
    world.events().await;
    for (accept, csv) in [
        ("text/csv", true),
        ("application/json;q=0.1, text/csv;q=0.2", true),
        ("text/csv;q=0.1, application/json", false),
        ("*/*", false),
        ("image/png", false),
    ] {
        for report in ["traffic", "conversions"] {
            let answer = world.csv(&format!("/v1/reports/{report}?{ALL}"), accept).await;
            let kind = if csv { "text/csv; charset=utf-8" } else { "application/json" };
            assert_eq!((answer.status.as_u16(), &answer.headers[header::CONTENT_TYPE]), (200, &kind.parse().unwrap()));
            assert_eq!(answer.headers[header::VARY], "accept", "{accept}");
        }
    }
    let answer = world.csv(&format!("/v1/reports/traffic?{ALL}"), "text/csv").await;
    assert_eq!(answer.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"traffic.csv\"");
    assert_eq!(
        world.named(&answer.text),
        "key,label,selected,human,bot,short_link,qr_scan,share\r\n\
         <nomura>,Nomura,4,2,2,3,1,0.4444444444444444\r\n\
         none,,3,3,0,3,0,0.3333333333333333\r\n\
         <solo>,Solo,2,2,0,2,0,0.2222222222222222\r\n"
    );
    let answer = world.csv(&format!("/v1/reports/conversions?{ALL}&group_by=currency"), "text/csv").await;
    assert_eq!(
        world.named(&answer.text),
        "key,label,leads,sales,refunds,cancellations,reversals,human_clicks,lead_rate,sale_rate,gross_minor_EUR,\
         negative_minor_EUR,net_minor_EUR,gross_minor_JPY,negative_minor_JPY,net_minor_JPY,gross_minor_KWD,\
         negative_minor_KWD,net_minor_KWD,estimated_reward_minor_EUR\r\n\
         EUR,EUR,0,2,1,0,0,,,,10700,-2500,8200,,,,,,,820\r\n\
         JPY,JPY,0,1,0,0,0,,,,,,,500,0,500,,,,\r\n\
         KWD,KWD,0,1,0,0,0,,,,,,,,,,1234,0,1234,\r\n\
         none,,1,0,0,0,0,,,,,,,,,,,,,\r\n"
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn an_empty_report_says_why(pool: PgPool) {
    let world = World::new(&pool).await;
    let nobody = json!({"display_name": "Nobody", "key": "nobody", "tags": ["idle"]});
    world.team.post("/v1/partners", nobody).await.expect(201);
    world.team.patch(&world.query("/v1/links/<link solo>"), json!({"conversion_tracking": false})).await.expect(200);
    let zeros = json!({"total": 0, "selected": 0, "human": 0, "bot": 0, "short_link": 0, "qr_scan": 0});
    for (report, query, expected) in [
        ("traffic", "partner=key:nobody", vec!["no_assignment_yet"]),
        ("traffic", "tag=idle", vec!["no_assignment_yet"]),
        ("traffic", "country=FR", vec!["no_clicks_yet"]),
        ("traffic", "partner=key:nomura&country=US", vec!["no_match"]),
        ("traffic", "partner=key:solo&country=FR", vec!["no_clicks_yet"]),
        ("traffic", "partner=key:nobody&country=FR", vec!["no_assignment_yet", "no_clicks_yet"]),
        ("conversions", "partner=key:nobody", vec!["no_assignment_yet", "no_events_yet"]),
        ("conversions", "partner=key:solo", vec!["tracking_disabled", "no_events_yet"]),
        ("conversions", "partner=key:nomura", vec!["no_events_yet"]),
        ("conversions", "link=<link plain>", vec!["no_assignment_yet", "no_events_yet"]),
    ] {
        let found = world.get(report, &world.query(&format!("{ALL}&{query}"))).await;
        let codes: Vec<&str> =
            found["hints"].as_array().unwrap().iter().map(|hint| hint["code"].as_str().unwrap()).collect();
        assert_eq!(codes, expected, "{report} {query}");
        assert_eq!(found["groups"], json!([]), "{report} {query}");
        if report == "traffic" {
            assert_eq!((&found["totals"], &found["other"]), (&zeros, &json!(null)), "{query}");
        }
    }
    let found = world.get("traffic", "from=2026-01-01&to=2026-02-01&tz=Europe/Berlin").await;
    assert_eq!(
        found["hints"],
        json!([{"code": "outside_range", "detail": "none in the range; clicks are known from 2026-03-29 to 2026-04-01"}])
    );
    let found = world.get("traffic", &world.query(&format!("{ALL}&link=<link plain>&bots=bot"))).await;
    assert_eq!(
        found["hints"],
        json!([{"code": "humans_filtered", "detail": "3 clicks of humans are left out; bots=all counts them"}])
    );
    assert_eq!((&found["totals"]["total"], &found["totals"]["selected"]), (&json!(3), &json!(0)), "{found}");

    world.events().await;
    for (query, expected) in [
        ("link=<link plain>", vec!["unattributed_only"]),
        ("country=DE&from=2026-03-30T06:00:00Z&to=2026-03-30T07:00:00Z&bots=human", vec!["bots_filtered"]),
        ("from=2026-03-31&to=2026-03-31T01:00:00Z", vec!["pending_only"]),
        ("country=JP&from=2026-04-01&to=2026-04-02", vec!["outside_range"]),
        ("country=FR&from=2026-04-01&to=2026-04-02", vec!["no_clicks_yet"]),
    ] {
        let range = if query.contains("from=") { "" } else { ALL };
        let found = world.get("conversions", &world.query(&format!("{query}&{range}"))).await;
        let codes: Vec<&str> =
            found["hints"].as_array().unwrap().iter().map(|hint| hint["code"].as_str().unwrap()).collect();
        assert_eq!(codes, expected, "{query}");
        let zeros = json!({"leads": 0, "sales": 0, "refunds": 0, "cancellations": 0, "reversals": 0, "revenue": [],
            "estimated_reward": []});
        for (name, zero) in zeros.as_object().unwrap() {
            assert_eq!(found["totals"][name], *zero, "{query} {name}");
        }
    }

    // The rollups tell the same as what is not folded into them yet.
    let before = world.get("traffic", "from=2026-01-01&to=2026-02-01").await["hints"].clone();
    while control_api::db::rollups::fold(&pool, 100).await.unwrap() > 0 {}
    assert_eq!(world.get("traffic", "from=2026-01-01&to=2026-02-01").await["hints"], before);

    let empty = world.service.team().await;
    let found = empty.get(&format!("/v1/reports/traffic?{ALL}&compare=previous")).await.expect(200);
    assert_eq!(found["hints"][0]["code"], "no_clicks_yet", "{found}");
    assert_eq!((&found["totals"], &found["previous"]["totals"]), (&zeros, &zeros), "{found}");
    assert_eq!(found["previous"]["change"]["selected"], json!(null));
}

#[sqlx::test(migrations = "../migrations")]
async fn every_fault_is_named_at_once(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let later =
        (chrono::Utc::now() + chrono::Duration::minutes(5)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let ahead = format!("from=2026-03-01&to=2026-03-02&as_of={later}");
    for (query, expected) in [
        ("", vec!["?from required", "?to required"]),
        ("from=2026-03-02&to=2026-03-02", vec!["?to value"]),
        ("from=2026-03-02&to=2026-03-01", vec!["?to value"]),
        ("from=2010-01-01&to=2026-03-01", vec!["?to range"]),
        ("from=yesterday&to=2026-02-30", vec!["?from value", "?to value"]),
        ("from=1969-12-31&to=2026-02-03", vec!["?from value"]),
        ("from=2026-03-01&to=2026-03-02&tz=Mars/Olympus", vec!["?tz value"]),
        ("from=2026-03-01&to=2026-03-02&tz=UTC&tz=UTC", vec!["?tz repeated"]),
        (ahead.as_str(), vec!["?as_of in_future"]),
        ("from=2026-03-01&to=2026-03-02&as_of=2026-03-01", vec!["?as_of value"]),
        // What each parameter says for itself, and what only several say together.
        (
            "from=2026-03-02&to=2026-03-01&group_by=colour&bots=some&limit=0&compare=next&country=DEU&link=x&partner=x&program=x&surprise=1",
            vec![
                "?group_by value",
                "?partner value",
                "?program value",
                "?link value",
                "?country value",
                "?bots value",
                "?limit value",
                "?compare value",
                "?surprise unknown_parameter",
                "?to value",
            ],
        ),
        ("from=2026-03-01&to=2026-03-02&limit=10001", vec!["?limit value"]),
    ] {
        for report in ["traffic", "conversions"] {
            let answer = team.get(&format!("/v1/reports/{report}?{query}")).await;
            answer.expect_problem(422, "validation_failed");
            let faults = answer.json["errors"].as_array().unwrap();
            let faults: Vec<String> =
                faults.iter().map(|fault| format!("{} {}", text(fault, "/pointer"), text(fault, "/code"))).collect();
            assert_eq!(faults, expected, "{report} {query}");
        }
    }
    for name in ["partner=key:x", "program=key:x", "domain=x.example.com", "link=lnk_00000000000000000000000001"] {
        let path = format!("/v1/reports/traffic?from=2026-03-01&to=2026-03-02&{name}");
        team.get(&path).await.expect_problem(404, "not_found");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn sums_beyond_64_bits_are_refused_by_name(pool: PgPool) {
    let world = World::new(&pool).await;
    for number in 0..2 {
        let event = json!({"event_id": format!("big-{number}"), "type": "sale", "nim_ct": world.clicks[number].token,
            "amount_minor": i64::MAX, "currency": "EUR", "occurred_at": "2026-03-30T06:00:00Z"});
        world.source.accepted(event).await;
    }
    for (query, accept) in [("group_by=day", "application/json"), ("group_by=partner&compare=previous", "text/csv")] {
        let answer = world.csv(&format!("/v1/reports/conversions?{ALL}&{query}"), accept).await;
        answer.expect_problem(422, "validation_failed");
        assert_eq!(answer.json["errors"][0]["code"], "amount_out_of_range", "{}", answer.text);
    }
    // Where each sum fits, there is nothing to refuse.
    let report = world.get("conversions", &format!("{ALL}&country=JP")).await;
    assert_eq!(report["totals"]["revenue"][0]["net_minor"], i64::MAX, "{report}");
}

//! Reports as their callers meet them: every grouping, filter and total, and how zones cut hours and days. What each line
//! must say is reckoned by hand from [`World`].

use serde_json::json;
use sqlx::PgPool;

use super::world::{ALL, World, at, outcome, service_at};

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

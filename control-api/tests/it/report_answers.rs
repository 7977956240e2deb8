//! What reports answer beside their groups: what is over the limit, the period before, tables, why nothing is there, and
//! refusals by name.

use axum::http::header;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    service::{Service, text},
    world::{ALL, World, counts, head, outcome},
};

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
    while super::service::fold(&pool, 100).await > 0 {}
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
        ("from=1970-01-01&to=2200-01-01", vec!["?to range"]),
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

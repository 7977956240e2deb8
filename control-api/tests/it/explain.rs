//! Why a number is what it is: explanations of conversions, checks of links, a partner's timeline, and the filters that
//! lead there.

use axum::http::Method;
use serde_json::{Value, json};
use shared::Millis;
use sqlx::PgPool;

use super::service::{Service, Team, text};

/// `name:result` of checks that are neither passed nor skipped.
fn amiss(answer: &Value) -> Vec<String> {
    let checks = answer["checks"].as_array().expect("checks");
    for check in checks {
        let fails = check["result"] == "fail" || check["result"] == "unknown";
        assert_eq!(check["remedy"].is_string(), fails, "{check}");
    }
    checks
        .iter()
        .filter(|check| check["result"] != "pass" && check["result"] != "skipped")
        .map(|check| format!("{}:{}", text(check, "/check"), text(check, "/result")))
        .collect()
}

fn check<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let checks = answer["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name} in {answer}"))
}

async fn explain(team: &Team, result: &Value) -> Value {
    let path = format!("/v1/conversions/{}/explain", text(result, "/conversion_id"));
    team.get(&path).await.expect(200)
}

/// Folds all that is stored into the rollups, as the background work does.
async fn fold(pool: &PgPool) {
    while super::service::fold(pool, 10_000).await > 0 {}
}

#[sqlx::test(migrations = "../migrations")]
async fn each_conversion_says_why(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let source = team.source().await;

    // Before and after its click.
    let visited = service.visit(&host, "nomura", service.now()).await;
    let sale = json!({"event_id": "s", "type": "sale", "nim_ct": visited.token, "amount_minor": 100, "currency": "EUR",
        "customer_id": "c-1", "order_id": "o-1"});
    let accepted = source.accepted(sale).await;
    let early = explain(&team, &accepted).await;
    assert_eq!((&early["status"], &early["reason"]), (&json!("pending_click"), &Value::Null), "{early}");
    assert!(amiss(&early).contains(&"click_received:unknown".to_owned()), "{early}");
    assert_eq!(service.deliver(&[&visited]).await["stored"], 1);
    let later = explain(&team, &accepted).await;
    assert_eq!((&later["status"], &later["method"]), (&json!("attributed"), &json!("token")), "{later}");
    assert_eq!(amiss(&later), Vec::<String>::new(), "{later}");
    assert_eq!(later["conversion_id"], accepted["conversion_id"]);
    assert!(text(&later, "/summary").starts_with("Credited to \"Nomura\" in \"Creators\""), "{later}");
    assert!(text(check(&later, "window"), "/detail").contains("30 days (the workspace's)"), "{later}");

    // The same customer without a token, and a stranger.
    let sale = source
        .accepted(json!({"event_id": "c", "type": "sale", "customer_id": "c-1", "amount_minor": 1, "currency": "EUR"}));
    let by_customer = explain(&team, &sale.await).await;
    assert_eq!(check(&by_customer, "method_customer")["result"], "pass", "{by_customer}");
    assert!(text(check(&by_customer, "method_customer"), "/detail").contains(&text(&accepted, "/conversion_id")));
    let stranger = source.accepted(json!({"event_id": "n", "type": "lead", "customer_id": "c-2"})).await;
    let stranger = explain(&team, &stranger).await;
    assert_eq!(amiss(&stranger), ["token_captured:fail", "method_customer:fail", "report_range:fail"], "{stranger}");

    // A token that was cut, and one of another workspace.
    for (event, token) in [("t1", &visited.token[..39]), ("t2", "AQEBoMRQbAB3B4cHBwcHBwcHh6Ox08Ql8yDX8TT3")] {
        let forged = source.accepted(json!({"event_id": event, "type": "lead", "nim_ct": token})).await;
        let forged = explain(&team, &forged).await;
        assert_eq!(amiss(&forged), ["token_valid:fail", "method_token:fail", "report_range:fail"], "{forged}");
    }

    // A refund inherits, and one of nothing waits.
    let refund = source.accepted(json!({"event_id": "r", "type": "refund", "order_id": "o-1"})).await;
    let refund = explain(&team, &refund).await;
    assert_eq!(
        (&refund["method"], check(&refund, "method_original")["result"].as_str()),
        (&json!("original"), Some("pass"))
    );
    let orphan = source.accepted(json!({"event_id": "p", "type": "refund", "original_event_id": "nowhere"})).await;
    let orphan = explain(&team, &orphan).await;
    assert!(amiss(&orphan).contains(&"method_original:unknown".to_owned()), "{orphan}");

    // A click before the assignment, with the hint when it began.
    let path = format!("/v1/links/{}/assignment", text(&link, "/id"));
    team.delete(&path).await.expect(200);
    let orphaned = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&orphaned]).await;
    team.put(&path, json!({"partner": "key:nomura"})).await.expect(200);
    let sale = source.accepted(json!({"event_id": "u", "type": "lead", "nim_ct": orphaned.token})).await;
    let unassigned = explain(&team, &sale).await;
    assert_eq!(amiss(&unassigned), ["assignment_at_click:fail", "method_token:fail", "report_range:fail"]);
    assert!(
        text(check(&unassigned, "assignment_at_click"), "/detail").contains("it was assigned only at"),
        "{unassigned}"
    );

    // A click on a link of somebody who was not active, whom the workspace would not have named.
    team.patch("/v1/workspace", json!({"inactive_partner_clicks": "discard_context"})).await.expect(200);
    team.patch("/v1/partners/key:nomura", json!({"status": "paused"})).await.expect(200);
    let nameless = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&nameless]).await;
    assert_eq!(nameless.click.get("partner"), None, "{}", nameless.click);
    let sale = source.accepted(json!({"event_id": "d", "type": "lead", "nim_ct": nameless.token})).await;
    assert_eq!(sale["attribution"]["reason"], "no_partner_assignment", "{sale}");
    let discarded = explain(&team, &sale).await;
    assert_eq!(amiss(&discarded), ["assignment_at_click:fail", "method_token:fail", "report_range:fail"]);
    let told = text(check(&discarded, "assignment_at_click"), "/detail");
    assert!(told.contains("discards the context of inactive partners"), "{told}");
    team.patch("/v1/partners/key:nomura", json!({"status": "active"})).await.expect(200);

    // A click that the store refused.
    let old = service.visit(&host, "nomura", service.now().plus(-16 * Millis::DAY)).await;
    service.deliver(&[&old]).await;
    let sale = source.accepted(json!({"event_id": "o", "type": "lead", "nim_ct": old.token})).await;
    let refused = explain(&team, &sale).await;
    assert!(text(check(&refused, "click_received"), "/detail").contains("too_late"), "{refused}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_link_tells_what_is_amiss_before_it_matters(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let path = format!("/v1/links/{}/attribution-check", text(&link, "/id"));
    let fresh = team.get(&path).await.expect(200);
    assert_eq!(
        amiss(&fresh),
        ["edge_in_sync:unknown", "sources_ready:fail", "last_click:unknown", "last_event_with_token:unknown"]
    );
    assert_eq!((&fresh["link_id"], &fresh["ready"]), (&link["id"], &json!(false)));

    let source = team.source().await;
    sqlx::query("delete from outbox").execute(&pool).await.unwrap();
    let (bot, human) = (
        shared::redirect::Visit { host: &host, slug: "nomura", agent: "curl/8", ..Default::default() },
        service.visit(&host, "nomura", service.now().plus(-Millis::MINUTE)).await,
    );
    let bot = service.visit_as(&bot, service.now()).await;
    service.deliver(&[&human, &bot]).await;
    let sale = json!({"event_id": "1", "type": "sale", "nim_ct": human.token, "amount_minor": 1, "currency": "EUR"});
    let sale = source.accepted(sale).await;
    // Told from the deltas, and from the rollups once they are folded.
    for folded in [false, true] {
        if folded {
            fold(&pool).await;
        }
        let used = team.get(&path).await.expect(200);
        assert_eq!(amiss(&used), Vec::<String>::new(), "{folded} {used}");
        assert_eq!(used["ready"], true);
        for (name, part) in [("last_click", &bot.id), ("last_click_with_token", &human.id)] {
            assert!(text(check(&used, name), "/detail").contains(part.as_str()), "{folded} {used}");
        }
        let event = text(check(&used, "last_event_with_token"), "/detail");
        assert!(event.contains(&text(&sale, "/conversion_id")) && event.contains("was credited"), "{used}");
    }

    let settings = json!({"conversion_tracking": false, "experiment_key": "x", "variants": [
        {"key": "A", "destination": "https://shop.example.com/a", "weight": 1},
        {"key": "B", "destination": "https://shop.example.com/b?signature=1", "weight": 1}]});
    team.patch(&format!("/v1/links/{}", text(&link, "/id")), settings).await.expect(200);
    team.patch("/v1/partners/key:nomura", json!({"status": "paused"})).await.expect(200);
    let broken = team.get(&path).await.expect(200);
    assert_eq!(
        amiss(&broken),
        ["partner_active:fail", "tracking_enabled:fail", "variants_bear_token:fail", "edge_in_sync:unknown"]
    );
    assert!(text(check(&broken, "variants_bear_token"), "/detail").contains("\"B\" (rule signature)"), "{broken}");
}

/// `type` of each entry.
fn types(answer: &Value) -> Vec<String> {
    answer["data"].as_array().expect("data").iter().map(|entry| text(entry, "/type")).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_partner_has_a_timeline(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let source = team.source().await;
    team.patch("/v1/partners/key:nomura", json!({"contact_name": "Ada"})).await.expect(200);
    team.post("/v1/partners/key:nomura/notes", json!({"text": "Prefers mail."})).await.expect(201);
    let yesterday = service.now().plus(-Millis::DAY);
    let mut clicks = vec![];
    for at in [yesterday, yesterday.plus(1), service.now()] {
        clicks.push(service.visit(&host, "nomura", at).await);
    }
    service.deliver(&clicks.iter().collect::<Vec<_>>()).await;
    let sale =
        json!({"event_id": "1", "type": "sale", "nim_ct": clicks[2].token, "amount_minor": 5, "currency": "EUR"});
    source.accepted(sale).await;
    team.delete(&format!("/v1/links/{}/assignment", text(&link, "/id"))).await.expect(200);

    let path = "/v1/partners/key:nomura/activity";
    let whole = team.get(path).await.expect(200);
    let mut expected =
        ["assignment_ended", "assignment_started", "changed", "clicks", "clicks", "conversion", "created", "note"];
    let mut found = types(&whole);
    found.sort_unstable();
    assert_eq!(found, expected, "{whole}");
    assert_eq!((&whole["next_cursor"], &whole["hidden"]), (&Value::Null, &json!([])));
    let times: Vec<String> = whole["data"].as_array().unwrap().iter().map(|entry| text(entry, "/at")).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    let of = |kind: &str| whole["data"].as_array().unwrap().iter().filter(|e| e["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("changed")[0]["changes"], json!([{"field": "contact_name", "before": null, "after": "Ada"}]));
    assert_eq!(of("note")[0]["text"], "Prefers mail.");
    assert_eq!(of("conversion")[0]["amount_minor"], 5);
    assert_eq!(of("assignment_ended")[0]["link"]["id"], link["id"]);
    assert_eq!(of("clicks").iter().map(|day| day["total"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2]);

    // Page by page it is the same, from deltas as from rollups, and in any zone no click is lost.
    for (folded, zone) in [(false, "UTC"), (true, "UTC"), (true, "Pacific/Auckland"), (true, "America/Los_Angeles")] {
        if folded {
            fold(&pool).await;
        }
        team.patch("/v1/workspace", json!({"timezone": zone})).await.expect(200);
        for limit in [1, 2, 3, 100] {
            let (mut all, mut cursor) = (vec![], String::new());
            loop {
                let page = team.get(&format!("{path}?limit={limit}{cursor}")).await.expect(200);
                all.extend(page["data"].as_array().unwrap().iter().cloned());
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            if zone == "UTC" {
                assert_eq!(Value::from(all.clone()), whole["data"], "{limit}");
            }
            let clicks: i64 = all.iter().filter_map(|entry| entry["total"].as_i64()).sum();
            assert_eq!(
                (clicks, all.len() - all.iter().filter(|e| e["type"] == "clicks").count()),
                (3, 6),
                "{zone} {limit}"
            );
        }
    }
    team.patch("/v1/workspace", json!({"timezone": "UTC"})).await.expect(200);

    let filtered = team.get(&format!("{path}?type=note,clicks&from=2000-01-01&to=2100-01-01")).await.expect(200);
    expected = ["clicks", "note", "clicks", "", "", "", "", ""];
    let mut found = types(&filtered);
    found.sort_unstable();
    let mut expected: Vec<&str> = expected.into_iter().filter(|kind| !kind.is_empty()).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(types(&team.get(&format!("{path}?to=2000-01-01")).await.expect(200)), Vec::<String>::new());
    let member = team.with_key("member", false).await;
    assert_eq!(types(&member.get(path).await.expect(200)).len(), 8);

    // What a caller may not read is left out, and said to be.
    let access = json!({"access": {"partner_reporting": false, "partner_conversion_reporting": false}});
    let path_of = format!("/v1/workspaces/{}", team.workspace);
    service.ask(super::service::OPERATOR, Method::PATCH, &path_of, Some(&access)).await.expect(200);
    let less = team.get(path).await.expect(200);
    assert_eq!(less["hidden"], json!(["clicks", "conversion"]));
    assert!(types(&less).iter().all(|kind| kind != "clicks" && kind != "conversion"), "{less}");
    for wrong in ["type=other", "cursor=x", "limit=0", "sort=at"] {
        team.get(&format!("{path}?{wrong}")).await.expect_problem(422, "validation_failed");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn conversions_are_found_by_every_filter(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let (shop, other) = (team.source().await, team.source().await);
    let visited = service.visit(&host, "nomura", service.now()).await;
    // A lead through a bot's click is credited, and for review.
    let bot = shared::redirect::Visit { host: &host, slug: "nomura", agent: "curl/8", ..Default::default() };
    let bot = service.visit_as(&bot, service.now()).await;
    service.deliver(&[&visited, &bot]).await;
    let late = service.visit(&host, "nomura", service.now()).await;
    let now = chrono::Utc::now();
    let days_ago = |days: i64| (now - chrono::Duration::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let money = |mut event: Value| {
        (event["amount_minor"], event["currency"]) = (json!(100), json!("EUR"));
        event
    };
    let token = &visited.token;
    shop.accepted(money(
        json!({"event_id": "sale", "type": "sale", "nim_ct": token, "order_id": "o-1", "customer_id": "c-1"}),
    ))
    .await;
    shop.accepted(json!({"event_id": "lead", "type": "lead", "nim_ct": bot.token, "customer_id": "c-2"})).await;
    other.accepted(json!({"event_id": "lost", "type": "lead", "occurred_at": days_ago(3)})).await;
    other.accepted(json!({"event_id": "early", "type": "lead", "nim_ct": late.token})).await;
    other.accepted(json!({"event_id": "refund", "type": "refund", "original_event_id": "none"})).await;

    let link = text(&link, "/id");
    let (from, to) = (days_ago(4), days_ago(2));
    for (query, expected) in [
        (String::new(), vec!["refund", "early", "lost", "lead", "sale"]),
        ("partner=key:nomura".into(), vec!["lead", "sale"]),
        ("program=key:creators".into(), vec!["lead", "sale"]),
        (format!("link={link}"), vec!["lead", "sale"]),
        ("type=sale".into(), vec!["sale"]),
        (format!("from={from}&to={to}"), vec!["lost"]),
        (format!("to={from}"), vec![]),
        (format!("from={to}&type=lead"), vec!["early", "lead"]),
        ("attribution=attributed".into(), vec!["lead", "sale"]),
        ("attribution=unattributed".into(), vec!["lost"]),
        ("attribution=pending_click".into(), vec!["early"]),
        ("attribution=pending_original".into(), vec!["refund"]),
        ("attribution=pending".into(), vec!["refund", "early"]),
        ("review_status=ready".into(), vec!["sale"]),
        ("review_status=review".into(), vec!["lead"]),
        (format!("source={}", shop.id), vec!["lead", "sale"]),
        (format!("source={}&type=lead", other.id), vec!["early", "lost"]),
        ("event_id=lost".into(), vec!["lost"]),
        ("order_id=o-1".into(), vec!["sale"]),
        ("customer_id=c-2".into(), vec!["lead"]),
        ("customer_id=c-2&type=sale".into(), vec![]),
    ] {
        let found = team.get(&format!("/v1/conversions?{query}")).await.expect(200);
        let ids: Vec<&str> =
            found["data"].as_array().unwrap().iter().filter_map(|row| row["event_id"].as_str()).collect();
        assert_eq!(ids, expected, "{query}");
    }
    let first = team.get("/v1/conversions?limit=2").await.expect(200);
    let next = team.get(&format!("/v1/conversions?limit=2&cursor={}", text(&first, "/next_cursor"))).await.expect(200);
    assert_eq!(next["data"][0]["event_id"], "lost", "{next}");
    for wrong in ["source=x", "type=gift", "attribution=maybe", "review_status=no", "link=prt_1", "color=red"] {
        team.get(&format!("/v1/conversions?{wrong}")).await.expect_problem(422, "validation_failed");
    }
    let stranger = service.team().await;
    for foreign in ["partner=key:nomura".to_owned(), format!("link={link}"), format!("source={}", shop.id)] {
        stranger.get(&format!("/v1/conversions?{foreign}")).await.expect_problem(404, "not_found");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_explained_to_strangers(pool: PgPool) {
    let service = Service::start(&pool).await;
    let (team, stranger) = (service.team().await, service.team().await);
    let (_, link) = team.campaign().await;
    let source = team.source().await;
    let lead = source.accepted(json!({"event_id": "1", "type": "lead"})).await;
    let explain = format!("/v1/conversions/{}/explain", text(&lead, "/conversion_id"));
    let check = format!("/v1/links/{}/attribution-check", text(&link, "/id"));
    let partner = text(&link, "/assignment/partner/id");
    let activity = format!("/v1/partners/{partner}/activity");
    for path in
        [&explain, &check, &activity, &"/v1/conversions/x/explain".into(), &"/v1/links/x/attribution-check".into()]
    {
        stranger.get(path).await.expect_problem(404, "not_found");
    }
    for path in [&explain, &check, &activity] {
        team.get(path).await.expect(200);
    }
    let viewer = team.with_key("viewer", false).await;
    viewer.get(&explain).await.expect(200);
    viewer.get(&check).await.expect_problem(403, "role_forbidden");
    viewer.get(&activity).await.expect_problem(403, "role_forbidden");
}

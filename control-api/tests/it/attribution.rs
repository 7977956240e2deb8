//! Who gets the credit, rule by rule. Random histories against a plain model are in `model`.

use serde_json::{Value, json};
use shared::Millis;
use sqlx::PgPool;

use super::service::{Answer, Service, Source, Team, Visited, text};
use control_api::jobs::late_attribution;
use model::time::Timestamp;

/// A team with a campaign, a source, and what is asked of them again and again.
struct Stage {
    service: Service,
    team: Team,
    source: Source,
    host: String,
    link: String,
}

impl Stage {
    async fn set(pool: &PgPool) -> Self {
        let service = Service::start(pool).await;
        let team = service.team().await;
        let (host, link) = team.campaign().await;
        let source = team.source().await;
        Self { source, host, link: text(&link, "/id"), team, service }
    }

    /// A click so long ago.
    async fn click(&self, millis_ago: i64) -> Visited {
        self.service.visit(&self.host, "nomura", self.service.now().plus(-millis_ago)).await
    }

    async fn deliver(&self, click: &Visited) {
        assert_eq!(self.service.deliver(&[click]).await["stored"], 1);
    }

    /// Sends an event, and answers the id of its conversion.
    async fn event(&self, event: Value) -> String {
        text(&self.source.accepted(event).await, "/conversion_id")
    }

    async fn read(&self, id: &str) -> Value {
        self.team.get(&format!("/v1/conversions/{id}")).await.expect(200)
    }

    /// `status/method/reason`, or `-`.
    async fn verdict(&self, id: &str) -> String {
        let read = self.read(id).await;
        let part = |name: &str| read["attribution"][name].as_str().unwrap_or("-").to_owned();
        format!("{}/{}/{}", part("status"), part("method"), part("reason"))
    }

    /// Makes the store believe that a conversion arrived so many days earlier.
    async fn age(&self, pool: &PgPool, id: &str, days: i32) {
        let id: shared::id::ConversionId = id.parse().unwrap();
        let aged =
            sqlx::query("update conversions set recorded_at = recorded_at - make_interval(days => $2) where id = $1")
                .bind(id.uuid())
                .bind(days)
                .execute(pool)
                .await
                .unwrap();
        assert_eq!(aged.rows_affected(), 1);
    }

    async fn set_program(&self, changes: Value) -> Answer {
        self.team.patch("/v1/programs/key:creators", changes).await
    }
}

fn ago(service: &Service, millis: i64) -> String {
    Timestamp::from_millis(service.now().plus(-millis)).to_string()
}

const HOUR: i64 = 60 * Millis::MINUTE;

#[sqlx::test(migrations = "../migrations")]
async fn a_customers_sale_waits_for_the_touch_received_before_it(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let click = stage.click(HOUR).await;
    let lead = stage.event(json!({"event_id": "1", "type": "lead", "nim_ct": click.token, "customer_id": "c"})).await;
    let sale = json!({"event_id": "2", "type": "sale", "customer_id": "c", "amount_minor": 1_000, "currency": "EUR"});
    let sale = stage.event(sale).await;
    assert_eq!(stage.verdict(&sale).await, "pending_click/-/-");
    let refund = stage.event(json!({"event_id": "3", "type": "refund", "original_event_id": "2"})).await;
    assert_eq!(stage.verdict(&refund).await, "pending_original/-/-");

    stage.deliver(&click).await;
    assert_eq!(stage.verdict(&lead).await, "attributed/token/-");
    assert_eq!(stage.verdict(&sale).await, "attributed/customer/-");
    assert_eq!(stage.verdict(&refund).await, "attributed/original/-");
    let sale = stage.read(&sale).await;
    assert_eq!(sale["attribution"]["click_id"], click.id.as_str());
    assert_eq!(sale["reward"]["estimated_commission_minor"], 100);
    assert_eq!(stage.read(&refund).await["reward"]["clawback_minor"], 100);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_latest_touch_decides_whenever_its_click_arrives(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let (older, newer) = (stage.click(3 * HOUR).await, stage.click(2 * HOUR).await);
    let after = stage.click(HOUR).await;
    stage.deliver(&older).await;
    for (number, click) in [&older, &newer, &after].into_iter().enumerate() {
        let lead =
            json!({"event_id": format!("lead {number}"), "type": "lead", "nim_ct": click.token, "customer_id": "c"});
        stage.event(lead).await;
    }
    // The third click came after the sale, and the fourth's lead is received after it.
    let occurred_at = ago(&stage.service, HOUR + HOUR / 2);
    let sale =
        stage.event(json!({"event_id": "s", "type": "sale", "customer_id": "c", "occurred_at": occurred_at})).await;
    assert_eq!(stage.verdict(&sale).await, "pending_click/-/-");
    let late = stage.click(HOUR + 3 * HOUR / 4).await;
    stage.deliver(&late).await;
    stage.event(json!({"event_id": "late", "type": "lead", "nim_ct": late.token, "customer_id": "c"})).await;
    assert_eq!(stage.verdict(&sale).await, "pending_click/-/-", "what is received later changes nothing");

    stage.deliver(&newer).await;
    let sale = stage.read(&sale).await;
    assert_eq!(sale["attribution"]["click_id"], newer.id.as_str(), "{sale}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_touch_that_turns_out_to_be_nobodys_gives_way_to_the_one_before(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let (older, newer) = (stage.click(2 * HOUR).await, stage.click(HOUR).await);
    for (name, click) in [("older", &older), ("newer", &newer)] {
        // Only this customer's touches, and only those in time for them.
        let occurred_at = if name == "newer" { ago(&stage.service, 3 * HOUR) } else { ago(&stage.service, 0) };
        let lead = json!({"event_id": name, "type": "lead", "nim_ct": click.token, "customer_id": "c", "occurred_at": occurred_at});
        stage.event(lead).await;
    }
    let sale = stage.event(json!({"event_id": "s", "type": "sale", "customer_id": "c"})).await;
    let (alone, other) = (stage.click(HOUR).await, stage.click(HOUR).await);
    stage.event(json!({"event_id": "o", "type": "lead", "nim_ct": other.token, "customer_id": "other"})).await;
    let early = ago(&stage.service, 3 * HOUR);
    let lead =
        json!({"event_id": "a", "type": "lead", "nim_ct": alone.token, "customer_id": "d", "occurred_at": early});
    stage.event(lead).await;
    let nothing = stage.event(json!({"event_id": "n", "type": "sale", "customer_id": "d"})).await;
    assert_eq!(stage.read(&sale).await["attribution"]["click_id"], newer.id.as_str());

    stage.deliver(&newer).await;
    assert_eq!(stage.verdict(&sale).await, "pending_click/-/-");
    assert_eq!(stage.read(&sale).await["attribution"]["click_id"], older.id.as_str());
    stage.deliver(&older).await;
    assert_eq!(stage.verdict(&sale).await, "attributed/customer/-");
    stage.deliver(&alone).await;
    assert_eq!(stage.verdict(&nothing).await, "unattributed/-/no_token");
    assert_eq!(stage.read(&nothing).await["attribution"]["click_id"], Value::Null);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_wait_ends_after_fifteen_days_and_with_it_all_that_hangs_on_it(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let click = stage.click(HOUR).await;
    let lead = json!({"event_id": "1", "type": "lead", "nim_ct": click.token, "customer_id": "c", "order_id": "o"});
    let lead = stage.event(lead).await;
    let sale = stage.event(json!({"event_id": "2", "type": "sale", "customer_id": "c"})).await;
    let refund = stage.event(json!({"event_id": "3", "type": "refund", "order_id": "o"})).await;
    let stray = stage.event(json!({"event_id": "4", "type": "refund", "order_id": "none"})).await;
    let all = [&lead, &sale, &refund, &stray];
    let app = &stage.service.app;

    for id in all {
        stage.age(&pool, id, 14).await;
    }
    late_attribution::sweep(app).await.unwrap();
    assert_eq!(stage.verdict(&lead).await, "pending_click/-/-");
    assert_eq!(stage.verdict(&stray).await, "pending_original/-/-");
    for id in all {
        stage.age(&pool, id, 2).await;
    }
    late_attribution::sweep(app).await.unwrap();
    assert_eq!(stage.verdict(&lead).await, "unattributed/-/click_not_received");
    assert_eq!(stage.verdict(&sale).await, "unattributed/-/no_token");
    assert_eq!(stage.verdict(&refund).await, "unattributed/-/click_not_received");
    assert_eq!(stage.verdict(&stray).await, "unattributed/-/original_not_found");

    // Finally.
    stage.deliver(&click).await;
    stage.event(json!({"event_id": "5", "type": "sale", "order_id": "none", "nim_ct": click.token})).await;
    late_attribution::sweep(app).await.unwrap();
    assert_eq!(stage.verdict(&lead).await, "unattributed/-/click_not_received");
    assert_eq!(stage.verdict(&stray).await, "unattributed/-/original_not_found");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_follow_on_outlives_its_patience_while_its_original_waits(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let click = stage.click(HOUR).await;
    let refund = stage.event(json!({"event_id": "r", "type": "refund", "original_event_id": "s"})).await;
    stage.age(&pool, &refund, 16).await;
    let sale = json!({"event_id": "s", "type": "sale", "nim_ct": click.token, "amount_minor": 10, "currency": "EUR"});
    stage.event(sale).await;
    late_attribution::sweep(&stage.service.app).await.unwrap();
    assert_eq!(stage.verdict(&refund).await, "pending_original/-/-");
    stage.deliver(&click).await;
    assert_eq!(stage.verdict(&refund).await, "attributed/original/-");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_has_to_wait_holds_up_nothing_behind_it(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let missing = stage.click(HOUR).await;
    // Each of these is looked at by every sweep: its order has a settled original, but a better one that waits.
    stage.event(json!({"event_id": "lead", "type": "lead", "order_id": "o"})).await;
    stage.event(json!({"event_id": "sale", "type": "sale", "order_id": "o", "nim_ct": missing.token})).await;
    let refunds: Vec<Value> =
        (0..450).map(|n| json!({"event_id": format!("r{n}"), "type": "refund", "order_id": "o"})).collect();
    stage.source.send(&json!({"events": refunds})).await.expect(200);
    let click = stage.click(HOUR).await;
    stage.deliver(&click).await;
    let overlooked = stage.event(json!({"event_id": "x", "type": "lead", "nim_ct": click.token})).await;
    sqlx::query("update conversions set status = 'pending_click', attributed_at = null where event_id = 'x'")
        .execute(&pool)
        .await
        .unwrap();
    late_attribution::sweep(&stage.service.app).await.unwrap();
    assert_eq!(stage.verdict(&overlooked).await, "attributed/token/-");
}

#[sqlx::test(migrations = "../migrations")]
async fn terms_that_are_not_for_leads_are_no_reason_to_review_one(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let click = stage.click(HOUR).await;
    stage.deliver(&click).await;
    let lead = stage.event(json!({"event_id": "1", "type": "lead", "nim_ct": click.token})).await;
    let before = stage
        .event(
            json!({"event_id": "2", "type": "lead", "nim_ct": click.token, "occurred_at": ago(&stage.service, HOUR)}),
        )
        .await;
    let read = stage.read(&lead).await;
    assert_eq!(read["review"], json!({"status": "ready", "reasons": []}), "{read}");
    assert_eq!((&read["reward"]["terms_version"], &read["reward"]["basis"]), (&json!(1), &Value::Null), "{read}");
    assert_eq!(read["reward"]["estimated_commission_minor"], Value::Null, "{read}");
    // There were none at all an hour ago.
    assert_eq!(stage.read(&before).await["review"]["reasons"], json!(["no_reward_terms"]));
    for (status, expected) in [("ready", &lead), ("review", &before)] {
        let list = stage.team.get(&format!("/v1/conversions?review_status={status}")).await.expect(200);
        assert_eq!(list["data"].as_array().unwrap().len(), 1);
        assert_eq!(list["data"][0]["id"], expected.as_str());
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn an_event_just_before_its_click_counts_as_of_the_click(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let minute = Millis::MINUTE;
    stage.service.advance(2 * minute);
    let click = stage.click(0).await;
    stage.deliver(&click).await;
    // The terms began two minutes ago, between these events and the click.
    let sale = |id: &str, early: i64| {
        json!({"event_id": id, "type": "sale", "nim_ct": click.token, "amount_minor": 1_000, "currency": "EUR",
            "occurred_at": ago(&stage.service, early)})
    };
    let near = stage.event(sale("near", 4 * minute)).await;
    let far = stage.event(sale("far", 6 * minute)).await;
    assert_eq!(stage.verdict(&far).await, "unattributed/-/before_click");
    let near = stage.read(&near).await;
    assert_eq!(near["reward"]["terms_version"], 1, "{near}");
    let clicked_at = Timestamp::parse(&text(&near, "/attribution/clicked_at")).unwrap();
    let held = Timestamp::parse(&text(&near, "/reward/hold_until")).unwrap();
    assert_eq!(held.millis().since(clicked_at.millis()), 30 * Millis::DAY, "{near}");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_programs_window_goes_before_the_workspaces(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let day = Millis::DAY;
    let click = stage.click(10 * day).await;
    stage.deliver(&click).await;
    let sale = |id: &str| json!({"event_id": id, "type": "sale", "nim_ct": click.token});
    stage.team.patch("/v1/workspace", json!({"attribution_window_days": 9})).await.expect(200);
    let outside = stage.event(sale("1")).await;
    stage.set_program(json!({"attribution_window_days": 11})).await.expect(200);
    let inside = stage.event(sale("2")).await;
    assert_eq!(stage.verdict(&outside).await, "unattributed/-/outside_window");
    assert_eq!(stage.verdict(&inside).await, "attributed/token/-");
    assert_eq!(stage.read(&outside).await["attribution"]["window_days"], 9);
    assert_eq!(stage.read(&inside).await["attribution"]["window_days"], 11);
    // History stays as it was judged.
    assert_eq!(stage.read(&outside).await["attribution"]["link"]["id"], stage.link.as_str());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_token_that_is_none_never_falls_through(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let click = stage.click(HOUR).await;
    stage.deliver(&click).await;
    stage.event(json!({"event_id": "1", "type": "lead", "nim_ct": click.token, "customer_id": "c"})).await;
    let foreign = Service::start(&pool).await.team().await;
    let (host, _) = foreign.campaign().await;
    let foreign = stage.service.visit(&host, "nomura", stage.service.now()).await.token;
    for (number, token) in ["x", &click.token[1..], &foreign].into_iter().enumerate() {
        let sale = json!({"event_id": format!("s{number}"), "type": "sale", "nim_ct": token, "customer_id": "c"});
        let sale = stage.event(sale).await;
        assert_eq!(stage.verdict(&sale).await, "unattributed/-/token_invalid", "{token}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_refund_of_an_order_chooses_among_what_was_received_before_it(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let team = &stage.team;
    team.post("/v1/partners", json!({"display_name": "Rival"})).await.expect(201);
    let rival = json!({"domain": stage.host, "slug": "rival", "destination": "https://shop.example.com", "partner": "key:rival"});
    team.post("/v1/links", rival).await.expect(201);
    let (own, again) = (stage.click(HOUR).await, stage.click(HOUR).await);
    let rival = stage.service.visit(&stage.host, "rival", stage.service.now().plus(-HOUR)).await;
    let sale = |id: &str, order: &str, click: &Visited| json!({"event_id": id, "type": "sale", "order_id": order, "nim_ct": click.token, "amount_minor": 100, "currency": "EUR"});
    let refund = |id: &str, order: &str| json!({"event_id": id, "type": "refund", "order_id": order, "amount_minor": 10, "currency": "EUR"});

    // An order with a lead and a sale: the sale, even if the lead was another's.
    stage.event(json!({"event_id": "1", "type": "lead", "order_id": "a", "nim_ct": rival.token})).await;
    let a = stage.event(sale("2", "a", &own)).await;
    let of_a = stage.event(refund("3", "a")).await;
    // Sold twice to the same partner, and sold twice to two.
    let b = stage.event(sale("4", "b", &own)).await;
    let twice = stage.event(sale("5", "b", &again)).await;
    let of_b = stage.event(refund("6", "b")).await;
    stage.event(sale("7", "c", &own)).await;
    stage.event(sale("8", "c", &rival)).await;
    let of_c = stage.event(refund("9", "c")).await;
    // Received before the second sale: that is none of its business.
    let d = stage.event(sale("10", "d", &own)).await;
    let of_d = stage.event(refund("11", "d")).await;
    stage.event(sale("12", "d", &rival)).await;

    for refund in [&of_a, &of_b, &of_c, &of_d] {
        assert_eq!(stage.verdict(refund).await, "pending_original/-/-");
    }
    stage.deliver(&rival).await;
    stage.deliver(&again).await;
    assert_eq!(stage.verdict(&of_c).await, "pending_original/-/-", "one of two is not settled");
    stage.deliver(&own).await;
    assert_eq!(stage.verdict(&of_c).await, "unattributed/-/original_ambiguous");
    for (refund, original) in [(of_a, a), (of_b, b), (of_d, d)] {
        assert_eq!(stage.verdict(&refund).await, "attributed/original/-");
        assert_eq!(stage.read(&refund).await["reverses"], original.as_str());
    }
    assert_eq!(stage.read(&twice).await["review"]["reasons"], json!(["duplicate_order"]));
}

#[sqlx::test(migrations = "../migrations")]
async fn follow_ons_have_their_turns_in_the_order_of_receipt(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let click = stage.click(HOUR).await;
    // One request, so all its times are the same.
    let mut events: Vec<Value> = (0..20)
        .map(|n| json!({"event_id": format!("{}", 90 - n), "type": "refund", "original_event_id": "s", "amount_minor": 10, "currency": "EUR"}))
        .collect();
    events.push(json!({"event_id": "rest", "type": "refund", "original_event_id": "s"}));
    events.push(
        json!({"event_id": "more", "type": "refund", "original_event_id": "s", "amount_minor": 5, "currency": "EUR"}),
    );
    let answer = stage.source.send(&json!({"events": events})).await.expect(200);
    let ids: Vec<String> = (0..22).map(|n| text(&answer, &format!("/results/{n}/conversion_id"))).collect();
    let sale =
        json!({"event_id": "s", "type": "sale", "nim_ct": click.token, "amount_minor": 1_000, "currency": "EUR"});
    stage.event(sale).await;
    stage.deliver(&click).await;
    for id in &ids[..20] {
        assert_eq!(stage.read(id).await["reward"]["clawback_minor"], 1);
    }
    assert_eq!(stage.read(&ids[20]).await["reversed_minor"], 800);
    assert_eq!(stage.read(&ids[20]).await["reward"]["clawback_minor"], 80);
    let more = stage.read(&ids[21]).await;
    assert_eq!(
        (&more["review"]["reasons"], &more["reward"]["clawback_minor"]),
        (&json!(["exceeds_original"]), &json!(0))
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn a_fixed_reward_without_amount_is_taken_back_whole_and_once(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let terms = json!({"basis": "fixed", "amount_minor": 700, "currency": "KWD", "applies_to": ["lead"]});
    stage.set_program(json!({"reward_terms": terms})).await.expect(200);
    let click = stage.click(0).await;
    stage.deliver(&click).await;
    stage.event(json!({"event_id": "l", "type": "lead", "nim_ct": click.token})).await;
    let mut clawback = vec![];
    for (event_id, currency) in [("1", "USD"), ("2", "EUR")] {
        let refund = json!({"event_id": event_id, "type": "refund", "original_event_id": "l", "amount_minor": 5, "currency": currency});
        let read = stage.read(&stage.event(refund).await).await;
        assert_eq!(read["review"]["reasons"], json!([]), "{read}");
        clawback.push(read["reward"]["clawback_minor"].clone());
    }
    assert_eq!(clawback, [json!(700), json!(0)]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_batch_is_answered_by_name_and_a_rejected_event_leaves_its_id_free(pool: PgPool) {
    let stage = Stage::set(&pool).await;
    let events = json!({"events": [
        {"event_id": "a", "type": "sale", "amount_minor": -1, "currency": "EUR"},
        {"event_id": "a", "type": "lead", "metadata": {"x": 1, "y": [1, 2]}},
        {"type": "lead", "metadata": {"y": [1, 2], "x": 1}, "event_id": "a"},
        {"event_id": "a", "type": "lead"},
        {"event_id": "b", "type": "lead", "occurred_at": "2001-01-01T00:00:00Z"},
        {"type": "lead"},
        7,
        {"event_id": "b", "type": "lead"},
    ]});
    let answer = stage.source.send(&events).await.expect(200);
    let told: Vec<(&str, &str, &str)> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let part = |name: &str| result[name].as_str().unwrap_or("-");
            (part("event_id"), part("status"), part("code"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", "rejected", "validation_failed"),
            ("a", "accepted", "-"),
            ("a", "duplicate", "-"),
            ("a", "rejected", "event_id_conflict"),
            ("b", "rejected", "occurred_at_too_old"),
            ("-", "rejected", "validation_failed"),
            ("-", "rejected", "validation_failed"),
            ("b", "accepted", "-"),
        ]
    );
    assert_eq!(answer["results"][1]["conversion_id"], answer["results"][2]["conversion_id"]);
    let alone = json!({"event_id": "c", "type": "refund"});
    stage.source.send(&alone).await.expect_problem(422, "validation_failed");
    stage.source.send(&json!({"event_id": "b", "type": "sale"})).await.expect_problem(409, "event_id_conflict");
    stage.event(json!({"event_id": "c", "type": "sale"})).await;
}

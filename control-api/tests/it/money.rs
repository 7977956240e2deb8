//! Money: whole minor units of any currency, up to 64 bits and not a unit further.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Service, Source, Team, Visited, text};

struct Till {
    team: Team,
    source: Source,
    click: Visited,
}

impl Till {
    /// A program that pays as told, and a click on its link.
    async fn open(pool: &PgPool, terms: Value) -> Self {
        let service = Service::start(pool).await;
        let team = service.team().await;
        let (host, _) = team.campaign().await;
        team.patch("/v1/programs/key:creators", json!({"reward_terms": terms})).await.expect(200);
        let click = service.visit(&host, "nomura", service.now()).await;
        service.deliver(&[&click]).await;
        Self { source: team.source().await, team, click }
    }

    async fn sale(&self, event_id: &str, amount_minor: i64, currency: &str) -> Value {
        let sale = json!({"event_id": event_id, "type": "sale", "nim_ct": self.click.token, "amount_minor": amount_minor, "currency": currency});
        self.stored(sale).await
    }

    async fn refund(&self, event_id: &str, of: &str, amount_minor: i64, currency: &str) -> Value {
        let refund = json!({"event_id": event_id, "type": "refund", "original_event_id": of, "amount_minor": amount_minor, "currency": currency});
        self.stored(refund).await
    }

    async fn stored(&self, event: Value) -> Value {
        let id = text(&self.source.accepted(event).await, "/conversion_id");
        self.team.get(&format!("/v1/conversions/{id}")).await.expect(200)
    }

    fn report(&self) -> String {
        let day =
            |days: i64| (chrono::Utc::now() + chrono::Duration::days(days)).format("%Y-%m-%dT00:00:00Z").to_string();
        format!("/v1/reports/conversions?from={}&to={}", day(-1), day(2))
    }
}

fn share(rate_bps: i64) -> Value {
    json!({"basis": "percentage", "rate_bps": rate_bps, "applies_to": ["sale"]})
}

#[sqlx::test(migrations = "../migrations")]
async fn amounts_that_no_row_can_hold_are_refused_by_name(pool: PgPool) {
    let till = Till::open(&pool, share(10_000)).await;
    for (amount, currency, pointer, code) in [
        ("-1", r#""USD""#, "/amount_minor", "range"),
        ("9223372036854775808", r#""USD""#, "/amount_minor", "range"),
        ("18446744073709551616", r#""USD""#, "/amount_minor", "range"),
        ("-9223372036854775809", r#""USD""#, "/amount_minor", "range"),
        ("1e400000", r#""USD""#, "", "invalid_json"),
        ("1e30", r#""USD""#, "/amount_minor", "range"),
        ("10.5", r#""USD""#, "/amount_minor", "type"),
        ("1.0", r#""USD""#, "/amount_minor", "type"),
        (r#""5""#, r#""USD""#, "/amount_minor", "type"),
        ("5", "null", "/currency", "required"),
        ("5", r#""usd""#, "/currency", "value"),
        ("5", r#""XXQ""#, "/currency", "value"),
    ] {
        let body = format!(r#"{{"event_id":"e","type":"sale","amount_minor":{amount},"currency":{currency}}}"#);
        let answer = till.source.send_raw(&body).await;
        if code == "invalid_json" {
            answer.expect_problem(400, code);
            continue;
        }
        let problem = answer.expect(422);
        let faults = problem["errors"].as_array().unwrap();
        assert_eq!(
            (faults.len(), &faults[0]["pointer"], &faults[0]["code"]),
            (1, &json!(pointer), &json!(code)),
            "{body}"
        );
    }
    // None of them has used up the id; the greatest that fits does.
    let sale = till.sale("e", i64::MAX, "USD").await;
    assert_eq!(
        (&sale["amount_minor"], &sale["reward"]["estimated_commission_minor"]),
        (&json!(i64::MAX), &json!(i64::MAX))
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn rates_beyond_the_whole_are_refused_by_name(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    let fixed =
        |amount: Value| json!({"basis": "fixed", "amount_minor": amount, "currency": "KWD", "applies_to": ["lead"]});
    for (terms, pointer, code) in [
        (share(10_001), "/reward_terms/rate_bps", "range"),
        (share(-1), "/reward_terms/rate_bps", "range"),
        (share(i64::MAX), "/reward_terms/rate_bps", "range"),
        (fixed(json!(-1)), "/reward_terms/amount_minor", "range"),
        (fixed(json!(9_223_372_036_854_775_808_u64)), "/reward_terms/amount_minor", "range"),
        (fixed(json!(0.5)), "/reward_terms/amount_minor", "type"),
        (fixed(Value::Null), "/reward_terms/amount_minor", "required"),
    ] {
        let answer = team.post("/v1/programs", json!({"name": "x", "kind": "other", "reward_terms": terms})).await;
        let problem = answer.expect(422);
        assert_eq!(
            (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
            (&json!(pointer), &json!(code)),
            "{terms}"
        );
    }
    for terms in [share(0), share(10_000), fixed(json!(0)), fixed(json!(i64::MAX))] {
        team.post("/v1/programs", json!({"name": "x", "kind": "other", "reward_terms": terms})).await.expect(201);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn sums_that_no_number_can_hold_are_refused_by_name(pool: PgPool) {
    let till = Till::open(&pool, share(10_000)).await;
    till.sale("1", i64::MAX, "USD").await;
    let report = till.team.get(&till.report()).await.expect(200);
    assert_eq!(report["totals"]["revenue"][0]["gross_minor"], i64::MAX);
    assert_eq!(report["totals"]["estimated_reward"][0]["amount_minor"], i64::MAX);

    // Another currency is another sum.
    till.sale("2", i64::MAX, "JPY").await;
    till.team.get(&till.report()).await.expect(200);
    till.sale("3", 1, "USD").await;
    for path in [till.report(), format!("{}&group_by=type", till.report())] {
        let problem = till.team.get(&path).await.expect(422);
        assert_eq!(
            (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
            (&json!("?to"), &json!("amount_out_of_range"))
        );
    }
    // Every row is still there to be read, and what is asked for more narrowly is still summed.
    assert_eq!(till.team.get("/v1/conversions").await.expect(200)["data"].as_array().unwrap().len(), 3);
    let clicks = till.report().replace("conversions", "traffic");
    till.team.get(&clicks).await.expect(200);
}

#[sqlx::test(migrations = "../migrations")]
async fn reversals_at_the_limit_do_not_wrap(pool: PgPool) {
    let till = Till::open(&pool, share(5_000)).await;
    till.sale("s", i64::MAX, "USD").await;
    let half = i64::MAX / 2 + 1;
    let mut taken = vec![];
    for (n, amount) in [i64::MAX - 1, i64::MAX, i64::MAX].into_iter().enumerate() {
        let refund = till.refund(&format!("r{n}"), "s", amount, "USD").await;
        taken.push((refund["reward"]["clawback_minor"].as_i64().unwrap(), refund["review"]["reasons"] != json!([])));
    }
    assert_eq!(taken, [(half - 1, false), (1, true), (0, true)]);
    // What is left of nothing.
    let rest = till.stored(json!({"event_id": "rest", "type": "cancellation", "original_event_id": "s"})).await;
    assert_eq!((&rest["reversed_minor"], &rest["reward"]["clawback_minor"]), (&json!(0), &json!(0)));
    assert_eq!(rest["review"]["reasons"], json!([]));
}

#[sqlx::test(migrations = "../migrations")]
async fn currencies_are_summed_apart(pool: PgPool) {
    let till = Till::open(&pool, share(1_250)).await;
    for (id, amount, currency) in [("1", 4_999, "USD"), ("2", 500, "JPY"), ("3", 1_234, "KWD"), ("4", 1, "JPY")] {
        till.sale(id, amount, currency).await;
    }
    let refund = till.refund("5", "2", 100, "JPY").await;
    assert_eq!(refund["reward"]["clawback_minor"], 12, "12.5 goes to the even one");
    let other = till.refund("6", "3", 1_000, "USD").await;
    assert_eq!(
        (&other["review"]["reasons"], &other["reward"]["clawback_minor"]),
        (&json!(["currency_mismatch"]), &json!(0))
    );
    let report = till.team.get(&till.report()).await.expect(200);
    let revenue = |currency: &str, gross: i64, negative: i64| json!({"currency": currency, "gross_minor": gross, "negative_minor": negative, "net_minor": gross + negative});
    let expected = json!([revenue("JPY", 501, -100), revenue("KWD", 1_234, 0), revenue("USD", 4_999, -1_000)]);
    assert_eq!(report["totals"]["revenue"], expected);
    // 62 + 0 - 12; 154; 625 - 0, the clawback of the odd refund being in dinars.
    let reward = |currency: &str, amount: i64| json!({"currency": currency, "amount_minor": amount});
    assert_eq!(
        report["totals"]["estimated_reward"],
        json!([reward("JPY", 50), reward("KWD", 154), reward("USD", 625)])
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn a_fixed_reward_keeps_its_own_currency(pool: PgPool) {
    let terms = json!({"basis": "fixed", "amount_minor": 1_500, "currency": "KWD", "applies_to": ["sale"]});
    let till = Till::open(&pool, terms).await;
    let sale = till.sale("s", 900, "JPY").await;
    assert_eq!(
        (&sale["reward"]["currency"], &sale["reward"]["estimated_commission_minor"]),
        (&json!("KWD"), &json!(1_500))
    );
    let mut taken = vec![];
    for (n, amount) in [1, 449, 450, 1].into_iter().enumerate() {
        let refund = till.refund(&format!("r{n}"), "s", amount, "JPY").await;
        taken.push(refund["reward"]["clawback_minor"].as_i64().unwrap());
    }
    // 1500 · 1/900 = 1.67; then up to the half, the whole, and no more.
    assert_eq!(taken, [2, 748, 750, 0]);
    let report = till.team.get(&till.report()).await.expect(200);
    assert_eq!(report["totals"]["estimated_reward"], json!([{"currency": "KWD", "amount_minor": 0}]));
    assert_eq!(
        report["totals"]["revenue"],
        json!([{"currency": "JPY", "gross_minor": 900, "negative_minor": -901, "net_minor": -1}])
    );
}

/// What a follow-on doesn't say, its original does.
#[sqlx::test(migrations = "../migrations")]
async fn a_refund_without_a_currency_has_its_originals(pool: PgPool) {
    let till = Till::open(&pool, share(1_000)).await;
    till.sale("sale", 1_000, "JPY").await;
    let refund = json!({"event_id": "refund", "type": "refund", "original_event_id": "sale", "amount_minor": 400});
    let refund = till.stored(refund).await;
    assert_eq!((&refund["currency"], &refund["reward"]["clawback_minor"]), (&json!("JPY"), &json!(40)), "{refund}");
    let report = till.team.get(&till.report()).await.expect(200);
    let revenue = json!([{"currency": "JPY", "gross_minor": 1_000, "negative_minor": -400, "net_minor": 600}]);
    assert_eq!(report["totals"]["revenue"], revenue, "{report}");
}

/// A row is known at the moment that it is shown to have been received at.
#[sqlx::test(migrations = "../migrations")]
async fn a_report_of_the_moment_of_receipt_knows_the_row(pool: PgPool) {
    let till = Till::open(&pool, share(1_000)).await;
    let sale = till.sale("sale", 1_000, "EUR").await;
    let received = text(&sale, "/received_at");
    let report = till.team.get(&format!("{}&as_of={received}", till.report())).await.expect(200);
    assert_eq!((&report["totals"]["sales"], &report["filters"]["as_of"]), (&json!(1), &json!(received)), "{report}");
    let before = chrono::DateTime::parse_from_rfc3339(&received).unwrap() - chrono::TimeDelta::milliseconds(1);
    let before = before.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let report = till.team.get(&format!("{}&as_of={before}", till.report())).await.expect(200);
    assert_eq!(report["totals"]["sales"], 0, "{report}");
}

//! What the operator is told of the clicks' way: minted, stored, again, refused by reason, in flight.

use axum::http::Method;
use serde_json::{Value, json};
use shared::{Millis, id::ClickId};
use sqlx::PgPool;

use super::service::{OPERATOR, Service, random, text};

async fn delivery(service: &Service, query: &str) -> Value {
    service.ask(OPERATOR, Method::GET, &format!("/v1/admin/delivery{query}"), None).await.expect(200)
}

async fn deliver(service: &Service, body: &Value) -> Value {
    service.as_edge(Method::POST, "/internal/v1/clicks", body.to_string().into_bytes()).await.expect(200)
}

/// A click that its isolate counted as its `nth`.
async fn minted(service: &Service, host: &str, at: Millis, isolate: u64, nth: u64) -> Value {
    let mut click = service.visit(host, "nomura", at).await.click;
    click["minted"] = json!({"isolate": isolate, "nth": nth});
    click
}

#[sqlx::test(migrations = "../migrations")]
async fn more_batches_than_an_instance_may_hold_are_asked_to_come_again(pool: PgPool) {
    let service = Service::start(&pool).await;
    let body = json!({"clicks": []}).to_string().into_bytes();
    let free = u32::try_from(service.app.batches.available_permits()).unwrap();
    let taken = service.app.batches.acquire_many(free).await.unwrap();
    let sent_away = service.as_edge(Method::POST, "/internal/v1/clicks", body.clone()).await;
    assert_eq!(sent_away.headers["retry-after"], "1");
    sent_away.expect_problem(503, "unavailable");
    drop(taken);
    service.as_edge(Method::POST, "/internal/v1/clicks", body).await.expect(200);
}

#[sqlx::test(migrations = "../migrations")]
async fn every_hour_says_what_became_of_its_clicks(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let hour = Millis(service.now().0 / Millis::HOUR * Millis::HOUR);
    let before = hour.plus(-Millis::HOUR);

    // One isolate minted five: the second is still on its way, the fourth was given up. Another minted one.
    let first = minted(&service, &host, before, 11, 1).await;
    let third = minted(&service, &host, before.plus(1), 11, 3).await;
    let fifth = minted(&service, &host, before.plus(2), 11, 5).await;
    let other = minted(&service, &host, before.plus(3), 12, 1).await;
    let given_up: ClickId = ClickId::mint(before.plus(4), random());
    let dropped = json!({"id": given_up, "workspace": team.workspace, "reason": "undeliverable"});
    let batch = json!({"clicks": [fifth, first], "dropped": [dropped]});
    assert_eq!(deliver(&service, &batch).await, json!({"stored": 2, "duplicate": 0, "rejected": {"undeliverable": 1}}));
    // The whole batch again, because its answer was lost, with the rest, and with what is no click.
    let batch = json!({"clicks": [first, third, fifth, other, {"id": "nonsense"}], "dropped": [dropped]});
    assert_eq!(
        deliver(&service, &batch).await,
        json!({"stored": 2, "duplicate": 2, "rejected": {"undeliverable": 1, "malformed": 1}})
    );
    // Given up by the edge, and stored all the same: not counted twice.
    let dropped = json!({"id": first["id"], "workspace": team.workspace, "reason": "overflow"});
    deliver(&service, &json!({"clicks": [], "dropped": [dropped]})).await;

    let query = format!("?from={}&to={}", at(before), at(hour.plus(1)));
    let told = delivery(&service, &query).await;
    assert_eq!(told["range"], json!({"from": at(before), "to": at(hour.plus(Millis::HOUR))}));
    let hours = told["hours"].as_array().unwrap();
    let earlier = json!({
        "hour": at(before), "minted": 6, "stored": 4, "duplicate": 2, "rejected": {"undeliverable": 1}, "in_flight": 1,
    });
    let now = json!({
        "hour": at(hour), "minted": 0, "stored": 0, "duplicate": 0, "rejected": {"malformed": 1}, "in_flight": 0,
    });
    assert_eq!(hours, &[earlier, now], "{told}");
    assert_eq!(told["totals"]["rejected"], json!({"malformed": 1, "undeliverable": 1}), "{told}");

    // The second arrives after all. Folding the deltas into the rollups changes nothing.
    deliver(&service, &json!({"clicks": [minted(&service, &host, before.plus(5), 11, 2).await]})).await;
    for _ in 0..2 {
        let told = delivery(&service, &query).await;
        assert_eq!((&told["totals"]["stored"], &told["totals"]["in_flight"]), (&json!(5), &json!(0)), "{told}");
        while super::service::fold(&pool, 100).await > 0 {}
    }
}

/// A visitor's own query may hold anything. It costs no click.
#[sqlx::test(migrations = "../migrations")]
async fn a_click_that_no_store_could_hold_is_stored_without_that(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let now = service.now();
    let mut nul = service.visit(&host, "nomura", now).await.click;
    let mut spelled = service.visit(&host, "nomura", now.plus(1)).await.click;
    let plain = service.visit(&host, "nomura", now.plus(2)).await.click;
    nul["source"] = "news\u{0}letter".into();
    spelled["source"] = r"\u0000".into();
    let batch = json!({"clicks": [nul, spelled, plain]});
    assert_eq!(deliver(&service, &batch).await, json!({"stored": 3, "duplicate": 0, "rejected": {}}));
    let sources: Vec<Option<String>> =
        sqlx::query_scalar("select source from clicks order by click_id limit 2").fetch_all(&pool).await.unwrap();
    assert_eq!(sources, [Some("newsletter".to_owned()), Some(r"\u0000".to_owned())]);
}

#[sqlx::test(migrations = "../migrations")]
async fn old_counts_are_summed_up(pool: PgPool) {
    let service = Service::start(&pool).await;
    let hour = Millis((service.now().0 - 17 * Millis::DAY) / Millis::HOUR * Millis::HOUR);
    for (isolate, minted) in [(1, 5), (2, 7)] {
        sqlx::query("insert into click_mints (hour, isolate, minted) values ($1::timestamptz, $2, $3)")
            .bind(chrono::DateTime::from_timestamp_millis(hour.0))
            .bind(isolate)
            .bind(minted)
            .execute(&pool)
            .await
            .unwrap();
    }
    let query = format!("?from={}&to={}", at(hour), at(hour.plus(1)));
    for _ in 0..2 {
        assert_eq!(delivery(&service, &query).await["totals"]["minted"], 12);
        store::delivery::compact(&pool).await.unwrap();
    }
    let left: i64 = sqlx::query_scalar("select count(*) from click_mints").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
}

/// A refused click was minted all the same; but what comes after its hour was added up must not add to it again.
#[sqlx::test(migrations = "../migrations")]
async fn mints_of_refused_clicks_count_while_their_hour_is_open(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let given_up = |age: i64, nth: u64| {
        let id = ClickId::mint(service.now().plus(-age), random());
        json!({"id": id, "workspace": team.workspace, "reason": "undeliverable", "minted": {"isolate": 7, "nth": nth}})
    };
    let ahead = minted(&service, &host, service.now().plus(11 * Millis::MINUTE), 8, 2).await;
    let dropped = [given_up(Millis::HOUR, 4), given_up(17 * Millis::DAY, 9)];
    let receipt = deliver(&service, &json!({"clicks": [ahead], "dropped": dropped})).await;
    assert_eq!(receipt["rejected"], json!({"clock_ahead": 1, "undeliverable": 2}));
    let mints: Vec<(i64, i64)> =
        sqlx::query_as("select isolate, minted from click_mints order by 1").fetch_all(&pool).await.unwrap();
    assert_eq!(mints, [(7, 4), (8, 2)]);
}

#[sqlx::test(migrations = "../migrations")]
async fn it_is_the_operators(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    team.get("/v1/admin/delivery").await.expect_problem(401, "unauthorized");
    for query in [
        "?from=yesterday",
        "?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
        "?hour=1",
        "?from=2026-01-01T00:00:00Z&to=2026-02-02T00:00:00Z",
    ] {
        let answer = service.ask(OPERATOR, Method::GET, &format!("/v1/admin/delivery{query}"), None).await;
        answer.expect_problem(422, "validation_failed");
    }
    let told = delivery(&service, "").await;
    assert_eq!(told["hours"].as_array().unwrap().len(), 24, "{told}");
    assert_eq!(text(&told, "/hours/23/hour"), at(Millis(service.now().0 / Millis::HOUR * Millis::HOUR)));
    assert_eq!(told["records"], json!({"queued": 0, "oldest_queued_at": null, "last_sweep": null}));
}

fn at(at: Millis) -> String {
    model::time::Timestamp::from_millis(at).to_string()
}

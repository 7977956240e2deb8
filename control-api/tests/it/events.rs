//! How events are read: what senders of all kinds write, and what of it holds up nothing else.

use serde_json::json;
use shared::Millis;
use sqlx::PgPool;

use super::service::{Service, text};

#[sqlx::test(migrations = "../migrations")]
async fn a_bad_event_holds_up_no_good_one(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let source = team.source().await;
    let good = json!({"event_id": "good", "type": "lead"});
    for (name, value) in [
        ("event_name", json!("a\u{0}b")),
        ("customer_id", json!("\u{0}")),
        ("metadata", json!({"deep": ["\u{0}"]})),
        ("metadata", json!({"\u{0}": 1})),
        ("nim_ct", json!(5)),
    ] {
        let mut bad = json!({"event_id": "bad", "type": "lead"});
        bad[name] = value;
        let answer = source.send(&json!({"events": [bad, good]})).await.expect(200);
        let results = &answer["results"];
        assert_eq!((&results[0]["status"], &results[0]["code"]), (&json!("rejected"), &json!("validation_failed")));
        assert_eq!(results[0]["errors"][0]["pointer"], format!("/{name}"), "{answer}");
        assert_ne!(results[1]["status"], "rejected", "{answer}");
    }
    let absent =
        json!({"event_id": "absent", "type": "sale", "occurred_at": null, "amount_minor": null, "metadata": null});
    source.accepted(absent).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_stands_for_a_token_is_one_and_never_falls_through(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    let click = service.visit(&host, "nomura", service.now().plus(-Millis::HOUR)).await;
    service.deliver(&[&click]).await;
    source.accepted(json!({"event_id": "lead", "type": "lead", "nim_ct": click.token, "customer_id": "c"})).await;
    let long = "x".repeat(5_000);
    for (number, token) in ["", " ", "null", "\u{0}", &long].into_iter().enumerate() {
        let event = json!({"event_id": format!("{number}"), "type": "sale", "customer_id": "c", "nim_ct": token});
        let id = text(&source.accepted(event).await, "/conversion_id");
        let read = team.get(&format!("/v1/conversions/{id}")).await.expect(200);
        assert_eq!(
            (&read["attribution"]["status"], &read["attribution"]["reason"]),
            (&json!("unattributed"), &json!("token_invalid")),
            "{token:?}"
        );
    }
}

/// A click that earns nobody anything is still known for what it was.
#[sqlx::test(migrations = "../migrations")]
async fn what_is_not_attributed_is_counted_where_its_click_was(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let source = team.source().await;
    team.delete(&format!("/v1/links/{}/assignment", text(&link, "/id"))).await.expect(200);
    let mut click = service.visit(&host, "nomura", service.now().plus(-Millis::HOUR)).await;
    click.click["country"] = "DE".into();
    service.deliver(&[&click]).await;
    source.accepted(json!({"event_id": "sale", "type": "sale", "nim_ct": click.token})).await;
    for (country, counted) in [("DE", 1), ("FR", 0)] {
        let path = format!("/v1/reports/conversions?from=2020-01-01&to=2100-01-01&group_by=type&country={country}");
        assert_eq!(team.get(&path).await.expect(200)["unattributed"], counted, "{country}");
    }
}

/// `occurred_at` may be five minutes ahead and two years ago, to the millisecond.
#[sqlx::test(migrations = "../migrations")]
async fn the_bounds_of_a_request_are_exact(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let source = team.source().await;
    let bounds = [
        (300_000, 0, None),
        (300_000, 1_000, Some("occurred_at_in_future")),
        (-63_072_000_000, 0, None),
        (-63_072_000_000, -1_000, Some("occurred_at_too_old")),
    ];
    for (place, (bound, beyond, code)) in bounds.into_iter().enumerate() {
        // The clock goes on while the request travels: what must be within stays so for a second, what must not be
        // is beyond by as much.
        let slack = if code.is_none() && bound < 0 { 1_000 } else { 0 };
        let at = model::time::Timestamp::from_millis(service.now().plus(bound + beyond + slack));
        let answer = source.send(&json!({"event_id": format!("{place}"), "type": "lead", "occurred_at": at})).await;
        match code {
            None => assert_eq!(answer.status, 200, "{}", answer.text),
            Some(code) => {
                answer.expect_problem(422, code);
                assert_eq!(answer.json["event_id"], format!("{place}"), "a rejected event is known by its id");
            }
        }
    }
    // Times are kept as they are shown.
    let sale =
        source.accepted(json!({"event_id": "fine", "type": "lead", "occurred_at": "2026-01-02T03:04:05.678999Z"}));
    let id = text(&sale.await, "/conversion_id");
    let stored: bool =
        sqlx::query_scalar("select occurred_at = '2026-01-02T03:04:05.678Z' from conversions where event_id = 'fine'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(stored, "{id}");

    let event = |number: usize| json!({"event_id": format!("e-{number}"), "type": "lead"});
    let batch = |count: usize| json!({"events": (0..count).map(event).collect::<Vec<_>>()});
    for count in [0, 1_001] {
        source.send(&batch(count)).await.expect_problem(422, "validation_failed");
    }
    let results = source.send(&batch(1_000)).await.expect(200);
    assert!(results["results"].as_array().unwrap().iter().all(|result| result["status"] == "accepted"));
    // 8 KiB of metadata, written as compact JSON, and not a byte more.
    let metadata = |bytes: usize| json!({"event_id": "m", "type": "lead", "metadata": {"a": "x".repeat(bytes - 8)}});
    let refused = source.send(&metadata(8_193)).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.json["errors"][0]["pointer"], "/metadata", "{}", refused.text);
    source.accepted(metadata(8_192)).await;
    // What names an original is a follow-on; of others it is kept, no more.
    let lead = json!({"event_id": "l", "type": "lead", "original_event_id": "e-1"});
    let id = text(&source.accepted(lead).await, "/conversion_id");
    let read = team.get(&format!("/v1/conversions/{id}")).await.expect(200);
    assert_eq!((&read["original_event_id"], &read["reverses"]), (&json!("e-1"), &serde_json::Value::Null), "{read}");
}

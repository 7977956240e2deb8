//! The rule of each column of the conversions export.

use std::collections::HashMap;

use domain::csv::conversions as layout;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::exports::{export, id, parse, setup, store, text};

/// Rows that differ from a plain sale as told, and what stands in some of their columns.
fn rules() -> Vec<(Value, Vec<(&'static str, &'static str)>)> {
    let follow_on = |kind: &str, changes: Value| {
        let mut row = json!({"type": kind, "method": "original", "original_id": text(1), "original_event_id": "ev-1"});
        row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        row
    };
    vec![
        // Amounts: as many places as the currency has.
        (
            json!({"amount_minor": 1_999, "currency": "USD"}),
            vec![("currency", "USD"), ("amount_minor", "1999"), ("amount", "19.99")],
        ),
        (json!({"amount_minor": 500, "currency": "JPY"}), vec![("amount_minor", "500"), ("amount", "500")]),
        (json!({"amount_minor": 1_234, "currency": "KWD"}), vec![("amount_minor", "1234"), ("amount", "1.234")]),
        (json!({"amount_minor": 0, "currency": "EUR"}), vec![("amount_minor", "0"), ("amount", "0.00")]),
        (json!({}), vec![("currency", ""), ("amount_minor", ""), ("amount", ""), ("quantity", "")]),
        (
            json!({"amount_minor": i64::MAX, "currency": "EUR"}),
            vec![("amount_minor", "9223372036854775807"), ("amount", "92233720368547758.07")],
        ),
        // Follow-ons are below zero, and name what they reverse.
        (
            follow_on(
                "refund",
                json!({"amount_minor": 500, "currency": "USD", "reversed_minor": 500, "clawback_minor": 62, "reward_currency": "USD"}),
            ),
            vec![
                ("type", "refund"),
                ("amount_minor", "-500"),
                ("amount", "-5.00"),
                ("estimated_commission_minor", ""),
                ("clawback_minor", "-62"),
                ("reward_currency", "USD"),
                ("reverses_entry_id", "cnv_00000000000000000000000001"),
                ("original_event_id", "ev-1"),
                ("attribution_method", "original"),
                ("review_status", "ready"),
            ],
        ),
        // The remainder, where the event named no amount.
        (
            follow_on("cancellation", json!({"currency": "JPY", "reversed_minor": 499, "clawback_minor": 0})),
            vec![("amount_minor", "-499"), ("amount", "-499"), ("clawback_minor", "0")],
        ),
        (
            follow_on(
                "reversal",
                json!({"amount_minor": 900, "currency": "KWD", "reward_currency": "EUR", "clawback_minor": 0, "flags": ["currency_mismatch"]}),
            ),
            vec![
                ("amount", "-0.900"),
                ("reward_currency", "EUR"),
                ("clawback_minor", "0"),
                ("review_status", "review"),
                ("review_reasons", "currency_mismatch"),
            ],
        ),
        (
            follow_on("refund", json!({"amount_minor": 1, "currency": "EUR", "flags": ["exceeds_original"]})),
            vec![("review_reasons", "exceeds_original")],
        ),
        // Rewards: percent, or the fixed amount in the reward's own currency, which both columns are in.
        (
            json!({"amount_minor": 500, "currency": "JPY", "reward_basis": "fixed", "reward_rate_bps": null, "reward_amount_minor": 1_500, "reward_currency": "KWD", "estimated_commission_minor": 1_500}),
            vec![
                ("reward_basis", "fixed"),
                ("reward_rate", "1.500"),
                ("reward_currency", "KWD"),
                ("estimated_commission_minor", "1500"),
                ("clawback_minor", ""),
            ],
        ),
        (
            json!({"reward_basis": "fixed", "reward_rate_bps": null, "reward_amount_minor": 200, "reward_currency": "JPY"}),
            vec![("reward_rate", "200")],
        ),
        (
            json!({"reward_rate_bps": 5, "estimated_commission_minor": 0}),
            vec![("reward_basis", "percentage"), ("reward_rate", "0.05"), ("estimated_commission_minor", "0")],
        ),
        (json!({"reward_rate_bps": 10_000}), vec![("reward_rate", "100.00"), ("reward_terms_version", "3")]),
        (
            json!({"hold_until": "2026-03-31T10:00:00Z"}),
            vec![("hold_until", "2026-03-31T10:00:00.000Z"), ("occurred_at", "2026-03-01T10:00:00.123Z")],
        ),
        (
            json!({"reward_basis": null, "reward_rate_bps": null, "terms_version": null}),
            vec![
                ("reward_basis", ""),
                ("reward_rate", ""),
                ("reward_terms_version", ""),
                ("hold_until", ""),
                ("review_status", "review"),
                ("review_reasons", "no_reward_terms"),
            ],
        ),
        // Reviews: each reason, and several in one order.
        (json!({}), vec![("review_status", "ready"), ("review_reasons", ""), ("partner_relationship", "approved")]),
        (json!({"bot_reason": "crawler"}), vec![("bot", "true"), ("review_reasons", "bot_click")]),
        (json!({"flags": ["duplicate_order"]}), vec![("review_reasons", "duplicate_order"), ("bot", "false")]),
        (json!({"partner_id": text(111)}), vec![("review_reasons", "relationship_invited")]),
        (json!({"partner_id": text(112)}), vec![("review_reasons", "relationship_declined")]),
        (
            json!({"partner_id": text(113)}),
            vec![("review_reasons", "relationship_banned"), ("partner_relationship", "banned")],
        ),
        (json!({"partner_id": text(114)}), vec![("review_reasons", "relationship_deactivated")]),
        (json!({"partner_id": text(115)}), vec![("review_reasons", "partner_paused")]),
        (json!({"partner_id": text(116)}), vec![("review_reasons", "partner_archived")]),
        (
            json!({"partner_id": text(102), "bot_reason": "crawler", "flags": ["duplicate_order"], "reward_basis": null, "terms_version": null}),
            vec![("review_reasons", "relationship_banned;partner_paused;bot_click;no_reward_terms;duplicate_order")],
        ),
        // The click: its time is inside its id; an event may have been led to it by its customer.
        (
            json!({"click_id": "019ca7e7-5200-7000-8000-000000000001", "method": "customer", "customer_id": "42"}),
            vec![
                ("clicked_at", "2026-03-01T05:38:00.832Z"),
                ("attribution_method", "customer"),
                ("customer_id", "42"),
                ("short_url", "https://go.acme.test/nomura"),
                ("destination", "https://acme.test/?a=1"),
            ],
        ),
        (
            json!({"program_id": text(201), "program_key": "creators", "program_name": "Créateurs\r\n\"x\", y"}),
            vec![
                ("program_id", "prg_00000000000000000000000069"),
                ("program_key", "creators"),
                ("program_name", "Créateurs\r\n\"x\", y"),
            ],
        ),
        (
            json!({"quantity": -3, "country": "JP", "experiment": "hero", "variant": "b", "utm_source": "news"}),
            vec![
                ("quantity", "-3"),
                ("country", "JP"),
                ("experiment_key", "hero"),
                ("variant_key", "b"),
                ("utm_source", "news"),
            ],
        ),
        // Whatever a stranger may have written runs nowhere.
        (
            json!({"event_name": "=1+1", "order_id": "+1", "customer_id": "-1", "original_event_id": "@x",
                "partner_name": "\tx", "program_name": "\rx", "utm_source": "=s", "utm_medium": "=m", "utm_campaign": "=c",
                "utm_term": "=t", "utm_content": "=o", "experiment": "=e", "variant": "=v", "destination": "=d"}),
            vec![
                ("event_name", "'=1+1"),
                ("order_id", "'+1"),
                ("customer_id", "'-1"),
                ("original_event_id", "'@x"),
                ("partner_name", "'\tx"),
                ("program_name", "'\rx"),
                ("utm_source", "'=s"),
                ("utm_medium", "'=m"),
                ("utm_campaign", "'=c"),
                ("utm_term", "'=t"),
                ("utm_content", "'=o"),
                ("experiment_key", "'=e"),
                ("variant_key", "'=v"),
                ("destination", "'=d"),
            ],
        ),
    ]
}

#[sqlx::test(migrations = "../migrations")]
async fn every_column_follows_its_rule(pool: PgPool) {
    let db = &mut *pool.acquire().await.unwrap();
    setup(db).await;
    for (number, relationship, status) in [
        (111, "invited", "active"),
        (112, "declined", "active"),
        (113, "banned", "active"),
        (114, "deactivated", "active"),
        (115, "approved", "paused"),
        (116, "approved", "archived"),
    ] {
        sqlx::query(
            "insert into partners (workspace_id, id, key, display_name, relationship, status) values ($1, $2, $3, $3, $4, $5)",
        )
        .bind(id(1))
        .bind(id(number))
        .bind(format!("p{number}"))
        .bind(relationship)
        .bind(status)
        .execute(&mut *db)
        .await
        .unwrap();
    }
    let rules = rules();
    for (number, (changes, _)) in rules.iter().enumerate() {
        store(db, 1_000 + number as u128, changes.clone()).await;
    }
    let file = export(db).await;
    assert!(!file.starts_with('\u{feff}') && file.ends_with("\r\n"));
    let rows: HashMap<String, HashMap<String, String>> =
        parse(&file).into_iter().map(|row| (row["event_id"].clone(), row)).collect();
    let mut covered = vec!["entry_id", "event_id", "received_at", "partner_id", "partner_key", "partner_external_id"];
    covered.extend(["link_id", "click_id"]);
    for (number, (changes, expected)) in rules.iter().enumerate() {
        let row = &rows[&format!("ev-{}", 1_000 + number)];
        for (column, cell) in expected {
            assert_eq!(row[*column], *cell, "{column} of {changes}");
            covered.push(column);
        }
        assert_eq!(row["received_at"], "2026-03-01T10:00:01.000Z");
        assert!(
            row["entry_id"].starts_with("cnv_")
                && row["link_id"].starts_with("lnk_")
                && row["partner_id"].starts_with("prt_")
        );
        assert!(row["click_id"].starts_with("clk_"));
    }
    // `refunded` is what the sale of `setup` is: two follow-ons reverse it.
    assert_eq!(rows["ev-1"]["review_reasons"], "refunded");
    assert_eq!((&*rows["ev-1"]["partner_external_id"], &*rows["ev-1"]["partner_key"]), ("'=crm", "nomura"));
    let forgotten: Vec<&str> = layout::COLUMNS.into_iter().filter(|column| !covered.contains(column)).collect();
    assert_eq!(forgotten, Vec::<&str>::new(), "columns that no rule speaks of");
}

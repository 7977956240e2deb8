//! Set up, click, sale, report, file: the main job, and what follows a sale.

use serde_json::json;
use tests::{Stack, text};

/// (a) A visitor clicks, the customer's server sends a signed sale, the report and finance's file show it.
#[tokio::test]
async fn a_click_becomes_a_row_for_finance() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, link) = team.campaign().await;
    assert_eq!(link["short_url"], format!("https://{host}/nomura"));
    assert_eq!(
        (&link["token_append"]["will_append"], &link["token_append"]["reason"]),
        (&json!(true), &json!("appended"))
    );
    let source = team.source().await;

    let redirect = team.visit(&host, "/nomura?utm_source=newsletter").await;
    assert_eq!(redirect.status, 302);
    let token = &redirect.token;
    assert_eq!(redirect.location, format!("https://shop.example.com/?a=1&nim_ct={token}#top"));
    assert_eq!(token.len(), 40);
    team.visit(&host, "/nomura?qr=1").await;
    let bot = team.visit_as(&host, "/nomura", "Mozilla/5.0 (compatible; Googlebot/2.1)").await;
    assert_eq!(bot.location, "https://shop.example.com/?a=1#top", "a bot carries no token");

    let traffic = team.traffic_of(3).await;
    let group = &traffic["groups"][0];
    assert_eq!(group["label"], "Nomura");
    assert_eq!((&group["human"], &group["bot"], &group["qr_scan"]), (&json!(2), &json!(1), &json!(1)), "{traffic}");
    let countries = team.report("traffic", "country").await;
    assert_eq!((&countries["groups"][0]["key"], &countries["groups"][0]["selected"]), (&json!("JP"), &json!(3)));
    for group_by in ["program", "link", "day"] {
        let report = team.report("traffic", group_by).await;
        assert_eq!(report["groups"].as_array().map(Vec::len), Some(1), "{report}");
        assert_eq!(report["groups"][0]["selected"], 3, "{report}");
    }

    let sale = json!({"event_id": "s1", "type": "sale", "nim_ct": token, "order_id": "o1", "customer_id": "c1",
        "amount_minor": 12_345, "currency": "USD"});
    let result = source.accepted(sale).await;
    assert_eq!(result["attribution"]["status"], "attributed", "{result}");
    assert_eq!(result["attribution"]["method"], "token");
    assert_eq!(result["attribution"]["partner"]["key"], "nomura");
    assert_eq!(result["attribution"]["program"]["key"], "creators");
    // The customer is known by the sale now, so a lead without a token finds its partner too.
    let lead = source.accepted(json!({"event_id": "l1", "type": "lead", "customer_id": "c1"})).await;
    assert_eq!(lead["attribution"]["method"], "customer", "{lead}");

    let report = team.report("conversions", "partner").await;
    let group = &report["groups"][0];
    assert_eq!((&group["sales"], &group["leads"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(
        group["revenue"],
        json!([{"currency": "USD", "gross_minor": 12_345, "negative_minor": 0, "net_minor": 12_345}])
    );
    assert_eq!(group["estimated_reward"], json!([{"currency": "USD", "amount_minor": 1_234}]), "half-even of 1234.5");
    for group_by in ["program", "link", "type", "day"] {
        let report = team.report("conversions", group_by).await;
        assert!(report["groups"].as_array().is_some_and(|groups| !groups.is_empty()), "{report}");
    }

    let file = team.export().await;
    let (header, rows) = file.split_once("\r\n").expect("lines end as RFC 4180 says");
    assert_eq!(header, COLUMNS);
    assert_eq!(rows.matches("\r\n").count(), 2);
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let headers = reader.headers().expect("a header").clone();
    let sale = reader.records().map(|row| row.expect("a row")).find(|row| &row[1] == "s1").expect("the sale");
    let cell = |name: &str| &sale[headers.iter().position(|column| column == name).expect("a column")];
    for (column, expected) in [
        ("entry_id", text(&result, "/conversion_id").as_str()),
        ("type", "sale"),
        ("partner_key", "nomura"),
        ("partner_name", "Nomura"),
        ("program_name", "Creators"),
        ("short_url", &format!("https://{host}/nomura")),
        ("destination", "https://shop.example.com/?a=1#top"),
        ("attribution_method", "token"),
        ("order_id", "o1"),
        ("currency", "USD"),
        ("amount_minor", "12345"),
        ("amount", "123.45"),
        ("country", "JP"),
        ("bot", "false"),
        ("review_status", "ready"),
        ("reward_terms_version", "1"),
        ("reward_basis", "percentage"),
        ("reward_currency", "USD"),
        ("estimated_commission_minor", "1234"),
        ("clawback_minor", ""),
    ] {
        assert_eq!(cell(column), expected, "{column}");
    }
}

const COLUMNS: &str = "entry_id,event_id,type,event_name,occurred_at,received_at,partner_id,partner_key,partner_name,partner_external_id,partner_relationship,program_id,program_key,program_name,link_id,short_url,destination,click_id,clicked_at,attribution_method,order_id,original_event_id,reverses_entry_id,customer_id,quantity,currency,amount_minor,amount,utm_source,utm_medium,utm_campaign,utm_term,utm_content,experiment_key,variant_key,country,bot,review_status,review_reasons,reward_terms_version,reward_basis,reward_rate,reward_currency,hold_until,estimated_commission_minor,clawback_minor";

/// (c) A refund after a sale: both rows stay visible, and the net is right; also in parts, and by order.
#[tokio::test]
async fn a_refund_stands_beside_its_sale() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    let token = team.visit(&host, "/nomura").await.token;
    team.traffic_of(1).await;

    source.accepted(json!({"event_id": "s1", "type": "sale", "nim_ct": token, "order_id": "o1", "amount_minor": 10_000, "currency": "USD"})).await;
    let part = source.accepted(json!({"event_id": "r1", "type": "refund", "original_event_id": "s1", "amount_minor": 2_500, "currency": "USD"})).await;
    assert_eq!(part["attribution"]["method"], "original", "{part}");
    assert_eq!(part["attribution"]["partner"]["key"], "nomura");
    source.accepted(json!({"event_id": "r2", "type": "cancellation", "order_id": "o1"})).await;

    let report = team.report("conversions", "type").await;
    let totals = &report["totals"];
    assert_eq!(
        (&totals["sales"], &totals["refunds"], &totals["cancellations"]),
        (&json!(1), &json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(
        totals["revenue"],
        json!([{"currency": "USD", "gross_minor": 10_000, "negative_minor": -10_000, "net_minor": 0}])
    );

    let file = team.export().await;
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let headers = reader.headers().expect("a header").clone();
    let at = |name: &str| headers.iter().position(|column| column == name).expect("a column");
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    let columns = ["event_id", "amount_minor", "estimated_commission_minor", "clawback_minor", "original_event_id"];
    let seen: Vec<Vec<&str>> = rows.iter().map(|row| columns.iter().map(|name| &row[at(name)]).collect()).collect();
    assert_eq!(seen[0], ["s1", "10000", "1000", "", ""]);
    assert_eq!(seen[1], ["r1", "-2500", "", "-250", "s1"]);
    assert_eq!(seen[2], ["r2", "-7500", "", "-750", ""]);
    assert_eq!(&rows[0][at("review_reasons")], "refunded");
    assert_eq!(&rows[1][at("reverses_entry_id")], &rows[0][at("entry_id")]);
}

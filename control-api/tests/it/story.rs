//! The shortest way through everything: a link, a click, a sale, a report. What it takes for granted is tested beside it.

use serde_json::json;
use sqlx::PgPool;

use super::service::{Service, text};

#[sqlx::test(migrations = "../migrations")]
async fn a_click_becomes_a_sale_in_the_report(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let source = team.source().await;

    let visited = service.visit(&host, "nomura", service.now()).await;
    assert_eq!(visited.location, format!("https://shop.example.com/?a=1&nim_ct={}#top", visited.token));
    let sale =
        json!({"event_id": "1", "type": "sale", "nim_ct": visited.token, "amount_minor": 10_000, "currency": "EUR"});
    let early = source.accepted(sale.clone()).await;
    assert_eq!(early["attribution"]["status"], "pending_click", "{early}");
    assert_eq!(service.deliver(&[&visited]).await["stored"], 1);

    let later = source.send(&sale).await.expect(200);
    assert_eq!((&later["status"], &later["attribution"]["status"]), (&json!("duplicate"), &json!("attributed")));
    assert_eq!(later["attribution"]["link"]["id"], link["id"], "{later}");

    service.advance(60_000);
    let day = |days: i64| (chrono::Utc::now() + chrono::Duration::days(days)).format("%Y-%m-%dT00:00:00Z").to_string();
    let path = format!("/v1/reports/conversions?from={}&to={}&group_by=link", day(-1), day(2));
    let report = team.with_key("viewer", false).await.get(&path).await.expect(200);
    assert_eq!(report["groups"][0]["key"], text(&link, "/id"), "{report}");
    assert_eq!(report["totals"]["revenue"][0]["net_minor"], 10_000, "{report}");
    assert_eq!(report["totals"]["estimated_reward"][0]["amount_minor"], 1_000, "{report}");
}

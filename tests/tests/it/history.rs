//! History never changes.

use reqwest::Method;
use serde_json::json;
use tests::{Stack, eventually, text};

/// (b) The partner is renamed and the link unassigned: old rows keep the old name, new clicks carry none.
#[tokio::test]
async fn old_rows_keep_the_old_name() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, link) = team.campaign().await;
    let source = team.source().await;
    let before = team.visit(&host, "/nomura").await.token;
    team.traffic_of(1).await;
    source
        .accepted(json!({"event_id": "s1", "type": "sale", "nim_ct": before, "amount_minor": 100, "currency": "JPY"}))
        .await;

    team.change("/v1/partners/key:nomura", json!({"display_name": "Nomura Holdings"})).await;
    let path = format!("/v1/links/{}/assignment", text(&link, "/id"));
    let _ = team.send(Method::DELETE, &path, None).await.expect(200);

    // The edit reaches the edge by itself; from then on clicks carry no partner.
    let mut clicks = 1;
    eventually("the edge to serve the unassigned link", || {
        clicks += 1;
        let (team, host) = (&team, &host);
        async move {
            team.visit(host, "/nomura").await;
            let report = team.traffic_of(clicks).await;
            report["groups"].as_array()?.iter().any(|group| group["key"] == "none").then_some(())
        }
    })
    .await;
    let late = team.visit(&host, "/nomura").await.token;
    let report = team.traffic_of(clicks + 1).await;
    let groups = report["groups"].as_array().expect("groups");
    let none = groups.iter().find(|group| group["key"] == "none").expect("clicks of nobody");
    assert_eq!(none["selected"], 2, "{report}");

    // An old conversion keeps its snapshot, a new one of an old click gets the old name too.
    let again = json!({"event_id": "s2", "type": "sale", "nim_ct": before, "amount_minor": 50, "currency": "JPY"});
    let result = source.accepted(again).await;
    assert_eq!(result["attribution"]["partner"]["name"], "Nomura", "{result}");
    let result = source
        .accepted(json!({"event_id": "s3", "type": "sale", "nim_ct": late, "amount_minor": 50, "currency": "JPY"}))
        .await;
    assert_eq!(result["attribution"]["status"], "unattributed");
    assert_eq!(result["attribution"]["reason"], "no_partner_assignment");
    assert_eq!(result["attribution"]["link"]["id"], link["id"], "the link is kept");

    let file = team.export().await;
    assert_eq!(file.matches(",Nomura,").count(), 2, "{file}");
    assert!(!file.contains("Nomura Holdings"), "{file}");
    let history = team.get(&format!("/v1/links/{}/assignments", text(&link, "/id"))).await;
    assert!(history["data"][0]["ended_at"].is_string(), "{history}");
}

/// (e) The event arrives before its click: it waits, and is settled by the click.
#[tokio::test]
async fn an_event_waits_for_its_click() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    let token = team.visit(&host, "/nomura").await.token;
    team.traffic_of(1).await;
    // What the store knows of the click is taken away for a while, as if the queue were slow.
    let moved = "create table late as select * from clicks";
    sqlx::query(moved).execute(&stack.db).await.expect("copied");
    sqlx::query("delete from clicks").execute(&stack.db).await.expect("deleted");

    let sale = json!({"event_id": "s1", "type": "sale", "nim_ct": token, "amount_minor": 900, "currency": "KWD"});
    let result = source.accepted(sale.clone()).await;
    assert_eq!(result["attribution"]["status"], "pending_click", "{result}");
    let refund = source.accepted(json!({"event_id": "r1", "type": "refund", "original_event_id": "s1"})).await;
    assert_eq!(refund["attribution"]["status"], "pending_original", "{refund}");
    let early = source.accepted(json!({"event_id": "r0", "type": "refund", "original_event_id": "s0"})).await;
    assert_eq!(early["attribution"]["status"], "pending_original", "{early}");
    let report = team.report("conversions", "partner").await;
    assert_eq!(report["pending"], 3, "{report}");

    // The click lands unseen by any waiting transaction; the sweep joins them.
    sqlx::query("insert into clicks select * from late").execute(&stack.db).await.expect("restored");
    let report = eventually("the sale and its refund to be settled", || async {
        let report = team.report("conversions", "partner").await;
        (report["totals"]["refunds"] == 1).then_some(report)
    })
    .await;
    assert_eq!(report["groups"][0]["revenue"][0]["net_minor"], 0, "{report}");
    assert_eq!(report["pending"], 1, "the other refund still waits: {report}");
    let settled = source.send(&sale).await.expect(200);
    assert_eq!(settled["status"], "duplicate");
    assert_eq!(settled["conversion_id"], result["conversion_id"]);
    assert_eq!(settled["attribution"]["status"], "attributed", "{settled}");
}

//! The same worker without Cloudflare: plain workerd, its storage on disk, no queue.

use serde_json::json;
use tests::{Edge, Options, Stack, Team, eventually, text};

/// A visit becomes a click in the report. While the centre is away redirects go on, also after workerd was killed and
/// started again, and the clicks wait on the disk until the centre is back.
#[tokio::test]
async fn a_machine_of_ones_own_does_without_a_queue() {
    let mut stack = Stack::with(Options { edge: Edge::SelfHosted }).await;
    let (made, host) = {
        let team = stack.team().await;
        let (host, link) = team.campaign().await;
        let source = team.source().await;
        let redirect = team.visit(&host, "/nomura").await;
        assert_eq!(redirect.location, format!("https://shop.example.com/?a=1&nim_ct={}#top", redirect.token));
        let sale =
            json!({"event_id": "1", "type": "sale", "nim_ct": redirect.token, "amount_minor": 100, "currency": "EUR"});
        source.accepted(sale).await;
        assert_eq!(team.traffic_of(1).await["groups"][0]["label"], "Nomura");
        // The sale may have come before its click.
        eventually("the sale to be attributed", || async {
            let report = team.report("conversions", "link").await;
            (report["groups"][0]["key"] == text(&link, "/id")).then_some(())
        })
        .await;
        // What the centre pushes is on the disk, not only in memory.
        eventually("the records to be published", || async {
            let left: i64 = sqlx::query_scalar("select count(*) from outbox").fetch_one(&stack.db).await.ok()?;
            (left == 0).then_some(())
        })
        .await;
        (json!({"id": team.workspace, "api_key": {"key": team.key}}), host)
    };
    stack.kill_control().await;
    stack.restart_edge().await;
    for _ in 0..5 {
        let redirect = Team::new(&stack, &made).visit(&host, "/nomura").await;
        assert_eq!((redirect.status, redirect.token.len()), (302, 40));
    }
    eventually("the clicks to be on the disk", || async {
        let mut entries = std::fs::read_dir(stack.edge_folder().join("spool")).ok()?;
        entries.next().map(drop)
    })
    .await;
    stack.start_control().await;
    let team = Team::new(&stack, &made);
    team.traffic_of(6).await;
    let told = stack.delivery().await;
    assert_eq!((&told["totals"]["minted"], &told["totals"]["in_flight"]), (&json!(6), &json!(0)), "{told}");
    eventually("the spool to be empty", || async {
        let entries = std::fs::read_dir(stack.edge_folder().join("spool")).ok()?;
        (entries.count() == 0).then_some(())
    })
    .await;
}

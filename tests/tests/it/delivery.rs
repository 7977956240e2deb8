//! Nothing is lost, nothing is counted twice, and the visitor never waits for the centre.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use shared::{
    Millis,
    id::{ClickId, LinkId, PartnerId, WorkspaceId},
    token::TokenKey,
};
use tests::{Edge, Options, Stack, Team, eventually, now, random, text};
use uuid::Uuid;

/// (f) control-api stops: redirects go on, and the clicks arrive when it is back.
#[tokio::test]
async fn redirects_go_on_without_the_centre() {
    let mut stack = Stack::start().await;
    let (made, host) = {
        let team = stack.team().await;
        let (host, _) = team.campaign().await;
        team.visit(&host, "/nomura").await;
        team.traffic_of(1).await;
        (json!({"id": team.workspace, "api_key": {"key": team.key}}), host)
    };
    stack.kill_control().await;
    {
        let team = Team::new(&stack, &made);
        for _ in 0..5 {
            let redirect = team.visit(&host, "/nomura").await;
            assert_eq!((redirect.status, redirect.token.len()), (302, 40));
        }
        let unknown = team.visit(&host, "/never-seen").await;
        assert_eq!(unknown.status, 503, "what can't be known now is never a false 404");
    }
    stack.start_control().await;
    let team = Team::new(&stack, &made);
    let report = team.traffic_of(6).await;
    assert_eq!(report["groups"][0]["label"], "Nomura");
}

fn click(team: &Team<'_>, link: &Value, at: Millis, partner: u128) -> Value {
    let id = ClickId::mint(at, random());
    json!({
        "id": id, "workspace": team.workspace, "link": link["id"], "domain": "go.example.com", "slug": "nomura",
        "destination": "https://shop.example.com/", "trigger": "link", "device": "mobile", "browser": "safari", "os": "ios",
        "partner": {"id": PartnerId::from_uuid(Uuid::from_u128(partner)), "key": format!("p{partner}"), "name": format!("P{partner}")},
        "token": "appended", "country": "JP", "record_version": 1,
    })
}

async fn deliver(stack: &Stack, clicks: &[Value]) -> Value {
    let body = json!({"clicks": clicks}).to_string().into_bytes();
    let answer = stack.as_edge("/internal/v1/clicks", body).await.expect("control-api answers");
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("a receipt")
}

/// (d) The same click batch and the same event, each delivered three times, count once.
#[tokio::test]
async fn repeated_deliveries_count_once() {
    let stack = Stack::with(Options { edge: Edge::Absent }).await;
    let team = stack.team().await;
    let (_, link) = team.campaign().await;
    let source = team.source().await;
    let mut clicks: Vec<Value> = (0..50).map(|n| click(&team, &link, now(), n % 3)).collect();
    let token = {
        let workspace: WorkspaceId = team.workspace.parse().expect("an id");
        let id: ClickId = text(&clicks[0], "/id").parse().expect("an id");
        TokenKey::signing(&stack.token_secrets(), workspace).token(id)
    };
    // Every kind of click that can't be kept, beside those that can.
    clicks.push(click(&team, &link, now().plus(-16 * Millis::DAY), 0));
    clicks.push(click(&team, &link, now().plus(11 * Millis::MINUTE), 0));
    clicks.push(json!({"id": "nonsense"}));
    let stranger = WorkspaceId::mint(now(), random()).to_string();
    let mut foreign = click(&team, &link, now(), 0);
    foreign["workspace"] = json!(stranger);
    clicks.push(foreign);
    let reasons = json!({"too_late": 1, "clock_ahead": 1, "malformed": 1, "unknown_workspace": 1});
    assert_eq!(deliver(&stack, &clicks).await, json!({"stored": 50, "duplicate": 0, "rejected": reasons}));
    for _ in 0..2 {
        assert_eq!(deliver(&stack, &clicks).await, json!({"stored": 0, "duplicate": 50, "rejected": reasons}));
    }
    team.traffic_of(50).await;
    let counted: i64 =
        sqlx::query_scalar("select count(*) from click_rejections").fetch_one(&stack.db).await.expect("rows");
    assert_eq!(counted, 4, "refused clicks are counted once, too");

    let sale = json!({"event_id": "s1", "type": "sale", "nim_ct": token, "amount_minor": 100, "currency": "USD"});
    let first = source.accepted(sale.clone()).await;
    for _ in 0..2 {
        let again = source.send(&sale).await.expect(200);
        assert_eq!(again["status"], "duplicate");
        assert_eq!(again["conversion_id"], first["conversion_id"]);
        assert_eq!(again["attribution"], first["attribution"]);
    }
    let other = json!({"event_id": "s1", "type": "sale", "nim_ct": token, "amount_minor": 999, "currency": "USD"});
    source.send(&other).await.expect_problem(409, "event_id_conflict");
    let batch =
        json!({"events": [sale, other, {"event_id": "s2", "type": "lead"}, {"event_id": "s2", "type": "lead"}]});
    let results = source.send(&batch).await.expect(200);
    let statuses: Vec<_> = results["results"].as_array().expect("results").iter().map(|r| text(r, "/status")).collect();
    assert_eq!(statuses, ["duplicate", "rejected", "accepted", "duplicate"], "{results}");
    let report = team.report("conversions", "type").await;
    assert_eq!(report["totals"]["sales"], 1, "{report}");
}

/// 100,000 clicks in batches of 100, some sent twice, while control-api is killed half-way and restarted:
/// exactly 100,000 rows, and rollups equal to the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_clicks_survive_a_kill() {
    const BATCHES: usize = 1_000;
    let mut stack = Stack::with(Options { edge: Edge::Absent }).await;
    let batches: Arc<Vec<Vec<u8>>> = {
        let team = stack.team().await;
        let link = json!({"id": LinkId::mint(now(), random())});
        let start = now().plus(-20 * Millis::HOUR);
        let batch = |n: usize| {
            let at = start.plus(i64::try_from(n).unwrap_or(0) * 70_000);
            let clicks: Vec<Value> =
                (0..100).map(|i| click(&team, &link, at.plus(i), u128::try_from(i % 7).unwrap_or(0))).collect();
            json!({"clicks": clicks}).to_string().into_bytes()
        };
        Arc::new((0..BATCHES).map(batch).collect())
    };
    let done = Arc::new(AtomicU64::new(0));
    let stored = Arc::new(AtomicU64::new(0));

    // The sender knows nothing of the kill: it repeats what was not answered, and some of what was.
    let senders: Vec<_> = (0..4)
        .map(|worker| {
            let (batches, done, stored) = (batches.clone(), done.clone(), stored.clone());
            let sender = stack.sender();
            tokio::spawn(async move {
                for n in (worker..BATCHES).step_by(4) {
                    let mut rounds = if n % 10 == 0 { 2 } else { 1 };
                    while rounds > 0 {
                        match sender.post("/internal/v1/clicks", batches[n].clone()).await {
                            Ok(answer) if answer.status() == 200 => {
                                if let Ok(receipt) = answer.json::<Value>().await {
                                    stored.fetch_add(receipt["stored"].as_u64().unwrap_or(0), Ordering::Relaxed);
                                    rounds -= 1;
                                }
                            }
                            _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    eventually("half of the batches", || async { (done.load(Ordering::Relaxed) >= 500).then_some(()) }).await;
    stack.kill_control().await;
    stack.start_control().await;
    for sender in senders {
        sender.await.expect("the sender ends");
    }

    let rows: i64 = sqlx::query_scalar("select count(*) from clicks").fetch_one(&stack.db).await.expect("a count");
    assert_eq!(rows, 100_000);
    assert!(stored.load(Ordering::Relaxed) <= 100_000, "no click was reported as new twice");
    eventually("the deltas to be folded", || async {
        let left: i64 = sqlx::query_scalar("select count(*) from click_deltas").fetch_one(&stack.db).await.ok()?;
        (left == 0).then_some(())
    })
    .await;
    for grain in ["quarter", "day"] {
        let seconds = if grain == "day" { 86_400 } else { 900 };
        let differing: i64 = sqlx::query_scalar(
            "with counted as (
               select date_bin(make_interval(secs => $2), uuid_extract_timestamp(click_id), '2000-01-01Z') bucket, partner_id::text key, count(*) n
               from clicks group by 1, 2
             ), rolled as (
               select bucket, key, human_link + human_qr + bot_link + bot_qr n from click_rollups
               where dimension = 'partner' and grain = $1
             )
             select count(*) from counted full join rolled using (bucket, key) where counted.n is distinct from rolled.n",
        )
        .bind(grain)
        .bind(f64::from(seconds))
        .fetch_one(&stack.db)
        .await
        .expect("a comparison");
        assert_eq!(differing, 0, "{grain}");
    }
    let dimensions: Vec<(String, i64)> = sqlx::query_as(
        "select dimension, sum(human_link + human_qr + bot_link + bot_qr)::bigint from click_rollups where grain = 'day' group by 1",
    )
    .fetch_all(&stack.db)
    .await
    .expect("sums");
    let sums: HashSet<i64> = dimensions.iter().map(|(_, sum)| *sum).collect();
    assert_eq!(sums, HashSet::from([100_000]), "{dimensions:?}");
}

//! What fails, fails: the queue, the store, the centre, each alone and together. Visitors with a link that is known get
//! their redirect, and every click arrives in the end or is counted under a name.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use shared::{Millis, internal::Direction};
use tests::{Edge, Options, Stack, Team, eventually, now, text};

async fn faulty() -> Stack {
    Stack::with(Options { edge: Edge::Faulty }).await
}

async fn queued_records(stack: &Stack) -> i64 {
    sqlx::query_scalar("select count(*) from outbox").fetch_one(&stack.db).await.expect("a count")
}

/// Seven outages: what is away, three visits meanwhile, all of it back, and the clicks are there.
#[tokio::test]
async fn outages_stop_no_visitor_and_lose_no_click() {
    let mut stack = faulty().await;
    let (made, host) = {
        let team = stack.team().await;
        let (host, _) = team.campaign().await;
        team.visit(&host, "/nomura").await;
        team.traffic_of(1).await;
        (json!({"id": team.workspace, "api_key": {"key": team.key}}), host)
    };
    let mut clicks = 1;
    let away: [&[&str]; 7] = [
        &["store"],
        &["queue"],
        &["centre"],
        &["store", "queue"],
        &["store", "centre"],
        &["queue", "centre"],
        &["store", "queue", "centre"],
    ];
    for outage in away {
        let mut faults = json!({});
        if outage.contains(&"store") {
            faults["links"] = json!("fail");
            faults["spool"] = json!("fail");
        }
        if outage.contains(&"queue") {
            faults["queue"] = json!("fail");
        }
        stack.fail(&faults).await;
        if outage.contains(&"centre") {
            stack.kill_control().await;
        }
        for _ in 0..3 {
            let redirect = Team::new(&stack, &made).visit(&host, "/nomura").await;
            assert_eq!((redirect.status, redirect.token.len()), (302, 40), "without {outage:?}");
            clicks += 1;
        }
        stack.fail(&json!({})).await;
        if outage.contains(&"centre") {
            stack.start_control().await;
        }
        stack.run_cron().await;
        Team::new(&stack, &made).traffic_of(clicks).await;
    }
    let told = stack.delivery().await;
    assert_eq!(told["totals"]["minted"], clicks, "{told}");
    assert_eq!((&told["totals"]["stored"], &told["totals"]["in_flight"]), (&json!(clicks), &json!(0)), "{told}");
    assert_eq!(told["totals"]["rejected"], json!({}), "{told}");
}

/// A store and a centre that hang are as good as away: the visitor of a known link doesn't wait for them, and the click
/// waits in the spool.
#[tokio::test]
async fn what_hangs_holds_nobody_up() {
    let stack = faulty().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    team.visit(&host, "/nomura").await;
    team.traffic_of(1).await;
    stack.fail(&json!({"links": "hang", "queue": "fail", "centre": "hang"})).await;
    let redirect = team.visit(&host, "/nomura").await;
    assert_eq!((redirect.status, redirect.token.len()), (302, 40));
    // Time for the direct way to give up; only then is there something in the spool.
    stack.fail(&json!({"centre": "fail"})).await;
    stack.run_cron().await;
    stack.fail(&json!({})).await;
    eventually("the click out of the spool", || async {
        stack.run_cron().await;
        (stack.delivery().await["totals"]["stored"] == 2).then_some(())
    })
    .await;
}

/// Clicks go to the queues by lot, and arrive by any.
#[tokio::test]
async fn clicks_are_spread_over_queues() {
    let stack = faulty().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    // By chance alone, one of two stays unused in one run of 2^39.
    for _ in 0..40 {
        assert_eq!(team.visit(&host, "/nomura").await.status, 302);
    }
    team.traffic_of(40).await;
    let asked = stack.asked().await;
    let [first, second] = ["queue", "queue_1"].map(|queue| asked[queue].as_u64().unwrap_or_default());
    assert!(first > 0 && second > 0 && first + second == 40, "{asked}");
}

/// What a queue has given up is taken from its dead-letter queue.
#[tokio::test]
async fn dead_letters_are_delivered() {
    let stack = Stack::with(Options { edge: Edge::Impatient }).await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    team.visit(&host, "/nomura").await;
    team.traffic_of(1).await;
    stack.fail(&json!({"centre": "once"})).await;
    team.visit(&host, "/nomura").await;
    team.traffic_of(2).await;
    let told = stack.delivery().await;
    assert_eq!((&told["totals"]["minted"], &told["totals"]["stored"]), (&json!(2), &json!(2)), "{told}");
    assert_eq!(told["totals"]["rejected"], json!({}), "{told}");
}

/// A store that has lost everything holds every record again once the centre was told to publish them.
#[tokio::test]
async fn a_lost_store_is_published_anew() {
    let mut stack = Stack::with(Options { edge: Edge::SelfHosted }).await;
    let (made, host) = {
        let team = stack.team().await;
        let (host, _) = team.campaign().await;
        eventually("the records to be published", || async { (queued_records(&stack).await == 0).then_some(()) }).await;
        (json!({"id": team.workspace, "api_key": {"key": team.key}}), host)
    };
    for file in std::fs::read_dir(stack.edge_folder().join("links")).expect("a folder of links").flatten() {
        std::fs::remove_file(file.path()).expect("a record");
    }
    stack.restart_edge().await;
    stack.republish().await;
    eventually("the records to be published", || async { (queued_records(&stack).await == 0).then_some(()) }).await;
    // Without the centre nothing comes by a fill.
    stack.kill_control().await;
    assert_eq!(Team::new(&stack, &made).visit(&host, "/nomura").await.status, 302);
}

/// As deployed: the control plane writes into KV by Cloudflare's API, the worker's own doors are shut, and a link in KV
/// outlives the centre.
#[tokio::test]
async fn records_arrive_by_kv_alone() {
    let mut stack = Stack::with(Options { edge: Edge::ByKv }).await;
    let (made, host) = {
        let team = stack.team().await;
        let (host, _) = team.campaign().await;
        eventually("the records to be published", || async { (queued_records(&stack).await == 0).then_some(()) }).await;
        (json!({"id": team.workspace, "api_key": {"key": team.key}}), host)
    };
    assert_eq!(stack.as_control("/_nim/replicate", &json!({"entries": []})).await.status, 404, "the door is shut");
    stack.kill_control().await;
    assert_eq!(Team::new(&stack, &made).visit(&host, "/nomura").await.status, 302, "without the centre");
    stack.start_control().await;
    let team = Team::new(&stack, &made);
    team.traffic_of(1).await;
    // A change is seen once memory, 10 s, and KV's own cache, 30 s, have looked again.
    let link = text(&team.get("/v1/links").await, "/data/0/id");
    team.change(&format!("/v1/links/{link}"), json!({"status": "paused"})).await;
    eventually("the pause", || async { (team.visit(&host, "/nomura").await.status == 404).then_some(()) }).await;
}

/// A store that is away for longer than memory takes a record for fresh: the record is served on, and the store asked
/// again.
#[tokio::test]
async fn a_stale_record_outlives_its_store() {
    let stack = faulty().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    assert_eq!(team.visit(&host, "/nomura").await.status, 302);
    stack.fail(&json!({"links": "fail", "centre": "fail"})).await;
    let before = stack.asked().await["links"].as_u64().unwrap_or_default();
    let mut visits = 1;
    eventually("the store to be asked in vain", || {
        visits += 1;
        async {
            let redirect = team.visit(&host, "/nomura").await;
            assert_eq!((redirect.status, redirect.token.len()), (302, 40));
            (stack.asked().await["links"].as_u64().unwrap_or_default() > before + 1).then_some(())
        }
    })
    .await;
    stack.fail(&json!({})).await;
    team.traffic_of(visits).await;
}

/// A filter in front of the centre refuses one click and takes others: those arrive, that one is given up, and counted.
#[tokio::test]
async fn a_poisonous_click_holds_no_batch() {
    let stack = faulty().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    let poison = json!({"domain": host, "slug": "poison", "destination": "https://shop.example.com/"});
    team.make("/v1/links", poison).await;
    stack.fail(&json!({"centre": "filter:poison"})).await;
    for slug in ["/nomura", "/poison", "/nomura", "/nomura"] {
        assert_eq!(team.visit(&host, slug).await.status, 302, "{slug}");
    }
    let report = team.traffic_of(3).await;
    assert_eq!(report["groups"][0]["selected"], 3, "{report}");
    eventually("the poison to be counted", || async {
        let told = stack.delivery().await;
        (told["totals"]["rejected"] == json!({"undeliverable": 1})).then_some(())
    })
    .await;
    let told = stack.delivery().await;
    assert_eq!((&told["totals"]["minted"], &told["totals"]["in_flight"]), (&json!(4), &json!(0)), "{told}");
    assert_eq!(told["totals"]["stored"], 3, "{told}");
}

/// A link that is made right after somebody tried its address is there within 10 s, and a change of it likewise.
#[tokio::test]
async fn changes_reach_an_edge_that_has_asked_before() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    assert_eq!(team.visit(&host, "/soon").await.status, 404);
    let link =
        json!({"domain": host, "slug": "soon", "destination": "https://shop.example.com/", "partner": "key:nomura"});
    let link = team.make("/v1/links", link).await;
    let path = format!("/v1/links/{}", text(&link, "/id"));
    within_10_s("the new link", || async { team.visit(&host, "/soon").await.status == 302 }).await;
    team.change(&path, json!({"status": "paused"})).await;
    within_10_s("the pause", || async { team.visit(&host, "/soon").await.status == 404 }).await;
    team.change(&path, json!({"status": "active"})).await;
    within_10_s("the end of it", || async { team.visit(&host, "/soon").await.status == 302 }).await;
    team.change("/v1/partners/key:nomura", json!({"display_name": "Renamed"})).await;
    within_10_s("the name", || async {
        team.visit(&host, "/soon").await;
        let report = team.report("traffic", "partner").await;
        report["groups"][0]["label"] == "Renamed"
    })
    .await;
}

async fn within_10_s<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap_or_else(|_| panic!("{what} took more than 10 s"));
}

/// What the store holds gives way to newer versions only, a tombstone's included, and the sweep repairs what got in
/// otherwise.
#[tokio::test]
async fn an_older_version_never_wins() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    eventually("the records to be published", || async { (queued_records(&stack).await == 0).then_some(()) }).await;
    let key = format!("l:{host}/nomura");
    let look = async || {
        let found = stack.as_control("/_nim/records", &json!({"keys": [key, "l:none/none"]})).await.expect(200);
        assert_eq!(found["entries"].as_array().map(Vec::len), Some(1), "{found}");
        text(&found, "/entries/0/value")
    };
    let push = async |value: &str| {
        let push = json!({"entries": [{"key": key, "value": value}]});
        stack.as_control("/_nim/replicate", &push).await.expect(200)
    };
    let now = look().await;
    let version = serde_json::from_str::<Value>(&now).expect("a record")["version"].as_u64().expect("a version");
    let tombstone = |version: u64| json!({"version": version, "record": null}).to_string();

    for older in [tombstone(version - 1), tombstone(version)] {
        assert_eq!(push(&older).await, json!({"stored": 0, "skipped": 1}));
        assert_eq!(look().await, now);
    }
    assert_eq!(team.visit(&host, "/nomura").await.status, 302);
    assert_eq!(push(&tombstone(version + 1)).await, json!({"stored": 1, "skipped": 0}));
    assert_eq!(team.visit(&host, "/nomura").await.status, 404, "it is gone here");
    assert_eq!(push(&now).await, json!({"stored": 0, "skipped": 1}), "it does not come back");

    // Nobody meant that tombstone: the sweep finds it ahead of the database, and raises the record above it.
    eventually("the link to be repaired", || async {
        sqlx::query("update edge_sweep set not_before = now()").execute(&stack.db).await.expect("the sweep's row");
        (team.visit(&host, "/nomura").await.status == 302).then_some(())
    })
    .await;
    assert!(look().await.contains(&format!("\"version\":{}", version + 2)));
}

/// These doors are the control plane's: unsigned, they are shut.
#[tokio::test]
async fn the_doors_ask_for_a_signature() {
    let stack = Stack::start().await;
    for path in ["/_nim/replicate", "/_nim/records", "/_nim/drain"] {
        let url = format!("{}{path}", stack.edge_url);
        let answer = stack.http.post(&url).body("{}").send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(stack.http.request(Method::GET, &url).send().await.expect("an answer").status(), 405, "{path}");
    }
    // A request that was recorded: 60 s later it is worthless, and so is one that went the other way.
    for (direction, seconds, code) in [
        (Direction::ControlToEdge, -61, "signature_expired"),
        (Direction::ControlToEdge, 62, "signature_expired"),
        (Direction::EdgeToControl, 0, "signature_invalid"),
    ] {
        let at = now().plus(seconds * Millis::SECOND);
        let refused = stack.knock("/_nim/replicate", &json!({"entries": []}), direction, at).await;
        assert_eq!((refused.status, &refused.json["code"]), (401, &json!(code)), "{seconds}");
    }
    // What is signed is the whole address.
    assert_eq!(stack.as_control("/_nim/drain?x=1", &json!({})).await.expect(200), json!({"left": false}));
    assert_eq!(stack.as_control("/_nim/drain", &json!({})).await.expect(200), json!({"left": false}));
    assert_eq!(stack.as_control("/_nim/nothing", &json!({})).await.status, 404);
}

/// Whoever tries addresses that nobody knows is told to stop; links that are known go on, for them too.
#[tokio::test]
async fn a_scan_is_limited_and_no_known_link_is() {
    let stack = Stack::with(Options { edge: Edge::Guarded }).await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    eventually("the records to be published", || async { (queued_records(&stack).await == 0).then_some(()) }).await;
    let visit = async |slug: &str| {
        let request = stack.http.get(format!("{}/{slug}", stack.edge_url)).header("host", &host);
        request.header("cf-connecting-ip", "203.0.113.7").send().await.expect("the worker answers")
    };
    // A minute may turn in between.
    let mut answer = visit("scan-0").await;
    for n in 1..30 {
        if answer.status() != 404 {
            break;
        }
        answer = visit(&format!("scan-{n}")).await;
    }
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (429, true));
    assert_eq!(visit("nomura").await.status(), 302);
}

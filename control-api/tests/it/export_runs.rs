//! Runs of exports: handed on, vanished, too late; what they leave; and the moment that they are of.

use std::time::Duration;

use control_api::jobs;
use serde_json::json;
use sqlx::PgPool;

use super::{
    export_http::{ask, clicked, file, range, rows, sell, until},
    service::{Service, text},
};

const TERM: Duration = Duration::from_secs(30);

#[sqlx::test(migrations = "../migrations")]
async fn being_handed_on_is_no_failure_and_leaves_one_file(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let export = ask(&team, "traffic").await;
    let folder = service.app.config.export_url.to_file_path().unwrap().join(&team.workspace);
    std::fs::create_dir_all(&folder).unwrap();
    for attempt in 1..=7 {
        let lease = store::exports::lease(&pool, Duration::ZERO, TERM, 5).await.unwrap().expect("due");
        assert_eq!(lease.attempt, attempt);
        assert!(lease.hand_back(&pool).await.unwrap());
        assert!(!lease.hand_back(&pool).await.unwrap(), "once");
        // As of a process that was killed: a whole file, and one that was not.
        let name = format!("{}-{attempt}.csv", text(&export, "/id"));
        for left in [name.clone(), format!("{name}#1"), format!("{name}#2")] {
            std::fs::write(folder.join(left), "left").unwrap();
        }
    }
    let _work = service.work();
    until(&team, &export, "completed").await;
    file(&team, &export).await.expect(200);
    let names = || -> Vec<_> { std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    let wait = async {
        while names().len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert_eq!(names(), [format!("{}-8.csv", text(&export, "/id")).as_str()]);
}

#[sqlx::test(migrations = "../migrations")]
async fn runs_that_vanish_are_failures(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let export = ask(&team, "traffic").await;
    for _ in 0..5 {
        store::exports::lease(&pool, Duration::ZERO, TERM, 5).await.unwrap().expect("due");
        sqlx::query("update exports set leased_until = now()").execute(&pool).await.unwrap();
    }
    assert!(store::exports::lease(&pool, Duration::ZERO, TERM, 5).await.unwrap().is_none());
    jobs::exports::clear(&service.app).await.unwrap();
    let failed = until(&team, &export, "failed").await;
    assert_eq!(failed["error"], "too many of its runs failed or were interrupted");
}

#[sqlx::test(migrations = "../migrations")]
async fn no_traffic_file_is_short_of_clicks_that_were_removed(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let early = ask(&team, "traffic").await;
    sqlx::query("update workspaces set clicks_pruned_before = date_trunc('day', now(), 'UTC')")
        .execute(&pool)
        .await
        .unwrap();
    let before = text(&team.get("/v1/workspace").await.expect(200), "/clicks_pruned_before");
    let (from, to) = range();
    let refused = team.post("/v1/exports", json!({"kind": "traffic", "from": from, "to": to})).await;
    refused.expect_problem(422, "validation_failed");
    let fault = &refused.json["errors"][0];
    assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/from"), &json!("clicks_removed")));
    assert!(text(fault, "/detail").contains(&before), "{fault}");
    team.post("/v1/exports", json!({"kind": "traffic", "from": before, "to": to})).await.expect(202);
    team.post("/v1/exports", json!({"kind": "conversions", "from": from, "to": to})).await.expect(202);
    // The one that was asked for before it was so.
    let _work = service.work();
    let failed = until(&team, &early, "failed").await;
    assert!(text(&failed, "/error").contains(&before), "{failed}");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_shown_of_a_millisecond_belongs_to_it(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    sell(&source, "1", &clicked(&service, &host).await, 10_000, "EUR").await;
    team.patch("/v1/partners/key:nomura", json!({"external_id": "crm-1"})).await.expect(200);
    // All at the last microsecond of one millisecond, a minute ago.
    for change in [
        "conversions set recorded_at = m.at, attributed_at = m.at",
        "clicks set recorded_at = m.at",
        "partner_states set since = m.at",
    ] {
        let moment =
            "(select date_trunc('minute', now() - interval '1 minute') + interval '123999 microseconds' as at) m";
        let rest = if change.starts_with("partner") { "where since > '-infinity'" } else { "" };
        let sql = format!("update {change} from {moment} {rest}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    let shown = text(&team.get("/v1/conversions").await.expect(200)["data"][0], "/received_at");
    assert!(shown.ends_with(".123Z"), "{shown}");
    let (from, to) = range();
    let before = shown.replace(".123Z", ".122Z");
    for (as_of, count, hints) in [(&shown, 1, json!([])), (&before, 0, json!("recorded_after_as_of"))] {
        for (report, total) in [("conversions", "/totals/sales"), ("traffic", "/totals/total")] {
            let path = format!("/v1/reports/{report}?from={from}&to={to}&as_of={as_of}");
            let report = team.get(&path).await.expect(200);
            assert_eq!(report.pointer(total), Some(&json!(count)), "{path}: {report}");
            let said = report["hints"].as_array().unwrap().first().map_or(json!([]), |hint| hint["code"].clone());
            assert_eq!(said, hints, "{path}: {report}");
        }
    }
    let exports = [ask(&team, "conversions").await, ask(&team, "traffic").await];
    sqlx::query("update exports set as_of = $1::text::timestamptz").bind(&shown).execute(&pool).await.unwrap();
    let _work = service.work();
    for export in &exports {
        until(&team, export, "completed").await;
    }
    let conversions = rows(&file(&team, &exports[0]).await.text);
    assert_eq!((conversions.len(), &*conversions[0]["received_at"]), (1, &*shown));
    assert_eq!(conversions[0]["partner_external_id"], "crm-1");
    assert_eq!(rows(&file(&team, &exports[1]).await.text).len(), 1);
}

//! How long single clicks are kept, and what reports say of those that are gone.

use model::time::Timestamp;
use serde_json::{Value, json};
use shared::Millis;
use sqlx::PgPool;

use super::service::Service;

#[sqlx::test(migrations = "../migrations")]
async fn a_workspace_says_how_long_its_clicks_are_kept(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let mine = team.get("/v1/workspace").await.expect(200);
    assert_eq!((&mine["click_retention_days"], &mine["clicks_pruned_before"]), (&Value::Null, &Value::Null));

    let set = |days: Value| team.patch("/v1/workspace", json!({"click_retention_days": days}));
    for days in [379, 3_651] {
        let faults = set(days.into()).await.expect(422);
        assert_eq!(faults["errors"][0]["pointer"], "/click_retention_days", "{faults}");
    }
    assert_eq!(set(380.into()).await.expect(200)["click_retention_days"], 380);
    // The name alone is changed: the rest stays.
    let renamed = team.patch("/v1/workspace", json!({"name": "Acme"})).await.expect(200);
    assert_eq!(renamed["click_retention_days"], 380);
    store::retention::announce(&pool, Timestamp::from_millis(service.now())).await.unwrap();
    assert!(team.get("/v1/workspace").await.expect(200)["clicks_pruned_before"].is_string());
    // Kept for ever from now on; what is gone stays gone.
    let forever = set(Value::Null).await.expect(200);
    assert_eq!(forever["click_retention_days"], Value::Null);
    assert!(forever["clicks_pruned_before"].is_string());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_report_that_counts_clicks_says_which_are_gone(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let both = format!("&group_by=country&domain={host}");
    team.patch("/v1/workspace", json!({"click_retention_days": 380})).await.expect(200);
    store::retention::announce(&pool, Timestamp::from_millis(service.now())).await.unwrap();
    let day = |days: i64| Timestamp::from_millis(service.now().plus(days * Millis::DAY)).to_string()[..10].to_owned();
    let codes = async |kind: &str, from: i64, rest: &str| {
        let path = format!("/v1/reports/{kind}?from={}&to={}{rest}", day(from), day(1));
        let report = team.get(&path).await.expect(200);
        let hints = report["hints"].as_array().unwrap().clone();
        hints.iter().any(|hint| hint["code"] == "clicks_removed")
    };
    for kind in ["traffic", "conversions"] {
        // Rollups know them all.
        assert!(!codes(kind, -400, "&group_by=country").await);
        assert!(codes(kind, -400, &both).await);
        assert!(!codes(kind, -370, &both).await);
        // Its period before reaches further back.
        assert!(codes(kind, -370, &format!("{both}&compare=previous")).await);
    }
    // Clicks have no such groups, so none are counted.
    assert!(!codes("conversions", -400, &format!("&group_by=currency&domain={host}")).await);
}

/// Months come and go beside open transactions that read clicks and write them.
#[sqlx::test(migrations = "../migrations")]
async fn partitions_are_made_and_let_go_beside_readers_and_writers(pool: PgPool) {
    let service = Service::start(&pool).await;
    let exists = async |name: &str| -> bool {
        sqlx::query_scalar("select to_regclass($1) is not null").bind(name).fetch_one(&pool).await.unwrap()
    };
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("select count(*) from clicks").execute(&mut *reader).await.unwrap();
    // A reader doesn't hold up a new month.
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query("set lock_timeout = '2s'").execute(&mut *connection).await.unwrap();
    sqlx::query("select ensure_click_partition('2031-05-01')").execute(&mut *connection).await.unwrap();
    assert!(exists("clicks_203105").await);
    reader.rollback().await.unwrap();

    // What was detached, but not dropped, because its process was killed, goes as well.
    sqlx::query("select ensure_click_partition('2020-01-15'), ensure_click_partition('2020-02-15')")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::raw_sql("alter table clicks detach partition clicks_202001").execute(&pool).await.unwrap();
    // One that somebody keeps clicks in stays, detached as it is.
    let team = service.team().await;
    let keep = "select ensure_click_partition('2020-03-15'); alter table clicks detach partition clicks_202003;
        insert into clicks_202003 (workspace_id, click_id, link_id, domain, slug, destination, trigger, device, browser, os,
            token_reason, record_version)
        select id, uuid_at('2020-03-15 12:00:00Z'), id, 'go.acme.test', 'x', 'https://acme.test/', 'link', 'desktop',
            'chrome', 'windows', 'appended', 1 from workspaces";
    sqlx::raw_sql(keep).execute(&pool).await.unwrap();
    let before = Timestamp::from_millis(service.now().plus(-60 * Millis::DAY));
    let dropped = store::retention::drop_partitions(&pool, before).await.unwrap();
    assert_eq!(dropped, ["clicks_202001", "clicks_202002"]);
    assert!(!exists("clicks_202001").await && !exists("clicks_202002").await);
    assert!(exists("clicks_202003").await, "{} keeps a click in it", team.id());
}

/// One instance looks after the database at a time, and another does when that one is gone.
#[sqlx::test(migrations = "../migrations")]
async fn instances_take_turns_at_upkeep(pool: PgPool) {
    let turn = store::retention::Turn::take(&pool).await.unwrap().unwrap();
    assert!(store::retention::Turn::take(&pool).await.unwrap().is_none());
    turn.end().await.unwrap();
    assert!(store::retention::Turn::take(&pool).await.unwrap().is_some());
}

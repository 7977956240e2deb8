//! Rollups that can be proved and repaired, and what becomes of old clicks.

use analytics::grain::Day;
use axum::http::Method;
use control_api::jobs::{
    maintenance,
    rollups::{Check, check},
};
use model::time::Timestamp;
use serde_json::{Value, json};
use shared::{Millis, id::ClickId, redirect::Visit};
use sqlx::PgPool;
use store::rollups;

use super::service::{PHONE, Service, Team, random};

/// Clicks by some sources at a time, delivered.
pub async fn visits(service: &Service, host: &str, at: Millis, sources: &[&str]) {
    let mut visited = Vec::new();
    for source in sources {
        let query = format!("utm_source={source}");
        let visit = Visit { host, slug: "nomura", agent: PHONE, query: &query, ..Visit::default() };
        visited.push(service.visit_as(&visit, at).await);
    }
    let receipt = service.deliver(&visited.iter().collect::<Vec<_>>()).await;
    assert_eq!(receipt["stored"], sources.len(), "{receipt}");
}

pub async fn fold_all(pool: &PgPool) {
    while super::service::fold(pool, 1_000).await > 0 {}
}

async fn differences(pool: &PgPool) -> i64 {
    let mut sum = 0;
    for day in rollups::days(pool, None).await.unwrap() {
        sum += rollups::verify(pool, day).await.unwrap();
    }
    sum
}

/// In how many places months differ from the sums of their days.
async fn differences_of_months(pool: &PgPool) -> i64 {
    let months: std::collections::BTreeSet<_> =
        rollups::days(pool, None).await.unwrap().iter().map(|day| (day.workspace, day.month().start)).collect();
    let mut sum = 0;
    for (workspace, start) in months {
        sum += rollups::verify_month(pool, Day { workspace, start }).await.unwrap();
    }
    sum
}

/// The same click with another id and with these fields in place of its own; `null` takes one away.
fn alike(service: &Service, click: &Value, fields: &Value) -> Value {
    let mut click = click.clone();
    click["id"] = json!(ClickId::mint(service.now(), random()));
    let object = click.as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    click
}

/// The traffic report's totals of everything around now.
pub async fn total(team: &Team) -> i64 {
    let day = |days| Timestamp::from_millis(team.service.now().plus(days * Millis::DAY)).to_string();
    let path = format!("/v1/reports/traffic?from={}&to={}&group_by=source", &day(-20)[..10], &day(2)[..10]);
    team.get(&path).await.expect(200)["totals"]["total"].as_i64().unwrap()
}

/// What groups clicks in the fold is finer than their keys: names change, and a region without a country is none.
#[sqlx::test(migrations = "../migrations")]
async fn clicks_of_one_key_count_as_one_whatever_they_differ_in(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let click = service.visit(&host, "nomura", service.now()).await.click;
    let mut partner = click["partner"].clone();
    partner["name"] = json!("Another name");
    let clicks: Vec<Value> = [
        json!({"country": "DE", "region": "BE"}),
        json!({"country": "DE", "region": null, "source": ""}),
        json!({"country": null, "region": "BE", "trigger": "qr"}),
        json!({"country": null, "region": null, "source": null, "referrer_host": null, "bot_reason": "crawler"}),
        json!({"partner": partner, "slug": "renamed", "bot_reason": "probe", "trigger": "qr"}),
        json!({"partner": null, "program": null, "assignment": null}),
    ]
    .iter()
    .map(|fields| alike(&service, &click, fields))
    .collect();
    let body = json!({"clicks": clicks}).to_string();
    let receipt = service.as_edge(Method::POST, "/internal/v1/clicks", body.into_bytes()).await.expect(200);
    assert_eq!(receipt["stored"], clicks.len(), "{receipt}");
    fold_all(&pool).await;
    assert_eq!(differences(&pool).await, 0);
    // In small portions it comes to the same, from wherever the last one has come to.
    let again: Vec<Value> = clicks.iter().map(|click| alike(&service, click, &json!({}))).collect();
    let body = json!({"clicks": again}).to_string();
    service.as_edge(Method::POST, "/internal/v1/clicks", body.into_bytes()).await.expect(200);
    let mut place = rollups::Place::default();
    let mut portions = vec![];
    for _ in 0..3 {
        portions.push(rollups::fold_from(&pool, 4, &mut place).await.unwrap().unwrap());
        rollups::sweep_deltas(&pool).await.unwrap();
    }
    assert_eq!(portions, [4, 2, 0]);
    assert_eq!(differences(&pool).await, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn rollups_are_proved_and_repaired_while_clicks_wait_to_be_folded(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let (now, earlier) = (service.now(), service.now().plus(-3 * Millis::DAY));
    visits(&service, &host, now, &["news", "mail", "news"]).await;
    visits(&service, &host, earlier, &["news"]).await;
    fold_all(&pool).await;
    // These stay deltas.
    visits(&service, &host, now, &["chat"]).await;
    assert_eq!(differences(&pool).await, 0);
    check(&pool, Check::Verify, None, service.now()).await.unwrap();

    sqlx::query("update click_rollups set human_link = human_link + 1 where dimension = 'partner' and grain = 'day'")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("delete from click_rollups where dimension = 'link' and grain = 'quarter'")
        .execute(&pool)
        .await
        .unwrap();
    // A partner's day of two days, and a link's quarter-hour of each.
    assert_eq!(differences(&pool).await, 4);
    assert!(check(&pool, Check::Verify, Some(team.id()), service.now()).await.is_err());

    check(&pool, Check::Rebuild, Some(team.id()), service.now()).await.unwrap();
    assert_eq!(differences(&pool).await, 0);
    assert_eq!(total(&team).await, 5);
    assert_eq!(differences_of_months(&pool).await, 0);
    // What the repair has counted is not folded again.
    fold_all(&pool).await;
    assert_eq!((differences(&pool).await, total(&team).await), (0, 5));
    let day = Day {
        workspace: team.id().uuid(),
        start: Timestamp::parse(&format!("{}T00:00:00Z", &Timestamp::from_millis(now).to_string()[..10])).unwrap(),
    };
    assert_eq!(
        rollups::rebuild(&pool, day, Timestamp::from_millis(now.plus(-Millis::DAY))).await.unwrap(),
        0,
        "nothing was wrong any more"
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn months_are_proved_and_repaired(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let now = service.now();
    visits(&service, &host, now, &["news", "mail"]).await;
    visits(&service, &host, now.plus(-3 * Millis::DAY), &["news"]).await;
    fold_all(&pool).await;
    assert_eq!(differences_of_months(&pool).await, 0);
    sqlx::query(
        "update click_rollups set human_partner = human_partner + 1 where dimension = 'all' and grain = 'month'",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("delete from click_rollups where dimension = 'link' and grain = 'month'").execute(&pool).await.unwrap();
    assert_eq!(differences(&pool).await, 0, "days are as they were");
    assert!(check(&pool, Check::Verify, None, service.now()).await.is_err());
    check(&pool, Check::Rebuild, None, service.now()).await.unwrap();
    check(&pool, Check::Verify, None, service.now()).await.unwrap();
    assert_eq!(differences_of_months(&pool).await, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn values_that_visitors_choose_are_bounded_once_a_day_is_over(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let yesterday = service.now().plus(-3 * Millis::DAY);
    let names: Vec<_> = (0..rollups::KEPT_VALUES + 20).map(|number| format!("s{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for part in names.chunks(500) {
        visits(&service, &host, yesterday, part).await;
    }
    // The last ones are the greatest: they must be among the kept.
    visits(&service, &host, yesterday, &names[names.len() - 10..]).await;
    // Some call themselves so.
    visits(&service, &host, yesterday, &["(other)"]).await;
    fold_all(&pool).await;
    maintenance::once(&service.app).await.unwrap();

    let keys: Vec<(String, i64)> = sqlx::query_as(
        "select key, human_link from click_rollups where dimension = 'source' and grain = 'day' order by human_link desc, key",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(keys.len(), 1_001);
    assert_eq!(keys[0], ("(other)".to_owned(), 21));
    let mut greatest = names[names.len() - 10..].to_vec();
    greatest.sort_unstable();
    assert_eq!(keys[1..11].iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), greatest);
    assert_eq!((differences(&pool).await, total(&team).await), (0, 1_031));
    assert_eq!(differences_of_months(&pool).await, 0);
    // To count them again changes nothing, and repairs to the same.
    let day = rollups::days(&pool, None).await.unwrap()[0];
    let rebuild = async || rollups::rebuild(&pool, day, Timestamp::from_millis(service.now())).await.unwrap();
    assert_eq!(rebuild().await, 0);
    sqlx::query("delete from click_rollups where dimension = 'source' and key <> '(other)'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(rebuild().await > 1_000);
    assert_eq!((differences(&pool).await, differences_of_months(&pool).await), (0, 0));
    let months: i64 = sqlx::query_scalar(
        "select count(distinct key) from click_rollups where dimension = 'source' and grain = 'month'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(months, 1_001);
}

#[sqlx::test(migrations = "../migrations")]
async fn old_clicks_go_where_the_workspace_says_so_and_their_counts_stay(pool: PgPool) {
    let service = Service::start(&pool).await;
    let (short, long) = (service.team().await, service.team().await);
    let (hosts, then) = ([short.campaign().await.0, long.campaign().await.0], service.now());
    for host in &hosts {
        visits(&service, host, then, &["news", "mail"]).await;
    }
    fold_all(&pool).await;
    sqlx::query("update workspaces set click_retention_days = 380 where id = $1")
        .bind(short.id().uuid())
        .execute(&pool)
        .await
        .unwrap();
    let clicks = async |team: &Team| -> i64 {
        let count = sqlx::query_scalar("select count(*) from clicks where workspace_id = $1").bind(team.id().uuid());
        count.fetch_one(&pool).await.unwrap()
    };
    let counted = async |team: &Team| -> i64 {
        let sql = "select sum(human_link)::bigint from click_rollups where workspace_id = $1 and dimension = 'all' and grain = 'day'";
        sqlx::query_scalar(sql).bind(team.id().uuid()).fetch_one(&pool).await.unwrap()
    };
    let partition = format!("clicks_{}", Timestamp::from_millis(then).0.format("%Y%m"));
    let stands = async || -> bool {
        sqlx::query_scalar("select to_regclass($1) is not null").bind(&partition).fetch_one(&pool).await.unwrap()
    };

    service.advance(500 * Millis::DAY);
    maintenance::once(&service.app).await.unwrap();
    assert_eq!((clicks(&short).await, clicks(&long).await), (0, 2));
    assert_eq!((counted(&short).await, counted(&long).await), (2, 2));
    assert!(stands().await, "somebody keeps clicks in it");
    assert_eq!(differences(&pool).await, 0, "days whose clicks are gone are not compared");

    sqlx::query("update workspaces set click_retention_days = 400").execute(&pool).await.unwrap();
    maintenance::once(&service.app).await.unwrap();
    assert!(!stands().await, "nobody keeps anything in it");
    assert_eq!((counted(&short).await, counted(&long).await), (2, 2));
}

/// Retention may overtake a rebuild, whose list of days was made before.
#[sqlx::test(migrations = "../migrations")]
async fn counts_whose_clicks_are_gone_by_now_are_left_alone(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    visits(&service, &host, service.now(), &["news", "mail"]).await;
    fold_all(&pool).await;
    let days = rollups::days(&pool, None).await.unwrap();
    sqlx::query("update workspaces set click_retention_days = 380").execute(&pool).await.unwrap();
    service.advance(500 * Millis::DAY);
    maintenance::once(&service.app).await.unwrap();
    let clicks: i64 = sqlx::query_scalar("select count(*) from clicks").fetch_one(&pool).await.unwrap();
    assert_eq!(clicks, 0);
    for day in days {
        assert_eq!(rollups::verify(&pool, day).await.unwrap(), 0);
        assert_eq!(rollups::rebuild(&pool, day, Timestamp::from_millis(service.now())).await.unwrap(), 0);
    }
    let counted = "select sum(human_link)::bigint from click_rollups where dimension = 'all' and grain = 'day'";
    assert_eq!(sqlx::query_scalar::<_, i64>(counted).fetch_one(&pool).await.unwrap(), 2);
}

//! Packs say what their rollups say, or they aren't there.

use analytics::scope::{Bots, Filter, Scope};
use control_api::jobs::{
    maintenance,
    rollups::{Check, check},
};
use model::time::Timestamp;
use shared::Millis;
use sqlx::PgPool;
use store::{packs, reports::clicks, rollups};

use super::{
    rollups::{fold_all, total, visits},
    service::Service,
};

/// When everything is over.
fn far() -> Timestamp {
    Timestamp::parse("2100-01-01T00:00:00Z").unwrap()
}

async fn pack(pool: &PgPool, now: Timestamp) {
    while packs::make(pool, now, 10).await.unwrap() > 0 {}
}

/// The first moments of the days of clicks that are packed.
async fn days(pool: &PgPool) -> Vec<Timestamp> {
    let kept = packs::kept(pool, None).await.unwrap();
    kept.into_iter().filter(|bucket| bucket.grain == analytics::grain::Grain::Day).map(|bucket| bucket.start).collect()
}

fn day(at: Millis) -> Timestamp {
    Timestamp::parse(&format!("{}T00:00:00Z", &Timestamp::from_millis(at).to_string()[..10])).unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn what_changes_a_day_takes_its_packs_away(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let (now, earlier) = (service.now(), service.now().plus(-3 * Millis::DAY));
    visits(&service, &host, now, &["news"]).await;
    visits(&service, &host, earlier, &["news"]).await;
    fold_all(&pool).await;
    pack(&pool, Timestamp::from_millis(now)).await;
    assert_eq!(days(&pool).await, [day(earlier)], "today isn't over");
    pack(&pool, far()).await;
    assert_eq!(days(&pool).await, [day(earlier), day(now)]);
    let all = packs::kept(&pool, None).await.unwrap().len();

    // A late click: it counts beside the packs until it is folded, and without them then.
    visits(&service, &host, earlier, &["mail"]).await;
    assert_eq!((days(&pool).await.len(), total(&team).await), (2, 3));
    fold_all(&pool).await;
    assert_eq!((days(&pool).await, total(&team).await), (vec![day(now)], 3));
    let kept = packs::kept(&pool, None).await.unwrap();
    assert!(kept.iter().all(|bucket| bucket.start.0 > day(earlier).0), "nor its week, nor its month: {kept:?}");
    pack(&pool, far()).await;
    assert_eq!((packs::kept(&pool, None).await.unwrap().len(), total(&team).await), (all, 3));
    check(&pool, Check::Verify, None, now).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn trimmed_days_are_packed_anew(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let earlier = service.now().plus(-3 * Millis::DAY);
    let names: Vec<_> = (0..1_020).map(|number| format!("s{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for part in names.chunks(500) {
        visits(&service, &host, earlier, part).await;
    }
    fold_all(&pool).await;
    pack(&pool, far()).await;
    maintenance::once(&service.app).await.unwrap();
    assert_eq!(days(&pool).await, []);
    pack(&pool, far()).await;
    check(&pool, Check::Verify, None, service.now()).await.unwrap();
    assert_eq!(days(&pool).await, [day(earlier)]);
}

#[sqlx::test(migrations = "../migrations")]
async fn what_changes_while_it_is_packed_is_not_kept(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    visits(&service, &host, service.now(), &["news"]).await;
    fold_all(&pool).await;
    // A fold has written and not yet ended when the packs of the same day are made.
    let mut fold = pool.begin().await.unwrap();
    let touch =
        "update click_rollups set human_link = human_link + 1 where dimension in ('all', 'link') and grain <> 'month'";
    sqlx::query(touch).execute(&mut *fold).await.unwrap();
    let making = tokio::spawn({
        let pool = pool.clone();
        async move { packs::make(&pool, far(), 100).await }
    });
    let waiting =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 0 {
        assert!(!making.is_finished(), "nothing waited");
    }
    fold.commit().await.unwrap();
    making.await.unwrap().unwrap();
    assert_eq!(days(&pool).await, []);
    pack(&pool, far()).await;
    assert_eq!(days(&pool).await.len(), 1);
    for bucket in packs::kept(&pool, None).await.unwrap() {
        assert_eq!(packs::verify(&pool, &bucket).await.unwrap(), 0, "{bucket:?}");
    }
}

/// By the id of a pack, which says what it holds.
#[sqlx::test(migrations = "../migrations")]
async fn what_was_read_lately_is_not_read_again(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let earlier = service.now().plus(-3 * Millis::DAY);
    let (cache, none) = (packs::Cache::new(1_000_000), packs::Cache::new(0));
    let count = async |cache: &packs::Cache| {
        let scope = Scope {
            workspace: team.id(),
            from: day(earlier),
            to: Timestamp::from_millis(day(earlier).millis().plus(Millis::DAY)),
            tz: chrono_tz::UTC,
            as_of: None,
            filter: Filter::default(),
        };
        let db = &mut *pool.acquire().await.unwrap();
        let grouped = clicks::grouped(db, cache, &scope, analytics::group::ClickGroup::Link, Bots::All, 10).await?;
        Ok::<_, sqlx::Error>(grouped.totals.human_link)
    };
    visits(&service, &host, earlier, &["news", "mail"]).await;
    fold_all(&pool).await;
    pack(&pool, far()).await;
    assert_eq!(count(&cache).await.unwrap(), 2);
    sqlx::query(r"update rollup_packs set cells = '\x02'").execute(&pool).await.unwrap();
    assert_eq!((count(&cache).await.unwrap(), count(&none).await.is_err()), (2, true));
    // Made anew, it is another.
    visits(&service, &host, earlier, &["news"]).await;
    fold_all(&pool).await;
    pack(&pool, far()).await;
    assert_eq!((count(&cache).await.unwrap(), count(&none).await.unwrap()), (3, 3));
}

#[sqlx::test(migrations = "../migrations")]
async fn damaged_packs_are_found_and_made_anew(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    visits(&service, &host, service.now().plus(-13 * Millis::DAY), &["news", "mail"]).await;
    fold_all(&pool).await;
    pack(&pool, far()).await;
    let other_release = sqlx::query(r"update rollup_packs set cells = '\xff00'").execute(&pool).await.unwrap_err();
    assert!(other_release.to_string().contains("rollup_packs_format"), "{other_release}");
    for damage in [
        r"update rollup_packs set cells = cells || '\x00' where dimension = 'link' and grain = 'day'",
        "delete from rollup_packs where dimension = 'country' and grain = 'week'",
        "insert into rollup_packs select workspace_id, facts, grain, bucket, 'ghost', cells from rollup_packs
         where dimension = 'os'",
        // As another release would write it, if it could: not read, and the report is right without it.
        r"alter table rollup_packs drop constraint rollup_packs_format;
         update rollup_packs set cells = '\xff00'",
    ] {
        sqlx::raw_sql(damage).execute(&pool).await.unwrap();
        assert_eq!(total(&team).await, 2, "{damage}");
        assert!(check(&pool, Check::Verify, None, service.now()).await.is_err(), "{damage}");
        check(&pool, Check::Rebuild, Some(team.id()), far().millis()).await.unwrap();
        check(&pool, Check::Verify, None, service.now()).await.unwrap();
        assert!(!packs::kept(&pool, None).await.unwrap().is_empty());
    }
    // A repair takes the packs of its day away at once, also where all clicks together were right.
    let touch = "update click_rollups set human_link = human_link + 1 where dimension = 'partner' and grain = 'day'";
    sqlx::query(touch).execute(&pool).await.unwrap();
    assert_eq!(days(&pool).await.len(), 1);
    let day = rollups::days(&pool, None).await.unwrap()[0];
    assert_eq!(rollups::rebuild(&pool, day, day.start).await.unwrap(), 1);
    assert_eq!(days(&pool).await, []);
}

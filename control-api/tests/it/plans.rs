//! What reports read: Postgres counts the scans of each table within a transaction, so this holds whatever the planner
//! is said to do. One dimension at a time is read from rollups alone; more of them scan clicks by their key, within the
//! months of the range, and never from one end to the other.

use analytics::{
    group::ClickGroup,
    scope::{Bots, Filter, Scope},
};
use model::time::Timestamp;
use shared::id::{LinkId, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgConnection, PgPool};
use store::{
    packs,
    reports::{clicks, conversions},
};
use uuid::Uuid;

const WORKSPACE: u128 = 1;

/// Two workspaces with 9,000 clicks of each of three months, so that an index is worth its while.
async fn fill(db: &PgPool) {
    sqlx::raw_sql(
        "select ensure_click_partition(month) from generate_series(timestamptz '2026-01-01', '2026-03-01', '1 month') month;
         insert into clicks (workspace_id, click_id, link_id, domain, slug, destination, partner_id, program_id, trigger,
           country, device, browser, os, token_reason, record_version)
         select lpad(to_hex(1 + n % 2), 32, '0')::uuid,
           overlay(overlay(uuid_at(timestamptz '2026-01-01' + n * interval '144 seconds')::text
             placing '7' from 15) placing '8' from 20)::uuid,
           lpad(to_hex(n % 50), 32, '0')::uuid, 'go.acme.test', 'l' || n % 50, 'https://acme.test/',
           lpad(to_hex(n % 20), 32, '0')::uuid, lpad(to_hex(n % 3), 32, '0')::uuid, 'link', 'DE', 'mobile', 'safari',
           'ios', 'appended', 1
         from generate_series(0, 53999) n;
         insert into workspaces (id, slug, name, plan, access_partner_setup, access_partner_reporting,
           access_partner_conversion_reporting, access_partner_exports)
         values (lpad('1', 32, '0')::uuid, 'acme', 'Acme', 'enterprise', true, true, true, true);
         insert into partners (workspace_id, id, key, display_name, tags)
         values (lpad('1', 32, '0')::uuid, lpad('2', 32, '0')::uuid, 'nomura', 'Nomura', '{vip}');
         analyze clicks, partners",
    )
    .execute(db)
    .await
    .unwrap();
}

/// The filters, each under the dimension of the rollups that it is of.
fn filters() -> Vec<(Option<&'static str>, Filter)> {
    let (none, id) = (Filter::default, Uuid::from_u128(2));
    vec![
        (None, none()),
        (Some("partner"), Filter { partner: Some(PartnerId::from_uuid(id)), ..none() }),
        (Some("partner"), Filter { tag: Some("vip".into()), ..none() }),
        (Some("program"), Filter { program: Some(ProgramId::from_uuid(id)), ..none() }),
        (Some("link"), Filter { link: Some(LinkId::from_uuid(id)), ..none() }),
        (Some("country"), Filter { country: Some("DE".into()), ..none() }),
        (Some("domain"), Filter { domain: Some("go.acme.test".into()), ..none() }),
    ]
}

/// The dimension that a group is of.
fn dimension(group: ClickGroup) -> Option<&'static str> {
    match group {
        ClickGroup::Tag => Some("partner"),
        ClickGroup::Hour | ClickGroup::Day | ClickGroup::Week | ClickGroup::Month => None,
        other => Some(other.as_str()),
    }
}

fn scope(filter: Filter) -> Scope {
    let [from, to] = ["2026-02-10T00:00:00Z", "2026-02-12T00:00:00Z"].map(|text| Timestamp::parse(text).unwrap());
    let workspace = WorkspaceId::from_uuid(Uuid::from_u128(WORKSPACE));
    Scope { workspace, from, to, tz: chrono_tz::Europe::Berlin, as_of: None, filter }
}

/// Partitions of clicks that were scanned: name, sequential scans, scans of an index.
type Scans = Vec<(String, i64, i64)>;

/// What this connection has scanned and not yet reported; it reports between transactions.
async fn scans(db: &mut PgConnection) -> Scans {
    sqlx::query_as(
        r"select relname::text, seq_scan, coalesce(idx_scan, 0) from pg_stat_xact_user_tables
          where relname ~ '^clicks(_\d+)?$' order by 1",
    )
    .fetch_all(db)
    .await
    .unwrap()
}

/// What was scanned since `before`.
async fn scans_since(before: &Scans, db: &mut PgConnection) -> Scans {
    let after = scans(db).await;
    let since = after.into_iter().map(|(name, whole, by_key)| {
        let known = before.iter().find(|(known, ..)| *known == name).map_or((0, 0), |known| (known.1, known.2));
        (name, whole - known.0, by_key - known.1)
    });
    since.filter(|(_, whole, by_key)| (*whole, *by_key) != (0, 0)).collect()
}

/// Runs both reports' questions about clicks, and answers what they scanned.
async fn ask(pool: &PgPool, scope: &Scope, group: ClickGroup) -> Scans {
    let mut tx = pool.begin().await.unwrap();
    // Workers' scans would be counted elsewhere.
    sqlx::raw_sql("set local max_parallel_workers_per_gather = 0").execute(&mut *tx).await.unwrap();
    let before = scans(&mut tx).await;
    clicks::grouped(&mut tx, &packs::Cache::new(0), scope, group, Bots::All, 100).await.unwrap();
    clicks::Measure::read(&mut tx, &packs::Cache::new(0), scope, Some(group))
        .await
        .unwrap()
        .of_keys(vec!["none".to_owned()])
        .await
        .unwrap();
    scans_since(&before, &mut tx).await
}

#[sqlx::test(migrations = "../migrations")]
async fn one_dimension_is_read_without_a_single_click(pool: PgPool) {
    fill(&pool).await;
    for (of, filter) in filters() {
        let scope = scope(filter);
        for &group in ClickGroup::ALL {
            if of.is_none() || dimension(group).is_none() || of == dimension(group) {
                assert_eq!(ask(&pool, &scope, group).await, [], "{group} {scope:?}");
            }
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn several_dimensions_scan_the_range_by_its_key(pool: PgPool) {
    fill(&pool).await;
    let february = |found: &[(String, i64, i64)]| matches!(found, [(name, 0, 1..)] if name == "clicks_202602");
    for (of, filter) in filters() {
        let scope = scope(filter);
        for &group in ClickGroup::ALL {
            if of.is_some() && dimension(group).is_some() && of != dimension(group) {
                let found = ask(&pool, &scope, group).await;
                assert!(february(&found), "{group} {scope:?}: {found:?}");
            }
        }
    }
    // What was known at a moment is told by the clicks alone, and so is a range that rollups can't cut.
    let whole = scope(Filter::default());
    let past = Scope { as_of: Some(whole.to), ..whole.clone() };
    let uneven = Scope { to: Timestamp::parse("2026-02-11T23:59:59Z").unwrap(), ..whole };
    for scope in [past, uneven] {
        let found = ask(&pool, &scope, ClickGroup::Partner).await;
        assert!(february(&found), "{scope:?}: {found:?}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn conversions_are_measured_against_rollups(pool: PgPool) {
    fill(&pool).await;
    let scope = scope(Filter::default());
    for group in analytics::group::ConversionGroup::ALL {
        let mut tx = pool.begin().await.unwrap();
        let before = scans(&mut tx).await;
        conversions::Conversions::read(&mut tx, &packs::Cache::new(0), &scope, *group, Bots::All)
            .await
            .unwrap()
            .grouped(100)
            .await
            .unwrap();
        clicks::Measure::read(&mut tx, &packs::Cache::new(0), &scope, group.of_clicks())
            .await
            .unwrap()
            .of_keys(vec!["none".to_owned()])
            .await
            .unwrap();
        assert_eq!(scans_since(&before, &mut tx).await, [], "{group}");
    }
}

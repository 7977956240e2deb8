//! Conversion reports from rollups say what they say from facts, however the range is cut and whatever is folded; and the
//! rollups can be proved and repaired.

use analytics::{
    group::ConversionGroup,
    scope::{Bots, Filter, Scope},
    sums::{ShownGroup, Sums},
};
use chrono_tz::Tz;
use model::time::Timestamp;
use shared::id::{LinkId, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgConnection, PgPool};
use store::{
    conversion_rollups as rollups, packs,
    reports::conversions::{self, Conversions},
};
use uuid::Uuid;

/// 3,000 conversions of each of two workspaces over five months, of every kind and state.
async fn fill(db: &PgPool) {
    sqlx::raw_sql(
        "insert into workspaces (id, slug, name, plan, access_partner_setup, access_partner_reporting,
           access_partner_conversion_reporting, access_partner_exports)
         select lpad(n::text, 32, '0')::uuid, 'w' || n, 'W', 'enterprise', true, true, true, true from generate_series(1, 2) n;
         insert into partners (workspace_id, id, key, display_name, tags)
         select lpad('1', 32, '0')::uuid, lpad(n::text, 32, '0')::uuid, 'p' || n, 'P', case when n < 3 then '{vip}' else '{}' end::text[]
         from generate_series(1, 5) n;
         create function r(n int, salt int, sides int) returns int language sql immutable
           return (hashint8extended(n, salt) & 1073741823) % sides;
         insert into conversions (workspace_id, id, source_id, event_id, payload_hash, type, event_name, amount_minor, currency,
           occurred_at, recorded_at, status, reason, attributed_at, click_id, link_id, domain, slug, partner_id, partner_name,
           program_id, program_name, utm_campaign, country, bot_reason, reversed_minor, reward_currency,
           estimated_commission_minor, clawback_minor)
         select lpad((1 + n % 2)::text, 32, '0')::uuid, gen_random_uuid(), gen_random_uuid(), 'e' || n, '', type,
           case when r(n, 1, 3) > 0 then 'name ' || r(n, 2, 4) end, amount, case when amount is not null or r(n, 3, 2) = 0 then
           (array['EUR', 'JPY'])[1 + r(n, 4, 2)] end,
           timestamptz '2026-01-01' + make_interval(secs => r(n, 5, 150 * 86400)), now(), status,
           case when status = 'unattributed' then 'no_token' end, case when status <> 'pending_click' then now() end,
           case when status = 'attributed' or r(n, 6, 9) > 0 then ('01' || lpad(to_hex(r(n, 7, 100000)), 30, '0'))::uuid end,
           case when known then lpad(r(n, 8, 7)::text, 32, '0')::uuid end, case when known then 'go' || r(n, 9, 3) end, 's',
           case when status = 'attributed' then lpad((1 + r(n, 10, 5))::text, 32, '0')::uuid end, 'Name ' || r(n, 11, 3),
           case when status = 'attributed' and r(n, 12, 4) > 0 then lpad((1 + r(n, 12, 3))::text, 32, '0')::uuid end, 'Program',
           case when r(n, 13, 2) = 0 then 'spring' end, case when r(n, 14, 3) > 0 then (array['DE', 'FR'])[1 + r(n, 15, 2)] end,
           case when r(n, 16, 5) = 0 then 'crawler' end,
           case when type = 'refund' then r(n, 17, 500) end, case when r(n, 18, 2) = 0 then 'USD' end,
           case when type = 'sale' and r(n, 18, 2) = 0 then r(n, 19, 100) end,
           case when type = 'refund' and r(n, 18, 2) = 0 then r(n, 20, 50) end
         from (
           select n, (array['lead', 'sale', 'sale', 'refund', 'cancellation', 'reversal'])[1 + r(n, 21, 6)] as type,
             (array['attributed', 'attributed', 'attributed', 'unattributed', 'pending_click'])[1 + r(n, 22, 5)] as status,
             case when r(n, 23, 3) > 0 then r(n, 24, 10000) end as amount, r(n, 25, 6) > 0 as known
           from generate_series(1, 6000) n
         ) drawn;
         analyze",
    )
    .execute(db)
    .await
    .unwrap();
}

fn filters() -> Vec<Filter> {
    let (none, id) = (Filter::default, Uuid::from_u128(2));
    vec![
        none(),
        Filter { partner: Some(PartnerId::from_uuid(id)), ..none() },
        Filter { tag: Some("vip".into()), ..none() },
        Filter { program: Some(ProgramId::from_uuid(id)), ..none() },
        Filter { link: Some(LinkId::from_uuid(id)), ..none() },
        Filter { country: Some("DE".into()), ..none() },
        Filter { domain: Some("go1".into()), ..none() },
        Filter { domain: Some("go1".into()), country: Some("DE".into()), ..none() },
    ]
}

/// Ranges of whole months, around them, within one, and of no whole day.
fn scopes() -> Vec<Scope> {
    let mut scopes = vec![];
    for (from, to, tz) in [
        ("2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z", Tz::UTC),
        ("2026-01-10T00:00:00Z", "2026-05-03T07:15:00Z", Tz::Europe__Berlin),
        ("2026-01-31T23:00:00Z", "2026-03-31T22:00:00Z", Tz::Europe__Berlin),
        ("2026-03-05T00:00:00Z", "2026-03-25T00:00:00Z", Tz::UTC),
        ("2026-01-15T10:20:30.456Z", "2026-04-20T01:02:03.004Z", Tz::Asia__Kathmandu),
    ] {
        let [from, to] = [from, to].map(|text| Timestamp::parse(text).unwrap());
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(1));
        let scope = |filter| Scope { workspace, from, to, tz, as_of: None, filter };
        scopes.extend(filters().into_iter().map(scope));
    }
    scopes
}

/// Whole months of all conversions are summed without a single one being read.
#[sqlx::test(migrations = "../migrations")]
async fn whole_months_are_read_without_a_single_conversion(pool: PgPool) {
    fill(&pool).await;
    while rollups::fold(&pool, 2_000).await.unwrap() != Some(0) {}
    let scans = async |db: &mut PgConnection| -> i64 {
        let scans =
            "select seq_scan + coalesce(idx_scan, 0) from pg_stat_xact_user_tables where relname = 'conversions'";
        sqlx::query_scalar(scans).fetch_one(db).await.unwrap()
    };
    let scope = &scopes()[0];
    for &group in ConversionGroup::ALL {
        let mut tx = pool.begin().await.unwrap();
        // Workers' scans would be counted elsewhere.
        sqlx::raw_sql("set local max_parallel_workers_per_gather = 0").execute(&mut *tx).await.unwrap();
        let before = scans(&mut tx).await;
        Conversions::read(&mut tx, &packs::Cache::new(0), scope, group, Bots::All)
            .await
            .unwrap()
            .grouped(100)
            .await
            .unwrap();
        assert_eq!(scans(&mut tx).await, before, "{group}");
    }
}

/// From packs, rollups and deltas as from facts alone.
async fn agree(db: &mut PgConnection, cache: &packs::Cache) {
    let far = Timestamp::parse("2100-01-01T00:00:00Z").unwrap();
    for (place, scope) in scopes().into_iter().enumerate() {
        let past = Scope { as_of: Some(far), ..scope.clone() };
        let bots = [Bots::All, Bots::Human, Bots::Bot][place % 3];
        let found = conversions::beside(db, &scope, bots).await.unwrap();
        assert_eq!(found, conversions::beside(db, &past, bots).await.unwrap(), "{scope:?} {bots}");
        for &group in ConversionGroup::ALL {
            let mut told = vec![];
            for scope in [&scope, &past] {
                let found = Conversions::read(db, cache, scope, group, bots).await.unwrap().grouped(4).await.unwrap();
                told.push((found.totals, shown(found.groups), found.other));
            }
            assert_eq!(told[0], told[1], "{group} {bots} {scope:?}");
            // Asked for by their keys, some are the same.
            let (totals, mut some, _) = told.swap_remove(0);
            some.truncate(2);
            // In the order of their keys: these come in none.
            some.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            let keys = some.iter().map(|(key, ..)| key.clone()).chain(["ghost".to_owned()]).collect();
            let mut found =
                Conversions::read(db, cache, &scope, group, bots).await.unwrap().of_keys(keys).await.unwrap();
            found.groups.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            assert_eq!(
                (found.totals, shown(found.groups), found.other),
                (totals, some, None),
                "{group} {bots} {scope:?}"
            );
        }
    }
}

fn shown(groups: Vec<ShownGroup>) -> Vec<(String, Option<String>, Sums)> {
    groups.into_iter().map(|shown| (shown.key, shown.label, shown.sums)).collect()
}

/// Packs everything, and answers how many days and months that is.
async fn pack(db: &PgPool) -> usize {
    let far = Timestamp::parse("2100-01-01T00:00:00Z").unwrap();
    while packs::make(db, far, 1_000).await.unwrap() > 0 {}
    let kept = packs::kept(db, None).await.unwrap();
    assert!(kept.len() > 300, "every day of five months, and these");
    kept.len()
}

async fn differences(db: &PgPool) -> i64 {
    let mut sum = 0;
    for bucket in packs::kept(db, None).await.unwrap() {
        sum += i64::try_from(packs::verify(db, &bucket).await.unwrap()).unwrap();
    }
    for month in rollups::months(db, None).await.unwrap() {
        sum += rollups::verify(db, month).await.unwrap();
    }
    sum
}

#[sqlx::test(migrations = "../migrations")]
async fn reports_from_rollups_are_those_from_facts(pool: PgPool) {
    fill(&pool).await;
    let mut db = pool.acquire().await.unwrap();
    let cache = packs::Cache::new(10_000_000);
    assert_eq!(rollups::months(&pool, None).await.unwrap().len(), 10);
    agree(&mut db, &cache).await;
    for portion in [700, 1_500, 10_000] {
        rollups::fold(&pool, portion).await.unwrap();
        assert_eq!(differences(&pool).await, 0);
    }
    agree(&mut db, &cache).await;
    assert_eq!(rollups::fold(&pool, 10).await.unwrap(), Some(0), "each counts once");

    // What waited becomes final, in part before it is folded.
    let settle = |which: &str| {
        format!(
            "update conversions set status = 'attributed', attributed_at = now(), partner_id = lpad('3', 32, '0')::uuid,
               click_id = coalesce(click_id, rpad('01', 32, '0')::uuid)
             where status = 'pending_click' and event_id like '%{which}'"
        )
    };
    for which in ["1", "2", ""] {
        // Packed as far as it has come; what settles and is folded then takes packs away again.
        let packed = pack(&pool).await;
        agree(&mut db, &cache).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(settle(which))).execute(&pool).await.unwrap();
        agree(&mut db, &cache).await;
        rollups::fold(&pool, 50).await.unwrap();
        assert!(packs::kept(&pool, None).await.unwrap().len() < packed);
        assert_eq!(differences(&pool).await, 0);
        agree(&mut db, &cache).await;
    }
    // A change that settles nothing counts nothing.
    sqlx::query("update conversions set flags = '{duplicate_order}' where event_id = 'e4'")
        .execute(&pool)
        .await
        .unwrap();
    while rollups::fold(&pool, 1_000).await.unwrap() != Some(0) {}
    pack(&pool).await;
    assert_eq!(differences(&pool).await, 0);
    agree(&mut db, &cache).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn wrong_rollups_are_found_and_made_right(pool: PgPool) {
    fill(&pool).await;
    while rollups::fold(&pool, 2_000).await.unwrap() != Some(0) {}
    for damage in [
        "delete from conversion_rollups where dimension = 'partner' and key like '%3'",
        "update conversion_rollups set gross = gross + 1 where dimension = 'all' and grain = 'day'",
        "insert into conversion_rollups select workspace_id, dimension, grain, bucket, 'ghost', bot, currency, reward_currency,
           label, label_click_id, 1, sales, refunds, cancellations, reversals, unattributed, gross, negative, reward
         from conversion_rollups where dimension = 'link' on conflict do nothing",
        "insert into conversion_deltas select workspace_id, id from conversions where attributed_at is not null limit 9",
    ] {
        sqlx::query(damage).execute(&pool).await.unwrap();
        assert!(differences(&pool).await > 0, "{damage}");
        for month in rollups::months(&pool, None).await.unwrap() {
            rollups::rebuild(&pool, month).await.unwrap();
        }
        assert_eq!(differences(&pool).await, 0, "{damage}");
        for month in rollups::months(&pool, None).await.unwrap() {
            assert_eq!(rollups::rebuild(&pool, month).await.unwrap(), 0, "{damage}");
        }
    }
    agree(&mut pool.acquire().await.unwrap(), &packs::Cache::new(0)).await;
}

//! Conversions: however they are stored and a range is cut, the sums are those of adding up by hand.

use std::collections::BTreeMap;

use analytics::{
    scope::{Bots, Filter, Scope},
    sums::ConversionGroups,
};
use chrono::{Datelike as _, TimeDelta};
use chrono_tz::Tz;
use sqlx::{PgPool, QueryBuilder};
use store::{packs, reports::conversions};

use super::{super::service::fold, Dice, TAGS, WORKSPACE, at, later, scope, setup, uuid};

#[sqlx::test(migrations = "../migrations")]
async fn conversions_are_what_summing_by_hand_gives(pool: PgPool) {
    const THEN: &str = "2026-04-10T00:00:00Z";
    setup(&pool).await;
    let mut dice = Dice(11);
    let start = at("2026-03-27T20:00:00Z").0;
    // What is known now, and what was known then.
    let mut sums = [BTreeMap::<(&str, String), analytics::sums::Sums>::new(), BTreeMap::new()];
    let mut beside = [(0, 0), (0, 0)];
    let mut sql = QueryBuilder::new(
        "insert into conversions (workspace_id, id, source_id, event_id, payload_hash, type, amount_minor, currency, \
         occurred_at, recorded_at, status, attributed_at, partner_id, reversed_minor, reward_currency, \
         estimated_commission_minor, clawback_minor) ",
    );
    sql.push_values(0..400_u128, |mut row, number| {
        let kind = dice.one_of(&["lead", "sale", "sale", "refund", "cancellation", "reversal"]);
        let follow_on = !["lead", "sale"].contains(&kind);
        let currency = dice.one_of(&["EUR", "JPY"]);
        // Near the end of 64 bits: sums don't fit, and must come out right all the same.
        let amount = i64::MAX - i64::try_from(dice.roll(1_000)).unwrap();
        let omitted = follow_on && dice.roll(2) == 0;
        let reward = i64::try_from(dice.roll(1_000)).unwrap();
        let occurred = start + TimeDelta::milliseconds(i64::try_from(dice.roll(5 * 86_400_000)).unwrap());
        let recorded = dice.one_of(&["2026-04-01T00:00:00Z", "2026-04-20T00:00:00Z"]);
        let decided = dice.one_of(&[recorded, "2026-04-20T00:00:00Z"]);
        let status = dice.one_of(&["attributed", "attributed", "attributed", "unattributed", "pending_click"]);
        let partner = 101 + u128::from(dice.roll(3));

        row.push_bind(uuid(WORKSPACE)).push_bind(uuid(number)).push_bind(uuid(9)).push_bind(number.to_string());
        row.push_bind(vec![0_u8]).push_bind(kind).push_bind((!omitted).then_some(amount)).push_bind(currency);
        row.push_bind(occurred).push_bind(at(recorded).0).push_bind(status);
        row.push_bind((status != "pending_click").then(|| at(decided).0));
        row.push_bind((status == "attributed").then(|| uuid(partner)));
        row.push_bind(follow_on.then_some(amount)).push_bind("USD");
        row.push_bind((!follow_on).then_some(reward)).push_bind(follow_on.then_some(reward));

        let mut keys = vec![("partner", uuid(partner).to_string()), ("type", kind.to_owned())];
        let local = occurred.with_timezone(&Tz::Europe__Berlin);
        keys.push(("day", local.format("%Y-%m-%d").to_string()));
        keys.push((
            "week",
            (local - TimeDelta::days(local.weekday().num_days_from_monday().into())).format("%Y-%m-%d").to_string(),
        ));
        let tags = TAGS.iter().find(|(id, _)| *id == partner).unwrap().1;
        keys.extend(tags.iter().map(|&tag| ("tag", tag.to_owned())));
        if tags.is_empty() {
            keys.push(("tag", "none".to_owned()));
        }
        // Of all of them together.
        keys.push(("", String::new()));
        for (past, (sums, beside)) in sums.iter_mut().zip(&mut beside).enumerate() {
            if past == 1 && recorded > THEN {
                continue;
            }
            let decided = status != "pending_click" && (past == 0 || decided < THEN);
            beside.0 += i64::from(decided && status == "unattributed");
            beside.1 += i64::from(!decided);
            for (group, key) in keys.iter().filter(|_| decided && status == "attributed") {
                let sums = sums.entry((group, key.clone())).or_default();
                *match kind {
                    "lead" => &mut sums.leads,
                    "sale" => &mut sums.sales,
                    "refund" => &mut sums.refunds,
                    "cancellation" => &mut sums.cancellations,
                    _ => &mut sums.reversals,
                } += 1;
                let revenue = sums.revenue.entry(currency.to_owned()).or_default();
                revenue.0 += if follow_on { 0 } else { amount.into() };
                revenue.1 -= if follow_on { amount.into() } else { 0 };
                *sums.reward.entry("USD".to_owned()).or_default() +=
                    i128::from(if follow_on { -reward } else { reward });
            }
        }
    });
    sql.build().execute(&pool).await.unwrap();

    let latest = scope("2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z", Tz::Europe__Berlin, Filter::default());
    // Two days of one month and two of another, which are packed by days.
    let across = Scope { from: at("2026-03-28T00:00:00Z"), to: at("2026-04-02T00:00:00Z"), ..latest.clone() };
    for state in ["as deltas", "in rollups", "packed"] {
        match state {
            "in rollups" => while fold(&pool, 150).await > 0 {},
            "packed" => assert!(packs::make(&pool, at("2026-06-01T00:00:00Z"), 1_000).await.unwrap() > 6),
            _ => {}
        }
        let db = &mut *pool.acquire().await.unwrap();
        for (as_of, sums, beside) in [(None, &sums[0], beside[0]), (Some(at(THEN)), &sums[1], beside[1])] {
            let scope = Scope { as_of, ..latest.clone() };
            assert_eq!(conversions::beside(db, &scope, Bots::All).await.unwrap(), beside, "{state} {as_of:?}");
            for group in ["partner", "type", "day", "week", "tag"] {
                let group_of = group.parse().unwrap();
                let found = conversions::Conversions::read(db, &packs::Cache::new(0), &scope, group_of, Bots::All)
                    .await
                    .unwrap()
                    .grouped(1_000)
                    .await
                    .unwrap();
                let by_key: BTreeMap<_, _> =
                    found.groups.into_iter().map(|shown| ((group, shown.key), shown.sums)).collect();
                let expected: BTreeMap<_, _> = sums
                    .iter()
                    .filter(|((of, _), _)| *of == group)
                    .map(|(key, sums)| (key.clone(), sums.clone()))
                    .collect();
                assert_eq!(by_key, expected, "{state} {group} {as_of:?}");
                // Totals count each row once, also where groups overlap.
                assert_eq!(found.totals, sums[&("", String::new())], "{state} {group} {as_of:?}");
                assert_eq!(found.other, None);

                // The same range cut elsewhere, against what single conversions say.
                let cut = Scope { as_of, ..across.clone() };
                let facts = Scope { as_of: Some(as_of.unwrap_or_else(later)), ..across.clone() };
                let mut told = vec![];
                for scope in [cut, facts] {
                    let ConversionGroups { totals, groups, .. } =
                        conversions::Conversions::read(db, &packs::Cache::new(0), &scope, group_of, Bots::All)
                            .await
                            .unwrap()
                            .grouped(2)
                            .await
                            .unwrap();
                    told.push((
                        totals,
                        groups.into_iter().map(|shown| (shown.key, shown.label, shown.sums)).collect::<Vec<_>>(),
                    ));
                }
                assert_eq!(told[0], told[1], "{state} {group} {as_of:?}");
            }
        }
    }
}

//! Reports against the plainest possible reckoning over the same random facts: whatever is read from rollups, deltas
//! or facts, and however a range is cut, the numbers are those that counting by hand gives.

mod conversions;

use std::collections::BTreeMap;

use analytics::{
    counts::ClickCounts,
    group::ClickGroup,
    scope::{Bots, Filter, Scope},
};
use chrono::{DateTime, Datelike as _, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use model::time::Timestamp;
use shared::id::{LinkId, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgConnection, PgPool, QueryBuilder};
use store::{packs, reports::clicks};
use uuid::Uuid;

use super::service::fold;

/// A sequence that looks random and is the same every time (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[usize::try_from(self.roll(choice.len() as u64)).unwrap()]
    }
}

#[derive(Clone)]
struct Click {
    id: Uuid,
    at: DateTime<Utc>,
    link: u128,
    partner: Option<u128>,
    program: Option<u128>,
    qr: bool,
    bot: bool,
    source: Option<&'static str>,
    country: Option<&'static str>,
    region: Option<&'static str>,
    folded: bool,
}

const WORKSPACE: u128 = 1;
/// Some look like ids.
const TAGS: [(u128, &[&str]); 3] =
    [(101, &["vip", "eu"]), (102, &["eu", "123e4567-e89b-12d3-a456-426614174000"]), (103, &[])];

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A moment at which everything stored here is known.
fn later() -> Timestamp {
    Timestamp(Utc::now() + TimeDelta::hours(1))
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Names change in the middle of the range; a report shows the latest.
fn name_of(kind: &str, number: u128, when: DateTime<Utc>) -> String {
    let era = if when < at("2026-03-30T12:00:00Z").0 { "old" } else { "new" };
    format!("{era} {kind} {number}")
}

/// Clicks around the night in which Europe puts its clocks forward.
fn random_clicks(count: u128) -> Vec<Click> {
    let mut dice = Dice(7);
    let start = at("2026-03-27T20:00:00Z").0;
    let click = |number| {
        let at = start + TimeDelta::milliseconds(i64::try_from(dice.roll(5 * 86_400_000)).unwrap());
        let partner = dice.one_of(&[None, Some(101), Some(102), Some(103)]);
        let millis = u128::try_from(at.timestamp_millis()).unwrap();
        Click {
            id: uuid((millis << 80) | (7 << 76) | (2 << 62) | number),
            at,
            link: 301 + u128::from(dice.roll(4)),
            partner,
            program: partner.and_then(|_| dice.one_of(&[None, Some(201), Some(202)])),
            qr: dice.roll(4) == 0,
            bot: dice.roll(3) == 0,
            source: dice.one_of(&[None, Some("news"), Some("mail")]),
            country: dice.one_of(&[None, Some("DE"), Some("JP")]),
            region: dice.one_of(&[None, Some("BE"), Some("13")]),
            folded: dice.roll(3) > 0,
        }
    };
    (0..count).map(click).collect()
}

impl Click {
    fn key(&self, group: ClickGroup, tz: Tz) -> String {
        let id = |id: Option<u128>| id.map(|id| uuid(id).to_string());
        let local = self.at.with_timezone(&tz);
        let text = match group {
            ClickGroup::Partner | ClickGroup::Tag => id(self.partner),
            ClickGroup::Program => id(self.program),
            ClickGroup::Link => id(Some(self.link)),
            ClickGroup::Country => self.country.map(str::to_owned),
            ClickGroup::Region => self.country.zip(self.region).map(|(country, region)| format!("{country}-{region}")),
            ClickGroup::Source => self.source.map(str::to_owned),
            ClickGroup::Trigger => Some(if self.qr { "qr" } else { "link" }.to_owned()),
            ClickGroup::Domain => Some("go.acme.test".to_owned()),
            ClickGroup::Device => Some("mobile".to_owned()),
            ClickGroup::Browser => Some("chrome".to_owned()),
            ClickGroup::Os => Some("android".to_owned()),
            ClickGroup::Referrer | ClickGroup::Campaign => None,
            ClickGroup::Hour => {
                let into = local.time() - local.time().with_hour_only();
                Some((self.at - into).to_rfc3339_opts(SecondsFormat::Millis, true))
            }
            ClickGroup::Day => Some(local.format("%Y-%m-%d").to_string()),
            ClickGroup::Week => {
                let monday = local.date_naive() - TimeDelta::days(local.weekday().num_days_from_monday().into());
                Some(monday.format("%Y-%m-%d").to_string())
            }
            ClickGroup::Month => Some(local.format("%Y-%m").to_string()),
        };
        text.unwrap_or_else(|| "none".to_owned())
    }

    fn keys(&self, group: ClickGroup, tz: Tz) -> Vec<String> {
        if group != ClickGroup::Tag {
            return vec![self.key(group, tz)];
        }
        let tags = self.tags();
        if tags.is_empty() { vec!["none".to_owned()] } else { tags.iter().map(|&tag| tag.to_owned()).collect() }
    }

    fn tags(&self) -> &'static [&'static str] {
        TAGS.iter().find(|(partner, _)| Some(*partner) == self.partner).map_or(&[], |(_, tags)| *tags)
    }

    fn label(&self, group: ClickGroup, key: &str, tz: Tz) -> Option<String> {
        let local = self.at.with_timezone(&tz);
        match group {
            ClickGroup::Partner => self.partner.map(|id| name_of("partner", id, self.at)),
            ClickGroup::Program => self.program.map(|id| name_of("program", id, self.at)),
            ClickGroup::Link => Some(format!("go.acme.test/{}", name_of("link", self.link, self.at))),
            ClickGroup::Hour => Some(local.format("%Y-%m-%d %H:00").to_string()),
            ClickGroup::Week => Some(local.format("%G-W%V").to_string()),
            _ => (key != "none").then(|| key.to_owned()),
        }
    }

    fn is_in(&self, scope: &Scope) -> bool {
        let Filter { partner, program, link, country, domain, tag } = &scope.filter;
        self.at >= scope.from.0
            && self.at < scope.to.0
            && partner.is_none_or(|id| Some(id.uuid()) == self.partner.map(uuid))
            && program.is_none_or(|id| Some(id.uuid()) == self.program.map(uuid))
            && link.is_none_or(|id| id.uuid() == uuid(self.link))
            && country.as_deref().is_none_or(|country| Some(country) == self.country)
            && domain.as_deref().is_none_or(|domain| domain == "go.acme.test")
            && tag.as_deref().is_none_or(|tag| self.tags().contains(&tag))
    }

    fn count(&self, counts: &mut ClickCounts) {
        counts.human_partner += i64::from(!self.bot && self.partner.is_some());
        *match (self.bot, self.qr) {
            (false, false) => &mut counts.human_link,
            (false, true) => &mut counts.human_qr,
            (true, false) => &mut counts.bot_link,
            (true, true) => &mut counts.bot_qr,
        } += 1;
    }
}

trait HourOnly {
    fn with_hour_only(self) -> Self;
}

impl HourOnly for chrono::NaiveTime {
    fn with_hour_only(self) -> Self {
        use chrono::Timelike as _;
        chrono::NaiveTime::from_hms_opt(self.hour(), 0, 0).unwrap()
    }
}

/// Clicks under keys: their counts, the latest click, and its label.
type Tally<K> = BTreeMap<K, (ClickCounts, Uuid, Option<String>)>;

fn tally<K: Ord>(tally: &mut Tally<K>, key: K, click: &Click, label: Option<String>) {
    let slot = tally.entry(key).or_insert((ClickCounts::default(), click.id, label.clone()));
    click.count(&mut slot.0);
    if click.id > slot.1 {
        (slot.1, slot.2) = (click.id, label);
    }
}

async fn setup(db: &PgPool) {
    sqlx::raw_sql(
        "insert into workspaces (id, slug, name, plan, access_partner_setup, access_partner_reporting,
           access_partner_conversion_reporting, access_partner_exports)
         values ('00000000-0000-0000-0000-000000000001', 'acme', 'Acme', 'enterprise', true, true, true, true);
         select ensure_click_partition('2026-03-15'), ensure_click_partition('2026-04-15')",
    )
    .execute(db)
    .await
    .unwrap();
    for (partner, tags) in TAGS {
        let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
        sqlx::query("insert into partners (workspace_id, id, key, display_name, tags) values ($1, $2, $3, $3, $4)")
            .bind(uuid(WORKSPACE))
            .bind(uuid(partner))
            .bind(format!("p{partner}"))
            .bind(tags)
            .execute(db)
            .await
            .unwrap();
    }
}

async fn store(db: &PgPool, clicks: &[Click]) {
    for some in clicks.chunks(500) {
        let mut sql = QueryBuilder::new(
            "insert into clicks (workspace_id, click_id, link_id, domain, slug, destination, partner_id, partner_name, \
             program_id, program_name, trigger, source, country, region, device, browser, os, bot_reason, token_reason, \
             record_version) ",
        );
        sql.push_values(some, |mut row, click| {
            row.push_bind(uuid(WORKSPACE)).push_bind(click.id).push_bind(uuid(click.link)).push_bind("go.acme.test");
            row.push_bind(name_of("link", click.link, click.at)).push_bind("https://acme.test/");
            row.push_bind(click.partner.map(uuid)).push_bind(click.partner.map(|id| name_of("partner", id, click.at)));
            row.push_bind(click.program.map(uuid)).push_bind(click.program.map(|id| name_of("program", id, click.at)));
            row.push_bind(if click.qr { "qr" } else { "link" }).push_bind(click.source).push_bind(click.country);
            row.push_bind(click.region).push_bind("mobile").push_bind("chrome").push_bind("android");
            row.push_bind(click.bot.then_some("crawler")).push_bind("appended").push_bind(1_i64);
        });
        sql.build().execute(db).await.unwrap();
    }
    // Those that are folded first, then those that are not yet.
    store_deltas(db, clicks.iter().filter(|click| click.folded)).await;
    while fold(db, 400).await > 0 {}
    store_deltas(db, clicks.iter().filter(|click| !click.folded)).await;
}

async fn store_deltas(db: &PgPool, clicks: impl Iterator<Item = &Click>) {
    sqlx::query(
        "insert into click_deltas select workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, \
         program_id, program_name, trigger, source, utm_campaign, referrer_host, country, region, device, browser, os, \
         bot_reason is not null from clicks where click_id = any($1)",
    )
    .bind(clicks.map(|click| click.id).collect::<Vec<_>>())
    .execute(db)
    .await
    .unwrap();
}

fn scope(from: &str, to: &str, tz: Tz, filter: Filter) -> Scope {
    let workspace = WorkspaceId::from_uuid(uuid(WORKSPACE));
    Scope { workspace, from: at(from), to: at(to), tz, as_of: None, filter }
}

fn scopes() -> Vec<Scope> {
    let none = Filter::default;
    let filters = [
        none(),
        Filter { partner: Some(PartnerId::from_uuid(uuid(101))), ..none() },
        Filter { program: Some(ProgramId::from_uuid(uuid(201))), ..none() },
        Filter { link: Some(LinkId::from_uuid(uuid(302))), ..none() },
        Filter { country: Some("DE".into()), ..none() },
        Filter { domain: Some("go.acme.test".into()), ..none() },
        Filter { tag: Some("eu".into()), ..none() },
        Filter { tag: Some("vip".into()), partner: Some(PartnerId::from_uuid(uuid(102))), ..none() },
        Filter { tag: Some("eu".into()), country: Some("JP".into()), ..none() },
    ];
    let ranges = [
        ("2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z", Tz::Europe__Berlin),
        ("2026-03-28T22:15:00Z", "2026-03-31T06:45:00Z", Tz::Asia__Kathmandu),
        ("2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", Tz::UTC),
        ("2026-02-11T03:30:00Z", "2026-04-01T05:15:00Z", Tz::UTC),
        ("2026-03-28T22:15:00.001Z", "2026-03-31T06:44:59.999Z", Tz::America__New_York),
    ];
    let (all, some) = (&ranges[..], &ranges[1..2]);
    let cut = |filter: &Filter| if filter.partner.is_none() && filter.country.is_none() { all } else { some };
    filters
        .iter()
        .flat_map(|filter| cut(filter).iter().map(|(from, to, tz)| scope(from, to, *tz, filter.clone())))
        .collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn traffic_is_what_counting_by_hand_gives(pool: PgPool) {
    setup(&pool).await;
    let clicks = random_clicks(1_500);
    store(&pool, &clicks).await;
    let db = &mut *pool.acquire().await.unwrap();

    // Packed at the end, with clicks that are not folded yet beside the packs.
    for (latest, packed) in
        scopes().into_iter().map(|scope| (scope, false)).chain(scopes().into_iter().map(|scope| (scope, true)))
    {
        if packed {
            packs::make(&pool, at("2026-06-01T00:00:00Z"), 1_000).await.unwrap();
        }
        for &group in ClickGroup::ALL {
            let (mut expected, mut totals) = (Tally::new(), ClickCounts::default());
            for click in clicks.iter().filter(|click| click.is_in(&latest)) {
                click.count(&mut totals);
                for key in click.keys(group, latest.tz) {
                    let label = if key == "none" { None } else { click.label(group, &key, latest.tz) };
                    let label = if group == ClickGroup::Tag && key != "none" { Some(key.clone()) } else { label };
                    tally(&mut expected, key, click, label);
                }
            }
            let expected: BTreeMap<_, _> =
                expected.into_iter().map(|(key, (counts, _, label))| (key, (counts, label))).collect();
            // From rollups where they can, and from facts alone.
            for scope in [latest.clone(), Scope { as_of: Some(later()), ..latest.clone() }] {
                let context = format!("{group} {scope:?}");
                let found = clicks::grouped(db, &packs::Cache::new(0), &scope, group, Bots::All, 10_000).await.unwrap();
                assert_eq!(found.totals, totals, "{context}");
                let rows = found.groups.len();
                let groups: BTreeMap<_, _> =
                    found.groups.into_iter().map(|(key, label, counts)| (key, (counts, label))).collect();
                assert_eq!(groups.len(), rows, "{context}: a key twice");
                assert_eq!(groups, expected, "{context}");
                assert_eq!(found.other, None, "{context}");
            }
            reach_agrees(db, &latest, group, &clicks).await;
        }
    }
}

async fn reach_agrees(db: &mut PgConnection, scope: &Scope, group: ClickGroup, clicks: &[Click]) {
    let (mut total, mut by_key) = (0, BTreeMap::<String, i64>::new());
    for click in clicks.iter().filter(|click| click.is_in(scope) && click.partner.is_some() && !click.bot) {
        total += 1;
        for key in click.keys(group, scope.tz) {
            *by_key.entry(key).or_default() += 1;
        }
    }
    let keys: Vec<String> = by_key.keys().cloned().collect();
    for as_of in [None, Some(later())] {
        let scope = Scope { as_of, ..scope.clone() };
        let reach = clicks::Measure::read(db, &packs::Cache::new(0), &scope, Some(group))
            .await
            .unwrap()
            .of_keys(keys.clone())
            .await
            .unwrap();
        assert_eq!(reach.total, total, "{group} {scope:?}");
        assert_eq!(reach.by_key.into_iter().collect::<BTreeMap<_, _>>(), by_key, "{group} {scope:?}");
        if group == ClickGroup::Partner {
            assert_eq!(
                clicks::Measure::read(db, &packs::Cache::new(0), &scope, None)
                    .await
                    .unwrap()
                    .of_keys(vec![])
                    .await
                    .unwrap()
                    .total,
                total,
                "{scope:?}"
            );
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_over_the_limit_is_summed(pool: PgPool) {
    setup(&pool).await;
    let clicks = random_clicks(300);
    store(&pool, &clicks).await;
    let db = &mut *pool.acquire().await.unwrap();
    let scope = scope("2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z", Tz::UTC, Filter::default());
    let selected = |counts: &ClickCounts| counts.bot_link + counts.bot_qr;

    let all = clicks::grouped(db, &packs::Cache::new(0), &scope, ClickGroup::Link, Bots::Bot, 100).await.unwrap();
    assert!(all.groups.is_sorted_by_key(|(key, _, counts)| (-selected(counts), key.clone())));
    let cut = clicks::grouped(db, &packs::Cache::new(0), &scope, ClickGroup::Link, Bots::Bot, 1).await.unwrap();
    assert_eq!(cut.totals, all.totals);
    assert_eq!(cut.groups, all.groups[..1]);
    let rest: i64 = all.groups[1..].iter().map(|(_, _, counts)| selected(counts)).sum();
    assert_eq!(cut.other.map(|counts| selected(&counts)), Some(rest));
}

//! The conversions export as finance reads it, and its agreement with the report and the list.

use std::collections::{BTreeMap, HashMap};

use analytics::{
    group::ConversionGroup,
    scope::{Bots, Filter, Scope},
};
use domain::{
    conversions::{review_reasons, review_status},
    csv::{Table, conversions as layout},
};
use futures::StreamExt as _;
use model::{conversion::Status, page::PageQuery, time::Timestamp};
use serde_json::{Value, json};
use shared::id::WorkspaceId;
use sqlx::{PgConnection, PgPool};
use store::{
    conversions::{self, Filter as ListFilter, ReviewStatus},
    packs, reports,
};
use uuid::Uuid;

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub fn text(number: u128) -> String {
    id(number).to_string()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Stores a sale with 12.5 % commission, changed as told.
pub async fn store(db: &mut PgConnection, number: u128, changes: Value) {
    let mut row = json!({
        "workspace_id": text(1), "id": text(number), "source_id": text(9), "event_id": format!("ev-{number}"),
        "payload_hash": "\\x00", "type": "sale", "occurred_at": "2026-03-01T10:00:00.123Z", "metadata": {},
        "recorded_at": "2026-03-01T10:00:01Z", "status": "attributed", "method": "token",
        "attributed_at": "2026-03-01T10:00:01Z", "click_id": "019ca7e7-5200-7000-8000-000000000001",
        "link_id": text(301), "domain": "go.acme.test", "slug": "nomura", "destination": "https://acme.test/?a=1",
        "partner_id": text(101), "partner_key": "nomura", "partner_name": "Nomura, \"the\" = 1",
        "terms_version": 3, "reward_basis": "percentage", "reward_rate_bps": 1_250, "flags": [],
    });
    for (name, value) in changes.as_object().unwrap() {
        row[name] = value.clone();
    }
    sqlx::query("insert into conversions select (jsonb_populate_record(null::conversions, $1)).*")
        .bind(row)
        .execute(db)
        .await
        .unwrap();
}

pub async fn setup(db: &mut PgConnection) {
    sqlx::raw_sql(
        "insert into workspaces (id, slug, name, plan, access_partner_setup, access_partner_reporting,
           access_partner_conversion_reporting, access_partner_exports)
         values ('00000000-0000-0000-0000-000000000001', 'acme', 'Acme', 'enterprise', true, true, true, true)",
    )
    .execute(&mut *db)
    .await
    .unwrap();
    for (partner, key, external, relationship, status) in
        [(101, "nomura", Some("=crm"), "approved", "active"), (102, "odd", None, "banned", "paused")]
    {
        sqlx::query(
            "insert into partners (workspace_id, id, key, display_name, external_id, relationship, status) \
             values ($1, $2, $3, $3, $4, $5, $6)",
        )
        .bind(id(1))
        .bind(id(partner))
        .bind(key)
        .bind(external)
        .bind(relationship)
        .bind(status)
        .execute(&mut *db)
        .await
        .unwrap();
    }
    store(
        db,
        1,
        json!({"amount_minor": 1_999, "currency": "EUR", "reward_currency": "EUR", "quantity": 2,
        "order_id": "-1", "customer_id": "+49 30 1234", "estimated_commission_minor": 250, "utm_campaign": "@summer",
        "hold_until": "2026-03-31T10:00:00Z"}),
    )
    .await;
    store(
        db,
        2,
        json!({"type": "refund", "occurred_at": "2026-03-02T10:00:00Z", "method": "original",
        "original_id": text(1), "original_event_id": "ev-1", "amount_minor": 500, "currency": "EUR",
        "reward_currency": "EUR", "reversed_minor": 500, "clawback_minor": 62}),
    )
    .await;
    // The rest of it: its event named no amount.
    store(
        db,
        3,
        json!({"type": "cancellation", "occurred_at": "2026-03-03T10:00:00Z", "method": "original",
        "original_id": text(1), "original_event_id": "ev-1", "currency": "EUR", "reward_currency": "EUR", "reversed_minor": 1_499,
        "clawback_minor": 188}),
    )
    .await;
    store(
        db,
        4,
        json!({"amount_minor": 500, "currency": "JPY", "reward_basis": "fixed", "reward_rate_bps": null,
        "reward_amount_minor": 1_500, "reward_currency": "KWD", "estimated_commission_minor": 1_500,
        "occurred_at": "2026-03-04T10:00:00Z", "event_name": "=HYPERLINK(\"http://evil.test\")"}),
    )
    .await;
    store(
        db,
        5,
        json!({"type": "lead", "occurred_at": "2026-03-05T10:00:00Z", "partner_id": text(102),
        "terms_version": null, "reward_basis": null, "reward_rate_bps": null, "bot_reason": "crawler",
        "flags": ["duplicate_order"]}),
    )
    .await;
    store(
        db,
        6,
        json!({"status": "unattributed", "method": null, "reason": "no_token", "partner_id": null,
        "amount_minor": 7, "currency": "EUR"}),
    )
    .await;
    // Known later than the moment of the export.
    store(db, 7, json!({"recorded_at": "2026-03-10T00:00:01Z", "attributed_at": "2026-03-10T00:00:01Z"})).await;
    store(db, 8, json!({"attributed_at": "2026-03-10T00:00:01Z", "amount_minor": 9, "currency": "EUR"})).await;
}

fn scope() -> Scope {
    Scope {
        workspace: WorkspaceId::from_uuid(id(1)),
        from: at("2026-03-01T00:00:00Z"),
        to: at("2026-04-01T00:00:00Z"),
        tz: chrono_tz::UTC,
        as_of: Some(at("2026-03-10T00:00:00Z")),
        filter: Filter::default(),
    }
}

pub async fn export(db: &mut PgConnection) -> String {
    let mut table = Table::new(&layout::COLUMNS).unwrap();
    let mut rows = conversions::stream(db, &scope(), scope().as_of.unwrap(), &[]);
    while let Some(row) = rows.next().await {
        layout::push(&mut table, &row.unwrap()).unwrap();
    }
    String::from_utf8(table.take().unwrap()).unwrap()
}

pub fn parse(text: &str) -> Vec<HashMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<_, _>>().unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn the_export_is_written_as_finance_reads_it(pool: PgPool) {
    let db = &mut *pool.acquire().await.unwrap();
    setup(db).await;
    insta::assert_snapshot!(export(db).await);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_report_of_the_same_moment_has_the_same_sums(pool: PgPool) {
    let db = &mut *pool.acquire().await.unwrap();
    setup(db).await;
    let (mut amounts, mut rewards) = (BTreeMap::<String, i128>::new(), BTreeMap::<String, i128>::new());
    let number = |text: &str| if text.is_empty() { 0 } else { text.parse::<i128>().unwrap() };
    let rows = parse(&export(db).await);
    for row in &rows {
        if !row["amount_minor"].is_empty() {
            *amounts.entry(row["currency"].clone()).or_default() += number(&row["amount_minor"]);
        }
        if !row["reward_currency"].is_empty() {
            *rewards.entry(row["reward_currency"].clone()).or_default() +=
                number(&row["estimated_commission_minor"]) + number(&row["clawback_minor"]);
        }
    }

    let found = reports::conversions::Conversions::read(
        db,
        &packs::Cache::new(0),
        &scope(),
        ConversionGroup::Partner,
        Bots::All,
    )
    .await
    .unwrap()
    .grouped(100)
    .await
    .unwrap();
    let analytics::sums::Sums { leads, sales, refunds, cancellations, reversals, revenue, reward } = found.totals;
    let count = leads + sales + refunds + cancellations + reversals;
    let net: BTreeMap<_, _> =
        revenue.into_iter().map(|(currency, (gross, negative))| (currency, gross + negative)).collect();
    assert_eq!(count, 5);
    assert_eq!(rows.len(), 5);
    assert_eq!((amounts, rewards), (net, reward));
}

#[sqlx::test(migrations = "../migrations")]
async fn the_list_filters_by_the_review_that_rows_show(pool: PgPool) {
    let db = &mut *pool.acquire().await.unwrap();
    setup(db).await;
    let page = PageQuery { limit: 100, before: None };
    let statuses: Vec<String> = Status::TEXTS.iter().map(|&text| text.to_owned()).collect();
    let mut found = vec![];
    for review in [ReviewStatus::Ready, ReviewStatus::Review] {
        let filter =
            ListFilter { kind: None, statuses: statuses.clone(), review: Some(review), ..ListFilter::default() };
        let rows = conversions::list(&mut *db, &scope(), &filter, &page).await.unwrap();
        for row in &rows {
            assert_eq!(review_status(&review_reasons(row)), review, "{}", row.event_id);
        }
        found.push(rows.len());
    }
    let all =
        conversions::list(&mut *db, &scope(), &ListFilter { statuses, ..Default::default() }, &page).await.unwrap();
    assert_eq!(all.len(), 8);
    assert_eq!(found.iter().sum::<usize>(), 7, "all but the one without a partner");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_file_shows_partners_as_they_were_at_its_moment(pool: PgPool) {
    let db = &mut *pool.acquire().await.unwrap();
    setup(db).await;
    let before = export(db).await;
    // Twice within one transaction: it ends as the second.
    let mut change = pool.begin().await.unwrap();
    for relationship in ["declined", "banned"] {
        sqlx::query("update partners set relationship = $1, external_id = null where key = 'nomura'")
            .bind(relationship)
            .execute(&mut *change)
            .await
            .unwrap();
    }
    change.commit().await.unwrap();
    assert_eq!(export(db).await, before);

    // Without a moment, as it is now; also after one that began earlier and came later.
    let now = async |db: &mut PgConnection| {
        let latest = Scope { as_of: None, ..scope() };
        let filter = ListFilter { statuses: vec!["attributed".to_owned()], ..Default::default() };
        let rows = conversions::list(db, &latest, &filter, &PageQuery { limit: 100, before: None }).await.unwrap();
        let row = rows.into_iter().find(|row| row.event_id == "ev-1").unwrap();
        (row.partner_relationship.unwrap(), row.partner_external_id)
    };
    assert_eq!(now(db).await, ("banned".to_owned(), None));
    let mut early = pool.begin().await.unwrap();
    sqlx::query("select now()").execute(&mut *early).await.unwrap();
    sqlx::query("update partners set relationship = 'invited' where key = 'nomura'").execute(&pool).await.unwrap();
    sqlx::query("update partners set relationship = 'deactivated' where key = 'nomura'")
        .execute(&mut *early)
        .await
        .unwrap();
    early.commit().await.unwrap();
    assert_eq!(now(db).await.0, "deactivated");
    assert_eq!(export(db).await, before);
}

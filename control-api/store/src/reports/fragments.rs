//! Pieces of SQL that the reports have in common.

use analytics::{clicks, conversions, counts::ClickCounts};
use sqlx::{FromRow, Postgres, QueryBuilder, Row as _, postgres::PgRow};

use analytics::{group::ConversionGroup, scope::Scope};

/// A statement being written.
pub(super) type Sql = QueryBuilder<Postgres>;

/// The filters, over columns that clicks, deltas and conversions have in common.
pub(super) fn push_filter(sql: &mut Sql, scope: &Scope) {
    let filter = &scope.filter;
    if let Some(partner) = filter.partner {
        sql.push(" and partner_id = ").push_bind(partner);
    }
    if let Some(program) = filter.program {
        sql.push(" and program_id = ").push_bind(program);
    }
    if let Some(link) = filter.link {
        sql.push(" and link_id = ").push_bind(link);
    }
    if let Some(country) = &filter.country {
        sql.push(" and country = ").push_bind(country.clone());
    }
    if let Some(domain) = &filter.domain {
        sql.push(" and domain = ").push_bind(domain.clone());
    }
    if let Some(tag) = &filter.tag {
        push_tagged(sql, scope, "partner_id", "id", tag.clone());
    }
}

/// The filter over rows of the rollups, which are of its dimension.
pub(super) fn push_key(sql: &mut Sql, scope: &Scope) {
    let filter = &scope.filter;
    let ids = [filter.partner.map(|id| id.uuid()), filter.program.map(|id| id.uuid()), filter.link.map(|id| id.uuid())];
    let key = ids.into_iter().flatten().map(|id| id.to_string()).next();
    if let Some(key) = key.or_else(|| filter.country.clone()).or_else(|| filter.domain.clone()) {
        sql.push(" and key = ").push_bind(key);
    }
    if let Some(tag) = &filter.tag {
        push_tagged(sql, scope, "key", "id::text", tag.clone());
    }
}

/// The filter by tag: `column` is a partner, named by `id`, that carries it now.
pub(super) fn push_tagged(sql: &mut Sql, scope: &Scope, column: &str, id: &str, tag: String) {
    sql.push(format_args!(" and {column} in (select {id} from partners where workspace_id = "));
    sql.push_bind(scope.workspace).push(" and tags @> array[").push_bind(tag).push("])");
}

/// The key and the name of a conversion, in SQL.
pub(super) const fn key_and_label(group: ConversionGroup) -> (&'static str, &'static str) {
    match group {
        ConversionGroup::Partner | ConversionGroup::Tag => ("partner_id::text", "partner_name"),
        ConversionGroup::Program => ("program_id::text", "program_name"),
        ConversionGroup::Link => ("link_id::text", "domain || '/' || slug"),
        ConversionGroup::Type => ("type", "null::text"),
        ConversionGroup::EventName => ("event_name", "null::text"),
        ConversionGroup::Currency => ("currency", "null::text"),
        ConversionGroup::Campaign => ("utm_campaign", "null::text"),
        ConversionGroup::Country => ("country", "null::text"),
        ConversionGroup::Domain => ("domain", "null::text"),
        ConversionGroup::Hour | ConversionGroup::Day | ConversionGroup::Week | ConversionGroup::Month => {
            ("null::text", "null::text")
        }
    }
}

/// A row of `analytics` as a statement answers it: that crate knows no database.
pub(super) struct Stored<T>(T);

/// Rows as `analytics` takes them.
pub(super) fn stored<T>(rows: Vec<Stored<T>>) -> Vec<T> {
    rows.into_iter().map(|Stored(row)| row).collect()
}

fn counts(row: &PgRow) -> sqlx::Result<ClickCounts> {
    Ok(ClickCounts {
        human_link: row.try_get("human_link")?,
        human_qr: row.try_get("human_qr")?,
        bot_link: row.try_get("bot_link")?,
        bot_qr: row.try_get("bot_qr")?,
        human_partner: row.try_get("human_partner")?,
    })
}

impl FromRow<'_, PgRow> for Stored<clicks::Row> {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let (grain, bucket, key) = (row.try_get("grain")?, row.try_get("bucket")?, row.try_get("key")?);
        Ok(Self(clicks::Row { grain, bucket, key, counts: counts(row)? }))
    }
}

impl FromRow<'_, PgRow> for Stored<clicks::Single> {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(clicks::Single {
            at: row.try_get("at")?,
            key: row.try_get("key")?,
            label: row.try_get("label")?,
            click: row.try_get("click")?,
            counts: counts(row)?,
        }))
    }
}

impl FromRow<'_, PgRow> for Stored<conversions::Row> {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(conversions::Row {
            at: row.try_get("at")?,
            key: row.try_get("key")?,
            latest: row.try_get("latest")?,
            currency: row.try_get("currency")?,
            reward_currency: row.try_get("reward_currency")?,
            leads: row.try_get("leads")?,
            sales: row.try_get("sales")?,
            refunds: row.try_get("refunds")?,
            cancellations: row.try_get("cancellations")?,
            reversals: row.try_get("reversals")?,
            gross: row.try_get("gross")?,
            negative: row.try_get("negative")?,
            reward: row.try_get("reward")?,
        }))
    }
}

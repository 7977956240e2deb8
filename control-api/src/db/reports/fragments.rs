//! Pieces of SQL that the reports have in common.

use sqlx::{Postgres, QueryBuilder};

use super::Scope;

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

//! Pieces of SQL that the reports have in common.

use sqlx::{Postgres, QueryBuilder};

use super::{Scope, clicks::Group};

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

/// The start of the span that holds `at`: an instant for hours (an hour may come twice in a day), a local time for
/// the others.
pub(super) fn push_span(sql: &mut Sql, scope: &Scope, group: Group, at: &str) {
    match group {
        Group::Hour => {
            sql.push(format_args!("date_trunc('hour', {at}, ")).push_bind(scope.tz.name()).push(")");
        }
        _ => {
            sql.push(format_args!("date_trunc('{group}', {at} at time zone ")).push_bind(scope.tz.name()).push(")");
        }
    }
}

/// `raw` as the key that the report shows.
pub(super) fn push_span_text(sql: &mut Sql, group: Option<Group>) {
    sql.push(match group {
        Some(Group::Hour) => "to_char(raw at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        Some(Group::Day | Group::Week) => "to_char(raw, 'YYYY-MM-DD')",
        Some(Group::Month) => "to_char(raw, 'YYYY-MM')",
        _ => "coalesce(raw::text, 'none')",
    });
}

/// `raw` as people read it, where that differs from its key.
pub(super) fn push_span_label(sql: &mut Sql, scope: &Scope, group: Option<Group>) {
    match group {
        Some(Group::Hour) => {
            sql.push("to_char(raw at time zone ").push_bind(scope.tz.name()).push(", 'YYYY-MM-DD HH24:MI')");
        }
        Some(Group::Week) => {
            sql.push("to_char(raw, 'IYYY-\"W\"IW')");
        }
        _ => {
            sql.push("label");
        }
    }
}

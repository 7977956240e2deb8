//! Looks around where a report came out empty: a few questions that indexes answer, whatever the workspace holds.

use sqlx::PgConnection;

use super::{
    clicks::first_id,
    fragments::{Sql, push_filter, push_tagged},
};
use analytics::scope::{Bots, Filter, Scope};
use model::time::Timestamp;

/// When the first and the last of some rows happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Extent {
    /// The first, within a quarter of an hour.
    pub first: Timestamp,
    /// The last, likewise.
    pub last: Timestamp,
}

/// The filters that a report has, by their names as parameters.
pub fn names(filter: &Filter) -> impl Iterator<Item = &'static str> {
    [
        ("partner", filter.partner.is_some()),
        ("program", filter.program.is_some()),
        ("link", filter.link.is_some()),
        ("domain", filter.domain.is_some()),
        ("country", filter.country.is_some()),
        ("tag", filter.tag.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
}

/// The filter by one name alone.
fn only(filter: &Filter, name: &str) -> Filter {
    let Filter { partner, program, link, country, domain, tag } = filter.clone();
    match name {
        "partner" => Filter { partner, ..Filter::default() },
        "program" => Filter { program, ..Filter::default() },
        "link" => Filter { link, ..Filter::default() },
        "domain" => Filter { domain, ..Filter::default() },
        "country" => Filter { country, ..Filter::default() },
        _ => Filter { tag, ..Filter::default() },
    }
}

/// When clicks happened that match one filter, by its name, or any clicks at all. Read from rollups, which tell it for
/// one dimension at a time.
///
/// # Errors
/// The database's.
pub async fn clicks(db: &mut PgConnection, scope: &Scope, filter: Option<&str>) -> sqlx::Result<Option<Extent>> {
    let scope = Scope { filter: filter.map(|name| only(&scope.filter, name)).unwrap_or_default(), ..scope.clone() };
    let push_buckets = |sql: &mut Sql, grain: &str| {
        let dimension = if filter == Some("tag") { "partner" } else { filter.unwrap_or("all") };
        sql.push(" from click_rollups where workspace_id = ").push_bind(scope.workspace);
        sql.push(format_args!(" and dimension = '{dimension}' and grain = '{grain}'"));
        let Filter { partner, program, link, country, domain, tag } = scope.filter.clone();
        let ids = [partner.map(|id| id.uuid()), program.map(|id| id.uuid()), link.map(|id| id.uuid())];
        let key = ids.into_iter().flatten().map(|id| id.to_string()).next().or(country).or(domain);
        if let Some(key) = key {
            sql.push(" and key = ").push_bind(key);
        }
        if let Some(tag) = tag {
            push_tagged(sql, &scope, "key", "id::text", tag);
        }
    };
    // The day first, then the quarter of an hour within it: days are few.
    let mut sql = Sql::new("with days as (select (select bucket");
    push_buckets(&mut sql, "day");
    sql.push(" order by bucket limit 1) as first, (select bucket");
    push_buckets(&mut sql, "day");
    sql.push(" order by bucket desc limit 1) as last), ends as (select (select bucket");
    push_buckets(&mut sql, "quarter");
    sql.push(" and bucket >= days.first order by bucket limit 1) as first, (select bucket");
    push_buckets(&mut sql, "quarter");
    sql.push(
        " and bucket < days.last + interval '1 day' order by bucket desc limit 1) as last from days
          union all select min(at), max(at) from (select uuid_extract_timestamp(click_id) as at from click_deltas
          where workspace_id = ",
    );
    sql.push_bind(scope.workspace);
    push_filter(&mut sql, &scope);
    sql.push(") d) select min(first) as first, max(last) as last from ends having min(first) is not null");
    sql.build_query_as::<Extent>().fetch_optional(db).await
}

/// When partner-attributed conversions occurred that match the filters, whatever the range.
///
/// # Errors
/// The database's.
pub async fn conversions(db: &mut PgConnection, scope: &Scope, bots: Bots) -> sqlx::Result<Option<Extent>> {
    let mut sql = Sql::new(
        "select min(occurred_at) as first, max(occurred_at) as last from conversions
         where status = 'attributed' and workspace_id = ",
    );
    sql.push_bind(scope.workspace);
    push_bots(&mut sql, bots);
    push_filter(&mut sql, scope);
    sql.push(" having min(occurred_at) is not null");
    sql.build_query_as::<Extent>().fetch_optional(db).await
}

/// Since when clicks of the range are known of which `as_of` knew nothing.
///
/// # Errors
/// The database's.
pub async fn clicks_after(db: &mut PgConnection, scope: &Scope) -> sqlx::Result<Option<Timestamp>> {
    let Some(end) = scope.known_before() else { return Ok(None) };
    let mut sql = Sql::new("select min(recorded_at) from clicks where workspace_id = ");
    sql.push_bind(scope.workspace).push(" and click_id >= ").push_bind(first_id(scope.from));
    sql.push(" and click_id < ").push_bind(first_id(scope.to)).push(" and recorded_at >= ").push_bind(end.0);
    push_filter(&mut sql, scope);
    sql.build_query_scalar().fetch_one(db).await
}

/// Since when partner-attributed conversions of the range are known of which `as_of` knew nothing.
///
/// # Errors
/// The database's.
pub async fn conversions_after(db: &mut PgConnection, scope: &Scope) -> sqlx::Result<Option<Timestamp>> {
    let Some(end) = scope.known_before() else { return Ok(None) };
    let mut sql = Sql::new(
        "select min(greatest(recorded_at, attributed_at)) from conversions
         where status = 'attributed' and workspace_id = ",
    );
    sql.push_bind(scope.workspace).push(" and occurred_at >= ").push_bind(scope.from.0);
    sql.push(" and occurred_at < ").push_bind(scope.to.0).push(" and recorded_at >= ").push_bind(end.0);
    push_filter(&mut sql, scope);
    sql.build_query_scalar().fetch_one(db).await
}

/// How many partner-attributed conversions in scope `bots` leaves out.
///
/// # Errors
/// The database's.
pub async fn left_out(db: &mut PgConnection, scope: &Scope, bots: Bots) -> sqlx::Result<i64> {
    let others = match bots {
        Bots::All => return Ok(0),
        Bots::Human => Bots::Bot,
        Bots::Bot => Bots::Human,
    };
    let mut sql = Sql::new("select count(*) from conversions where status = 'attributed' and workspace_id = ");
    sql.push_bind(scope.workspace).push(" and occurred_at >= ").push_bind(scope.from.0);
    sql.push(" and occurred_at < ").push_bind(scope.to.0);
    if let Some(end) = scope.known_before() {
        sql.push(" and recorded_at < ").push_bind(end.0).push(" and attributed_at < ").push_bind(end.0);
    }
    push_bots(&mut sql, others);
    push_filter(&mut sql, scope);
    sql.build_query_scalar().fetch_one(db).await
}

fn push_bots(sql: &mut Sql, bots: Bots) {
    sql.push(match bots {
        Bots::All => "",
        Bots::Human => " and bot_reason is null",
        Bots::Bot => " and bot_reason is not null",
    });
}

/// Whether any event was ever accepted in the workspace.
///
/// # Errors
/// The database's.
pub async fn has_events(db: &mut PgConnection, scope: &Scope) -> sqlx::Result<bool> {
    let workspace = scope.workspace.uuid();
    sqlx::query_scalar!(r#"select exists(select 1 from conversions where workspace_id = $1) as "found!""#, workspace)
        .fetch_one(db)
        .await
}

/// Whether the partner, the program, the partners with the tag, or the link that a filter names ever had an assignment.
///
/// # Errors
/// The database's.
pub async fn was_assigned(db: &mut PgConnection, scope: &Scope, filter: &str) -> sqlx::Result<bool> {
    let mut sql = Sql::new("select exists(select 1 from assignments where workspace_id = ");
    sql.push_bind(scope.workspace);
    let filter = only(&scope.filter, filter);
    push_filter(&mut sql, &Scope { filter, ..scope.clone() });
    sql.push(")");
    sql.build_query_scalar().fetch_one(db).await
}

/// Links that match the filters by partner, program, link, domain and tag now: how many follow conversions, and how many
/// don't.
///
/// # Errors
/// The database's.
pub async fn tracking(db: &mut PgConnection, scope: &Scope) -> sqlx::Result<(i64, i64)> {
    let mut sql = Sql::new(
        "select count(*) filter (where conversion_tracking), count(*) filter (where not conversion_tracking) from (
           select l.conversion_tracking, l.id as link_id, d.hostname as domain, a.partner_id, a.program_id
           from links l
           join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
           left join assignments a on a.workspace_id = l.workspace_id and a.link_id = l.id and a.ended_at is null
           where l.workspace_id = ",
    );
    sql.push_bind(scope.workspace).push(") l where true");
    let filter = Filter { country: None, ..scope.filter.clone() };
    push_filter(&mut sql, &Scope { filter, ..scope.clone() });
    sql.build_query_as::<(i64, i64)>().fetch_one(db).await
}

//! Programs and the versions of their reward terms.

mod terms;

pub use terms::start_terms;

use serde::Serialize;
use shared::{
    click::Named,
    destination::{CustomQuery, Utm},
    id::{Program as Kind, ProgramId, WorkspaceId},
    reward::{AppliesTo, Basis},
};
use sqlx::{PgExecutor, types::Json};

use model::{
    page::SortedQuery,
    reference::{Reference, References},
    status::Status,
    time::Timestamp,
};

shared::text_enum! {
    /// What kind of program it is.
    pub enum ProgramKind {
        /// Affiliates.
        Affiliate = "affiliate",
        /// Customers who refer others.
        Referral = "referral",
        /// Creators.
        Creator = "creator",
        /// Agencies.
        Agency = "agency",
        /// Ambassadors.
        Ambassador = "ambassador",
        /// Newsletters.
        Newsletter = "newsletter",
        /// Anything else.
        Other = "other",
    }
}

/// A program, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Program {
    /// Its id.
    #[schema(value_type = String, example = "prg_01h455vb4pex5vsknk084sn02q")]
    pub id: ProgramId,
    /// Its immutable key.
    #[schema(example = "creators-2026")]
    pub key: String,
    /// Its name.
    pub name: String,
    /// `active`, `paused` or `archived`.
    #[schema(value_type = String, example = "active")]
    pub status: Status,
    /// `affiliate`, `referral`, `creator`, `agency`, `ambassador`, `newsletter` or `other`.
    #[schema(value_type = String, example = "creator")]
    pub kind: ProgramKind,
    /// How partners see it called.
    pub public_label: Option<String>,
    /// Where its links lead unless they say otherwise.
    pub default_destination_url: Option<String>,
    /// Where partners get help.
    pub support_email: Option<String>,
    /// Its terms.
    pub terms_url: Option<String>,
    /// Its help pages.
    pub help_url: Option<String>,
    /// Where partners apply.
    pub application_url: Option<String>,
    /// UTM values that `apply_program_defaults` copies onto a link.
    #[schema(value_type = Object)]
    pub utm: Utm,
    /// Query parameters that `apply_program_defaults` copies onto a link, at most 20.
    #[schema(value_type = Object)]
    pub custom_query: CustomQuery,
    /// The reward terms in force.
    pub reward_terms: Option<RewardTerms>,
    /// Days in which a conversion counts for a click; `null`: the workspace's.
    pub attribution_window_days: Option<i32>,
    /// Raised by every change.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Program {
    /// As other objects show it.
    #[must_use]
    pub fn named(&self) -> Named<'static, Kind> {
        Named { id: self.id, key: self.key.clone().into(), name: self.name.clone().into() }
    }
}

/// Reward terms, for reconciliation elsewhere. Each change makes a new version; a conversion is estimated by
/// the version in force when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RewardTerms {
    /// Counted from 1.
    pub version: i32,
    /// `percentage` or `fixed`.
    #[schema(value_type = String, example = "percentage")]
    pub basis: Basis,
    /// Hundredths of a percent, 0 to 10,000; with `percentage`.
    pub rate_bps: Option<i32>,
    /// Minor units; with `fixed`.
    pub amount_minor: Option<i64>,
    /// ISO 4217; with `fixed`.
    pub currency: Option<String>,
    /// The types they apply to: `sale`, `lead`.
    #[schema(value_type = Vec<String>)]
    pub applies_to: Vec<AppliesTo>,
    /// Days to wait before a row is due.
    pub hold_days: i32,
    /// For people.
    pub note: Option<String>,
    /// Since when this version is in force.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
}

struct Row {
    id: ProgramId,
    key: String,
    name: String,
    status: Status,
    kind: ProgramKind,
    public_label: Option<String>,
    default_destination_url: Option<String>,
    support_email: Option<String>,
    terms_url: Option<String>,
    help_url: Option<String>,
    application_url: Option<String>,
    utm: Json<Utm>,
    custom_query: Json<CustomQuery>,
    attribution_window_days: Option<i32>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    terms_version: Option<i32>,
    basis: Option<Basis>,
    rate_bps: Option<i32>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    applies_to: Option<Vec<String>>,
    hold_days: Option<i32>,
    note: Option<String>,
    started_at: Option<Timestamp>,
}

impl From<Row> for Program {
    fn from(row: Row) -> Self {
        let reward_terms = match (row.terms_version, row.basis, row.started_at) {
            (Some(version), Some(basis), Some(started_at)) => Some(RewardTerms {
                version,
                basis,
                rate_bps: row.rate_bps,
                amount_minor: row.amount_minor,
                currency: row.currency,
                applies_to: row.applies_to.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect(),
                hold_days: row.hold_days.unwrap_or_default(),
                note: row.note,
                started_at,
            }),
            _ => None,
        };
        Self {
            id: row.id,
            key: row.key,
            name: row.name,
            status: row.status,
            kind: row.kind,
            public_label: row.public_label,
            default_destination_url: row.default_destination_url,
            support_email: row.support_email,
            terms_url: row.terms_url,
            help_url: row.help_url,
            application_url: row.application_url,
            utm: row.utm.0,
            custom_query: row.custom_query.0,
            reward_terms,
            attribution_window_days: row.attribution_window_days,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

macro_rules! select {
    ($tail:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select p.id as "id: ProgramId", p.key, p.name, p.status as "status: Status", p.kind as "kind: ProgramKind",
               p.public_label, p.default_destination_url, p.support_email, p.terms_url, p.help_url, p.application_url,
               p.utm as "utm: Json<Utm>", p.custom_query as "custom_query: Json<CustomQuery>", p.attribution_window_days,
               p.version, p.created_at as "created_at: Timestamp", p.updated_at as "updated_at: Timestamp",
               t.version as "terms_version?", t.basis as "basis?: Basis", t.rate_bps as "rate_bps?",
               t.amount_minor as "amount_minor?", t.currency as "currency?", t.applies_to as "applies_to?",
               t.hold_days as "hold_days?", t.note as "note?", t.started_at as "started_at?: Timestamp"
               from programs p
               left join lateral (
                 select * from program_reward_terms t where t.workspace_id = p.workspace_id and t.program_id = p.id
                 order by t.version desc limit 1
               ) t on true where "# + $tail,
            $($argument),+
        )
    };
}

/// Which programs to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these states.
    pub statuses: Vec<String>,
    /// Only this kind.
    pub kind: Option<ProgramKind>,
    /// Part of the name or key.
    pub q: Option<String>,
}

/// A page of programs.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    filter: &Filter,
    page: &SortedQuery<Kind>,
) -> sqlx::Result<Vec<Program>> {
    // A workspace has few programs, so sorting them costs nothing that an index would save.
    let rows = select!(
        "p.workspace_id = $1 and p.status = any($2)
           and ($3::text is null or p.kind = $3)
           and ($4::text is null or p.name ilike $4 or p.key ilike $4)
           and ($5::uuid is null or case $7
             when 'newest' then p.id < $5
             when 'oldest' then p.id > $5
             when 'name' then (lower(p.name), p.id) > (lower($6), $5)
             else (lower(p.name), p.id) < (lower($6), $5) end)
         order by
           case when $7 = 'name' then lower(p.name) end, case when $7 = 'name_reversed' then lower(p.name) end desc,
           case when $7 in ('oldest', 'name') then p.id end, p.id desc
         limit $8",
        workspace.uuid(),
        &filter.statuses,
        filter.kind.map(ProgramKind::as_str),
        filter.q.as_deref().map(super::containing),
        page.after_uuid(),
        page.after_name(),
        page.order.as_str(),
        page.fetch()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Program::from).collect())
}

/// One program.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ProgramId) -> sqlx::Result<Option<Program>> {
    Ok(get_all(db, workspace, &[id.uuid()]).await?.pop())
}

/// Those of these programs that exist.
///
/// # Errors
/// The database's.
pub async fn get_all(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    ids: &[uuid::Uuid],
) -> sqlx::Result<Vec<Program>> {
    let rows = select!("p.workspace_id = $1 and p.id = any($2)", workspace.uuid(), ids).fetch_all(db).await?;
    Ok(rows.into_iter().map(Program::from).collect())
}

/// Those programs that the references name.
///
/// # Errors
/// The database's.
pub async fn find_all(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    references: &References,
) -> sqlx::Result<Vec<Program>> {
    let rows = select!(
        "p.workspace_id = $1 and (p.id = any($2) or p.key = any($3))",
        workspace.uuid(),
        &references.ids,
        &references.keys
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Program::from).collect())
}

/// The id of a program named in any way, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &Reference<Kind>,
) -> sqlx::Result<Option<ProgramId>> {
    let (id, key, _) = reference.parts();
    let found = sqlx::query_scalar!(
        "select id from programs where workspace_id = $1 and (id = $2 or key = $3) for no key update",
        workspace.uuid(),
        id,
        key,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(ProgramId::from_uuid))
}

/// The id of a program named in any way.
///
/// # Errors
/// The database's.
pub async fn find(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &Reference<Kind>,
) -> sqlx::Result<Option<ProgramId>> {
    let (id, key, _) = reference.parts();
    let found = sqlx::query_scalar!(
        "select id from programs where workspace_id = $1 and (id = $2 or key = $3)",
        workspace.uuid(),
        id,
        key,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(ProgramId::from_uuid))
}

/// Those of these keys that are taken.
///
/// # Errors
/// The database's.
pub async fn taken_keys(db: impl PgExecutor<'_>, workspace: WorkspaceId, keys: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select key from programs where workspace_id = $1 and key = any($2)", workspace.uuid(), keys)
        .fetch_all(db)
        .await
}

/// Stores a new program, without its terms.
///
/// # Errors
/// The database's; `programs_key_unique` where the key is taken.
pub async fn insert(db: impl PgExecutor<'_>, workspace: WorkspaceId, program: &Program) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into programs (workspace_id, id, key, name, status, kind, public_label, default_destination_url, \
         support_email, terms_url, help_url, application_url, utm, custom_query, attribution_window_days, created_at, \
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)",
        workspace.uuid(),
        program.id.uuid(),
        program.key,
        program.name,
        program.status.as_str(),
        program.kind.as_str(),
        program.public_label,
        program.default_destination_url,
        program.support_email,
        program.terms_url,
        program.help_url,
        program.application_url,
        Json(&program.utm) as _,
        Json(&program.custom_query) as _,
        program.attribution_window_days,
        program.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores a changed program, without its terms; raises its version.
///
/// # Errors
/// The database's.
pub async fn update(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    program: &mut Program,
    at: Timestamp,
) -> sqlx::Result<()> {
    program.version += 1;
    program.updated_at = at;
    sqlx::query!(
        "update programs set name = $3, status = $4, kind = $5, public_label = $6, default_destination_url = $7, \
         support_email = $8, terms_url = $9, help_url = $10, application_url = $11, utm = $12, custom_query = $13, \
         attribution_window_days = $14, version = $15, updated_at = $16 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        program.id.uuid(),
        program.name,
        program.status.as_str(),
        program.kind.as_str(),
        program.public_label,
        program.default_destination_url,
        program.support_email,
        program.terms_url,
        program.help_url,
        program.application_url,
        Json(&program.utm) as _,
        Json(&program.custom_query) as _,
        program.attribution_window_days,
        program.version,
        program.updated_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

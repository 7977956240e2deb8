//! Changes that many links' records carry: a rename, a domain archived. Few links are touched in the transaction of the
//! change. Where they are many, that would hold their locks longer than a transaction may last; so the change leaves a
//! row that says how far it got, and replicators go on from there, a step at a time.

use shared::id::{DomainId, Id, Kind, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{touch_links, wake};

/// Links touched in one transaction.
const STEP: i64 = 1_000;

/// The links that a change concerns.
#[derive(Debug, Clone, Copy)]
pub enum Many {
    /// Those that belong to a partner, which was renamed, or became active or inactive.
    OfPartner(PartnerId),
    /// Those within a program, which was renamed.
    OfProgram(ProgramId),
    /// Those of a domain, which was archived or made active.
    OfDomain(DomainId),
    /// Those of all partners that aren't active: the workspace changed what their clicks carry.
    OfInactivePartners,
}

impl Many {
    /// As it is stored.
    fn stored(self) -> (&'static str, Uuid) {
        fn named<K: Kind>(kind: &'static str, id: Id<K>) -> (&'static str, Uuid) {
            (kind, id.uuid())
        }
        match self {
            Self::OfPartner(id) => named("partner", id),
            Self::OfProgram(id) => named("program", id),
            Self::OfDomain(id) => named("domain", id),
            Self::OfInactivePartners => ("inactive_partners", Uuid::nil()),
        }
    }
}

/// Touches the links that a change concerns, or sees to it that replicators do.
///
/// # Errors
/// The database's.
pub async fn touch_many(db: &mut PgConnection, workspace: WorkspaceId, many: Many) -> sqlx::Result<()> {
    let (kind, object) = many.stored();
    let links = page(db, workspace, kind, object, Uuid::nil(), STEP + 1).await?;
    if i64::try_from(links.len()).is_ok_and(|count| count <= STEP) {
        return touch_links(db, workspace, &links).await;
    }
    // One that is under way begins anew: what it has behind it has changed again.
    sqlx::query!(
        "insert into outbox_spreads (workspace_id, kind, object_id) values ($1, $2, $3)
         on conflict (workspace_id, kind, object_id) do update set after_id = excluded.after_id, begun_at = excluded.begun_at",
        workspace.uuid(),
        kind,
        object,
    )
    .execute(&mut *db)
    .await?;
    wake(db).await
}

/// Goes on with a change that is being spread, by a step. Answers whether there was one that no other instance is at.
///
/// # Errors
/// The database's.
pub async fn fan_out_step(pool: &PgPool) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    let spread = sqlx::query!(
        r#"select workspace_id as "workspace_id: WorkspaceId", kind, object_id, after_id from outbox_spreads
           order by begun_at limit 1 for update skip locked"#,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(spread) = spread else { return Ok(false) };
    let (workspace, kind, object) = (spread.workspace_id, spread.kind.as_str(), spread.object_id);
    let links = page(&mut tx, workspace, kind, object, spread.after_id, STEP).await?;
    touch_links(&mut tx, workspace, &links).await?;
    match links.last() {
        Some(last) => {
            sqlx::query!(
                "update outbox_spreads set after_id = $4 where workspace_id = $1 and kind = $2 and object_id = $3",
                workspace.uuid(),
                kind,
                object,
                last,
            )
            .execute(&mut *tx)
            .await?;
        }
        None => {
            sqlx::query!(
                "delete from outbox_spreads where workspace_id = $1 and kind = $2 and object_id = $3",
                workspace.uuid(),
                kind,
                object,
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// The links behind one, in their order.
async fn page(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    kind: &str,
    object: Uuid,
    after: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    let (workspace, db) = (workspace.uuid(), &mut *db);
    match kind {
        "partner" => {
            sqlx::query_scalar!(
                "select link_id from assignments
                 where workspace_id = $1 and partner_id = $2 and ended_at is null and link_id > $3 order by link_id limit $4",
                workspace,
                object,
                after,
                limit,
            )
            .fetch_all(db)
            .await
        }
        "program" => {
            sqlx::query_scalar!(
                "select link_id from assignments
                 where workspace_id = $1 and program_id = $2 and ended_at is null and link_id > $3 order by link_id limit $4",
                workspace,
                object,
                after,
                limit,
            )
            .fetch_all(db)
            .await
        }
        "domain" => {
            sqlx::query_scalar!(
                "select id from links where workspace_id = $1 and domain_id = $2 and id > $3 order by id limit $4",
                workspace,
                object,
                after,
                limit,
            )
            .fetch_all(db)
            .await
        }
        _ => {
            sqlx::query_scalar!(
                "select a.link_id from assignments a
                 join partners p on p.workspace_id = a.workspace_id and p.id = a.partner_id and p.status <> 'active'
                 where a.workspace_id = $1 and a.ended_at is null and a.link_id > $2 order by a.link_id limit $3",
                workspace,
                after,
                limit,
            )
            .fetch_all(db)
            .await
        }
    }
}

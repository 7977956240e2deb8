//! The audit trail, read, and redacted by erasures. It is written by [`crate::change::Change::audit`] alone.

use serde::Serialize;
use serde_json::Value;
use shared::id::{self, ApiKeyId, Audit as Kind, AuditId, Id, PartnerId, WorkspaceId};
use sqlx::PgExecutor;
use uuid::Uuid;

use model::{page::PageQuery, time::Timestamp};

/// One change, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub struct Entry {
    /// Its id.
    #[schema(value_type = String, example = "aud_01h455vb4pex5vsknk084sn02q")]
    pub id: AuditId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The API key that made it, or `operator`.
    #[schema(example = "key_01h455vb4pex5vsknk084sn02q")]
    pub actor: String,
    /// What was done, such as `partner.update`.
    #[schema(example = "partner.update")]
    pub action: String,
    /// The kind of object: the first word of the action.
    #[schema(example = "partner")]
    pub object_type: String,
    /// The object's id.
    #[schema(example = "prt_01h455vb4pex5vsknk084sn02q")]
    pub object: String,
    /// The object before; `null` where it was made.
    pub before: Option<Value>,
    /// The object after.
    pub after: Option<Value>,
    /// The request, as in the logs.
    pub request_id: Option<String>,
}

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The holder of the operator key.
    Operator,
    /// The holder of an API key.
    Key(ApiKeyId),
}

impl std::str::FromStr for Actor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "operator" => Ok(Self::Operator),
            _ => text.parse().map(Self::Key).map_err(|_| "must be the id of an API key, or operator".to_owned()),
        }
    }
}

/// An object of any kind that the trail knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object(Uuid);

macro_rules! kinds {
    ($($word:literal => $kind:ident),+ $(,)?) => {
        /// An object's id, by the kind's word in actions.
        fn object_id(word: &str, uuid: Uuid) -> String {
            match word {
                $($word => Id::<id::$kind>::from_uuid(uuid).to_string(),)+
                _ => uuid.to_string(),
            }
        }

        impl std::str::FromStr for Object {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $(if let Ok(id) = text.parse::<Id<id::$kind>>() {
                    return Ok(Self(id.uuid()));
                })+
                Err("must be the id of an object, such as prt_…".to_owned())
            }
        }
    };
}

kinds! {
    "workspace" => Workspace,
    "api_key" => ApiKey,
    "program" => Program,
    "partner" => Partner,
    "note" => Note,
    "domain" => Domain,
    "link" => Link,
    "assignment" => Assignment,
    "source" => Source,
    "conversion" => Conversion,
    "export" => Export,
}

/// Which entries to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only changes of this object.
    pub object: Option<Object>,
    /// Only changes of objects of this kind.
    pub object_type: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only changes by this actor.
    pub actor: Option<Actor>,
    /// Only from then on.
    pub from: Option<Timestamp>,
    /// Only before then.
    pub to: Option<Timestamp>,
}

/// A page of the trail, newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    filter: &Filter,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<Entry>> {
    let (operator, key) = match filter.actor {
        None => (None, None),
        Some(Actor::Operator) => (Some(true), None),
        Some(Actor::Key(key)) => (Some(false), Some(key.uuid())),
    };
    let rows = sqlx::query!(
        r#"select id as "id: AuditId", at as "at: Timestamp", actor_key_id as "actor: ApiKeyId", action, object_type, object_id,
           before, after, request_id
           from audit
           where workspace_id = $1
             and ($2::uuid is null or object_id = $2)
             and ($3::text is null or object_type = $3)
             and ($4::text is null or action = $4)
             and ($5::boolean is null or $5 and actor_key_id is null or not $5 and actor_key_id = $6)
             and ($7::timestamptz is null or at >= $7)
             and ($8::timestamptz is null or at < $8)
             and ($9::uuid is null or id < $9)
           order by id desc limit $10"#,
        workspace.uuid(),
        filter.object.map(|object| object.0),
        filter.object_type,
        filter.action,
        operator,
        key,
        filter.from.map(|at| at.0),
        filter.to.map(|at| at.0),
        page.before_uuid(),
        page.fetch(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Entry {
            id: row.id,
            at: row.at,
            actor: row.actor.map_or_else(|| "operator".to_owned(), |key| key.to_string()),
            object: object_id(&row.object_type, row.object_id),
            action: row.action,
            object_type: row.object_type,
            before: row.before,
            after: row.after,
            request_id: row.request_id,
        })
        .collect())
}

/// What the trail says of a partner and of the notes on it: ids of entries, before, after.
///
/// # Errors
/// The database's.
pub async fn of_partner(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    partner: PartnerId,
) -> sqlx::Result<Vec<(Uuid, Option<Value>, Option<Value>)>> {
    let rows = sqlx::query!(
        "select id, before, after from audit
         where workspace_id = $1
           and (object_id = $2
                or object_id in (select n.id from partner_notes n where n.workspace_id = $1 and n.partner_id = $2))",
        workspace.uuid(),
        partner.uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.before, row.after)).collect())
}

/// Replaces what an entry says, for an erasure: nothing else changes the trail.
///
/// # Errors
/// The database's.
pub async fn redact(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    before: Option<&Value>,
    after: Option<&Value>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update audit set before = $3, after = $4 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        id,
        before,
        after,
    )
    .execute(db)
    .await?;
    Ok(())
}

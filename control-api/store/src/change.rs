//! Every change goes through one transaction that also holds its audit rows and, where the caller sent an
//! `Idempotency-Key`, the answer: a repeated request gets that answer and changes nothing.

use model::{access::Caller, time::Clock};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::id::{Audit, Id, Kind, WorkspaceId};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

/// Conditions that a request sets for a change, read from its head.
#[derive(Debug, Clone)]
pub struct Preconditions {
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Method and address of the request, with its query: an import that may be partial is another request than one that
    /// may not.
    pub target: String,
    /// Versions that the caller would change (`If-Match`), if the request says. A text that is no version matches none.
    pub if_match: Option<Vec<i64>>,
    /// Id of the request, for the audit trail.
    pub request_id: String,
}

impl Preconditions {
    /// Whether the caller may change this version.
    ///
    /// # Errors
    /// The current version, where the caller has seen another one.
    pub fn check_version(&self, current: i64) -> Result<(), VersionMismatch> {
        match &self.if_match {
            Some(seen) if !seen.contains(&current) => Err(VersionMismatch { current }),
            _ => Ok(()),
        }
    }
}

/// The caller has seen another version than the current one.
#[derive(Debug, Clone, Copy)]
pub struct VersionMismatch {
    /// The resource's version now.
    pub current: i64,
}

/// Beginning of a change.
pub enum Begun {
    /// Nothing was done yet.
    Fresh(Change),
    /// This very request was answered before.
    Replayed(Answer),
    /// The idempotency key was used for another request.
    KeyReused,
}

/// Answer to a change, as it is sent and stored.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
}

/// A change under way.
pub struct Change {
    tx: Transaction<'static, Postgres>,
    clock: Clock,
    workspace: WorkspaceId,
    actor: Option<Uuid>,
    request_id: String,
    key: Option<String>,
    /// Whose key that is: the workspace, or nobody's where it is the operator's.
    key_owner: Uuid,
    /// Audit rows to be written with the commit, all at once: a bulk request has as many as it has objects.
    audit: Vec<AuditRow>,
}

struct AuditRow {
    action: String,
    object: Uuid,
    before: Option<Value>,
    after: Option<Value>,
}

impl Change {
    /// Begins a change by the holder of a key.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(
        db: &PgPool,
        clock: &Clock,
        caller: &Caller,
        preconditions: &Preconditions,
        raw: &[u8],
    ) -> sqlx::Result<Begun> {
        Self::open(db, clock, caller.workspace, Some(caller.key.uuid()), preconditions, raw).await
    }

    /// Begins a change by the operator.
    ///
    /// # Errors
    /// The database's.
    pub async fn operator(
        db: &PgPool,
        clock: &Clock,
        workspace: WorkspaceId,
        preconditions: &Preconditions,
        raw: &[u8],
    ) -> sqlx::Result<Begun> {
        Self::open(db, clock, workspace, None, preconditions, raw).await
    }

    async fn open(
        db: &PgPool,
        clock: &Clock,
        workspace: WorkspaceId,
        actor: Option<Uuid>,
        preconditions: &Preconditions,
        raw: &[u8],
    ) -> sqlx::Result<Begun> {
        let key_owner = if actor.is_some() { workspace.uuid() } else { Uuid::nil() };
        let mut tx = db.begin().await?;
        if let Some(key) = &preconditions.idempotency_key {
            let mut hash = Sha256::new();
            hash.update(&preconditions.target);
            hash.update([0]);
            hash.update(raw);
            let hash: [u8; 32] = hash.finalize().into();
            // A concurrent request with the same key waits here until the first one has ended.
            let fresh = sqlx::query!(
                "insert into idempotency_keys (workspace_id, key, request_hash, status, response) \
                 values ($1, $2, $3, 0, 'null') \
                 on conflict (workspace_id, key) do update \
                 set request_hash = excluded.request_hash, status = 0, response = 'null', created_at = now() \
                 where idempotency_keys.created_at < now() - interval '24 hours'",
                key_owner,
                key,
                &hash,
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if fresh == 0 {
                let stored = sqlx::query!(
                    "select request_hash, status, response from idempotency_keys where workspace_id = $1 and key = $2",
                    key_owner,
                    key,
                )
                .fetch_one(&mut *tx)
                .await?;
                if stored.request_hash != hash {
                    return Ok(Begun::KeyReused);
                }
                let status = u16::try_from(stored.status).unwrap_or(200);
                return Ok(Begun::Replayed(Answer { status, body: stored.response }));
            }
        }
        Ok(Begun::Fresh(Self {
            tx,
            clock: clock.clone(),
            workspace,
            actor,
            request_id: preconditions.request_id.clone(),
            key: preconditions.idempotency_key.clone(),
            key_owner,
            audit: vec![],
        }))
    }

    /// The transaction.
    pub fn db(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The clock of the instance.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Notes what was changed; it is written down with the commit. `before` and `after` are the resource as the API
    /// shows it.
    ///
    /// # Errors
    /// Where the resource can't be written as JSON.
    pub async fn audit<K: Kind>(
        &mut self,
        action: &str,
        object: Id<K>,
        before: Option<&impl Serialize>,
        after: Option<&impl Serialize>,
    ) -> sqlx::Result<()> {
        let before = before.map(json).transpose()?;
        let after = after.map(json).transpose()?;
        self.audit.push(AuditRow { action: action.to_owned(), object: object.uuid(), before, after });
        Ok(())
    }

    async fn write_audit(&mut self) -> sqlx::Result<()> {
        let rows = std::mem::take(&mut self.audit);
        if rows.is_empty() {
            return Ok(());
        }
        // Ids of one millisecond are in no order; the trail keeps the order of the changes.
        let ids = self.clock.ids::<Audit>(rows.len()).into_iter().map(Id::uuid).collect::<Vec<_>>();
        let kinds: Vec<&str> = rows.iter().map(|row| row.action.split('.').next().unwrap_or_default()).collect();
        let actions: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
        let objects: Vec<Uuid> = rows.iter().map(|row| row.object).collect();
        let before: Vec<Option<&Value>> = rows.iter().map(|row| row.before.as_ref()).collect();
        let after: Vec<Option<&Value>> = rows.iter().map(|row| row.after.as_ref()).collect();
        sqlx::query!(
            "insert into audit (workspace_id, id, actor_key_id, action, object_type, object_id, before, after, request_id) \
             select $1, r.id, $2, r.action, r.kind, r.object, r.before, r.after, $3 \
             from unnest($4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::jsonb[], $9::jsonb[]) \
               as r (id, action, kind, object, before, after)",
            self.workspace.uuid(),
            self.actor,
            self.request_id,
            &ids,
            &actions as _,
            &kinds as _,
            &objects,
            &before as _,
            &after as _,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Commits and answers.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish(self, status: u16, answer: &impl Serialize) -> sqlx::Result<Answer> {
        self.finish_with_secret(status, answer, None::<(&str, &str)>).await
    }

    /// Commits and answers with a secret that is shown this once: it is added to the answer at a JSON pointer
    /// that the stored copy leaves `null`.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish_with_secret(
        mut self,
        status: u16,
        answer: &impl Serialize,
        secret: Option<(&str, &str)>,
    ) -> sqlx::Result<Answer> {
        self.write_audit().await?;
        let mut body = json(answer)?;
        if let Some(key) = &self.key {
            sqlx::query!(
                "update idempotency_keys set status = $3, response = $4 where workspace_id = $1 and key = $2",
                self.key_owner,
                key,
                i16::try_from(status).unwrap_or(200),
                body,
            )
            .execute(&mut *self.tx)
            .await?;
        }
        self.tx.commit().await?;
        if let Some((pointer, secret)) = secret
            && let Some(slot) = body.pointer_mut(pointer)
        {
            *slot = Value::String(secret.to_owned());
        }
        Ok(Answer { status, body })
    }
}

/// A resource as JSON.
fn json(resource: impl Serialize) -> sqlx::Result<Value> {
    serde_json::to_value(resource).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Waits for the turn of each of these names until the transaction's end, in one order whatever order they come in.
///
/// # Errors
/// The database's.
pub async fn take_turns(db: &mut PgConnection, names: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(turn) from \
               (select distinct hashtextextended(name, 0) as turn from unnest($1::text[]) as name order by 1) as turns",
        names,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

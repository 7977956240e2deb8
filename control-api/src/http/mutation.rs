//! Every change goes through one transaction that also holds its audit rows and, where the caller sent an
//! `Idempotency-Key`, the answer: a repeated request gets that answer and changes nothing.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::id::{Audit, Id, Kind, WorkspaceId};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{auth::Caller, request_id};
use crate::{app::App, error::ApiError};

/// The longest `Idempotency-Key`, in characters.
const MAX_KEY: usize = 255;

/// What of a request's head matters to a change.
pub struct Attempt {
    key: Option<String>,
    target: String,
    /// The versions the caller would change (`If-Match`), if it says. What is no version of ours matches none.
    if_match: Option<Vec<i64>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Attempt {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let header = |name: &'static str| parts.headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let key = header("idempotency-key").map(str::to_owned);
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY || key.contains('\u{fffd}')) {
            return Err(ApiError::field("header Idempotency-Key", "length", "must have 1 to 255 ASCII characters"));
        }
        let if_match = match header("if-match") {
            None | Some("*") => None,
            Some(text) => {
                let versions = text.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').parse());
                Some(versions.filter_map(Result::ok).collect())
            }
        };
        // With the query: an import that may be partial is another request than one that may not.
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |whole| whole.as_str());
        Ok(Self { key, target: format!("{} {path}", parts.method), if_match })
    }
}

impl Attempt {
    /// Refuses if the caller saw another version than the current one.
    ///
    /// # Errors
    /// 412.
    pub fn check_version(&self, current: i64) -> Result<(), ApiError> {
        match &self.if_match {
            Some(seen) if !seen.contains(&current) => Err(ApiError::VersionMismatch { current }),
            _ => Ok(()),
        }
    }
}

/// A change under way.
pub struct Mutation {
    tx: Transaction<'static, Postgres>,
    app: App,
    workspace: WorkspaceId,
    actor: Option<Uuid>,
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

impl Mutation {
    /// Begins a change of a key's holder.
    ///
    /// # Errors
    /// [`ApiError::Replay`] with the stored answer where this very request was answered before; 422 where its
    /// idempotency key was used for another.
    pub async fn begin(app: &App, caller: &Caller, attempt: &Attempt, raw: &[u8]) -> Result<Self, ApiError> {
        Self::open(app, caller.workspace, Some(caller.key.uuid()), attempt, raw).await
    }

    /// Begins a change of the operator's.
    ///
    /// # Errors
    /// As [`Mutation::begin`].
    pub async fn operator(app: &App, workspace: WorkspaceId, attempt: &Attempt, raw: &[u8]) -> Result<Self, ApiError> {
        Self::open(app, workspace, None, attempt, raw).await
    }

    async fn open(
        app: &App,
        workspace: WorkspaceId,
        actor: Option<Uuid>,
        attempt: &Attempt,
        raw: &[u8],
    ) -> Result<Self, ApiError> {
        let key_owner = if actor.is_some() { workspace.uuid() } else { Uuid::nil() };
        let mut tx = app.db.begin().await?;
        if let Some(key) = &attempt.key {
            let mut hash = Sha256::new();
            hash.update(&attempt.target);
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
                    return Err(ApiError::IdempotencyKeyReused);
                }
                let status = u16::try_from(stored.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
                let version = stored.response.get("version").and_then(Value::as_i64);
                let mut response = (status.unwrap_or(StatusCode::OK), Json(stored.response)).into_response();
                if let Some(version) = version {
                    response = versioned(version, response);
                }
                response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
                return Err(ApiError::Replay(Box::new(response)));
            }
        }
        Ok(Self { tx, app: app.clone(), workspace, actor, key: attempt.key.clone(), key_owner, audit: vec![] })
    }

    /// The transaction.
    pub fn db(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The service.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
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
    ) -> Result<(), ApiError> {
        let before = before.map(serde_json::to_value).transpose()?;
        let after = after.map(serde_json::to_value).transpose()?;
        self.audit.push(AuditRow { action: action.to_owned(), object: object.uuid(), before, after });
        Ok(())
    }

    async fn write_audit(&mut self) -> Result<(), ApiError> {
        let rows = std::mem::take(&mut self.audit);
        if rows.is_empty() {
            return Ok(());
        }
        // Ids of one millisecond are in no order; the trail keeps the order of the changes.
        let ids = self.app.ambient.ids::<Audit>(rows.len()).into_iter().map(Id::uuid).collect::<Vec<_>>();
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
            request_id::current(),
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
    /// Where the database refuses.
    pub async fn finish(self, status: StatusCode, answer: &impl Serialize) -> Result<Response, ApiError> {
        self.finish_with_secret(status, answer, None::<(&str, &str)>).await
    }

    /// Commits and answers with a secret that is shown this once: it is added to the answer at a JSON pointer
    /// that the stored copy leaves `null`.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn finish_with_secret(
        mut self,
        status: StatusCode,
        answer: &impl Serialize,
        secret: Option<(&str, &str)>,
    ) -> Result<Response, ApiError> {
        self.write_audit().await?;
        let mut answer = serde_json::to_value(answer)?;
        if let Some(key) = &self.key {
            let code = i16::try_from(status.as_u16()).unwrap_or(200);
            sqlx::query!(
                "update idempotency_keys set status = $3, response = $4 where workspace_id = $1 and key = $2",
                self.key_owner,
                key,
                code,
                answer,
            )
            .execute(&mut *self.tx)
            .await?;
        }
        self.tx.commit().await?;
        if let Some((pointer, secret)) = secret
            && let Some(slot) = answer.pointer_mut(pointer)
        {
            *slot = Value::String(secret.to_owned());
        }
        let version = answer.get("version").and_then(Value::as_i64);
        let response = (status, Json(answer)).into_response();
        Ok(match version {
            Some(version) => versioned(version, response),
            None => response,
        })
    }
}

/// An answer with its resource's version as `ETag`, for `If-Match`.
pub fn versioned(version: i64, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

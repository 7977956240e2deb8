//! Rotation of `NIM_DATA_KEYS`: what other keys of the ring have encrypted is encrypted anew under the first, one by
//! one beside the running service, so that an old key can be dropped.

use shared::{
    KeyRing,
    id::{SourceId, WorkspaceId},
};
use store::PgPool;

use crate::{seal, sources};

/// Secrets read at a time.
const BATCH: i64 = 200;

/// What a rotation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Secrets that are encrypted under the ring's first key now and were not before.
    pub resealed: u64,
    /// Secrets that can't be opened with the ring. They are left as they are.
    pub unopened: u64,
    /// Secrets whose time was over; they verified nothing any more and are gone.
    pub ended: u64,
}

/// Encrypts every stored secret under the ring's first key. Running it again, or twice at once, does no harm. Secrets
/// that instances store meanwhile under an older first key are missed: bring the ring to all of them before.
///
/// # Errors
/// The database's. What was done before stays done.
pub async fn rotate(pool: &PgPool, ring: &KeyRing) -> store::Result<Rotated> {
    let kid = i16::from(ring.first().kid);
    let mut rotated = Rotated { ended: store::sources::forget_ended_secrets(pool).await?, ..Rotated::default() };
    let mut after = None;
    loop {
        let batch = store::sources::secrets_under_other_keys(pool, kid, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(rotated) };
        after = Some((last.workspace, last.source, last.secret.id));
        for found in &batch {
            let belongs_to = sources::belongs_to(found.workspace, found.source, found.secret.id);
            match seal::open(ring, &belongs_to, sources::kid(&found.secret), &found.secret.sealed) {
                Ok(secret) => {
                    let (kid, sealed) = seal::seal(ring, &belongs_to, &secret);
                    let sealed = store::sources::SealedSecret { id: found.secret.id, kid: kid.into(), sealed };
                    // Not, if it was removed meanwhile, or another run of this was faster.
                    let done =
                        store::sources::reseal(pool, found.workspace, found.source, &found.secret, &sealed).await?;
                    rotated.resealed += u64::from(done);
                }
                Err(error) => {
                    log_unopened(found.workspace, found.source, &error);
                    rotated.unopened += 1;
                }
            }
        }
    }
}

fn log_unopened(workspace: WorkspaceId, source: SourceId, error: &seal::Unopened) {
    tracing::error!(%workspace, %source, %error, "secret left as it is");
}

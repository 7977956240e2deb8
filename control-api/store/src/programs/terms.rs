//! The versions of reward terms: appended, never changed.

use shared::id::{ProgramId, WorkspaceId};
use sqlx::PgConnection;

use super::RewardTerms;
use model::time::Timestamp;

/// Starts a new version of a program's terms, `None` for none any more, and answers its number and start: now, to the
/// millisecond that is shown, and never before the version it follows. The program must be locked or new.
///
/// # Errors
/// The database's.
pub async fn start_terms(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    program: ProgramId,
    terms: Option<&RewardTerms>,
) -> sqlx::Result<(i32, Timestamp)> {
    let applies_to: Vec<String> =
        terms.map(|t| t.applies_to.iter().map(ToString::to_string).collect()).unwrap_or_default();
    let row = sqlx::query!(
        r#"insert into program_reward_terms (workspace_id, program_id, version, basis, rate_bps, amount_minor, currency,
           applies_to, hold_days, note, started_at)
           select $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8, $9,
                  greatest(date_trunc('milliseconds', clock_timestamp()), max(started_at))
           from program_reward_terms where workspace_id = $1 and program_id = $2
           returning version, started_at as "started_at: Timestamp""#,
        workspace.uuid(),
        program.uuid(),
        terms.map(|t| t.basis.as_str()),
        terms.and_then(|t| t.rate_bps),
        terms.and_then(|t| t.amount_minor),
        terms.and_then(|t| t.currency.clone()),
        &applies_to,
        terms.map_or(0, |t| t.hold_days),
        terms.and_then(|t| t.note.clone()),
    )
    .fetch_one(db)
    .await?;
    Ok((row.version, row.started_at))
}

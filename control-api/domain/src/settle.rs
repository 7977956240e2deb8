//! Settling of conversions that waited, when what they waited for is stored.

use model::conversion::Method;
use shared::id::WorkspaceId;
use store::{PgConnection, events::Conversion};
use uuid::Uuid;

use crate::{
    Error,
    attribution::attribute,
    follow_ons::{self, by_workspace},
};

/// Clicks were stored in this transaction: settles what waited for them.
///
/// # Errors
/// The database's.
pub async fn clicks_landed(tx: &mut PgConnection, clicks: &[(Uuid, Uuid)]) -> Result<(), Error> {
    if clicks.is_empty() {
        return Ok(());
    }
    let (workspaces, ids): (Vec<_>, Vec<_>) = clicks.iter().copied().unzip();
    let waiting = store::events::waiting_for_clicks(&mut *tx, &workspaces, &ids).await?;
    let (customers, tokens): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|row| row.tried == Some(Method::Customer));
    // The touches first, then those whom they decide about.
    settle_waiting(tx, Method::Token, tokens).await?;
    settle_waiting(tx, Method::Customer, customers).await?;
    Ok(())
}

/// Settles leads and sales that wait, and then the follow-ons that waited for them. All are `pending_click` and locked.
/// Answers those that go on waiting.
///
/// # Errors
/// The database's.
pub async fn settle_waiting(
    tx: &mut PgConnection,
    method: Method,
    waiting: Vec<Conversion>,
) -> Result<Vec<Conversion>, Error> {
    let mut left = vec![];
    for (workspace, mut rows) in by_workspace(waiting.into_iter()) {
        let before: Vec<Option<Uuid>> = rows.iter().map(|row| row.click_id).collect();
        attribute(tx, WorkspaceId::from_uuid(workspace), method, &mut rows).await?;
        let mut changed = vec![];
        for (row, before) in rows.into_iter().zip(before) {
            if row.status.is_final() {
                changed.push(row);
            } else if row.click_id == before {
                left.push(row);
            } else {
                // It waits for another touch now.
                store::events::settle(&mut *tx, std::slice::from_ref(&row)).await?;
                left.push(row);
            }
        }
        store::events::settle(&mut *tx, &changed).await?;
        follow_ons::originals_settled(tx, changed.iter()).await?;
    }
    Ok(left)
}

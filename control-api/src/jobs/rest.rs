//! Pauses between two rounds of a job.

use tokio_util::sync::CancellationToken;

/// Waits for `pause`, but no longer than until `stop`. False: it is time to stop.
pub(super) async fn rest(stop: &CancellationToken, pause: std::time::Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

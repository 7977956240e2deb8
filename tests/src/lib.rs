//! The stage for end-to-end stories: the real worker in workerd, the real control plane and a database of
//! its own in a real Postgres, spoken to over HTTP as visitors, admins and customers' servers do.
//!
//! Never here: a stand-in for a part of ours.
//!
//! `cargo xtask test` provides what the stage needs: `DATABASE_URL` (a server on which databases may be
//! made), `NIM_NODE` and `NIM_CONTROL_API` (programs to run), and the built worker.

mod actors;
mod stack;

pub use actors::{Answer, Redirect, Source, Team, text};
pub use stack::{Edge, Options, Sender, Stack, free_port};

use shared::Millis;

/// Now, by this machine's clock.
#[must_use]
pub fn now() -> Millis {
    Millis(chrono::Utc::now().timestamp_millis())
}

/// Random bytes.
///
/// # Panics
/// Where the operating system has no randomness.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// How long anything that travels by itself (a queue, replication, a job) may take before a story gives up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// Asks again until `ask` answers something, and gives up with a panic after a generous while.
///
/// # Panics
/// When nothing came.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

//! The slow second look: compares what the edge's store holds with the records as they must be, page by page, and has
//! what differs published again. The outbox tells the edge of every change; this finds what got lost all the same: a
//! store that was emptied, a write that came late and won, a database that was restored to an earlier moment.

use std::time::Duration;

use shared::record::version_of;
use tokio_util::sync::CancellationToken;

use super::rest::rest;
use crate::{
    app::App,
    publish::{Failure, Publisher},
};
use domain::Error;
use store::{
    outbox::Place,
    reconciler::{Counts, Cursor, Round},
};

/// Between two looks whether there is something to do.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two pages, in seconds: 100 records each, so 100,000 records take some half an hour.
const PAGE_PAUSE: f64 = 2.0;
/// After a look that failed, in seconds.
const FAILURE_PAUSE: f64 = 30.0;
/// How long a page may take, in seconds, the turn at the store's API included.
const LEASE_SECONDS: f64 = 180.0;
/// How often the edge is told that the centre is there.
const NUDGE: Duration = Duration::from_secs(30);

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let Some(publisher) = app.publisher.clone() else { return };
    let mut nudged = tokio::time::Instant::now();
    // The edge may have kept something for as long as nobody answered here.
    let mut nudge_due = true;
    while rest(&stop, PAUSE).await {
        if nudge_due || nudged.elapsed() >= NUDGE {
            nudge_due = publisher.nudge().await.is_err();
            nudged = tokio::time::Instant::now();
        }
        if app.config.sweep_minutes == 0 {
            continue;
        }
        if let Err(error) = next_page(&app, &*publisher).await {
            tracing::warn!(%error, "the sweep failed; trying again");
        }
    }
}

/// Compares the next page, if it is time. Answers whether it did.
///
/// # Errors
/// The database's.
pub async fn next_page(app: &App, publisher: &dyn Publisher) -> Result<bool, Error> {
    let Some(round) = store::reconciler::lease(&app.db, LEASE_SECONDS).await? else { return Ok(false) };
    match page(app, publisher, round).await? {
        Ok(Some(round)) => store::reconciler::advance(&app.db, round, PAGE_PAUSE).await?,
        Ok(None) => {}
        Err(failure) => {
            tracing::warn!(error = %failure, "the edge's store can't be compared; trying again");
            let pause = failure.pause.unwrap_or_default().as_secs_f64().max(FAILURE_PAUSE);
            store::reconciler::advance(&app.db, round, pause).await?;
        }
    }
    Ok(true)
}

/// The round after its next page; `None` where it is over.
async fn page(app: &App, publisher: &dyn Publisher, mut round: Round) -> Result<Result<Option<Round>, Failure>, Error> {
    let limit = publisher.limits().keys;
    let places = store::reconciler::page(&app.db, round.cursor, limit).await?;
    // First what the edge holds, then the records: what changes in between can only look older there than it is.
    let keys: Vec<String> = places.iter().map(|place| place.kv_key.clone()).collect();
    let held = if keys.is_empty() {
        vec![]
    } else {
        match publisher.held(&keys).await {
            Ok(held) => held,
            Err(failure) => return Ok(Err(failure)),
        }
    };
    let wanted = domain::records::entries(app, &places.iter().collect::<Vec<_>>()).await?;
    let waiting = store::reconciler::waiting(&app.db, &places).await?;
    let mut differing = Vec::new();
    for ((place, entry), held) in places.iter().zip(&wanted).zip(&held) {
        round.counts.compared += 1;
        let Some(entry) = entry else { continue };
        if waiting.contains(&place.kv_key) {
            continue;
        }
        if let Some(difference) = Difference::between(held.as_deref(), &entry.value) {
            difference.count(&mut round.counts);
            differing.push((place, difference));
        }
    }
    repair(app, &differing).await?;

    let full = places.len() as i64 >= limit;
    round.cursor = match places.last() {
        Some(last) if full => {
            let id = last.link_id.unwrap_or(last.domain_id);
            Cursor { links: round.cursor.links, workspace: last.workspace_id, id }
        }
        _ if !round.cursor.links => Cursor::LINKS,
        _ => {
            let interval = f64::from(app.config.sweep_minutes) * 60.0;
            store::reconciler::finish(&app.db, round.counts, interval).await?;
            let Counts { compared, missing, behind, ahead, different } = round.counts;
            if missing + behind + ahead + different > 0 {
                tracing::warn!(
                    compared,
                    missing,
                    behind,
                    ahead,
                    different,
                    "the edge's store differed and is repaired"
                );
            }
            return Ok(Ok(None));
        }
    };
    Ok(Ok(Some(round)))
}

/// How the edge's record differs from the one that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    Missing,
    Behind,
    /// By the version it has there.
    Ahead(i64),
    /// Same version, or none that can be read.
    Different(i64),
}

impl Difference {
    fn between(held: Option<&str>, wanted: &str) -> Option<Self> {
        let Some(held) = held else { return Some(Self::Missing) };
        if held == wanted {
            return None;
        }
        let version = |text| version_of(text).and_then(|version| i64::try_from(version).ok()).unwrap_or_default();
        let (held, wanted) = (version(held), version(wanted));
        Some(match held.cmp(&wanted) {
            // An unreadable one has version 0, and so looks older than anything.
            std::cmp::Ordering::Less if held == 0 => Self::Different(wanted),
            std::cmp::Ordering::Less => Self::Behind,
            std::cmp::Ordering::Equal => Self::Different(wanted),
            std::cmp::Ordering::Greater => Self::Ahead(held),
        })
    }

    fn count(self, counts: &mut Counts) {
        *match self {
            Self::Missing => &mut counts.missing,
            Self::Behind => &mut counts.behind,
            Self::Ahead(_) => &mut counts.ahead,
            Self::Different(_) => &mut counts.different,
        } += 1;
    }

    /// The version that the record must get above.
    const fn above(self) -> Option<i64> {
        match self {
            Self::Missing | Self::Behind => None,
            Self::Ahead(held) | Self::Different(held) => Some(held),
        }
    }
}

async fn repair(app: &App, differing: &[(&Place, Difference)]) -> Result<(), Error> {
    if differing.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    for (place, difference) in differing {
        if let Some(held) = difference.above() {
            store::reconciler::raise(&mut tx, place, held).await?;
        }
    }
    let places: Vec<&Place> = differing.iter().map(|(place, _)| *place).collect();
    store::outbox::enqueue(&mut tx, &places).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_differences_apart() {
        let wanted = r#"{"version":7,"record":null}"#;
        for (held, difference) in [
            (Some(wanted), None),
            (None, Some(Difference::Missing)),
            (Some(r#"{"version":6,"record":null}"#), Some(Difference::Behind)),
            (Some(r#"{"version":8,"record":null}"#), Some(Difference::Ahead(8))),
            (Some(r#"{"version":7,"record":{}}"#), Some(Difference::Different(7))),
            (Some("nonsense"), Some(Difference::Different(7))),
        ] {
            assert_eq!(Difference::between(held, wanted), difference, "{held:?}");
        }
    }
}

//! Connections to Postgres.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// How long a transaction that writes may take. `as_of` relies on it: what was begun this long ago is visible
/// or gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is taken for alive.
const TRUSTED: Duration = Duration::from_secs(1);

/// Pools of one instance.
pub struct Pools {
    /// For requests: every transaction ends within [`WRITE_TIMEOUT`].
    pub writes: PgPool,
    /// For what may take longer and never writes facts.
    pub reads: PgPool,
    /// To the replica that reports and exports prefer.
    pub replica: Option<PgPool>,
}

impl Pools {
    /// Connects to the database, which must be reachable, and lazily to its replica, which need not be.
    ///
    /// # Errors
    /// What could not be reached or read, by the name of its setting.
    pub async fn connect(database: &str, replica: Option<&str>, connections: u32) -> anyhow::Result<Self> {
        let options = connect_options(database).context("DATABASE_URL")?;
        let writes = pool(Some(WRITE_TIMEOUT))
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                // One that was used a moment ago is as good as tested; a test costs as much as a small statement.
                Box::pin(async move {
                    if about.idle_for >= TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options.clone())
            .await
            .context("connecting to Postgres (DATABASE_URL)")?;
        let reads = pool(None)
            .max_connections((connections / 2).max(2))
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .context("connecting to Postgres (DATABASE_URL)")?;
        let replica = match replica {
            Some(url) => {
                let pool = pool(None).max_connections((connections / 2).max(2)).acquire_timeout(Duration::from_secs(2));
                Some(pool.connect_lazy_with(connect_options(url).context("DATABASE_READ_URL")?))
            }
            None => None,
        };
        Ok(Self { writes, reads, replica })
    }
}

/// A pool whose connections reckon in UTC, end transactions that take longer than a bound, and compile no statement before
/// running it (`jit`), which takes longer than any of ours. They are told so by a statement: poolers between us and Postgres
/// pass no start-up options on.
#[must_use]
pub fn pool(bound: Option<Duration>) -> PgPoolOptions {
    let bound = bound.map_or(0, |bound| bound.as_millis()).to_string();
    PgPoolOptions::new().after_connect(move |connection, _| {
        let bound = bound.clone();
        Box::pin(async move {
            sqlx::query!(
                "select set_config('timezone', 'UTC', false) as zone, set_config('jit', 'off', false) as jit,
                 set_config('transaction_timeout', $1, false) as bound",
                bound
            )
            .fetch_one(connection)
            .await?;
            Ok(())
        })
    })
}

/// Whom every connection of the service is made to.
///
/// # Errors
/// Where the URL is none.
pub fn connect_options(url: &str) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = url.parse().context("must be a postgres:// URL")?;
    Ok(options.application_name("nimriz-control-api"))
}

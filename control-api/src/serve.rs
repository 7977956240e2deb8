//! Starting and stopping: migrate, listen, run the background work, end in order.

use std::net::SocketAddr;

use anyhow::Context as _;
use store::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::App, config::Config, jobs, router};
use model::time::Clock;

/// Runs the service until SIGTERM or Ctrl-C, then lets open requests and jobs end.
///
/// # Errors
/// What kept it from starting.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen} (NIM_LISTEN); is another service using the port?"))?;
    // Migrations may take longer than a request's transaction may, so they have a connection of their own.
    let pool = PgPool::connect(&config.database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
    store::migrations::migrate(&pool).await?;
    pool.close().await;
    let app = App::connect(config, Clock::system()).await?;

    let stop = CancellationToken::new();
    let jobs = TaskTracker::new();
    jobs::start(&app, &stop, &jobs);
    jobs.close();
    tracing::info!(address = %listener.local_addr()?, "listening");
    let service = router::router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop_signal()).await?;
    tracing::info!("stopping");
    stop.cancel();
    jobs.wait().await;
    Ok(())
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "no SIGTERM handler");
            let _ = interrupt.await;
            return;
        }
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

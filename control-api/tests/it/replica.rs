//! Reports beside a replica: they never say less than the main database would.

use sqlx::{ConnectOptions as _, PgPool};

use super::service::Service;

#[sqlx::test(migrations = "../migrations")]
async fn a_replica_that_is_away_is_passed_by(pool: PgPool) {
    let service = Service::with(&pool, &["--database-read-url", "postgres://postgres@127.0.0.1:1/nowhere"]).await;
    let team = service.team().await;
    let report = team.get("/v1/reports/traffic?from=2026-03-01&to=2026-04-01").await.expect(200);
    assert_eq!(report["totals"]["total"], 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_replica_answers_reports(pool: PgPool) {
    // Not one in recovery, so it knows everything at once; that it is asked shows in the statements it ran.
    let url = pool.connect_options().to_url_lossy().to_string();
    let service = Service::with(&pool, &["--database-read-url", &url]).await;
    let team = service.team().await;
    team.get("/v1/reports/traffic?from=2026-03-01&to=2026-04-01").await.expect(200);
    let replica = service.app.replica.as_ref().unwrap();
    assert!(replica.size() > 0, "the report opened a connection to it");
}

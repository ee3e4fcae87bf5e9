//! What time it is for all nodes.

use sqlx::AnyConnection;

use super::now_ms;

/// The time by which nodes hold leases and start jobs, Unix milliseconds. Clocks of nodes differ; that of the database is
/// one. Only one process uses a SQLite database, so there it is the process's own.
///
/// # Errors
/// When the database fails.
pub async fn now(db: &mut AnyConnection) -> sqlx::Result<i64> {
    if db.backend_name() != "PostgreSQL" {
        return Ok(now_ms());
    }
    sqlx::query_scalar("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)").fetch_one(db).await
}

//! Tables `plugin_trust` and `plugin_manifests`.

use sqlx::{Any, Executor, Row as _};

use super::{Tx, now_ms};

/// The hash that is trusted for a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The plugin's id.
    pub plugin: String,
    /// The file's name when it was trusted.
    pub file: String,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Who trusted it: `config` (an instance was enabled) or `cli` (`plugin approve`).
    pub approved_by: String,
}

/// The trusted hash of a plugin.
pub async fn find(db: impl Executor<'_, Database = Any>, plugin: &str) -> sqlx::Result<Option<Trusted>> {
    let row = sqlx::query("SELECT plugin, file, sha256, approved_by FROM plugin_trust WHERE plugin = $1")
        .bind(plugin)
        .fetch_optional(db)
        .await?;
    row.map(|row| {
        Ok(Trusted {
            plugin: row.try_get(0)?,
            file: row.try_get(1)?,
            sha256: row.try_get(2)?,
            approved_by: row.try_get(3)?,
        })
    })
    .transpose()
}

/// Trusts a hash unless the plugin has a trusted one. Answers whether it was the first.
pub async fn trust_first(tx: &mut Tx, trusted: &Trusted) -> sqlx::Result<bool> {
    let done = insert(tx, trusted, "NOTHING").await?;
    Ok(done > 0)
}

/// Trusts a hash in place of the one before.
pub async fn approve(tx: &mut Tx, trusted: &Trusted) -> sqlx::Result<()> {
    let update = "UPDATE SET file = excluded.file, sha256 = excluded.sha256, approved_by = excluded.approved_by";
    insert(tx, trusted, update).await.map(drop)
}

async fn insert(tx: &mut Tx, trusted: &Trusted, conflict: &'static str) -> sqlx::Result<u64> {
    let sql = format!(
        "INSERT INTO plugin_trust (plugin, file, sha256, first_seen, approved_by) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (plugin) DO {conflict}"
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&trusted.plugin)
        .bind(&trusted.file)
        .bind(&trusted.sha256)
        .bind(now_ms())
        .bind(&trusted.approved_by)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}

/// The manifest of a file that was probed before, as JSON.
pub async fn manifest(db: impl Executor<'_, Database = Any>, sha256: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT manifest FROM plugin_manifests WHERE sha256 = $1").bind(sha256).fetch_optional(db).await
}

/// Keeps the manifest of a probed file.
pub async fn put_manifest(tx: &mut Tx, sha256: &str, manifest: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO plugin_manifests (sha256, manifest, probed_at) VALUES ($1, $2, $3) \
         ON CONFLICT (sha256) DO UPDATE SET manifest = excluded.manifest, probed_at = excluded.probed_at",
    )
    .bind(sha256)
    .bind(manifest)
    .bind(now_ms())
    .execute(&mut **tx)
    .await
    .map(drop)
}

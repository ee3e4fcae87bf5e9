//! What is forgotten when its time is over.

use super::*;

#[tokio::test]
async fn what_has_ended_is_forgotten_although_its_user_does_nothing() {
    let host = TestApp::start().await;
    make(&host, "kanaria").await;
    let day = 24 * 60 * 60 * 1000;
    // Far in the future, so that the host's own clearing, which looks at the clock, leaves it alone.
    let now = 93_000 * day;
    // All of it ended at the same time; the configuration's key, and what has no end yet, stay.
    for sql in [
        "UPDATE sessions SET expires_at = 8035200000000",
        "INSERT INTO sessions (id, user_id, kind, created_at, last_used_at, expires_at, revoked_at)
         SELECT 'revoked', user_id, 'api', 1, 1, 9000000000000, 8035200000000 FROM sessions WHERE id = 'kanaria-session'",
        "INSERT INTO sessions (id, user_id, kind, created_at, last_used_at, expires_at)
         SELECT 'open', user_id, 'api', 1, 1, 9000000000000 FROM sessions WHERE id = 'kanaria-session'",
        "UPDATE api_keys SET revoked_at = 8035200000000",
        "INSERT INTO api_keys (id, user_id, name, scopes, created_at, revoked_at, bootstrap)
         SELECT 'configured', user_id, 'k', 'profile', 1, 1, 1 FROM api_keys",
        "INSERT INTO api_keys (id, user_id, name, scopes, created_at)
         SELECT 'open', user_id, 'k', 'profile', 1 FROM api_keys WHERE id = 'kanaria-key'",
        "UPDATE invites SET expires_at = 8035200000000 WHERE used_at IS NULL",
        "UPDATE invites SET expires_at = 9000000000000, used_at = 8035200000000 WHERE used_at IS NOT NULL",
        "INSERT INTO invites (id, hash, role, created_at, expires_at) VALUES ('open', 'open', 'user', 1, 9000000000000)",
        "UPDATE sign_in_failures SET last_at = 8035200000000",
        "INSERT INTO sign_in_failures VALUES ('late', '', 1, 9000000000000, 0)",
    ] {
        execute(&host, sql).await;
    }
    let count = async |table: &str| {
        let sql = format!("SELECT CAST(COUNT(*) AS BIGINT) FROM {table}");
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).fetch_one(host.app.db.read()).await.unwrap()
    };
    let counts = async || {
        [count("sessions").await, count("api_keys").await, count("invites").await, count("sign_in_failures").await]
    };
    for (at, left) in [
        (now + 60 * 60 * 1000, [3, 3, 3, 3]),
        (now + 60 * 60 * 1000 + 1, [3, 3, 3, 1]),
        (now + 7 * day, [3, 3, 3, 1]),
        (now + 7 * day + 1, [1, 3, 3, 1]),
        (now + 90 * day, [1, 3, 3, 1]),
        (now + 90 * day + 1, [1, 2, 1, 1]),
    ] {
        zotify_host::privacy::clear(&host.app, at).await.unwrap();
        assert_eq!(counts().await, left, "{}", at - now);
    }
}

#[tokio::test]
async fn plays_are_forgotten_when_their_time_is_over() {
    let host = TestApp::with("[privacy]\nhistory_days = 10\n").await;
    make(&host, "kanaria").await;
    let day = 24 * 60 * 60 * 1000;
    let count = async || {
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM plays").fetch_one(host.app.db.read()).await.unwrap()
    };
    zotify_host::privacy::clear(&host.app, 9 * day).await.unwrap();
    assert_eq!(count().await, 1);
    zotify_host::privacy::clear(&host.app, 11 * day).await.unwrap();
    assert_eq!(count().await, 0);
}

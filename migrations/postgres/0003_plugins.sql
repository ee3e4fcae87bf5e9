-- Plugins: what was found out about each file, which hashes are trusted, and what plugins keep.

-- Manifests by the hash of the file, so that no file is probed twice.
CREATE TABLE plugin_manifests (
    sha256 TEXT NOT NULL PRIMARY KEY,
    manifest TEXT NOT NULL,
    probed_at BIGINT NOT NULL
);

-- The one hash that is trusted for a plugin id that is not bundled.
CREATE TABLE plugin_trust (
    plugin TEXT NOT NULL PRIMARY KEY,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    approved_by TEXT NOT NULL
);

-- Key-value entries of instances (account '') and of their accounts. Keys are bytes, so that both databases order them alike.
CREATE TABLE plugin_kv (
    instance TEXT NOT NULL,
    account TEXT NOT NULL,
    key BYTEA NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (instance, account, key)
);

-- How much each instance keeps, counted along so that the quota needs no scan.
CREATE TABLE plugin_kv_usage (
    instance TEXT NOT NULL PRIMARY KEY,
    entries BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);

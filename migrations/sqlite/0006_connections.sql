-- Accounts that sign in: their credentials, how they get connected, and how often their services may be asked. Kept in step with
-- postgres/0006_connections.sql.

-- What the service calls the account; none where nobody signs in.
ALTER TABLE accounts ADD COLUMN remote_key TEXT;
-- What the last check said of the account's capabilities, as JSON.
ALTER TABLE accounts ADD COLUMN capabilities TEXT;
ALTER TABLE accounts ADD COLUMN checked_at BIGINT;
-- How often it is read, in seconds: none is as the configuration says, 0 is never.
ALTER TABLE accounts ADD COLUMN pull_every_s BIGINT;
-- When it is read next; none where nothing is due.
ALTER TABLE accounts ADD COLUMN next_pull_at BIGINT;
-- The budgets that its last request used up: keys of what shares the window and of what shares the quota.
ALTER TABLE accounts ADD COLUMN budget_window TEXT;
ALTER TABLE accounts ADD COLUMN budget_quota TEXT;
DROP INDEX accounts_shared;
CREATE UNIQUE INDEX accounts_shared ON accounts (instance) WHERE owner IS NULL AND remote_key IS NULL;
-- Nobody connects one account twice.
CREATE UNIQUE INDEX accounts_remote ON accounts (instance, COALESCE(owner, ''), remote_key) WHERE remote_key IS NOT NULL;
CREATE INDEX accounts_next_pull ON accounts (next_pull_at) WHERE next_pull_at IS NOT NULL;

-- The token vault.
CREATE TABLE account_credentials (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    -- The plugin's own document, sealed.
    sealed BLOB NOT NULL,
    -- Grows with every change.
    version BIGINT NOT NULL,
    -- What was granted, as a JSON list.
    scopes TEXT NOT NULL,
    -- When somebody signed in; a refresh does not change it.
    authorized_at BIGINT NOT NULL,
    -- When the sign-in ends however often it is refreshed.
    ends_at BIGINT,
    -- Why the service does not take them any more.
    dead_code TEXT,
    dead_detail TEXT,
    -- Who refreshes them now, and until when at most.
    lease TEXT,
    lease_until BIGINT,
    updated_at BIGINT NOT NULL
);
CREATE INDEX account_credentials_ends ON account_credentials (ends_at) WHERE ends_at IS NOT NULL;

-- Accounts that are being connected.
CREATE TABLE setup_flows (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    instance TEXT NOT NULL,
    -- The account that signs in again.
    account_id TEXT REFERENCES accounts (id) ON DELETE CASCADE,
    -- 1: made by an admin for all users.
    shared BIGINT NOT NULL,
    -- open | done | failed
    state TEXT NOT NULL,
    -- A hash of what names the flow to the service; none once it was used.
    state_hash TEXT UNIQUE,
    -- The step and what it remembers, sealed; none once it ended.
    sealed BLOB,
    -- Grows with every answer, so that no step is answered twice.
    step BIGINT NOT NULL,
    -- An answer is being worked on, until this time at most.
    busy_until BIGINT,
    -- The account that came of it.
    result TEXT,
    -- Why it failed.
    code TEXT,
    detail TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX setup_flows_user ON setup_flows (user_id, created_at);
CREATE INDEX setup_flows_age ON setup_flows (expires_at);

-- How often a service was asked, over all nodes. Keys are hashes of what the plugin named, told apart by what is limited.
CREATE TABLE budgets (
    instance TEXT NOT NULL,
    key TEXT NOT NULL,
    -- The window that is running, and the requests in it.
    window_at BIGINT NOT NULL,
    window_used BIGINT NOT NULL,
    -- Those of the window before it.
    window_before BIGINT NOT NULL,
    -- No request before: the service said so.
    blocked_until BIGINT,
    blocked_code TEXT,
    -- How often in a row it refused without saying for how long.
    strikes BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (instance, key)
);

-- Requests by hour (Unix time in hours) and account; empty where they are for none.
CREATE TABLE budget_use (
    instance TEXT NOT NULL,
    key TEXT NOT NULL,
    hour BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    used BIGINT NOT NULL,
    -- Those of them that nobody waited for.
    background BIGINT NOT NULL,
    PRIMARY KEY (instance, key, hour, account_id)
);

-- What a run takes, as it was told at its beginning.
ALTER TABLE pull_runs ADD COLUMN forecast_requests BIGINT;
ALTER TABLE pull_runs ADD COLUMN forecast_items BIGINT;

-- Recordings are looked up by their codes.
CREATE INDEX items_isrc ON items (isrc) WHERE isrc IS NOT NULL;
CREATE INDEX items_mbid ON items (mbid) WHERE mbid IS NOT NULL;

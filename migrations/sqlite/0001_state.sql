-- Users, sessions, keys, events, jobs and accounts. Kept in step with postgres/0001_state.sql.

-- Small facts of the host itself: a key and a value, sealed where it is secret.
CREATE TABLE host_state (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- The folded name, so that two users never differ by case alone.
    name_key TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'user')),
    password_hash TEXT NOT NULL,
    email TEXT,
    disabled BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- A sign-in; access tokens name it and die with it.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    address TEXT,
    user_agent TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX sessions_user ON sessions (user_id, created_at);

-- Every refresh token that a session had: a used one that comes back was stolen.
CREATE TABLE refresh_tokens (
    hash TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

-- Failed sign-ins by name and address, whether or not there is such a user.
CREATE TABLE sign_in_failures (
    name_key TEXT NOT NULL,
    address TEXT NOT NULL,
    failures BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    PRIMARY KEY (name_key, address)
);
CREATE INDEX sign_in_failures_age ON sign_in_failures (last_at);

-- Keys that sign access tokens, sealed.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL
);

-- The outbox: readers follow it by id.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    subject TEXT,
    user_id TEXT,
    data TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX events_user ON events (user_id, id);

-- The queue, and the record of what ran.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    subject TEXT,
    payload TEXT NOT NULL,
    dedupe_key TEXT,
    priority BIGINT NOT NULL DEFAULT 0,
    run_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    max_attempts BIGINT NOT NULL,
    progress_done BIGINT NOT NULL DEFAULT 0,
    progress_total BIGINT,
    message TEXT,
    checkpoint TEXT,
    error TEXT,
    lease_owner TEXT,
    lease_until BIGINT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT
);
CREATE INDEX jobs_due ON jobs (priority DESC, run_at, id) WHERE state IN ('queued', 'waiting');
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_pending_key ON jobs (dedupe_key) WHERE state IN ('queued', 'waiting');
-- Two jobs with one key never run at once.
CREATE UNIQUE INDEX jobs_running_key ON jobs (dedupe_key) WHERE state = 'running';
CREATE INDEX jobs_user ON jobs (user_id, created_at DESC, id DESC);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job_log (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

-- Sign-ins at provider instances; without an owner they are shared by all users.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    owner TEXT REFERENCES users (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ok', 'auth_required', 'restricted', 'failed')),
    state_code TEXT,
    state_detail TEXT,
    sync_token TEXT,
    completeness TEXT,
    last_pull_at BIGINT,
    last_complete_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX accounts_shared ON accounts (instance) WHERE owner IS NULL;
CREATE INDEX accounts_owner ON accounts (owner);

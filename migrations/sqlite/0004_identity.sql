-- API keys, invitations, the audit log, and what is kept about each user. Kept in step with postgres/0004_identity.sql.

ALTER TABLE users ADD COLUMN must_change_password BIGINT NOT NULL DEFAULT 0;
-- What this user may have, as JSON; what it does not name is as the configuration says.
ALTER TABLE users ADD COLUMN quota TEXT;
ALTER TABLE users ADD COLUMN last_sign_in_at BIGINT;

-- The hash of the cookie by which a browser's session is known.
ALTER TABLE sessions ADD COLUMN cookie_hash TEXT;
CREATE UNIQUE INDEX sessions_cookie ON sessions (cookie_hash) WHERE cookie_hash IS NOT NULL;

-- The hash of the Idempotency-Key under which a refresh token was spent.
ALTER TABLE refresh_tokens ADD COLUMN replay_key TEXT;

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- Names with spaces between them.
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    -- Not 0: the configuration sets its secret.
    bootstrap BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX api_keys_user ON api_keys (user_id, created_at);

-- What opens a key: one secret, and after a rotation the former ones for a while.
CREATE TABLE api_key_secrets (
    -- The beginning of the secret, which is no secret.
    prefix TEXT PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX api_key_secrets_key ON api_key_secrets (key_id, created_at);

-- Invitations to register, by the hash of their code. Each is good for one user.
CREATE TABLE invites (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'user')),
    note TEXT,
    created_by TEXT REFERENCES users (id) ON DELETE SET NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    used_by TEXT REFERENCES users (id) ON DELETE SET NULL
);

-- What was done, never changed. Each row's hash is over its own columns and the hash of the row before it.
CREATE TABLE audit_log (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'refused')),
    -- What is not personal, as JSON.
    data TEXT NOT NULL,
    -- The salted hash of what stands in audit_personal.
    personal_hash TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_log_action ON audit_log (action, seq);
CREATE INDEX audit_log_at ON audit_log (at);

-- The personal part of a row of the audit log. Erasing a person deletes it: without the salt, the hash says nothing.
CREATE TABLE audit_personal (
    seq BIGINT PRIMARY KEY REFERENCES audit_log (seq) ON DELETE CASCADE,
    -- Who did it.
    actor_id TEXT,
    -- To whom it was done.
    user_id TEXT,
    salt TEXT NOT NULL,
    -- Names, addresses and the like, as JSON.
    data TEXT NOT NULL
);
CREATE INDEX audit_personal_actor ON audit_personal (actor_id, seq);
CREATE INDEX audit_personal_user ON audit_personal (user_id, seq);

CREATE TABLE user_preferences (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- JSON.
    doc TEXT NOT NULL,
    -- Plays from before are not taken over from providers: the history was off then.
    history_since BIGINT,
    updated_at BIGINT NOT NULL
);

CREATE TABLE likes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    uri TEXT NOT NULL,
    liked_at BIGINT NOT NULL,
    -- 0: taken back, and the provider has yet to hear of it.
    liked BIGINT NOT NULL DEFAULT 1,
    -- Not 0: the provider holds it too.
    written_through BIGINT NOT NULL,
    -- Not 0: the provider has yet to be told, or to be told again.
    pending BIGINT NOT NULL DEFAULT 0,
    -- Why the provider does not hold it.
    code TEXT,
    -- Grows with every change of mind, so that what comes late changes nothing.
    changed_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, uri)
);
CREATE INDEX likes_recent ON likes (user_id, liked, liked_at, uri);
CREATE INDEX likes_uri ON likes (uri);
CREATE INDEX likes_pending ON likes (user_id) WHERE pending <> 0;

CREATE TABLE plays (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    uri TEXT NOT NULL,
    played_at BIGINT NOT NULL,
    -- How much of it was heard.
    heard_ms BIGINT,
    -- `client`, or the instance that told of it.
    source TEXT NOT NULL
);
CREATE UNIQUE INDEX plays_once ON plays (user_id, played_at, uri);
CREATE INDEX plays_uri ON plays (uri, user_id, played_at);

-- The newest play that was taken over from the account's provider.
ALTER TABLE accounts ADD COLUMN plays_until BIGINT;

-- What a user allowed, and when: one row for each answer, the newest counts.
CREATE TABLE consents (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    given BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX consents_user ON consents (user_id, purpose, at);

-- Erasures of users, by what they were given to ask with. Whose each was is not kept.
CREATE TABLE erasures (
    receipt TEXT PRIMARY KEY,
    requested_at BIGINT NOT NULL,
    erased_at BIGINT
);

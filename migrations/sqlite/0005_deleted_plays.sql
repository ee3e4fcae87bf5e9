-- What users deleted of their history. Kept in step with postgres/0005_deleted_plays.sql.

-- A span of time whose plays no provider brings back. It goes once nothing of then is asked for any more.
CREATE TABLE deleted_plays (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Empty: plays of all items.
    uri TEXT NOT NULL,
    begins_at BIGINT NOT NULL,
    -- Left out itself.
    ends_at BIGINT NOT NULL
);
CREATE INDEX deleted_plays_user ON deleted_plays (user_id, id);

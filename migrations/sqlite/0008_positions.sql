-- How far users are in episodes and tracks, to go on there. Kept in step with postgres/0008_positions.sql.

CREATE TABLE play_positions (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    uri TEXT NOT NULL,
    position_ms BIGINT NOT NULL,
    -- 1: heard to its end.
    finished BIGINT NOT NULL,
    -- When a player was there.
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, uri)
);
CREATE INDEX play_positions_recent ON play_positions (user_id, updated_at DESC, uri);

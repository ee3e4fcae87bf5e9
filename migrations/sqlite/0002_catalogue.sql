-- The mirror: what the host knows of every account's library.

CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    uri TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- 1: in the library; 0: only known because a playlist names it.
    saved BIGINT NOT NULL,
    -- Keys to sort by, folded by the host.
    title_key TEXT NOT NULL,
    artist_key TEXT NOT NULL,
    release_date TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- The album of a track, the show of an episode; else empty.
    parent_uri TEXT NOT NULL,
    -- The place among its parent's children.
    seq BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    -- 1 yes, 0 no, -1 unknown.
    playable BIGINT NOT NULL,
    -- The last run that saw it.
    seen_run TEXT NOT NULL,
    -- The run that missed it; with a time once that run waits for confirmation.
    missing_run TEXT,
    missing_since BIGINT,
    isrc TEXT,
    mbid TEXT,
    -- Folded, between bars: |rock|new wave|
    genres TEXT NOT NULL,
    locator TEXT,
    artwork TEXT,
    -- Folded words with single spaces; empty where it is not to be found by words.
    search_text TEXT NOT NULL,
    doc TEXT NOT NULL,
    UNIQUE (account_id, uri)
);
CREATE INDEX items_title ON items (account_id, kind, saved, title_key, uri);
CREATE INDEX items_artist ON items (account_id, kind, saved, artist_key, uri);
CREATE INDEX items_added ON items (account_id, kind, saved, added_at, uri);
CREATE INDEX items_released ON items (account_id, kind, saved, release_date, uri);
CREATE INDEX items_parent ON items (account_id, parent_uri, seq, uri) WHERE parent_uri <> '';
CREATE INDEX items_missing ON items (account_id, missing_run) WHERE missing_run IS NOT NULL;

CREATE TABLE item_artists (
    account_id TEXT NOT NULL,
    item_uri TEXT NOT NULL,
    artist_uri TEXT NOT NULL,
    -- The kind of the item.
    kind TEXT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (account_id, item_uri, artist_uri),
    FOREIGN KEY (account_id, item_uri) REFERENCES items (account_id, uri) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;
CREATE INDEX item_artists_artist ON item_artists (account_id, artist_uri, kind, item_uri);

CREATE TABLE playlists (
    account_id TEXT NOT NULL,
    uri TEXT NOT NULL,
    version TEXT,
    -- The version whose entries are held, and the run that read them.
    entries_version TEXT,
    entries_run TEXT,
    PRIMARY KEY (account_id, uri),
    FOREIGN KEY (account_id, uri) REFERENCES items (account_id, uri) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;

CREATE TABLE playlist_items (
    account_id TEXT NOT NULL,
    playlist_uri TEXT NOT NULL,
    position BIGINT NOT NULL,
    entry_id TEXT NOT NULL,
    item_uri TEXT,
    -- The entry as JSON up to its item, which follows from items.doc or, where there is none, from doc.
    head TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (account_id, playlist_uri, position),
    FOREIGN KEY (account_id, playlist_uri) REFERENCES playlists (account_id, uri) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;
CREATE INDEX playlist_items_item ON playlist_items (account_id, item_uri) WHERE item_uri IS NOT NULL;

CREATE TABLE pull_runs (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    job_id TEXT NOT NULL,
    -- running | applied | held | failed
    state TEXT NOT NULL,
    -- complete | partial, once it ended.
    completeness TEXT,
    -- Why it is partial or failed.
    code TEXT,
    detail TEXT,
    upserted BIGINT NOT NULL DEFAULT 0,
    unchanged BIGINT NOT NULL DEFAULT 0,
    moved BIGINT NOT NULL DEFAULT 0,
    removed BIGINT NOT NULL DEFAULT 0,
    dropped BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0,
    -- What a held run would remove, as JSON.
    plan TEXT,
    started_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX pull_runs_account ON pull_runs (account_id, started_at, id);
CREATE UNIQUE INDEX pull_runs_running ON pull_runs (account_id) WHERE state = 'running';

-- What a run could not read or had to drop; the first thousand of each run.
CREATE TABLE pull_skips (
    run_id TEXT NOT NULL REFERENCES pull_runs (id) ON DELETE CASCADE,
    n BIGINT NOT NULL,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (run_id, n)
) WITHOUT ROWID;

-- Full text. Words are folded and split by the host, so the tokenizer has nothing left to do; `scope` narrows a search to
-- accounts and kinds inside the index.
CREATE VIRTUAL TABLE items_fts USING fts5 (
    scope, words,
    content = '', contentless_delete = 1, detail = 'column', prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 0'
);
CREATE TRIGGER items_fts_insert AFTER INSERT ON items WHEN new.search_text <> '' BEGIN
    INSERT INTO items_fts (rowid, scope, words) VALUES (new.id, new.account_id || ' ' || new.kind, new.search_text);
END;
CREATE TRIGGER items_fts_delete AFTER DELETE ON items WHEN old.search_text <> '' BEGIN
    DELETE FROM items_fts WHERE rowid = old.id;
END;
CREATE TRIGGER items_fts_update AFTER UPDATE OF search_text ON items WHEN new.search_text <> old.search_text BEGIN
    DELETE FROM items_fts WHERE rowid = old.id;
    INSERT INTO items_fts (rowid, scope, words)
        SELECT new.id, new.account_id || ' ' || new.kind, new.search_text WHERE new.search_text <> '';
END;

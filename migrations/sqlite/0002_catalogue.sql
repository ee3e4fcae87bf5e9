-- The mirror: what the host knows of every account's library.

-- A short name for an account's library: it stands in every index below.
CREATE TABLE libraries (
    id INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE
);

CREATE TABLE items (
    -- Never given twice: the full-text index is filled in the order of ids.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    library BIGINT NOT NULL REFERENCES libraries (id) ON DELETE CASCADE,
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
    UNIQUE (library, uri)
);
-- Ties are in the order of ids, which every index of this database ends with.
CREATE INDEX items_title ON items (library, kind, saved, title_key);
CREATE INDEX items_artist ON items (library, kind, saved, artist_key);
CREATE INDEX items_added ON items (library, kind, saved, added_at);
CREATE INDEX items_released ON items (library, kind, saved, release_date);
CREATE INDEX items_parent ON items (library, parent_uri, seq) WHERE parent_uri <> '';
CREATE INDEX items_missing ON items (library, missing_run) WHERE missing_run IS NOT NULL;

CREATE TABLE item_artists (
    library BIGINT NOT NULL,
    artist_uri TEXT NOT NULL,
    -- The kind of the item.
    kind TEXT NOT NULL,
    item_id BIGINT NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    PRIMARY KEY (library, artist_uri, kind, item_id)
) WITHOUT ROWID;
CREATE INDEX item_artists_item ON item_artists (item_id);

CREATE TABLE playlists (
    library BIGINT NOT NULL,
    uri TEXT NOT NULL,
    version TEXT,
    -- The version whose entries are held, and the run that read them.
    entries_version TEXT,
    entries_run TEXT,
    PRIMARY KEY (library, uri),
    FOREIGN KEY (library, uri) REFERENCES items (library, uri) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;

CREATE TABLE playlist_items (
    library BIGINT NOT NULL,
    playlist_uri TEXT NOT NULL,
    position BIGINT NOT NULL,
    entry_id TEXT NOT NULL,
    item_uri TEXT,
    -- The entry as JSON up to its item, which follows from items.doc or, where there is none, from doc.
    head TEXT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (library, playlist_uri, position),
    FOREIGN KEY (library, playlist_uri) REFERENCES playlists (library, uri) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;
CREATE INDEX playlist_items_item ON playlist_items (library, item_uri) WHERE item_uri IS NOT NULL;

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

-- Full text. Words are folded and split by the host, so the tokenizer has nothing left to do; the first words of each row name
-- account, and account and kind, so that a search is narrowed inside the index. Rows get into it in batches, a moment after they were
-- written: all up to `items_text.done` are, but for those in `items_text_changed`.
CREATE VIRTUAL TABLE items_fts USING fts5 (
    words, content = '', contentless_delete = 1, detail = 'none', prefix = '1 2 3', tokenize = "ascii tokenchars '_'"
);
CREATE TABLE items_text (done BIGINT NOT NULL);
INSERT INTO items_text (done) VALUES (0);
CREATE TABLE items_text_changed (id INTEGER PRIMARY KEY);
CREATE TRIGGER items_text_delete AFTER DELETE ON items
WHEN old.search_text <> '' AND old.id <= (SELECT done FROM items_text) BEGIN
    DELETE FROM items_fts WHERE rowid = old.id;
END;
CREATE TRIGGER items_text_update AFTER UPDATE OF search_text ON items
WHEN new.search_text <> old.search_text AND old.id <= (SELECT done FROM items_text) BEGIN
    INSERT INTO items_text_changed (id) VALUES (new.id) ON CONFLICT DO NOTHING;
END;

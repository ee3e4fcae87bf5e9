//! Search by words: every text becomes an expression that both databases read, finds what is called so, and a real
//! SQLite answers it, page by page.
#![no_main]

use std::{collections::HashSet, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use zotify_host::{
    accounts,
    db::{
        Db, Dialect,
        items::{self, Filter, Hit, Order, Slice, Source, Wanted},
    },
    mirror::{Row, fold},
};
use zotify_plugin_api::{Item, Kind, Track, Uri};

/// The API's limit, in bytes.
const MAX_QUERY: usize = 500;
const TITLES: &[&str] = &[
    "AC/DC",
    "ac dc",
    "Don't Stop",
    "東京事変",
    "Ångström",
    "★",
    "%",
    "_",
    "\\",
    "'",
    "a b c d",
    "İstanbul",
    "\u{10ffff}",
];

static HOST: LazyLock<Host> = LazyLock::new(Host::start);

struct Host {
    runtime: Runtime,
    db: Db,
    sources: Vec<Source>,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (db, account) = runtime.block_on(async {
            let db = Db::connect(&format!("sqlite://{}", folder.path().join("t.db").display())).await.unwrap();
            db.migrate().await.unwrap();
            let mut tx = db.write().await.unwrap();
            let account = accounts::ensure_shared(&mut tx, "local").await.unwrap().id;
            let uri = |n: usize| Uri::new("local", Kind::Track, &n.to_string()).unwrap();
            let row = |(n, title): (usize, &&str)| Row::new(Item::Track(Track::new(uri(n), *title)), 0).unwrap();
            let rows: Vec<_> = TITLES.iter().enumerate().map(row).collect();
            items::upsert(&mut tx, &account, "run", true, &rows).await.unwrap();
            tx.commit().await.unwrap();
            items::catch_up(&db).await.unwrap();
            (db, account)
        });
        Self { runtime, db, sources: vec![Source { account, before: Vec::new() }], _folder: folder }
    }
}

fuzz_target!(|text: &str| {
    if text.len() > MAX_QUERY {
        return;
    }
    let key = fold::key(text);
    assert!(key.len() <= 120 && !key.chars().any(char::is_control), "{key:?}");
    let words = fold::search_text([text]);
    let query = fold::Query::parse(text);
    assert_eq!(query.is_none(), words.is_empty());
    if let Some(query) = &query {
        let words: Vec<_> = words.split(' ').collect();
        for (dialect, quote, and, or) in
            [(Dialect::Sqlite, '"', " AND ", " OR "), (Dialect::Postgres, '\'', " & ", " | ")]
        {
            let expression = query.expression(dialect);
            let mut reader = Expression { rest: &expression, quote, and, or, words: &words };
            assert!(reader.any(), "{text:?} does not find itself: {expression}");
            assert_eq!(reader.rest, "", "{expression}");
        }
    }
    HOST.runtime.block_on(async {
        pages(text).await;
        let filter = Filter { kind: Some("track"), genre: Some(key), words: query, ..Filter::default() };
        let slice = Slice { order: Order::Title, descending: false, after: None, limit: 3 };
        items::list(&HOST.db, &HOST.sources, &filter, &slice).await.expect("no query is an error");
    });
});

/// All that is found, two at a time: each once.
async fn pages(text: &str) {
    let wanted = Wanted { text, kinds: &["track", "album"] };
    let mut seen = HashSet::new();
    let mut after: Option<Hit> = None;
    loop {
        let found = items::search(&HOST.db, &HOST.sources, &wanted, after, 2).await.expect("no query is an error");
        let (part, last) = found;
        let docs: Vec<serde_json::Value> = serde_json::from_str(&format!("[{}]", part.json)).unwrap();
        assert_eq!(i64::try_from(docs.len()).unwrap(), part.count);
        for doc in &docs {
            assert!(seen.insert(doc["uri"].to_string()), "{text:?} finds {} twice", doc["uri"]);
        }
        after = last;
        if after.is_none() {
            return;
        }
        assert!(seen.len() <= TITLES.len());
    }
}

/// Reads an expression, and whether words fulfil it.
struct Expression<'a> {
    rest: &'a str,
    quote: char,
    and: &'static str,
    or: &'static str,
    words: &'a [&'a str],
}

impl Expression<'_> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn any(&mut self) -> bool {
        let mut found = self.all();
        while self.take(self.or) {
            found |= self.all();
        }
        found
    }

    fn all(&mut self) -> bool {
        let mut found = self.term();
        while self.take(self.and) {
            found &= self.term();
        }
        found
    }

    fn term(&mut self) -> bool {
        if self.take("(") {
            let found = self.any();
            assert!(self.take(")"), "unbalanced: {}", self.rest);
            return found;
        }
        let (word, rest) = self.rest.strip_prefix(self.quote).and_then(|r| r.split_once(self.quote)).expect("a word");
        // Beside letters and digits there are symbols, such as stars: none that means something in an expression.
        let harmless = |c: char| c.is_alphanumeric() || !(c.is_ascii() || c.is_whitespace() || c.is_control());
        assert!(!word.is_empty() && word.chars().all(harmless), "{word:?}");
        self.rest = rest;
        if self.take(":*") || self.take("*") {
            return self.words.iter().any(|known| known.starts_with(word));
        }
        self.words.contains(&word)
    }
}

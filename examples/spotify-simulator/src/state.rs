//! What the service remembers: users, their libraries and playlists, and the tokens it has given out.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    accounts::{Access, Code, Refresh},
    content::{Catalogue, uri},
    exchange::Exchange,
    journal::Journal,
    options::Options,
    playlists::Playlist,
    random::{Random, base62},
    rules::Armed,
};

/// 2026-11-01T12:00:00Z: what users saved before the start was saved before this.
pub(crate) const EPOCH_MS: i64 = 1_793_534_400_000;

/// Something in somebody's library.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) uri: String,
    pub(crate) added_ms: i64,
}

/// Somebody with an account.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) name: String,
    /// By kind (`track`, `album`, …), newest first.
    pub(crate) saved: BTreeMap<&'static str, Vec<Saved>>,
    /// Ids, own and followed.
    pub(crate) playlists: Vec<String>,
    /// What was played when, newest first; positions of tracks.
    pub(crate) plays: Vec<(i64, usize)>,
}

/// Kinds that a library holds, besides playlists.
pub(crate) const KINDS: [&str; 6] = ["track", "album", "show", "episode", "artist", "user"];

/// All of it.
pub(crate) struct State {
    pub(crate) options: Options,
    /// Where the simulator listens, such as `http://127.0.0.1:9099`.
    pub(crate) base: String,
    pub(crate) catalogue: Catalogue,
    /// Those who can sign in, and at the end a stranger who can't and whose playlists others follow.
    pub(crate) users: Vec<User>,
    pub(crate) playlists: BTreeMap<String, Playlist>,
    pub(crate) codes: HashMap<String, Code>,
    pub(crate) access: HashMap<String, Access>,
    pub(crate) refresh: HashMap<String, Refresh>,
    /// Tracks that are listed as another one than was saved, with the same ISRC: saved URI to listed URI.
    pub(crate) relinked: HashMap<String, String>,
    /// What is listed as a hole wherever it is saved: URIs.
    pub(crate) hidden: HashSet<String>,
    pub(crate) rules: Vec<Armed>,
    pub(crate) journal: Journal,
    /// None where nobody wants them.
    pub(crate) exchanges: Option<Vec<Exchange>>,
    /// How far the service's clock is ahead.
    pub(crate) ahead_ms: i64,
    random: Random,
}

impl State {
    pub(crate) fn new(options: Options, base: String) -> Self {
        let catalogue = Catalogue::new(&options);
        let random = Random::new(options.seed, "secrets", 0);
        let mut state = Self {
            options,
            base,
            catalogue,
            users: Vec::new(),
            playlists: BTreeMap::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            relinked: HashMap::new(),
            hidden: HashSet::new(),
            rules: Vec::new(),
            journal: Journal::default(),
            exchanges: None,
            ahead_ms: 0,
            random,
        };
        for n in 0..=state.options.users {
            let user = state.make_user(n);
            state.users.push(user);
        }
        for user in 0..state.options.users {
            crate::playlists::make(&mut state, user);
        }
        state
    }

    fn make_user(&self, n: usize) -> User {
        let mut random = Random::new(self.options.seed, "user", n);
        // Ids of users hold whatever they were made with.
        let (id, name) = match n {
            n if n == self.options.users => ("curator".to_owned(), "A Curator".to_owned()),
            0 => ("listener".to_owned(), "Listener One".to_owned()),
            n => (format!("ünï user#{}", n + 1), format!("Listener {}", n + 1)),
        };
        let all = &self.catalogue;
        let mut saved = BTreeMap::from(KINDS.map(|kind| (kind, Vec::new())));
        let mut take = |kind, count, ids: Vec<&String>| {
            let start = if ids.len() > count { random.below(ids.len() - count) } else { 0 };
            let row = |(n, id): (usize, &&String)| {
                let n = i64::try_from(n).unwrap_or_default();
                // Two in each hour: what is saved together has the same time.
                Saved { uri: uri(kind, id), added_ms: EPOCH_MS - n / 2 * 3_600_000 }
            };
            saved.insert(kind, ids[start..].iter().take(count).enumerate().map(row).collect());
        };
        let o = &self.options;
        take("track", o.tracks, all.tracks.iter().map(|t| &t.id).collect());
        take("album", o.albums, all.albums.iter().map(|a| &a.id).collect());
        take("show", o.shows, all.shows.iter().map(|s| &s.id).collect());
        take("episode", o.episodes, all.episodes.iter().map(|e| &e.id).collect());
        take("artist", o.artists, all.artists.iter().map(|a| &a.id).collect());
        let mut random = Random::new(self.options.seed, "plays", n);
        let plays = (0..50).map(|n| (EPOCH_MS - n * 251_123, random.below(all.tracks.len()))).collect();
        User { id, account_id: base62(&mut random, 28), name, saved, playlists: Vec::new(), plays }
    }

    /// The service's clock, in milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        Utc::now().timestamp_millis() + self.ahead_ms
    }

    /// A text that nobody knows yet: a code, a token, an id.
    pub(crate) fn fresh(&mut self, prefix: &str, digits: usize) -> String {
        format!("{prefix}{}", base62(&mut self.random, digits))
    }

    /// The position of a user who can sign in.
    pub(crate) fn user(&self, id: &str) -> Option<usize> {
        self.users.iter().take(self.options.users).position(|user| user.id == id)
    }

    /// The URI as which something is saved: that of a relinked track is the one that was saved.
    pub(crate) fn saved_as(&self, user: usize, uri: &str) -> String {
        let same =
            |saved: &&Saved| saved.uri == uri || self.relinked.get(&saved.uri).is_some_and(|listed| listed == uri);
        let kind = uri.split(':').nth(1).unwrap_or_default();
        let found = self.users[user].saved.get(kind).and_then(|rows| rows.iter().find(same));
        found.map_or_else(|| uri.to_owned(), |saved| saved.uri.clone())
    }

    /// Puts something into a library, on top; again changes nothing.
    pub(crate) fn save(&mut self, user: usize, uri: &str) {
        let now = self.now_ms();
        if let Some(id) = uri.strip_prefix("spotify:playlist:") {
            let list = &mut self.users[user].playlists;
            if !list.iter().any(|known| known == id) {
                list.insert(0, id.to_owned());
            }
            return;
        }
        let uri = self.saved_as(user, uri);
        let kind = uri.split(':').nth(1).unwrap_or_default();
        if let Some(rows) = self.users[user].saved.get_mut(kind)
            && !rows.iter().any(|row| row.uri == uri)
        {
            rows.insert(0, Saved { uri, added_ms: now });
        }
    }

    /// Takes something out of a library.
    pub(crate) fn unsave(&mut self, user: usize, uri: &str) {
        if let Some(id) = uri.strip_prefix("spotify:playlist:") {
            self.users[user].playlists.retain(|known| known != id);
            return;
        }
        let uri = self.saved_as(user, uri);
        for rows in self.users[user].saved.values_mut() {
            rows.retain(|row| row.uri != uri);
        }
    }

    /// Whether a library holds something.
    pub(crate) fn holds(&self, user: usize, uri: &str) -> bool {
        if let Some(id) = uri.strip_prefix("spotify:playlist:") {
            return self.users[user].playlists.iter().any(|known| known == id);
        }
        let uri = self.saved_as(user, uri);
        self.users[user].saved.values().flatten().any(|row| row.uri == uri)
    }
}

/// A point in time as the Web API writes it, to the second.
pub(crate) fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

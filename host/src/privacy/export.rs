//! Everything that is held about a user, as one JSON document that is written while it is read.

use bytes::Bytes;
use futures::Stream;
use serde_json::{Map, Value, json};

use crate::{
    api::rfc3339,
    db::{
        self, Db,
        items::{self, Key},
        now_ms,
        privacy::{LIBRARY, PLAYLISTS, SECTIONS, Section},
    },
};

/// Entries of a playlist that are read at once.
const ENTRIES: i64 = 500;

/// The names of the document's sections.
pub fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().chain([&LIBRARY, &PLAYLISTS]).map(|section| section.name)
}

/// The document, some rows at a time. Each section is a list.
pub fn stream(db: Db, user_id: String) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    async_stream::try_stream! {
        let head = json!({ "format": "zotify-data", "version": 1, "exported_at": rfc3339(now_ms()) }).to_string();
        yield Bytes::from(head.trim_end_matches('}').to_owned());
        for section in &SECTIONS {
            yield opening(section);
            let mut separator = "";
            for await rows in pages(&db, section, &user_id) {
                for row in rows? {
                    yield Bytes::from(format!("{separator}{}", Value::Object(row)));
                    separator = ",";
                }
            }
            yield Bytes::from_static(b"]");
        }
        for section in [&LIBRARY, &PLAYLISTS] {
            yield opening(section);
            let mut separator = "";
            for (account, _) in db::privacy::accounts(db.read(), &user_id).await? {
                for await rows in pages(&db, section, &account) {
                    for mut row in rows? {
                        row.insert("account".into(), account.clone().into());
                        let entries = (section.name == PLAYLISTS.name).then(|| uri(&row));
                        let row = Value::Object(row).to_string();
                        let Some(uri) = entries else {
                            yield Bytes::from(format!("{separator}{row}"));
                            separator = ",";
                            continue;
                        };
                        yield Bytes::from(format!("{separator}{},\"entries\":[", row.trim_end_matches('}')));
                        separator = ",";
                        for await part in entries_of(&db, &account, uri) {
                            yield part?;
                        }
                        yield Bytes::from_static(b"]}");
                    }
                }
            }
            yield Bytes::from_static(b"]");
        }
        yield Bytes::from_static(b"}\n");
    }
}

fn opening(section: &Section) -> Bytes {
    Bytes::from(format!(",\n\"{}\":[", section.name))
}

fn uri(row: &Map<String, Value>) -> String {
    row.get("uri").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn pages<'a>(
    db: &'a Db,
    section: &'a Section,
    owner: &'a str,
) -> impl Stream<Item = sqlx::Result<Vec<Map<String, Value>>>> + Send + 'a {
    async_stream::try_stream! {
        let mut after = section.start();
        loop {
            let rows = section.page(db.read(), owner, after).await?;
            let Some(last) = rows.last() else { break };
            after = section.place(last);
            let full = rows.len() == db::privacy::PAGE;
            yield rows;
            if !full {
                break;
            }
        }
    }
}

fn entries_of<'a>(db: &'a Db, account: &'a str, uri: String) -> impl Stream<Item = sqlx::Result<Bytes>> + Send + 'a {
    async_stream::try_stream! {
        let (mut after, mut separator) = (-1, "");
        loop {
            let part = items::entries(db, account, &uri, after, ENTRIES).await?;
            if part.count > 0 {
                yield Bytes::from(format!("{separator}{}", part.json));
                separator = ",";
            }
            match part.last {
                Some((Key::Int(position), _)) => after = position,
                _ => break,
            }
        }
    }
}

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
        yield Bytes::from(open(&head).to_owned());
        for section in &SECTIONS {
            yield opening(section);
            let mut separator = "";
            for await rows in pages(&db, section, &user_id) {
                yield joined(rows?.into_iter().map(without_others), &mut separator);
            }
            yield Bytes::from_static(b"]");
        }
        let accounts = db::privacy::accounts(db.read(), &user_id).await?;
        yield opening(&LIBRARY);
        let mut separator = "";
        for (account, _) in &accounts {
            for await rows in pages(&db, &LIBRARY, account) {
                yield joined(rows?.into_iter().map(|row| of_account(row, account)), &mut separator);
            }
        }
        yield Bytes::from_static(b"]");
        yield opening(&PLAYLISTS);
        let mut separator = "";
        for (account, _) in &accounts {
            for await rows in pages(&db, &PLAYLISTS, account) {
                for row in rows? {
                    let uri = row.get("uri").and_then(Value::as_str).unwrap_or_default().to_owned();
                    let row = Value::Object(of_account(row, account)).to_string();
                    yield Bytes::from(format!("{separator}{},\"entries\":[", open(&row)));
                    separator = ",\n";
                    for await part in entries_of(&db, account, uri) {
                        yield part?;
                    }
                    yield Bytes::from_static(b"]}");
                }
            }
        }
        yield Bytes::from_static(b"]}\n");
    }
}

/// An object that goes on.
fn open(object: &str) -> &str {
    object.strip_suffix('}').unwrap_or(object)
}

/// Rows of a list that goes on.
fn joined(rows: impl IntoIterator<Item = Map<String, Value>>, separator: &mut &'static str) -> Bytes {
    let mut text = String::new();
    for row in rows {
        text.push_str(separator);
        text.push_str(&Value::Object(row).to_string());
        *separator = ",\n";
    }
    text.into()
}

/// What an entry of the audit log tells of somebody to whom the caller did something is not the caller's.
fn without_others(mut row: Map<String, Value>) -> Map<String, Value> {
    let about_you = row.get("about_you").is_none_or(|about| about == 1);
    if let Some(Value::Object(personal)) = row.get_mut("personal").filter(|_| !about_you) {
        personal.shift_remove("details");
    }
    row
}

fn of_account(mut row: Map<String, Value>, account: &str) -> Map<String, Value> {
    row.insert("account".into(), account.into());
    row
}

fn opening(section: &Section) -> Bytes {
    Bytes::from(format!(",\n\"{}\":[", section.name))
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

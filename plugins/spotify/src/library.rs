//! The library: what is saved of tracks, albums, shows and episodes, and the artists that are followed.
//!
//! Spotify lists what is saved newest first and says nothing of changes. The first request of a run asks for the first page
//! of each list and compares it with what an earlier run saw ([`heads`]): where only additions explain the difference, the
//! run answers just those; otherwise it walks every list, a page at a time. Rows that nobody can read ([`holes`]) make a run
//! partial, but no later one longer than it takes to look at them again.

mod differences;
mod heads;
mod holes;

use std::collections::VecDeque;

use serde_json::Value;
use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session},
    decode::{Decoder, Unreadable},
    endpoints::{self, Operation},
    error,
    pages::{self, LIMIT, Slice},
    text::{number, text},
};
use differences::Difference;
use heads::{Change, Head};

/// The form of cursors and sync tokens.
const VERSION: u8 = 1;
/// The list of playlists takes at least one more request.
const PLAYLIST_REQUESTS: u64 = 1;

/// A list of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum List {
    Tracks,
    Albums,
    Shows,
    Episodes,
    Artists,
}

const LISTS: [List; 5] = [List::Tracks, List::Albums, List::Shows, List::Episodes, List::Artists];

impl List {
    fn operation(self) -> &'static Operation {
        match self {
            Self::Tracks => &endpoints::SAVED_TRACKS,
            Self::Albums => &endpoints::SAVED_ALBUMS,
            Self::Shows => &endpoints::SAVED_SHOWS,
            Self::Episodes => &endpoints::SAVED_EPISODES,
            Self::Artists => &endpoints::FOLLOWED,
        }
    }

    /// The item of a row.
    fn item(self, row: &Value) -> &Value {
        const NONE: &Value = &Value::Null;
        match self {
            Self::Tracks => row.get("track"),
            Self::Albums => row.get("album"),
            Self::Shows => row.get("show"),
            Self::Episodes => row.get("episode"),
            Self::Artists => Some(row),
        }
        .unwrap_or(NONE)
    }

    /// What people call its rows.
    fn name(self) -> &'static str {
        match self {
            Self::Tracks => "a saved track",
            Self::Albums => "a saved album",
            Self::Shows => "a saved show",
            Self::Episodes => "a saved episode",
            Self::Artists => "a followed artist",
        }
    }
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Offset(u64),
    /// After the artist with an id.
    After(String),
}

/// Where a run stands; travels as its cursor.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    version: u8,
    changes: bool,
    lists: Vec<Walk>,
    /// Rows seen.
    done: u64,
    /// Rows that the run goes through in all.
    rows: u64,
    /// Rows that are no items.
    unreadable: u64,
    /// Those of them of which nobody can say where they stand.
    #[serde(default)]
    unplaced: u64,
    /// A list that changed while it was read.
    shifted: bool,
    /// A list that the account does not let be read.
    missing: bool,
    requests: u64,
}

/// A list under way.
#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    list: List,
    head: Head,
    /// How it began before, where the run names removals: a partial run does not remove, and the next one is to name them
    /// again.
    #[serde(default)]
    before: Option<Head>,
    /// Where it goes on; none where it is done.
    place: Option<Place>,
    /// The rows from the start that the run answers.
    end: u64,
    seen: u64,
}

/// A page of a list, whichever way its pages are asked for.
struct Part {
    rows: Vec<Value>,
    total: Option<u64>,
    next: Option<Place>,
}

/// A page of a run.
pub(crate) async fn page(spotify: &Spotify, call: &Call<LibraryChanges>) -> Result<LibraryPage> {
    let mut session = Session::open(spotify, call).await?;
    let mut page = LibraryPage::default();
    let run = match &call.cursor {
        None => start(&mut session, call.since.as_deref(), &mut page).await?,
        Some(cursor) => {
            let run: Option<Run> = serde_json::from_str(cursor).ok().filter(|run: &Run| run.version == VERSION);
            let mut run = run.ok_or_else(pages::bad_cursor)?;
            go_on(&mut session, &mut run, &mut page).await?;
            run
        }
    };
    finish(run, page)
}

/// A page of the saved tracks.
pub(crate) async fn likes(spotify: &Spotify, call: &Call<PageRequest>) -> Result<LikesPage> {
    let place = Place::Offset(pages::offset(call.cursor.as_deref())?);
    let mut session = Session::open(spotify, call).await?;
    let part = read(&mut session, List::Tracks, Some(&place)).await?;
    let decoder = Decoder { cx: session.cx(), user_id: "" };
    let like = |row: &Value| {
        let liked_at = text(row, "added_at").map(str::to_owned);
        decoder.item(List::Tracks.item(row)).ok().map(|item| Like { item, liked_at })
    };
    let next = match part.next {
        Some(Place::Offset(offset)) => Some(offset.to_string()),
        _ => None,
    };
    Ok(LikesPage { likes: part.rows.iter().filter_map(like).collect(), next })
}

/// Reads the first page of every list.
async fn start(session: &mut Session, since: Option<&str>, page: &mut LibraryPage) -> Result<Run> {
    let mut firsts = Vec::new();
    let mut missing = false;
    for list in LISTS {
        if session.credentials.has_any(list.operation().scopes) {
            firsts.push((list, read(session, list, None).await?));
        } else {
            missing = true;
        }
    }
    let heads: Vec<Head> = firsts.iter().map(|(list, part)| Head::of(*list, part)).collect();
    let old = since.and_then(heads::parse);
    let mut differences = match old {
        Some(old) => differences::find(session, &old, &firsts, &heads).await?,
        None => None,
    };
    let mut run = Run {
        version: VERSION,
        changes: differences.is_some(),
        lists: Vec::new(),
        done: 0,
        rows: 0,
        unreadable: 0,
        unplaced: 0,
        shifted: false,
        missing,
        requests: 0,
    };
    for ((list, part), head) in firsts.into_iter().zip(heads) {
        let mut walk = Walk { list, end: head.total, head, before: None, place: None, seen: 0 };
        if let Some(Difference { change, old, holes }) = differences.as_mut().and_then(VecDeque::pop_front) {
            run.unreadable += holes.len() as u64;
            page.skipped.extend(holes);
            walk.head.holes.clone_from(&old.holes);
            match change {
                Change::Added(count) => walk.end = count,
                Change::Exactly { added, removed } => {
                    walk.end = 0;
                    walk.before = Some(old).filter(|_| !removed.is_empty());
                    decode_picked(session, &mut run, &mut walk, &part.rows, &added, page);
                    page.removed.extend(removed.iter().filter_map(|uri| to_uri(session, uri)));
                }
            }
        }
        run.rows += walk.end;
        take(session, &mut run, &mut walk, part, page);
        run.lists.push(walk);
    }
    run.requests = session.requests;
    Ok(run)
}

/// Reads the next page of the first list that is not done.
async fn go_on(session: &mut Session, run: &mut Run, page: &mut LibraryPage) -> Result<()> {
    let Some(n) = run.lists.iter().position(|walk| walk.place.is_some()) else { return Err(pages::bad_cursor()) };
    let mut walk = run.lists.swap_remove(n);
    let part = read(session, walk.list, walk.place.as_ref()).await?;
    take(session, run, &mut walk, part, page);
    run.lists.push(walk);
    let last = run.lists.len() - 1;
    run.lists.swap(n, last);
    run.requests += session.requests;
    Ok(())
}

async fn read(session: &mut Session, list: List, place: Option<&Place>) -> Result<Part> {
    let ask = Ask::new(list.operation(), &[]).with("limit", LIMIT);
    if list != List::Artists {
        let offset = match place {
            Some(Place::Offset(offset)) => *offset,
            _ => 0,
        };
        let slice = Slice::of(session.json(&ask.with("offset", offset)).await?, offset, LIMIT)?;
        return Ok(Part { rows: slice.rows, total: slice.total, next: slice.next.map(Place::Offset) });
    }
    let mut ask = ask.with("type", "artist");
    if let Some(Place::After(id)) = place {
        ask = ask.with("after", id);
    }
    let mut value = session.json(&ask).await?;
    let mut artists = value.get_mut("artists").map(Value::take).ok_or_else(|| error::unreadable("no artists in it"))?;
    let rows = match artists.get_mut("items").map(Value::take) {
        Some(Value::Array(rows)) => rows,
        _ => return Err(error::unreadable("a list has no rows")),
    };
    let after = artists.get("cursors").and_then(|cursors| text(cursors, "after")).filter(|_| !rows.is_empty());
    // One that names itself would go in a circle.
    let next = after.map(|id| Place::After(id.to_owned())).filter(|next| place != Some(next));
    Ok(Part { rows, total: number(&artists, "total"), next })
}

/// Takes over the rows of a page that the run is to answer.
fn take(session: &Session, run: &mut Run, walk: &mut Walk, part: Part, page: &mut LibraryPage) {
    let first = walk.seen == 0;
    if !first && part.total.is_some_and(|total| total != walk.head.total) {
        run.shifted = true;
    }
    let wanted = usize::try_from(walk.end.saturating_sub(walk.seen)).unwrap_or(usize::MAX);
    let count = part.rows.len();
    for (index, row) in (walk.seen..).zip(part.rows.iter().take(wanted)) {
        decode(session, run, walk, (index, row), page);
    }
    let step = match (&walk.place, &part.next) {
        (Some(Place::Offset(from)), Some(Place::Offset(to))) => to.saturating_sub(*from),
        (None, Some(Place::Offset(to))) => *to,
        _ => count as u64,
    };
    walk.seen = walk.seen.saturating_add(step);
    run.done += step.min(wanted as u64);
    walk.place = part.next.filter(|_| walk.seen < walk.end);
    // Rows that were announced and did not come.
    if walk.place.is_none() && walk.seen < walk.end {
        run.shifted = true;
    }
    // Rows that were left out of a page without a word.
    if !run.changes && step > count as u64 {
        run.unreadable += step - count as u64;
        run.unplaced += step - count as u64;
    }
}

/// Takes over a row, of which is known how many rows stand before it.
fn decode(session: &Session, run: &mut Run, walk: &mut Walk, (index, row): (u64, &Value), page: &mut LibraryPage) {
    let decoder = Decoder { cx: session.cx(), user_id: "" };
    let list = walk.list;
    match decoder.saved(list.item(row), text(row, "added_at")) {
        Ok(item) => page.upsert.rows.push(item),
        Err(why) => {
            run.unreadable += 1;
            // Artists are not asked for by position.
            match holes::from_end(walk.head.total, index).filter(|_| list != List::Artists) {
                Some(hole) => walk.head.holes.push(hole),
                None => run.unplaced += 1,
            }
            page.skipped.push(skipped(list, row, why));
        }
    }
}

fn decode_picked(
    session: &Session,
    run: &mut Run,
    walk: &mut Walk,
    rows: &[Value],
    uris: &[String],
    page: &mut LibraryPage,
) {
    let wanted = |row: &Value| heads::uri(walk.list, row).is_some_and(|uri| uris.contains(&uri));
    let picked: Vec<_> = (0..).zip(rows).filter(|(_, row)| wanted(row)).collect();
    for row in picked {
        decode(session, run, walk, row, page);
    }
}

fn skipped(list: List, row: &Value, why: Unreadable) -> Skipped {
    pages::skipped(list.item(row), list.name(), why)
}

fn to_uri(session: &Session, uri: &str) -> Option<Uri> {
    let (kind, id) = crate::decode::parse_uri(uri)?;
    session.cx().uri(kind, &id).ok()
}

fn finish(run: Run, mut page: LibraryPage) -> Result<LibraryPage> {
    page.listing = if run.changes { Listing::Changes } else { Listing::Everything };
    page.progress = Some(Progress { done: run.done, total: Some(run.rows) });
    let left = |walk: &Walk| walk.end.saturating_sub(walk.seen).div_ceil(LIMIT);
    let ahead: u64 = run.lists.iter().filter(|walk| walk.place.is_some()).map(left).sum();
    page.forecast = Some(Forecast { requests: run.requests + ahead + PLAYLIST_REQUESTS, items: run.rows });
    if run.lists.iter().any(|walk| walk.place.is_some()) {
        let cursor = serde_json::to_string(&run).map_err(|_| ProviderError::internal("cannot write the cursor"))?;
        page.next = Some(cursor);
        return Ok(page);
    }
    let partial = if run.missing {
        Some(("scope_missing", "the account did not grant all of its library; sign in again"))
    } else if run.shifted {
        Some(("library_changed", "the library changed at Spotify while it was read"))
    } else if run.unreadable > 0 {
        Some(("unreadable_rows", "Spotify lists items without saying which; nothing was removed for that"))
    } else {
        None
    };
    if !run.shifted && run.unplaced == 0 && run.lists.iter().all(|walk| holes::are_few(&walk.head)) {
        let is_partial = partial.is_some();
        let head = |walk: Walk| (walk.list, walk.before.filter(|_| is_partial).unwrap_or(walk.head));
        page.sync_token = Some(heads::write(run.lists.into_iter().map(head))?);
    }
    if let Some((code, detail)) = partial {
        page.completeness = Completeness::Partial { code: code.into(), detail: detail.into() };
    }
    Ok(page)
}

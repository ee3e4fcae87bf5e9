//! Saving items and taking them out again.

use std::collections::VecDeque;

use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session},
    decode::spotify_uri,
    endpoints::{self, Operation},
};

/// The most items of one request.
const BATCH: usize = 40;

/// An item with its URI as Spotify writes it.
type Named = (Uri, String);

/// Changes what is saved.
pub(crate) async fn edit<T>(
    spotify: &Spotify,
    call: &Call<T>,
    add: &[ItemKey],
    remove: &[ItemKey],
) -> Result<Vec<EditResult>> {
    let mut session = Session::open(spotify, call).await?.patient();
    let mut results = Vec::new();
    for (operation, keys) in [(&endpoints::SAVE, add), (&endpoints::UNSAVE, remove)] {
        for batch in batches(keys, &mut results) {
            run(&mut session, operation, batch, &mut results).await;
        }
    }
    Ok(results)
}

/// Items in the order that they are to be saved in. Artists go by themselves: Spotify may not take them here.
fn batches(keys: &[ItemKey], results: &mut Vec<EditResult>) -> Vec<Vec<Named>> {
    let mut batches: Vec<Vec<Named>> = Vec::new();
    for key in keys {
        match spotify_uri(&key.uri) {
            None => results.push(EditResult::failed(key.uri.clone(), ProviderError::not_found(&key.uri))),
            Some(uri) => {
                let alike = |batch: &&mut Vec<Named>| is_artists(batch) == (key.uri.kind() == Kind::Artist);
                match batches.last_mut().filter(|batch| batch.len() < BATCH).filter(alike) {
                    Some(batch) => batch.push((key.uri.clone(), uri)),
                    None => batches.push(vec![(key.uri.clone(), uri)]),
                }
            }
        }
    }
    batches
}

fn is_artists(batch: &[Named]) -> bool {
    batch.first().is_some_and(|(uri, _)| uri.kind() == Kind::Artist)
}

/// Sends a batch. One that is refused for an item in it is halved until that item is found.
async fn run(session: &mut Session, operation: &Operation, batch: Vec<Named>, results: &mut Vec<EditResult>) {
    let mut waiting = VecDeque::from([batch]);
    while let Some(mut batch) = waiting.pop_front() {
        let uris: Vec<&str> = batch.iter().map(|(_, uri)| uri.as_str()).collect();
        let error = session.ask(&Ask::new(operation, &[]).with("uris", uris.join(","))).await.err();
        match error {
            Some(error) if error.kind == ErrorKind::InvalidRequest && batch.len() > 1 && !is_artists(&batch) => {
                let rest = batch.split_off(batch.len() / 2);
                waiting.push_front(rest);
                waiting.push_front(batch);
            }
            error => {
                let error = error.map(|error| about(&batch, error));
                results.extend(batch.into_iter().map(|(uri, _)| EditResult { uri, error: error.clone() }));
            }
        }
    }
}

fn about(batch: &[Named], error: ProviderError) -> ProviderError {
    if error.kind == ErrorKind::InvalidRequest && is_artists(batch) {
        return ProviderError::unsupported("following artists: Spotify refuses them").with_code("artists_unsupported");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_the_order_and_the_limit() {
        let key =
            |kind, n: usize| ItemKey { uri: Uri::new("spotify", kind, &format!("{n:022}")).unwrap(), locator: None };
        let mut keys: Vec<ItemKey> = (0..41).map(|n| key(Kind::Track, n)).collect();
        keys.push(key(Kind::Artist, 1));
        keys.push(ItemKey { uri: "spotify:track:short".parse().unwrap(), locator: None });
        let mut results = Vec::new();
        let batches = batches(&keys, &mut results);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [40, 1, 1]);
        assert_eq!(results[0].error.as_ref().unwrap().kind, ErrorKind::NotFound);
    }
}

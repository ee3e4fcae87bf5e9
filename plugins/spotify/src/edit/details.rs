//! Making and deleting playlists, their names and pictures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use zotify_plugin_api::prelude::*;

use crate::{
    Spotify, catalog,
    client::{Ask, Session},
    decode::Decoder,
    endpoints, error, playlists,
};

/// The longest name and description, in characters.
const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 300;
/// The largest picture, in bytes of base64.
const MAX_IMAGE: usize = 256 << 10;

/// Makes a playlist.
pub(crate) async fn create(spotify: &Spotify, call: &Call<PlaylistCreate>) -> Result<Playlist> {
    check_name(&call.name)?;
    let description = call.description.as_deref().unwrap_or_default();
    if !description.is_empty() {
        check_description(description)?;
    }
    let public = call.public.unwrap_or(false);
    check_collaborative(call.collaborative, public)?;
    // All of it is said: what is left out is public, and has the word "null" for a description.
    let body = json!({
        "name": call.name, "public": public, "collaborative": call.collaborative, "description": description,
    });
    let mut session = Session::open(spotify, call).await?.patient();
    let value = session.json(&Ask::new(&endpoints::CREATE_PLAYLIST, &[]).json(&body)).await?;
    let decoder = Decoder { cx: session.cx(), user_id: &session.credentials.user_id };
    match decoder.item(&value) {
        Ok(Item::Playlist(playlist)) => Ok(Playlist { editable: true, ..playlist }),
        _ => Err(error::unreadable("it names no playlist")),
    }
}

/// Changes a playlist's details, and answers them as Spotify has them then: it does not always do as it is told.
pub(crate) async fn update(spotify: &Spotify, call: &Call<PlaylistUpdate>) -> Result<Playlist> {
    let id = playlists::id(&call.playlist.uri)?;
    let mut body = Map::new();
    if let Some(name) = &call.name {
        check_name(name)?;
        body.insert("name".into(), json!(name));
    }
    if let Some(description) = &call.description {
        check_description(description)?;
        body.insert("description".into(), json!(description));
    }
    // Collaborative playlists are never public.
    let public = call.public.or((call.collaborative == Some(true)).then_some(false));
    check_collaborative(call.collaborative.unwrap_or(false), public.unwrap_or(false))?;
    if let Some(public) = public {
        body.insert("public".into(), json!(public));
    }
    if let Some(collaborative) = call.collaborative {
        body.insert("collaborative".into(), json!(collaborative));
    }
    let mut session = Session::open(spotify, call).await?.patient();
    if !body.is_empty() {
        session.ask(&Ask::new(&endpoints::UPDATE_PLAYLIST, &[&id]).json(&Value::Object(body))).await?;
    }
    match catalog::item(&mut session, &call.playlist.uri).await? {
        Item::Playlist(playlist) => Ok(playlist),
        _ => Err(error::unreadable("it is no playlist")),
    }
}

/// Stops following a playlist, which is all that deleting one comes to at Spotify.
pub(crate) async fn delete(spotify: &Spotify, call: &Call<ItemKey>) -> Result<()> {
    let id = playlists::id(&call.uri)?;
    let mut session = Session::open(spotify, call).await?;
    session.ask(&Ask::new(&endpoints::UNSAVE, &[]).with("uris", format!("spotify:playlist:{id}"))).await?;
    Ok(())
}

/// Sets a playlist's picture.
pub(crate) async fn image(spotify: &Spotify, call: &Call<PlaylistImage>) -> Result<()> {
    let id = playlists::id(&call.playlist.uri)?;
    if call.content_type != "image/jpeg" || !call.bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err(ProviderError::invalid("Spotify takes pictures as JPEG only").with_code("jpeg_only"));
    }
    let encoded = STANDARD.encode(&call.bytes);
    if encoded.len() > MAX_IMAGE {
        let text = format!("Spotify takes pictures up to {} KiB", MAX_IMAGE / 4 * 3 / 1024);
        return Err(ProviderError::invalid(text).with_code("image_too_large"));
    }
    let mut session = Session::open(spotify, call).await?;
    session.ask(&Ask::new(&endpoints::SET_IMAGE, &[&id]).body("image/jpeg", encoded.into_bytes())).await?;
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        let text = format!("a playlist's name at Spotify has 1 to {MAX_NAME} characters");
        return Err(ProviderError::invalid(text).with_code("invalid_name"));
    }
    Ok(())
}

fn check_description(description: &str) -> Result<()> {
    let why = if description.trim().is_empty() {
        "Spotify can change a description, but not take it away"
    } else if description.chars().count() > MAX_DESCRIPTION {
        "a description at Spotify has at most 300 characters"
    } else if description.chars().any(char::is_control) {
        "a description at Spotify is one line"
    } else {
        return Ok(());
    };
    Err(ProviderError::invalid(why).with_code("invalid_description"))
}

fn check_collaborative(collaborative: bool, public: bool) -> Result<()> {
    if collaborative && public {
        let text = "a collaborative playlist at Spotify cannot be public";
        return Err(ProviderError::invalid(text).with_code("collaborative_public"));
    }
    Ok(())
}

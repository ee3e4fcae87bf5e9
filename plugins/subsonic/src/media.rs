//! Audio and pictures: the host fetches them from the addresses that are named here.

use zotify_plugin_api::prelude::*;

use crate::{client::Session, fields::Fields, settings::Settings};

/// The key of what is known of an account's rights.
pub(crate) const MAY_DOWNLOAD: &str = "may_download";
/// The longest name of a format.
const MAX_FORMAT: usize = 16;
/// The widest picture that is asked for, in pixels.
const MAX_PICTURE: u32 = 4096;

/// Where a track's audio comes from.
pub(crate) async fn open(session: &Session, settings: &Settings, request: &MediaRequest) -> Result<MediaSource> {
    if request.uri.kind() != Kind::Track {
        return Err(ProviderError::not_found(&request.uri));
    }
    let id = request.uri.native_id();
    // An address may lead to an error that looks like an answer, so first of all: is there such a track?
    let answer = session.one("getSong", &id, "the track").await?;
    let song = answer.object("song");
    let most = request.max_bitrate.into_iter().chain(settings.max_bitrate).min();
    let url = match conversion(song, request.format.as_deref(), most)? {
        Some(params) => session.address("stream", [vec![("id", id)], params].concat())?,
        None if may_download(session).await? => session.address("download", vec![("id", id)])?,
        None => session.address("stream", vec![("id", id), ("format", "raw".to_owned())])?,
    };
    Ok(MediaSource::Http(HttpSource { url, headers: Vec::new(), expires_at: None, content_type: None }))
}

/// What is asked of the server where the audio is not wanted as it is stored.
fn conversion(
    song: Fields<'_>,
    format: Option<&str>,
    most: Option<u32>,
) -> Result<Option<Vec<(&'static str, String)>>> {
    let bitrate = song.number::<u32>("bitRate").filter(|n| *n > 0);
    let too_much = most.filter(|most| bitrate.is_none_or(|has| has > *most));
    let format = format.filter(|format| !is_stored_as(song, format)).map(name_of).transpose()?;
    if format.is_none() && too_much.is_none() {
        return Ok(None);
    }
    let mut params: Vec<_> = format.map(|format| ("format", format)).into_iter().collect();
    params.extend(most.map(|most| ("maxBitRate", most.to_string())));
    Ok(Some(params))
}

fn is_stored_as(song: Fields<'_>, format: &str) -> bool {
    let is = |field: &str| song.text(field, 64).is_some_and(|has| has.eq_ignore_ascii_case(format));
    format.eq_ignore_ascii_case("raw") || is("suffix") || is("contentType")
}

/// What servers call a format.
fn name_of(format: &str) -> Result<String> {
    let format = format.to_ascii_lowercase();
    let name = match format.as_str() {
        "audio/mpeg" => "mp3",
        "audio/ogg" => "ogg",
        "audio/opus" => "opus",
        "audio/flac" => "flac",
        "audio/aac" => "aac",
        "audio/mp4" => "m4a",
        other => other,
    };
    if name.is_empty() || name.len() > MAX_FORMAT || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(ProviderError::unsupported(format_args!("audio as {name}")).with_code("no_transcoding"));
    }
    Ok(name.to_owned())
}

/// Downloads are the file itself and count as no play, but not everybody may.
async fn may_download(session: &Session) -> Result<bool> {
    let known = session.server.cx.account_kv(&session.account).get(MAY_DOWNLOAD).await?;
    Ok(known.unwrap_or(false))
}

/// Where a picture comes from. Servers answer a missing one with an error that is no picture, so they are asked first.
pub(crate) async fn artwork(session: &Session, request: &ArtworkRequest) -> Result<MediaSource> {
    let missing = || ProviderError::not_found("a picture of this item");
    let id = request.locator.clone().ok_or_else(missing)?;
    let mut params = vec![("id", id.clone())];
    params.extend(request.size.map(|size| ("size", size.clamp(1, MAX_PICTURE).to_string())));
    let url = session.address("getCoverArt", params.clone())?;
    let head = session.server.cx.http().request("HEAD", &url).no_redirects().send().await?;
    let is_picture = head.header("content-type").is_some_and(|it| it.trim().to_ascii_lowercase().starts_with("image/"));
    if head.status != 200 || !is_picture {
        // Why not, in the server's words; without any, it is a picture after all.
        match session.call("getCoverArt", params).await {
            Err(failure) if failure.code().is_some() => {
                return Err(session.explain(failure, "getCoverArt", &id, "a picture of this item").await);
            }
            Err(crate::failure::Failure::Other(error)) if error.kind == ErrorKind::Unsupported => return Err(missing()),
            Err(crate::failure::Failure::Other(error)) if error.code.as_deref() != Some("not_subsonic") => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(MediaSource::Http(HttpSource { url, headers: Vec::new(), expires_at: None, content_type: None }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn converts_only_what_is_not_stored_so() {
        let song = json!({"suffix": "ogg", "contentType": "audio/ogg", "bitRate": 112});
        let of = |format: Option<&str>, most: Option<u32>| conversion(Fields(&song), format, most).unwrap();
        for (format, most) in [
            (None, None),
            (Some("ogg"), None),
            (Some("OGG"), Some(112)),
            (Some("audio/ogg"), None),
            (Some("raw"), None),
            (None, Some(320)),
        ] {
            assert_eq!(of(format, most), None, "{format:?} {most:?}");
        }
        assert_eq!(of(Some("audio/mpeg"), None), Some(vec![("format", "mp3".to_owned())]));
        assert_eq!(of(None, Some(96)), Some(vec![("maxBitRate", "96".to_owned())]));
        assert_eq!(of(Some("opus"), Some(320)).unwrap().len(), 2);
        for bad in ["", "a/b", "mp3&u=x", &"x".repeat(17)] {
            let error = conversion(Fields(&song), Some(bad), None).unwrap_err();
            assert_eq!(error.code.as_deref(), Some("no_transcoding"), "{bad}");
        }
    }
}

//! Audio and pictures: the host fetches them from the addresses that are named here.

use zotify_plugin_api::prelude::*;

use crate::{
    catalog::Catalog,
    ids::{self, Id, web_url},
    items::Locator,
};

/// Where an episode's audio comes from.
pub(crate) async fn open(catalog: &Catalog<'_>, request: &MediaRequest) -> Result<MediaSource> {
    let missing = || ProviderError::not_found(&request.uri);
    if request.uri.kind() != Kind::Episode {
        return Err(missing());
    }
    let kept = request.locator.as_deref().and_then(|text| serde_json::from_str::<Locator>(text).ok());
    let audio = match kept {
        Some(locator) => locator,
        None => {
            let (show, episode) = ids::parse_episode(request.uri.id()).ok_or_else(missing)?;
            let found = catalog.show(show).await?;
            let episode = found.episode(episode).ok_or_else(missing)?;
            let audio = episode.audio.as_ref().ok_or_else(no_audio)?;
            Locator::of(audio, episode.duration_ms)
        }
    };
    if let Some(wanted) = request.format.as_deref().filter(|wanted| !is_format(wanted, &audio.content_type)) {
        return Err(no_transcoding(format_args!("episodes converted to {wanted}")));
    }
    if let Some(most) = request.max_bitrate.filter(|most| audio.bitrate.is_none_or(|has| has > *most)) {
        return Err(no_transcoding(format_args!("episodes converted to {most} kbit/s or less")));
    }
    let content_type = audio.content_type.split('/').next().filter(|kind| ["audio", "video"].contains(kind));
    let content_type = content_type.map(|_| audio.content_type.clone());
    source(&audio.url, content_type).ok_or_else(no_audio)
}

/// Where a picture comes from.
pub(crate) async fn artwork(catalog: &Catalog<'_>, request: &ArtworkRequest) -> Result<MediaSource> {
    let none = || ProviderError::not_found("a picture");
    let address = match (&request.locator, request.uri.kind()) {
        (Some(locator), _) => Some(locator.clone()),
        (None, Kind::Show) => {
            let id = Id::parse(request.uri.id()).ok_or_else(none)?;
            catalog.show(id).await?.feed.image.clone()
        }
        (None, Kind::Episode) => {
            let (show, episode) = ids::parse_episode(request.uri.id()).ok_or_else(none)?;
            let found = catalog.show(show).await?;
            found.episode(episode).and_then(|episode| episode.image.clone()).or_else(|| found.feed.image.clone())
        }
        _ => None,
    };
    address.and_then(|address| source(&address, None)).ok_or_else(none)
}

/// An address to fetch from; addresses of feeds may say anything.
fn source(address: &str, content_type: Option<String>) -> Option<MediaSource> {
    let url = web_url(address)?.into();
    Some(MediaSource::Http(HttpSource { url, headers: Vec::new(), expires_at: None, content_type }))
}

fn is_format(wanted: &str, content_type: &str) -> bool {
    let usual = match content_type {
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        other => other.split_once('/').map_or(other, |(_, subtype)| subtype),
    };
    wanted.eq_ignore_ascii_case(usual) || wanted.eq_ignore_ascii_case(content_type)
}

fn no_audio() -> ProviderError {
    ProviderError::not_found("the audio of this episode").with_code("no_audio")
}

/// Episodes are served as they are, or not at all: a larger or another file than was asked for would be a surprise.
fn no_transcoding(what: std::fmt::Arguments<'_>) -> ProviderError {
    ProviderError::unsupported(what).with_code("no_transcoding")
}

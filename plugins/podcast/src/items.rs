//! Makes items of what feeds say.

use chrono::{DateTime, SecondsFormat};
use url::Url;
use zotify_plugin_api::prelude::*;

use crate::{
    feed::{self, Feed},
    ids::{self, Id},
};

/// A show as the library names it.
pub(crate) struct ShowOf<'a> {
    pub(crate) id: Id,
    /// The address that it was first followed by.
    pub(crate) url: &'a str,
    /// What it was called before its feed could be read.
    pub(crate) title: Option<&'a str>,
    /// Since when it is followed, in milliseconds.
    pub(crate) added_ms: Option<i64>,
}

/// What the host keeps with an episode, so that it plays without another look at its feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Locator {
    pub(crate) url: String,
    #[serde(rename = "type")]
    pub(crate) content_type: String,
    /// Mean bit rate in kbit/s, where it can be reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bitrate: Option<u32>,
}

impl ShowOf<'_> {
    fn name(&self, feed: Option<&Feed>) -> String {
        let host = || Url::parse(self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let said = feed.and_then(|feed| feed.title.clone()).or_else(|| self.title.map(str::to_owned));
        said.or_else(host).unwrap_or_else(|| "Podcast".to_owned())
    }

    /// The show, as far as it is known.
    pub(crate) fn item(&self, cx: &Context, feed: Option<&Feed>) -> Result<Show> {
        let mut show = Show::new(cx.uri(Kind::Show, &self.id.to_string())?, self.name(feed));
        show.added_at = self.added_ms.and_then(|ms| rfc3339(ms.div_euclid(1000)));
        show.locator = Some(self.url.to_owned());
        let Some(feed) = feed else { return Ok(show) };
        show.publisher.clone_from(&feed.publisher);
        show.description.clone_from(&feed.description);
        show.explicit = feed.explicit;
        show.episode_count = u32::try_from(feed.episodes.len()).ok();
        show.web_url.clone_from(&feed.link);
        show.artwork = picture(feed.image.as_ref());
        Ok(show)
    }

    /// One of its episodes. `now` is in seconds since 1970-01-01 UTC.
    pub(crate) fn episode(&self, cx: &Context, feed: &Feed, from: &feed::Episode, now: i64) -> Result<Episode> {
        let show = ShowRef { title: self.name(Some(feed)), uri: Some(cx.uri(Kind::Show, &self.id.to_string())?) };
        let uri = cx.uri(Kind::Episode, &ids::episode(self.id, from.id()))?;
        let mut episode = Episode::new(uri, from.title.clone().unwrap_or_else(|| show.title.clone()));
        episode.show = Some(show);
        episode.description.clone_from(&from.description);
        episode.duration_ms = from.duration_ms;
        episode.release_date = from.published.and_then(|at| Some(rfc3339(at)?.get(..10)?.to_owned()));
        episode.added_at = from.published.filter(|at| *at <= now).and_then(rfc3339);
        (episode.season_number, episode.episode_number) = (from.season, from.number);
        episode.explicit = from.explicit.or(feed.explicit);
        episode.playable = Some(from.audio.is_some());
        episode.web_url.clone_from(&from.link);
        // A picture that is the show's need not be fetched for each episode.
        episode.artwork = picture(from.image.as_ref().filter(|image| Some(*image) != feed.image.as_ref()));
        if let Some(audio) = &from.audio {
            let locator = Locator::of(audio, from.duration_ms);
            episode.locator = Some(serde_json::to_string(&locator).map_err(ProviderError::internal)?);
            episode.audio =
                Some(Audio { content_type: audio.content_type.clone(), size: audio.size, ..Audio::default() });
        }
        Ok(episode)
    }
}

impl Locator {
    pub(crate) fn of(audio: &feed::Enclosure, duration_ms: Option<u64>) -> Self {
        let bitrate = audio.size.zip(duration_ms).and_then(|(size, ms)| size.checked_mul(8)?.checked_div(ms));
        let bitrate = bitrate.and_then(|rate| u32::try_from(rate).ok()).filter(|rate| (8..=5000).contains(rate));
        Self { url: audio.url.clone(), content_type: audio.content_type.clone(), bitrate }
    }
}

fn picture(url: Option<&String>) -> Vec<Artwork> {
    url.map(|url| Artwork { locator: url.clone(), width: None, height: None }).into_iter().collect()
}

fn rfc3339(seconds: i64) -> Option<String> {
    Some(DateTime::from_timestamp(seconds, 0)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}

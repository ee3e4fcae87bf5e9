//! A stateful stand-in for Spotify's accounts service and Web API, as apps in development mode see them late in 2026, for
//! demonstrations and tests without an account. It is strict where the service is, and misbehaves on request.
//!
//! [`Simulator::start`] runs it inside a test; the program of the same name serves it to anybody. Content is made from a seed
//! and is the same for the same [`Options`]; nothing is stored.

mod accounts;
mod call;
mod catalogue;
mod change;
mod content;
mod contract;
mod control;
mod exchange;
mod journal;
mod library;
mod options;
mod playlists;
mod random;
mod routes;
mod rules;
mod server;
mod shape;
mod state;

use std::{net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

pub use crate::{
    change::Change,
    contract::{DOCUMENT, Operation, operation, operations},
    exchange::Exchange,
    journal::Entry,
    options::{Options, RefreshToken},
    rules::{Effect, Forbidden, Rule},
};
use crate::{server::Service, state::State};

/// A running simulator. It stops when this is dropped.
pub struct Simulator {
    address: SocketAddr,
    service: Arc<Service>,
    server: JoinHandle<std::convert::Infallible>,
}

impl Simulator {
    /// Starts to serve.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(State::new(options, format!("http://{address}"))));
        let router = routes::router(Arc::clone(&service));
        let server = tokio::spawn(server::serve(listener, Arc::clone(&service), router));
        Ok(Self { address, service, server })
    }

    /// Base of the accounts service, such as `http://127.0.0.1:9099`.
    pub fn accounts_base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Base of the Web API, such as `http://127.0.0.1:9099/v1`.
    pub fn api_base(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Base of short links, such as `http://127.0.0.1:9099/short`: `<base>/track/<id>` leads to a track's page.
    pub fn short_link_base(&self) -> String {
        format!("http://{}/short", self.address)
    }

    /// Adds a rule for later requests.
    ///
    /// # Panics
    /// The rule's pattern is no regular expression.
    pub fn rule(&self, rule: Rule) {
        self.service.rule(rule).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Takes all rules away.
    pub fn clear_rules(&self) {
        self.service.state().rules.clear();
    }

    /// How many requests were hit by rules that are still there.
    pub fn hits(&self) -> usize {
        self.service.state().rules.iter().map(|rule| rule.hits).sum()
    }

    /// Makes something happen at the service.
    ///
    /// # Panics
    /// It names a user or a thing that is not there.
    pub fn change(&self, change: &Change) {
        change::apply(&mut self.service.state(), change).unwrap_or_else(|error| panic!("{error}"));
    }

    /// All requests since the start or [`Simulator::forget_requests`].
    pub fn requests(&self) -> Vec<Entry> {
        self.service.state().journal.entries.iter().cloned().collect()
    }

    /// From now on keeps requests to the Web API whole, with their answers.
    pub fn record(&self) {
        self.service.state().exchanges.get_or_insert_default();
    }

    /// What was kept since [`Simulator::record`], which is forgotten here.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        self.service.state().exchanges.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How many requests asked for an operation, such as `GET /me/tracks` or `POST /api/token`.
    pub fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|entry| entry.operation.as_deref() == Some(operation)).count()
    }

    /// How many requests the Web API has had.
    pub fn api_calls(&self) -> usize {
        self.requests().iter().filter(|entry| entry.path.starts_with("/v1/")).count()
    }

    /// Empties the log.
    pub fn forget_requests(&self) {
        self.service.state().journal.clear();
    }

    /// Ids of the users who can sign in.
    pub fn users(&self) -> Vec<String> {
        let state = self.service.state();
        state.users.iter().take(state.options.users).map(|user| user.id.clone()).collect()
    }

    /// What a user has saved of a kind (`track`, `album`, `show`, `episode`, `artist`): URIs, newest first.
    pub fn saved(&self, user: &str, kind: &str) -> Vec<String> {
        let state = self.service.state();
        let rows = state.user(user).and_then(|n| state.users[n].saved.get(kind));
        rows.map(|rows| rows.iter().map(|row| row.uri.clone()).collect()).unwrap_or_default()
    }

    /// Ids of a user's playlists, own and followed, in their order.
    pub fn playlists(&self, user: &str) -> Vec<String> {
        let state = self.service.state();
        state.user(user).map(|n| state.users[n].playlists.clone()).unwrap_or_default()
    }

    /// URIs of a playlist's rows.
    pub fn rows(&self, playlist: &str) -> Vec<String> {
        let state = self.service.state();
        let rows =
            state.playlists.get(playlist).map(|playlist| playlist.rows.iter().map(|row| row.uri.clone()).collect());
        rows.unwrap_or_default()
    }

    /// Something of the catalogue as the Web API shows it.
    pub fn item(&self, uri: &str) -> Option<Value> {
        self.service.state().shape().item(uri)
    }

    /// A URI of a track that a user has not saved.
    pub fn unsaved_track(&self, user: &str) -> Option<String> {
        let saved = self.saved(user, "track");
        let state = self.service.state();
        state.catalogue.tracks.iter().map(|track| content::uri("track", &track.id)).find(|uri| !saved.contains(uri))
    }

    /// What a user who agrees is sent back to, for an address of the accounts service's page.
    ///
    /// # Errors
    /// What the page would say is wrong with the address, or that there is no such user.
    pub fn agree(&self, authorize_url: &str, user: &str) -> Result<String, String> {
        let url = url::Url::parse(authorize_url).map_err(|error| error.to_string())?;
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        let mut state = self.service.state();
        let user = state.user(user).ok_or_else(|| format!("no user {user}"))?;
        accounts::agree(&mut state, &query, user)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

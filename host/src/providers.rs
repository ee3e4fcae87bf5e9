//! Being written.
use std::{path::PathBuf, sync::Arc};
use bytes::Bytes;
use zotify_plugin_api::{ProviderError, ProviderManifest, Result, StreamRequest, method::Method, service::HttpRequest};
pub struct Registry;
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum Lane { Interactive, Job }
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum State { Loading, Started, Failed, Quarantined, Disabled }
pub struct InstanceHandle;
pub struct Egress;
pub struct PluginStream;
impl Registry {
    pub fn get(&self, _id: &str) -> Option<Arc<InstanceHandle>> { None }
    pub fn instances(&self) -> Vec<Arc<InstanceHandle>> { vec![] }
    pub async fn call<M: Method>(&self, _instance: &str, _account: Option<&str>, _lane: Lane, _request: M::Request) -> Result<M::Reply> { Err(ProviderError::unavailable("")) }
}
impl InstanceHandle {
    pub fn id(&self) -> &str { "" }
    pub fn state(&self) -> State { State::Loading }
    pub fn manifest(&self) -> Option<&ProviderManifest> { None }
    pub fn has(&self, _capability: &str) -> bool { false }
    pub fn granted_roots(&self) -> Vec<PathBuf> { vec![] }
    pub fn egress(&self) -> &Egress { &Egress }
    pub async fn open_stream(&self, _request: StreamRequest) -> Result<PluginStream> { Err(ProviderError::unavailable("")) }
}
impl Egress { pub async fn open(&self, _request: &HttpRequest) -> Result<reqwest::Response> { Err(ProviderError::unavailable("")) } }
impl PluginStream { pub async fn next(&mut self) -> Result<Option<Bytes>> { Ok(None) } }

//! Events that plugins report.

use std::sync::PoisonError;

use zotify_plugin_api::{ErrorKind, ProviderError, Result, service::PluginEvent};

use super::{Notice, Services};

/// The largest data of a trigger, in bytes of JSON.
const MAX_DATA: usize = 64 << 10;

impl Services {
    pub(super) fn emit(&self, event: PluginEvent) -> Result<()> {
        if !self.event_rate.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(ProviderError::new(ErrorKind::RateLimited, "the plugin reports too many events")
                .with_retry_after_ms(1000));
        }
        let instance = self.instance.clone();
        let notice = match event {
            PluginEvent::LibraryChanged { account } => Notice::LibraryChanged { instance, account },
            PluginEvent::Trigger { name, data } => {
                if !self.triggers.contains(&name) {
                    return Err(ProviderError::invalid("the manifest declares no such trigger"));
                }
                if data.len() > MAX_DATA {
                    return Err(ProviderError::new(ErrorKind::TooLarge, "the data of a trigger is over 64 KiB"));
                }
                let data = serde_json::from_str(&data)
                    .map_err(|_| ProviderError::invalid("the data of a trigger is no JSON"))?;
                Notice::Triggered { instance, trigger: name, data }
            }
            // One of a later protocol.
            _ => return Ok(()),
        };
        // Nobody has to listen.
        let _ = self.notices.send(notice);
        Ok(())
    }
}

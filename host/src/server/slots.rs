//! How many connections there may be, in all and from one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Server;

/// Files that the host needs for other things than connections.
const RESERVED_FILES: u64 = 256;

/// Lets this process open as many files as the system allows it; many systems begin with a lower limit.
pub fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!("the limit of open files cannot be raised: {error}");
    }
}

/// The places that there are for connections.
pub(super) struct Slots {
    total: Arc<Semaphore>,
    per_address: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The place of a connection, for as long as it is kept.
pub(super) struct Slot {
    address: Option<IpAddr>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total(server.max_connections))),
            per_address: server.max_connections_per_address,
            taken: Arc::default(),
        }
    }

    /// Waits until there is a place for another connection.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.total).acquire_owned().await {
            Ok(permit) => permit,
            // Nothing closes it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives the place to a peer, unless it has too many already.
    pub(super) fn take(&self, permit: OwnedSemaphorePermit, peer: IpAddr, trusted: bool) -> Option<Slot> {
        let address = if trusted { None } else { Some(counted(peer)) };
        if let Some(address) = address {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let count = taken.entry(address).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        Some(Slot { address, taken: Arc::clone(&self.taken), _permit: permit })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.entry(address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// As many as wanted, or as files can be open.
fn total(wanted: usize) -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let possible = usize::try_from(files.saturating_sub(RESERVED_FILES).max(16)).unwrap_or(usize::MAX);
    if possible < wanted {
        tracing::warn!(
            "{possible} connections are served at once, not server.max_connections = {wanted}: this process may open \
             {files} files only"
        );
    }
    wanted.min(possible).min(Semaphore::MAX_PERMITS)
}

/// The address that a peer's connections are counted for. Whoever has an IPv6 address has its whole /64.
fn counted(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, per_address: usize) -> Slots {
        let server = Server { max_connections: total, max_connections_per_address: per_address, ..Server::default() };
        Slots::new(&server)
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let slots = slots(16, 2);
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let first = slots.take(slots.free().await, peer, false).unwrap();
        let _second = slots.take(slots.free().await, "::ffff:192.0.2.1".parse().unwrap(), false).unwrap();
        assert!(slots.take(slots.free().await, peer, false).is_none());
        assert!(slots.take(slots.free().await, peer, true).is_some(), "a proxy has no limit");
        assert!(slots.take(slots.free().await, "192.0.2.2".parse().unwrap(), false).is_some());
        drop(first);
        let again = slots.take(slots.free().await, peer, false);
        assert!(again.is_some());
        drop(again);
        drop(_second);
        assert!(slots.taken.lock().unwrap().is_empty(), "nothing is kept of those who left");
        assert_eq!(slots.total.available_permits(), 16);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let of = |text: &str| counted(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}

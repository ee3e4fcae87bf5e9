//! Slows down guessing of passwords: after a few failures in a row each further one costs twice the wait.
//!
//! Failures count by name and network, so that nobody can lock out a user from elsewhere; by name over all networks, so
//! that many networks give no more guesses; and by network over all names, so that one password is not tried on everybody.
//! The latter two let pass who has signed in from this network before. They are kept in the database, so that neither a
//! restart nor a second node gives more guesses.

use std::net::{IpAddr, Ipv6Addr};

use sqlx::any::AnyExecutor;

use crate::{
    App,
    db::{self, Tx, now_ms},
    error::ApiError,
};

/// Failures in a row that cost nothing, with one name from one network.
const FREE: i64 = 10;
/// Failures that cost nothing, with one name over all networks or from one network over all names.
const FREE_WIDE: i64 = 100;
/// The longest wait, in milliseconds.
const MAX_WAIT: i64 = 15 * 60 * 1000;
/// After this time without a failure all is forgotten, in milliseconds.
pub(crate) const MEMORY: i64 = 60 * 60 * 1000;

/// Who is guessed at, and from where.
#[derive(Clone, Debug)]
pub struct Attempt {
    name_key: String,
    network: String,
}

impl Attempt {
    /// Signing in with a folded name from an address.
    pub fn new(name_key: String, address: IpAddr) -> Self {
        // No name is so short; an empty one stands for all.
        let name_key = if name_key.is_empty() { "?".into() } else { name_key };
        Self { name_key, network: network(address) }
    }

    /// Makes sure that this need not wait.
    ///
    /// # Errors
    /// 429 `too_many_attempts` with `Retry-After`.
    pub async fn check(&self, app: &App) -> Result<(), ApiError> {
        refuse_until(db::sign_ins::blocked_until(app.db.read(), &self.name_key, &self.network).await?)?;
        let wide = db::sign_ins::widely_blocked_until(app.db.read(), &self.name_key, &self.network).await?;
        self.refuse_strangers_until(app.db.read(), wide).await
    }

    /// Counts a wrong password, in a transaction that has to be committed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_failure(&self, tx: &mut Tx) -> sqlx::Result<Counted> {
        self.lock(tx).await?;
        db::sign_ins::forget_old(tx, now_ms() - MEMORY).await?;
        // Always in this order, so that two never wait for each other.
        let pair = count(tx, &self.name_key, &self.network, FREE).await?;
        let name = count(tx, &self.name_key, "", FREE_WIDE).await?;
        let network = count(tx, "", &self.network, FREE_WIDE).await?;
        Ok(Counted { pair, wide: name.max(network) })
    }

    /// Makes sure that no others failed while this was looked at, so that many guesses at once are not answered. Call it
    /// when what [`count_failure`](Self::count_failure) did is committed.
    ///
    /// # Errors
    /// 429 `too_many_attempts`, or when the database fails.
    pub async fn check_counted(&self, app: &App, counted: Counted) -> Result<(), ApiError> {
        refuse_until(Some(counted.pair))?;
        self.refuse_strangers_until(app.db.read(), Some(counted.wide)).await
    }

    /// Forgets the failures after a right password.
    ///
    /// # Errors
    /// 429 where others failed in the meantime: the right one of many guesses at once must not show.
    pub async fn succeed(&self, tx: &mut Tx) -> Result<(), ApiError> {
        self.lock(tx).await?;
        let blocked = db::sign_ins::blocked_until(&mut **tx, &self.name_key, &self.network).await?;
        refuse_until(blocked)?;
        let wide = db::sign_ins::widely_blocked_until(&mut **tx, &self.name_key, &self.network).await?;
        self.refuse_strangers_until(&mut **tx, wide).await?;
        if blocked.is_some() {
            db::sign_ins::clear(tx, &self.name_key, &self.network).await?;
        }
        Ok(())
    }

    /// One at a time: what one guess adds, the next one sees.
    async fn lock(&self, tx: &mut Tx) -> sqlx::Result<()> {
        db::state::lock(tx, &format!("sign-in:{}:{}", self.network, self.name_key)).await
    }

    /// Refuses until a time, unless somebody with this name has signed in from this network.
    async fn refuse_strangers_until(
        &self,
        db: impl AnyExecutor<'_>,
        blocked_until: Option<i64>,
    ) -> Result<(), ApiError> {
        let Err(refused) = refuse_until(blocked_until) else { return Ok(()) };
        let known = db::sessions::addresses(db, &self.name_key).await?;
        let known = known.iter().filter_map(|address| address.parse().ok()).map(network);
        if known.into_iter().any(|known| known == self.network) { Ok(()) } else { Err(refused) }
    }
}

/// Until when sign-ins were refused as a failure was counted, Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pair: i64,
    wide: i64,
}

async fn count(tx: &mut Tx, name_key: &str, address: &str, free: i64) -> sqlx::Result<i64> {
    let (failures, blocked) = db::sign_ins::count_failure(tx, name_key, address).await?;
    if let Some(wait) = wait(failures, free) {
        db::sign_ins::block(tx, name_key, address, now_ms() + wait).await?;
    }
    Ok(blocked)
}

/// Where guesses come from: an IPv4 address, or a /64 of IPv6, since whoever has one address of that has them all.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip.to_string(),
    }
}

/// How long to wait after so many failures, in milliseconds.
fn wait(failures: i64, free: i64) -> Option<i64> {
    let over = failures.checked_sub(free).filter(|over| *over >= 0)?;
    let doublings = u32::try_from(over).unwrap_or(u32::MAX);
    Some(2_i64.saturating_pow(doublings).saturating_mul(1000).min(MAX_WAIT))
}

fn refuse_until(blocked_until: Option<i64>) -> Result<(), ApiError> {
    let wait_ms = blocked_until.unwrap_or(0) - now_ms();
    match u64::try_from(wait_ms) {
        Ok(ms) if ms > 0 => {
            let detail = "too many failed sign-ins with this name or from this network; wait before the next";
            let error = ApiError::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail);
            Err(error.with_retry_after(ms.div_ceil(1000)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_a_64_of_ipv6() {
        let of = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2::ffff"), of("2001:db8:1:2:8000::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        assert_eq!(wait(1, FREE), None);
        assert_eq!(wait(9, FREE), None);
        assert_eq!(wait(10, FREE), Some(1000));
        assert_eq!(wait(13, FREE), Some(8000));
        assert_eq!(wait(20, FREE), Some(MAX_WAIT));
        assert_eq!(wait(i64::MAX, FREE), Some(MAX_WAIT));
    }
}

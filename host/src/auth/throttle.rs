//! Slows down guessing of passwords: after a few failures in a row each further one costs twice the wait.
//!
//! Failures count by name and network, so that nobody can lock out a user from elsewhere. They are kept in the database,
//! so that neither a restart nor a second node gives more guesses.

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    App,
    db::{self, Tx, now_ms},
    error::ApiError,
};

/// Failures in a row that cost nothing.
const FREE: i64 = 10;
/// The longest wait, in milliseconds.
const MAX_WAIT: i64 = 15 * 60 * 1000;
/// After this time without a failure all is forgotten, in milliseconds.
const MEMORY: i64 = 60 * 60 * 1000;

/// Where guesses come from: an IPv4 address, or a /64 of IPv6, since whoever has one address of that has them all.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip.to_string(),
    }
}

/// Makes sure that a sign-in with this name from this network need not wait.
///
/// # Errors
/// 429 `too_many_attempts` with `Retry-After`.
pub async fn check(app: &App, name_key: &str, network: &str) -> Result<(), ApiError> {
    refuse_until(db::sign_ins::blocked_until(app.db.read(), name_key, network).await?)
}

/// Counts a wrong password.
///
/// # Errors
/// 429 where others failed in the meantime, so that many guesses at once are not answered; or when the database fails.
pub async fn count_failure(app: &App, name_key: &str, network: &str) -> Result<(), ApiError> {
    let mut tx = app.db.write().await?;
    lock(&mut tx, name_key, network).await?;
    let blocked = db::sign_ins::blocked_until(&mut *tx, name_key, network).await?;
    let now = now_ms();
    let failures = db::sign_ins::count_failure(&mut tx, name_key, network, now - MEMORY).await?;
    if let Some(wait) = wait(failures) {
        db::sign_ins::block(&mut tx, name_key, network, now + wait).await?;
    }
    tx.commit().await?;
    refuse_until(blocked)
}

/// Forgets the failures after a right password.
///
/// # Errors
/// 429 where others failed in the meantime: the right one of many guesses at once must not show.
pub async fn succeed(tx: &mut Tx, name_key: &str, network: &str) -> Result<(), ApiError> {
    lock(tx, name_key, network).await?;
    let blocked = db::sign_ins::blocked_until(&mut **tx, name_key, network).await?;
    refuse_until(blocked)?;
    if blocked.is_some() {
        db::sign_ins::clear(tx, name_key, network).await?;
    }
    Ok(())
}

/// One at a time: what one guess adds, the next one sees.
async fn lock(tx: &mut Tx, name_key: &str, network: &str) -> sqlx::Result<()> {
    db::state::lock(tx, &format!("sign-in:{network}:{name_key}")).await
}

/// How long to wait after so many failures, in milliseconds.
fn wait(failures: i64) -> Option<i64> {
    let over = failures.checked_sub(FREE).filter(|over| *over >= 0)?;
    let doublings = u32::try_from(over).unwrap_or(u32::MAX);
    Some(2_i64.saturating_pow(doublings).saturating_mul(1000).min(MAX_WAIT))
}

fn refuse_until(blocked_until: Option<i64>) -> Result<(), ApiError> {
    let wait_ms = blocked_until.unwrap_or(0) - now_ms();
    match u64::try_from(wait_ms) {
        Ok(ms) if ms > 0 => {
            let detail = "too many failed sign-ins with this name; wait before the next";
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
        assert_eq!(wait(1), None);
        assert_eq!(wait(9), None);
        assert_eq!(wait(10), Some(1000));
        assert_eq!(wait(13), Some(8000));
        assert_eq!(wait(20), Some(MAX_WAIT));
        assert_eq!(wait(i64::MAX), Some(MAX_WAIT));
    }
}

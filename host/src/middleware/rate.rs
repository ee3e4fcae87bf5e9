//! How often an address and a user may ask: token buckets, and the `RateLimit-*` headers that say how full they are.
//!
//! Each node counts for itself. The headers are those of the IETF's draft "RateLimit header fields for HTTP" up to
//! version 7, which clients know best: `RateLimit-Limit`, `-Remaining`, and `-Reset` in seconds.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};

use super::client::Client;
use crate::{AppState, auth::throttle::network, error::ApiError};

/// What is counted.
const COUNTED: [&str; 2] = ["/api/", "/ui/"];
/// What is counted as a sign-in too: whoever asks here is not known yet.
const SIGN_INS: [&str; 4] = ["/api/auth/login", "/api/auth/register", "/api/auth/refresh", "/ui/sign-in"];
/// How often full buckets are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Buckets = RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// Everybody's buckets, by their size.
#[derive(Default)]
pub struct Rates {
    sizes: Mutex<HashMap<NonZeroU32, Size>>,
}

struct Size {
    buckets: Arc<Buckets>,
    swept: Instant,
}

/// How full a bucket is after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    limit: u32,
    /// Requests that may come at once now.
    remaining: u32,
    /// Seconds until as many may come as ever.
    reset_s: u64,
}

/// Where the layer learns of the user's bucket, in the request's extensions.
#[derive(Clone, Default)]
pub struct Counted(Arc<Mutex<Option<Standing>>>);

impl Rates {
    /// Counts a request of whoever `who` is.
    ///
    /// # Errors
    /// The standing, and how long to wait, when it was one too many.
    pub fn count(&self, who: String, per_minute: NonZeroU32) -> Result<Standing, (Standing, Duration)> {
        let buckets = self.of_size(per_minute);
        let limit = per_minute.get();
        let standing = |remaining: u32| {
            let missing = u64::from(limit - remaining.min(limit));
            Standing { limit, remaining, reset_s: (missing * 60).div_ceil(u64::from(limit)) }
        };
        match buckets.check_key(&who) {
            Ok(state) => Ok(standing(state.remaining_burst_capacity())),
            Err(until) => Err((standing(0), until.wait_time_from(DefaultClock::default().now()))),
        }
    }

    fn of_size(&self, per_minute: NonZeroU32) -> Arc<Buckets> {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let size = sizes.entry(per_minute).or_insert_with(|| Size {
            buckets: Arc::new(
                RateLimiter::hashmap(Quota::per_minute(per_minute)).with_middleware::<StateInformationMiddleware>(),
            ),
            swept: Instant::now(),
        });
        if size.swept.elapsed() > SWEEP {
            size.swept = Instant::now();
            size.buckets.retain_recent();
        }
        size.buckets.clone()
    }
}

/// Counts a request of a user, and notes it for the reply's headers.
///
/// # Errors
/// 429 `rate_limited`.
pub fn count_user(rates: &Rates, user_id: &str, per_minute: u32, counted: Option<&Counted>) -> Result<(), ApiError> {
    let Some(per_minute) = NonZeroU32::new(per_minute) else { return Ok(()) };
    let outcome = rates.count(format!("user {user_id}"), per_minute);
    if let Some(Counted(noted)) = counted {
        let standing = outcome.unwrap_or_else(|(standing, _)| standing);
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }
    outcome.map(drop).map_err(|(standing, wait)| refuse("you sent", standing, wait))
}

/// The layer.
pub async fn layer(State(app): State<AppState>, client: Client, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !COUNTED.iter().any(|counted| path.starts_with(counted)) {
        return next.run(request).await;
    }
    let limits = &app.config.limits;
    let mut address = None;
    for (kind, limit) in [
        ("address", limits.requests_per_minute_per_address),
        ("sign-in", if SIGN_INS.contains(&path) { limits.sign_ins_per_minute_per_address } else { 0 }),
    ] {
        let Some(limit) = NonZeroU32::new(limit) else { continue };
        match app.rates.count(format!("{kind} {}", network(client.ip)), limit) {
            Ok(standing) => address = Some(standing),
            Err((standing, wait)) => {
                let mut response = refuse("your address sent", standing, wait).into_response();
                standing.write(response.headers_mut());
                return response;
            }
        }
    }
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    let mut response = next.run(request).await;
    let user = *counted.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(standing) = user.or(address) {
        standing.write(response.headers_mut());
    }
    response
}

impl Standing {
    fn write(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        headers.insert(RESET, self.reset_s.into());
        if let Ok(policy) = HeaderValue::from_str(&format!("{};w=60", self.limit)) {
            headers.insert(POLICY, policy);
        }
    }
}

fn refuse(who: &str, standing: Standing, wait: Duration) -> ApiError {
    let detail = format!("{who} more than {} requests a minute; wait as Retry-After says", standing.limit);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).with_retry_after(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_each_has_its_own() {
        let (rates, limit) = (Rates::default(), NonZeroU32::new(3).unwrap());
        let count = |who: &str| rates.count(who.into(), limit);
        for remaining in [2, 1, 0] {
            let standing = count("anna").unwrap();
            assert_eq!((standing.limit, standing.remaining), (3, remaining));
            assert!(standing.reset_s <= 60, "{standing:?}");
        }
        let (standing, wait) = count("anna").unwrap_err();
        assert_eq!((standing.remaining, standing.reset_s), (0, 60));
        assert!(!wait.is_zero() && wait <= Duration::from_secs(20), "{wait:?}");
        assert!(count("bert").is_ok());
    }
}

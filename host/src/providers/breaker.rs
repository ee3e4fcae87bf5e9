//! Stops calls to an instance that keeps failing, and tries again after a while.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use zotify_plugin_api::ErrorKind;

use crate::config;

/// How long a trial may take before another is let through.
const TRIAL: Duration = Duration::from_secs(60);

/// A circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: usize,
    window: Duration,
    open_for: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: VecDeque<Instant>,
    open_until: Option<Instant>,
    trial: Option<Instant>,
}

/// What a breaker looks like from outside.
pub(super) struct Snapshot {
    pub(super) failures: usize,
    /// How long calls are still refused; none where they are not.
    pub(super) open_for: Option<Duration>,
    pub(super) half_open: bool,
}

impl Breaker {
    pub(super) fn new(config: &config::Breaker) -> Self {
        Self {
            limit: config.failures as usize,
            window: Duration::from_secs(config.window_s),
            open_for: Duration::from_secs(config.open_s),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, or says how long to wait. After that time one call is let through as a trial.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let Some(until) = state.open_until else { return Ok(()) };
        if now < until {
            return Err(until - now);
        }
        match state.trial {
            Some(started) if now < started + TRIAL => Err(Duration::from_secs(1)),
            _ => {
                state.trial = Some(now);
                Ok(())
            }
        }
    }

    /// Takes note of how a call went.
    pub(super) fn record(&self, failed: bool, now: Instant) {
        let mut state = self.state();
        if !failed {
            *state = State::default();
            return;
        }
        state.failures.push_back(now);
        while state.failures.front().is_some_and(|first| *first + self.window < now) {
            state.failures.pop_front();
        }
        if state.trial.take().is_some() || state.failures.len() >= self.limit {
            state.open_until = Some(now + self.open_for);
        }
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let state = self.state();
        let open_for = state.open_until.and_then(|until| until.checked_duration_since(now)).filter(|d| !d.is_zero());
        Snapshot {
            failures: state.failures.iter().filter(|at| **at + self.window >= now).count(),
            half_open: state.open_until.is_some() && open_for.is_none(),
            open_for,
        }
    }
}

/// Whether an error speaks against the instance, rather than against the request.
pub(super) fn is_failure(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Timeout
            | ErrorKind::Crashed
            | ErrorKind::Panicked
            | ErrorKind::Unavailable
            | ErrorKind::BadUpstream
            | ErrorKind::Internal
            | ErrorKind::Unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(&config::Breaker { failures: 3, window_s: 30, open_s: 10 })
    }

    #[test]
    fn opens_after_failures_in_the_window_and_closes_after_a_good_trial() {
        let (breaker, start) = (breaker(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        for s in 0..3 {
            assert_eq!(breaker.admit(at(s)), Ok(()));
            breaker.record(true, at(s));
        }
        assert_eq!(breaker.admit(at(4)), Err(Duration::from_secs(8)));
        assert_eq!(breaker.snapshot(at(4)).failures, 3);
        assert_eq!(breaker.admit(at(12)), Ok(()), "a trial");
        assert!(breaker.admit(at(12)).is_err(), "only one");
        breaker.record(false, at(13));
        assert_eq!(breaker.admit(at(13)), Ok(()));
        assert_eq!(breaker.snapshot(at(13)).failures, 0);
    }

    #[test]
    fn a_bad_trial_opens_it_again_and_a_lost_one_does_not_lock_it() {
        let (breaker, start) = (breaker(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        (0..3).for_each(|_| breaker.record(true, start));
        assert_eq!(breaker.admit(at(10)), Ok(()));
        breaker.record(true, at(11));
        assert_eq!(breaker.admit(at(12)), Err(Duration::from_secs(9)));
        assert_eq!(breaker.admit(at(21)), Ok(()), "this trial never ends");
        assert!(breaker.admit(at(80)).is_err());
        assert_eq!(breaker.admit(at(82)), Ok(()));
    }

    #[test]
    fn failures_far_apart_do_not_open_it() {
        let (breaker, start) = (breaker(), Instant::now());
        for n in 0..9 {
            let now = start + Duration::from_secs(n * 20);
            breaker.record(true, now);
            assert_eq!(breaker.admit(now), Ok(()));
        }
    }
}

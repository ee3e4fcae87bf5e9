//! The arithmetic of budgets: whether one more request fits, and when it will.

use crate::db::budgets::{Budget, Use};

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3600 * 1000;
/// Hours that a day's quota is counted over, besides the one that is running.
pub(super) const DAY_HOURS: i64 = 24;
/// What calls that nobody waits for may use of a window and of a day, in percent.
const BACKGROUND_PERCENT: i64 = 80;
/// Requests that an account may always make in a day, as long as the day has them.
const SMALLEST_SHARE: i64 = 50;

/// What requests in the background may use of a limit.
pub(super) fn background(limit: i64) -> i64 {
    (limit.saturating_mul(BACKGROUND_PERCENT) / 100).max(1)
}

/// What one of so many accounts may use of a day, or of the part of it that is for the background.
pub(super) fn share(limit: i64, accounts: i64) -> i64 {
    (limit / accounts.max(1)).max(SMALLEST_SHARE)
}

/// The hour of a time, and how much of the hour is over, in milliseconds.
pub(super) fn hour(now: i64) -> (i64, i64) {
    (now.div_euclid(HOUR_MS), now.rem_euclid(HOUR_MS))
}

/// What is left of a count after a part of its time has passed, rounded up.
fn weighted(count: i64, passed: i64, time: i64) -> i64 {
    let left = i128::from(count) * i128::from((time - passed).clamp(0, time));
    i64::try_from((left + i128::from(time) - 1) / i128::from(time)).unwrap_or(i64::MAX)
}

/// A part of a time at which no more than `allowed` of `count` are left by [`weighted`].
fn passed_at(count: i64, allowed: i64, time: i64) -> i64 {
    if count <= 0 {
        return 0;
    }
    let left = i128::from(allowed.max(0)) * i128::from(time) / i128::from(count);
    (time - i64::try_from(left).unwrap_or(time)).max(0)
}

/// The requests of a window that slides: those of the window that runs, and of the one before it as many as it still
/// covers, as if they had come evenly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) at: i64,
    pub(super) used: i64,
    pub(super) before: i64,
    length: i64,
}

impl Window {
    /// The window at a time, from what was counted until then.
    pub(super) fn of(counted: Option<&Budget>, now: i64, length: i64) -> Self {
        let length = length.max(1);
        let fresh = Self { at: now, used: 0, before: 0, length };
        let Some(counted) = counted else { return fresh };
        let (at, used, before) = (counted.window_at, counted.window_used, counted.window_before);
        match now.saturating_sub(at) / length {
            // Also where the clock was set back.
            i64::MIN..=0 => Self { at: at.min(now), used, before, length },
            1 => Self { at: at + length, used: 0, before: used, length },
            _ => fresh,
        }
    }

    pub(super) fn estimate(&self, now: i64) -> i64 {
        self.used.saturating_add(weighted(self.before, now - self.at, self.length))
    }

    /// How long to wait until one more fits, in milliseconds; none where it does.
    pub(super) fn wait(&self, now: i64, limit: i64) -> Option<i64> {
        let limit = limit.max(1);
        if self.estimate(now) < limit {
            return None;
        }
        let passed = now - self.at;
        let free_at = if self.used < limit {
            passed_at(self.before, limit - 1 - self.used, self.length)
        } else {
            self.length + passed_at(self.used, limit - 1, self.length)
        };
        Some((free_at - passed).max(1))
    }

    /// When nothing counts any more, if nothing is added.
    pub(super) fn empty_at(&self) -> Option<i64> {
        match (self.used, self.before) {
            (0, 0) => None,
            (0, _) => Some(self.at + self.length),
            _ => Some(self.at + 2 * self.length),
        }
    }
}

/// The requests of the last day: full hours, and of the oldest one as much as the day still covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// All of them.
    pub(super) used: i64,
    /// Those of the account.
    pub(super) of_account: i64,
    /// Those of them in the background.
    pub(super) in_background: i64,
    /// The accounts that made them, with the one that asks.
    pub(super) accounts: i64,
}

impl Day {
    pub(super) fn of(uses: &[Use], account: Option<&str>, now: i64) -> Self {
        let (_, passed) = hour(now);
        let used: i64 = uses.iter().map(|of| of.used).sum();
        let oldest = uses.iter().map(|of| of.oldest).sum();
        let own = account.and_then(|account| uses.iter().find(|of| of.account_id == account));
        let others = uses.iter().filter(|of| !of.account_id.is_empty() && Some(of.account_id.as_str()) != account);
        Self {
            used: used.saturating_add(weighted(oldest, passed, HOUR_MS)),
            of_account: own.map_or(0, |of| of.used + weighted(of.oldest, passed, HOUR_MS)),
            in_background: own.map_or(0, |of| of.background + weighted(of.oldest_background, passed, HOUR_MS)),
            accounts: i64::try_from(others.count()).unwrap_or(i64::MAX).saturating_add(i64::from(account.is_some())),
        }
    }
}

/// How long until enough requests are older than a day, in milliseconds: `used` count now, by hour as listed, and one more
/// must fit under `limit`.
pub(super) fn day_wait(hours: &[(i64, i64)], used: i64, limit: i64, now: i64) -> i64 {
    let mut left = used;
    for (hour, count) in hours {
        left -= count;
        if left < limit {
            return ((hour + DAY_HOURS + 1) * HOUR_MS - now).max(1);
        }
    }
    HOUR_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(at: i64, used: i64, before: i64) -> Budget {
        Budget { window_at: at, window_used: used, window_before: before, ..Budget::default() }
    }

    #[test]
    fn a_window_slides_on() {
        let row = counted(1000, 10, 4);
        assert_eq!(Window::of(Some(&row), 1000, 100).estimate(1000), 14);
        assert_eq!(Window::of(Some(&row), 1050, 100).estimate(1050), 12);
        let next = Window::of(Some(&row), 1150, 100);
        assert_eq!((next.at, next.used, next.before, next.estimate(1150)), (1100, 0, 10, 5));
        assert_eq!(Window::of(Some(&row), 1200, 100).estimate(1200), 0);
        assert_eq!(Window::of(Some(&row), 500, 100).estimate(500), 14, "the clock was set back");
    }

    #[test]
    fn the_oldest_hour_of_a_day_fades() {
        let of = |account: &str, used, oldest| Use {
            account_id: account.into(),
            used,
            oldest,
            background: used,
            oldest_background: oldest,
        };
        let uses = [of("a", 10, 8), of("b", 5, 0), of("", 1, 0)];
        let day = Day::of(&uses, Some("a"), 100 * HOUR_MS + HOUR_MS / 2);
        assert_eq!(day, Day { used: 20, of_account: 14, in_background: 14, accounts: 2 });
        assert_eq!(Day::of(&uses, Some("c"), 100 * HOUR_MS).accounts, 3);
        assert_eq!(Day::of(&uses, None, 100 * HOUR_MS), Day { used: 24, of_account: 0, in_background: 0, accounts: 2 });
    }

    #[test]
    fn a_day_has_room_again_when_old_hours_drop_out() {
        let hours = [(76, 5), (80, 5), (99, 90)];
        let now = 100 * HOUR_MS;
        assert_eq!(day_wait(&hours, 100, 100, now), HOUR_MS);
        assert_eq!(day_wait(&hours, 100, 95, now), 5 * HOUR_MS);
        assert_eq!(day_wait(&hours, 100, 20, now), 24 * HOUR_MS);
    }

    #[test]
    fn shares_are_fair_and_never_nothing() {
        assert_eq!((background(1000), background(1), share(1000, 4), share(100, 50)), (800, 1, 250, 50));
    }

    #[test]
    fn the_wait_is_long_enough_and_a_burst_is_less_than_twice_the_limit() {
        let (length, mut seed) = (1000, 7_u64);
        // xorshift
        let mut random = |below: i64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            i64::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..300 {
            let (limit, mut now, mut row) = (1 + random(50), 5_000_000, Budget::default());
            let (mut sent, mut refused) = (Vec::new(), 0);
            for _ in 0..60 {
                now += random(1500);
                for _ in 0..=random(30) {
                    let window = Window::of(Some(&row), now, length);
                    if let Some(wait) = window.wait(now, limit) {
                        refused += 1;
                        let later = now + wait;
                        assert_eq!(Window::of(Some(&row), later, length).wait(later, limit), None, "{row:?} at {now}");
                    } else {
                        sent.push(now);
                        row = counted(window.at, window.used + 1, window.before);
                    }
                }
                let burst = sent.iter().filter(|at| **at > now - length).count();
                assert!(i64::try_from(burst).unwrap() < 2 * limit, "{burst} of {limit}");
            }
            assert!(refused > 0 || limit > 20);
        }
    }
}

//! What a service means by 429.

use zotify_plugin_api::service::HttpResponse;

/// The longest that a service is believed, in milliseconds: a week.
const LONGEST_MS: i64 = 7 * 24 * 3600 * 1000;
/// Up to here a wait is that of the short window, in milliseconds.
const SHORT_MS: i64 = 60_000;
/// The first wait where the service names none, in milliseconds; it doubles up to [`SHORT_MS`].
const FIRST_MS: i64 = 1000;
/// The largest body that is looked at, in bytes.
const MAX_BODY: usize = 64 << 10;
/// What services call a quota that is used up.
const QUOTA: &str = "QUOTA_EXCEEDED";

/// What is to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Whether it is the quota of the day, rather than the short window.
    pub(super) quota: bool,
    /// How long, in milliseconds; none where the service does not say.
    pub(super) wait_ms: Option<i64>,
}

impl Refused {
    /// What an answer says; none where it is no refusal of that kind.
    pub(super) fn of(response: &HttpResponse) -> Option<Self> {
        if response.status != 429 {
            return None;
        }
        let wait_ms = response.header("retry-after").and_then(wait_ms);
        let quota = wait_ms.is_some_and(|ms| ms > SHORT_MS) || names_quota(&response.body);
        Some(Self { quota, wait_ms })
    }

    /// How long to wait after so many refusals in a row that did not say.
    pub(super) fn wait(self, strikes: i64) -> i64 {
        self.wait_ms.unwrap_or_else(|| {
            // Nobody knows when a day's quota is there again, but not in a second.
            let first = if self.quota { SHORT_MS } else { FIRST_MS };
            let doublings = u32::try_from(strikes.clamp(0, 10)).unwrap_or(0);
            first.saturating_mul(1 << doublings).min(SHORT_MS)
        })
    }
}

/// Seconds, also with a fraction; dates are seconds already when they get here.
fn wait_ms(value: &str) -> Option<i64> {
    let seconds: f64 = value.trim().parse().ok()?;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    let ms = std::time::Duration::try_from_secs_f64(seconds)
        .map_or(i64::MAX, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    Some(ms.clamp(FIRST_MS, LONGEST_MS))
}

fn names_quota(body: &[u8]) -> bool {
    if body.len() > MAX_BODY {
        return false;
    }
    serde_json::from_slice(body).is_ok_and(|json| has_reason(&json, 4))
}

fn has_reason(json: &serde_json::Value, depth: usize) -> bool {
    match json {
        serde_json::Value::String(text) => text == QUOTA,
        serde_json::Value::Object(fields) if depth > 0 => fields.values().any(|value| has_reason(value, depth - 1)),
        serde_json::Value::Array(values) if depth > 0 => values.iter().any(|value| has_reason(value, depth - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(retry_after: Option<&str>, body: &str) -> Refused {
        let headers = retry_after.map(|value| ("retry-after".to_owned(), value.to_owned())).into_iter().collect();
        Refused::of(&HttpResponse { status: 429, headers, body: body.into() }).unwrap()
    }

    #[test]
    fn waits_are_read_however_they_are_written() {
        for (value, ms) in [("2", 2000), (" 17 ", 17_000), ("1.5", 1500), ("0", 1000), ("1e30", LONGEST_MS)] {
            assert_eq!(refused(Some(value), "").wait_ms, Some(ms), "{value}");
        }
        for value in ["soon", "-1", "NaN", ""] {
            assert_eq!(refused(Some(value), "").wait_ms, None, "{value}");
        }
    }

    #[test]
    fn long_waits_and_the_reason_mean_the_quota() {
        assert!(!refused(Some("60"), "").quota);
        assert!(refused(Some("61"), "").quota);
        assert!(refused(None, r#"{"error":{"status":429,"reason":"QUOTA_EXCEEDED"}}"#).quota);
        assert!(!refused(None, r#"{"error":{"status":429,"message":"not QUOTA_EXCEEDED"}}"#).quota);
        assert!(!refused(None, "QUOTA_EXCEEDED").quota, "no JSON");
    }

    #[test]
    fn without_a_time_waits_double() {
        let short = refused(None, "");
        assert_eq!([0, 1, 5, 6, 60].map(|n| short.wait(n)), [1000, 2000, 32_000, 60_000, 60_000]);
        assert_eq!(Refused { quota: true, wait_ms: None }.wait(0), SHORT_MS);
    }

    #[test]
    fn other_answers_are_no_refusals() {
        assert_eq!(Refused::of(&HttpResponse { status: 503, headers: Vec::new(), body: Vec::new() }), None);
    }
}

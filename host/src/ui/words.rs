//! What the API says, in words of the pages.

use super::page::moment;
use crate::{api::accounts::Connection, providers::budget::BudgetReport};

/// Addresses of the API that sentences name, and the page that shows the same.
const PLACES: [(&str, &str); 5] = [
    ("/api/sync/runs", "Jobs"),
    ("/api/jobs", "Jobs"),
    ("/api/providers", "Home"),
    ("/api/accounts", "Home"),
    ("/api/playlists", "Playlists"),
];

/// A sentence for people, with the names of pages where it names addresses of the API.
pub(super) fn on_page(sentence: &str) -> String {
    PLACES.iter().fold(sentence.to_owned(), |text, (address, page)| text.replace(address, page))
}

/// How an account is, for people, and the class that shows it.
pub(super) fn state(account: &Connection) -> (&'static str, &'static str) {
    match account.state.as_str() {
        "ok" => ("works", "succeeded"),
        "auth_required" if account.owned_by_me => ("wants you to sign in again", "failed"),
        "auth_required" => ("wants an admin to sign in again", "failed"),
        "restricted" => ("is restricted by the service", "failed"),
        _ => ("does not work", "failed"),
    }
}

/// What to do about it, with what the account's page offers to whoever looks at it.
pub(super) fn remedy(account: &Connection, may_change: bool) -> Option<&'static str> {
    match (account.state.as_str(), may_change) {
        ("ok", _) => None,
        ("auth_required", true) => Some("Press “Sign in again”. What was read stays."),
        ("auth_required", false) => Some("Ask an admin: the account is shared, and only admins can sign in to it."),
        ("restricted", _) => Some("Change it at the service, then press “Check it”."),
        _ => Some("Once it is mended, press “Check it”."),
    }
}

/// How often the service was asked, and may still be.
pub(super) fn used(budget: &BudgetReport) -> Vec<String> {
    let window = budget.window.as_ref().map(|window| {
        let left = (window.limit - window.used).max(0);
        format!("At a time: {} used, {left} left.", window.used)
    });
    let daily = budget.daily.as_ref().map(|day| {
        let next = day.resets_at.as_deref().filter(|_| day.remaining == 0);
        let next = next.map(|at| format!(" The next are free at {}.", moment(at))).unwrap_or_default();
        format!("In 24 hours: {} used, {} left.{next}", day.used, day.remaining)
    });
    window.into_iter().chain(daily).collect()
}

/// Until when the service is left alone, and why.
pub(super) fn blocked(budget: Option<&BudgetReport>) -> Option<String> {
    let budget = budget?;
    let until = moment(budget.blocked_until.as_deref()?);
    Some(match budget.blocked_code.as_deref() {
        Some("quota_exceeded") => format!("The service's quota is used up: it is asked again after {until}."),
        _ => format!("The service wants a pause: it is asked again after {until}."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::budget::{DailyReport, WindowReport};

    #[test]
    fn addresses_of_the_api_become_pages() {
        assert_eq!(on_page("x is not running now; see /api/providers"), "x is not running now; see Home");
        assert_eq!(on_page("not all of it; see /api/sync/runs"), "not all of it; see Jobs");
        assert_eq!(on_page("nothing of that"), "nothing of that");
    }

    #[test]
    fn a_budget_says_what_is_left_and_when_it_goes_on() {
        let at = || Some("2026-03-04T05:06:07Z".to_owned());
        let mut budget = BudgetReport {
            window: Some(WindowReport { limit: 45, used: 50, resets_at: at() }),
            daily: Some(DailyReport { limit: 1000, used: 990, remaining: 10, resets_at: at() }),
            blocked_until: None,
            blocked_code: None,
        };
        assert_eq!(used(&budget), ["At a time: 50 used, 0 left.", "In 24 hours: 990 used, 10 left."]);
        assert_eq!((blocked(Some(&budget)), blocked(None)), (None, None));
        budget.daily = Some(DailyReport { limit: 1000, used: 1000, remaining: 0, resets_at: at() });
        assert!(used(&budget)[1].ends_with("0 left. The next are free at 2026-03-04 05:06:07 UTC."));
        budget.blocked_until = at();
        for (code, word) in [("cooldown", "pause"), ("quota_exceeded", "quota is used up")] {
            budget.blocked_code = Some(code.into());
            let said = blocked(Some(&budget)).unwrap();
            assert!(said.contains(word) && said.ends_with("after 2026-03-04 05:06:07 UTC."), "{said}");
        }
    }
}

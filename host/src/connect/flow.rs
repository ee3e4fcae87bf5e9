//! Flows as their users see them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::step::Stored;
use crate::{
    App,
    api::rfc3339,
    db::{now_ms, setup_flows::FlowRow},
    error::ApiResult,
};

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlowState {
    /// It waits for an answer to its step.
    Open,
    /// The account is connected.
    Done,
    /// It ended without one; see `problem`.
    Failed,
}

/// Connecting an account, step by step.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Flow {
    /// The flow's id.
    pub id: String,
    /// The instance that is being connected to.
    pub provider: String,
    /// The account that signs in again.
    pub account: Option<String>,
    /// Whether the account is for all users.
    pub shared: bool,
    /// Where it stands.
    pub state: FlowState,
    /// What it waits for, or what came of it; none where it failed.
    pub step: Option<Step>,
    /// Why it failed; of an open flow, why the last answer has to be given again.
    pub problem: Option<FlowProblem>,
    /// When the step ends, RFC 3339 UTC.
    pub expires_at: String,
}

/// What a flow waits for. Texts are a plugin's: plain, not markup.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Step {
    /// Values for a form.
    Form {
        /// A heading.
        title: String,
        /// What it is about.
        help: String,
        /// JSON Schema of an object with flat properties; one with `writeOnly` is a secret.
        #[schema(value_type = Object)]
        schema: Value,
        /// What was wrong with the values given before.
        error: Option<String>,
        /// The values given before, without secrets.
        #[schema(value_type = Option<Object>)]
        values: Option<Value>,
    },
    /// Somebody's visit to the service.
    External {
        /// The address to open in a browser.
        url: String,
        /// Where the service sends the browser back to.
        redirect: String,
        /// What to do there.
        help: String,
        /// Whether the address that the browser ends at has to be copied back.
        paste_back: bool,
    },
    /// Something at the service.
    Progress {
        /// What is waited for.
        message: String,
        /// A code to type in elsewhere.
        code: Option<String>,
        /// Where to type it in.
        url: Option<String>,
        /// When to ask again, in milliseconds.
        poll_after_ms: u64,
        /// How long it is worth waiting, RFC 3339 UTC.
        expires_at: String,
    },
    /// Nothing: the account is connected.
    Done {
        /// The account's id.
        account: String,
    },
}

/// Why a flow does not go on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FlowProblem {
    /// The stable code that programs act on.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
}

/// A flow as its user sees it.
pub(super) fn view(app: &App, row: &FlowRow) -> ApiResult<Flow> {
    let expired = row.state == "open" && (row.expires_at <= now_ms() || (row.sealed.is_none() && row.step > 0));
    let state = match row.state.as_str() {
        "open" if !expired => FlowState::Open,
        "done" => FlowState::Done,
        _ => FlowState::Failed,
    };
    let step = match (state, &row.result) {
        (FlowState::Open, _) if row.sealed.is_some() => Some(Stored::open(app, row)?.view(app, row)),
        (FlowState::Done, Some(account)) => Some(Step::Done { account: account.clone() }),
        _ => None,
    };
    let problem = if expired {
        let detail = "it took too long; start connecting the account anew";
        Some(FlowProblem { code: "flow_expired".into(), detail: detail.into() })
    } else {
        row.code.clone().map(|code| FlowProblem { code, detail: row.detail.clone().unwrap_or_default() })
    };
    Ok(Flow {
        id: row.id.clone(),
        provider: row.instance.clone(),
        account: row.account_id.clone(),
        shared: row.shared != 0,
        state,
        step,
        problem,
        expires_at: rfc3339(row.expires_at),
    })
}

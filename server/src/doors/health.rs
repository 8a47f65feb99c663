//! Whether the process lives, and whether it is ready, with the reason where it is not.

use api::{Code, ErrorBody, Problem};
use axum::Json;
use axum::response::{IntoResponse, Response};
use replica::Unavailable;
use serde::Serialize;
use utoipa::ToSchema;

use super::identify::Asking;
use super::reply::problem;
use crate::identity::{Scope, Verb, authorize};

/// The process lives.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// The member is ready for calls.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Always true; a member that is not ready answers with a problem.
    ready: bool,
    /// The member's id.
    #[schema(value_type = String, example = "1")]
    member: String,
    /// The leader's id, where this member knows of one.
    #[schema(value_type = Option<String>, example = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    /// The leader's term: how many elections there were, those among them that nobody won.
    #[schema(value_type = String, example = "1")]
    term: String,
    /// How far the log is applied here.
    #[schema(value_type = String, example = "7")]
    applied: String,
    /// How many leases are held; only for who may count them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "member", responses((status = 200, description = "It does", body = Health)))]
pub(super) async fn healthz() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// Whether the member is ready for calls, and why not.
#[utoipa::path(
    get, path = "/readyz", tag = "member",
    responses(
        (status = 200, description = "It is", body = Ready),
        (status = 503, description = "`no_leader`, `behind`, `draining`, `stopping`, `disk_full`, `disk_stalled`, `overloaded`", body = ErrorBody),
    )
)]
pub(super) async fn readyz(Asking { service, caller }: Asking) -> Response {
    let status = service.status();
    let may_count = authorize(&caller.principal, Verb::Count, Scope::Namespace(None)).is_ok();
    match why_not(service.is_stopping(), &status) {
        Some(error) => problem(error),
        None => {
            let (member, leader) =
                (status.member.to_string(), status.leader.map(|leader| leader.to_string()));
            let (term, applied) = (status.term.to_string(), status.applied.to_string());
            let held = may_count.then_some(status.held);
            Json(Ready { ready: true, member, leader, term, applied, held }).into_response()
        }
    }
}

/// Why whoever can should go to another member.
pub(crate) fn drains(member: u64) -> String {
    format!("member {member} is draining; `tenure members drain {member} --end` ends that")
}

fn why_not(stopping: bool, status: &replica::Status) -> Option<Problem> {
    if stopping {
        return Some(Problem::new(Code::Stopping, "not ready: the member is stopping"));
    }
    let trouble = status.trouble.or((!status.serving).then_some(Unavailable::NoLeader));
    let Some(trouble) = trouble else {
        return status
            .drains
            .then(|| Problem::new(Code::Draining, format!("not ready: {}", drains(status.member))));
    };
    let code = match trouble {
        Unavailable::Overloaded { .. } => Code::Overloaded,
        Unavailable::NoLeader | Unavailable::Unanswered => Code::NoLeader,
        Unavailable::Behind => Code::Behind,
        Unavailable::Stopping => Code::Stopping,
        Unavailable::DiskFull => Code::DiskFull,
        Unavailable::DiskStalled => Code::DiskStalled,
    };
    let remedy = match (trouble, status.leader) {
        (Unavailable::Unanswered, Some(leader)) => {
            format!(": see that member {} reaches member {leader} at its peer address", status.member)
        }
        _ => String::new(),
    };
    Some(Problem::new(code, format!("not ready: {trouble}{remedy}")).retry_after_ms(1_000))
}

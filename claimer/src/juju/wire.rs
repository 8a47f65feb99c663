//! What is said over Juju's wire, and what is answered. Pure.
//!
//! ```text
//!   ──▶ {"request-id":3,"type":"LeadershipService","version":2,"request":"ClaimLeadership","params":{…}}
//!   ◀── {"request-id":3,"response":{"results":[{}]}}                            done
//!   ◀── {"request-id":3,"response":{"results":[{"error":{"message":…,"code":…}}]}}   this claim was not
//!   ◀── {"request-id":3,"error":"…","error-code":"…","response":{}}             the call was not
//! ```
//!
//! Juju's contract of a claim decides what an error means: *denied* is surely not held; of any other, nothing may be inferred.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Login;
use crate::target::No;

/// What Juju says where another has the lease.
const DENIED: &str = "leadership claim denied";
/// The code of an answer that means: later.
const TRY_AGAIN: &str = "try again";
/// Codes of calls that can never be right as they are.
const WRONG: [&str; 5] =
    ["unauthorized access", "not implemented", "model not found", "not supported", "not provisioned"];
/// The one answer of that kind that has no code.
const WRONG_DURATION: &str = "invalid duration";

/// What an agent asks.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Who it is.
    Login(Login),
    /// To have a lease, or to keep it: the two are one call.
    Claim {
        /// The unit that is to lead.
        unit: String,
        /// How long.
        duration: Duration,
    },
    /// To be told when an application has no leader.
    Block {
        /// Which.
        application: String,
    },
    /// Whether anybody is there; and to say that it is.
    Ping,
}

impl Ask {
    /// The request's text.
    pub(crate) fn text(&self, id: u64) -> String {
        let (facade, version, method, params) = match self {
            Ask::Login(login) => ("Admin", 3, "Login", credentials(login)),
            Ask::Claim { unit, duration } => {
                ("LeadershipService", 2, "ClaimLeadership", claim(unit, *duration))
            }
            Ask::Block { application } => {
                ("LeadershipService", 2, "BlockUntilLeadershipReleased", json!({ "Name": application }))
            }
            Ask::Ping => ("Pinger", 1, "Ping", json!({})),
        };
        json!({ "request-id": id, "type": facade, "version": version, "request": method, "params": params })
            .to_string()
    }
}

fn credentials(login: &Login) -> Value {
    json!({
        "auth-tag": unit_tag(&login.unit),
        "credentials": login.password,
        "nonce": "",
        "macaroons": null,
        "cli-args": "",
        "user-data": "",
    })
}

fn claim(unit: &str, duration: Duration) -> Value {
    let application = crate::workload::lease_of(unit);
    json!({ "params": [{
        "application-tag": format!("application-{application}"),
        "unit-tag": unit_tag(unit),
        "duration": duration.as_secs_f64(),
    }] })
}

/// `ubuntu-lite/0` as a tag: `unit-ubuntu-lite-0`.
fn unit_tag(unit: &str) -> String {
    match unit.rsplit_once('/') {
        Some((application, number)) => format!("unit-{application}-{number}"),
        None => format!("unit-{unit}"),
    }
}

/// What comes back.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Frame {
    /// Which request it answers.
    pub(crate) request_id: u64,
    error: String,
    error_code: String,
    response: Response,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Response {
    results: Vec<Answer>,
    error: Option<Fault>,
    model_tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: Option<Fault>,
}

/// Why something was not done, as Juju says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    message: String,
    code: String,
}

impl Frame {
    /// Whether what was asked was done; of a claim, of the one in it.
    ///
    /// # Errors
    /// It was not, and why.
    pub(crate) fn done(self) -> Result<(), Fault> {
        if !self.error.is_empty() || !self.error_code.is_empty() {
            return Err(Fault { message: self.error, code: self.error_code });
        }
        let of_item = self.response.results.into_iter().next().and_then(|answer| answer.error);
        of_item.or(self.response.error).map_or(Ok(()), Err)
    }

    /// Whether the claim was granted: its answer has a result of its own, which says nothing where it was.
    ///
    /// # Errors
    /// It was not, and why; or there is no result.
    pub(crate) fn granted(self) -> Result<(), Fault> {
        let count = self.response.results.len();
        self.done()?;
        match count {
            1 => Ok(()),
            count => {
                let message = format!("the answer to a claim has {count} results, and not one");
                Err(Fault { message, code: String::new() })
            }
        }
    }

    /// Whether the login was taken, and for this model.
    ///
    /// # Errors
    /// It was not, and why.
    pub(crate) fn logged_in(mut self, model: &str) -> Result<(), Fault> {
        let tag = self.response.model_tag.take();
        self.done()?;
        match tag {
            Some(tag) if tag == format!("model-{model}") => Ok(()),
            tag => Err(Fault {
                message: format!("it is the model {}", tag.as_deref().unwrap_or("of no tag")),
                code: WRONG[2].to_owned(),
            }),
        }
    }
}

impl Fault {
    /// Whether the same may be asked again, later.
    pub(crate) fn is_try_again(&self) -> bool {
        self.code == TRY_AGAIN
    }

    /// What it means to a holder.
    pub(crate) fn no(self) -> No {
        let why = self.to_string();
        match () {
            () if self.message == DENIED => No::Held { after: None },
            () if self.is_try_again() => No::Again { after: None, why },
            () if WRONG.contains(&&*self.code) || self.message == WRONG_DURATION => No::Wrong { why },
            // `lease operation timed out` among them: it may yet be done.
            () => No::Unknown { why },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests;

//! That a lease is lost, and its true reason.

use std::fmt;

use crate::machine::End;

/// A lease that its holder does not hold any more, nor will again under this token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The token of the grant that is over.
    pub token: u64,
    /// Why.
    pub why: LostWhy,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {} is lost: {}", self.token, self.why)
    }
}

/// Why a lease is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostWhy {
    /// This session released it, or handed it on.
    Released,
    /// The cluster said that the grant has ended, or may not be extended: [`LostWhy::end`] says how it ended, where
    /// history knows.
    Ended(api::Problem),
    /// An operator took it away, and the time that was left of it is over.
    Revoked {
        /// The operator's reason; none where it could not be learnt in time.
        reason: Option<String>,
    },
    /// A later grant of the same lease took its place in this session: this one had ended before.
    Replaced {
        /// The later grant's token.
        by: u64,
    },
    /// Nothing was heard from the cluster in time, so that belief ended by our own clock. The grant may have ended in any
    /// way, or stand for a little longer.
    Expired,
}

impl LostWhy {
    /// How the grant ended, where the cluster said so: expired, revoked, transferred, restored.
    pub fn end(&self) -> Option<&api::End> {
        match self {
            LostWhy::Ended(problem) => problem.end.as_deref(),
            _ => None,
        }
    }

    /// The reason that an operator gave for taking it away.
    pub fn reason(&self) -> Option<&str> {
        match self {
            LostWhy::Revoked { reason } => reason.as_deref(),
            _ => self.end().and_then(|end| end.reason.as_deref()),
        }
    }
}

impl fmt::Display for LostWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.end()) {
            (LostWhy::Released, _) => f.write_str("released"),
            (LostWhy::Ended(_), Some(api::End { why, reason: Some(reason), .. })) => {
                write!(f, "{why}: {reason}")
            }
            // This session's own would be [`LostWhy::Released`]: it was an operator's or an app-admin's, or another program's under this instance.
            (LostWhy::Ended(_), Some(api::End { why, .. })) if why == "released" || why == "transferred" => {
                write!(f, "{why}, not by this session")
            }
            (LostWhy::Ended(_), Some(api::End { why, .. })) => f.write_str(why),
            (LostWhy::Ended(problem), None) => problem.fmt(f),
            (LostWhy::Revoked { reason: Some(reason) }, _) => write!(f, "revoked: {reason}"),
            (LostWhy::Revoked { reason: None }, _) => f.write_str("revoked"),
            (LostWhy::Replaced { by }, _) => write!(f, "a later grant, token {by}, took its place"),
            (LostWhy::Expired, _) => f.write_str("nothing was heard from the cluster in time"),
        }
    }
}

impl From<End> for LostWhy {
    fn from(end: End) -> LostWhy {
        match end {
            End::LetGo => LostWhy::Released,
            End::Lost(problem) => LostWhy::Ended(problem),
            End::Replaced(by) => LostWhy::Replaced { by },
            End::Revoked(reason) => LostWhy::Revoked { reason },
            End::Expired => LostWhy::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_anothers_hand_is_told_apart_from_the_sessions_own() {
        let ended = |why: &str, reason: Option<&str>| {
            let end = api::End {
                token: 7,
                holder: "h".to_owned(),
                why: why.to_owned(),
                reason: reason.map(str::to_owned),
                ago_ms: 0,
                remained_ms: 1,
            };
            let problem = api::Problem::new(api::Code::Lost, "gone");
            let why = LostWhy::Ended(api::Problem { end: Some(Box::new(end)), ..problem });
            Lost { token: 7, why }.to_string()
        };
        assert_eq!(ended("released", None), "token 7 is lost: released, not by this session");
        assert_eq!(ended("expired", None), "token 7 is lost: expired");
        assert_eq!(ended("revoked", Some("drill")), "token 7 is lost: revoked: drill");
        assert_eq!(Lost { token: 7, why: LostWhy::Released }.to_string(), "token 7 is lost: released");
    }
}

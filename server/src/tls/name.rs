//! Whose a certificate is: one URI among its alternative names.
//!
//! ```text
//! tenure://8d2f…32 digits…/member/1
//! tenure://8d2f…32 digits…/operator/alice
//! tenure://8d2f…32 digits…/ca/client          the CA that issues to clients, and to the client port; /ca/peer: to members
//!          └── cluster ──┘ └─role─┘
//! ```
//!
//! A common name or an address is never an identity: the one has no rules, the other moves.

use std::fmt;
use std::str::FromStr;

/// How every name begins.
const SCHEME: &str = "tenure://";
/// The most bytes of an operator's name.
const OPERATOR_BYTES_MAX: usize = 64;

/// Whose a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Of which cluster.
    pub(crate) cluster: u128,
    /// What it is there.
    pub(crate) role: Role,
}

/// What the owner of a certificate is in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A member, by its id.
    Member(u64),
    /// Somebody who operates it.
    Operator(String),
    /// The CA that issues to clients, and to the members' client ports.
    ClientCa,
    /// The CA that issues to members.
    PeerCa,
}

/// Why a URI is no name of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidName(&'static str);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Member(member) => write!(f, "member/{member}"),
            Role::Operator(operator) => write!(f, "operator/{operator}"),
            Role::ClientCa => f.write_str("ca/client"),
            Role::PeerCa => f.write_str("ca/peer"),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{:032x}/{}", self.cluster, self.role)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidName("it does not begin with tenure://"))?;
        let (cluster, role) = rest.split_once('/').ok_or(InvalidName("it names no role"))?;
        let is_id =
            cluster.len() == 32 && cluster.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let cluster = u128::from_str_radix(cluster, 16)
            .ok()
            .filter(|_| is_id)
            .ok_or(InvalidName("its cluster is not 32 hexadecimal digits, the letters small"))?;
        let (role, whose) = role.split_once('/').ok_or(InvalidName("its role is nobody's"))?;
        let role = match (role, whose) {
            ("member", _) => Role::Member(member(whose)?),
            ("operator", _) => Role::Operator(operator(whose)?),
            ("ca", "client") => Role::ClientCa,
            ("ca", "peer") => Role::PeerCa,
            _ => return Err(InvalidName("its role is neither member nor operator, ca/client nor ca/peer")),
        };
        Ok(Name { cluster, role })
    }
}

fn member(text: &str) -> Result<u64, InvalidName> {
    let number = text.parse::<u64>().ok().filter(|number| *number > 0);
    // One text a member: 01 and +1 are others.
    number
        .filter(|number| number.to_string() == text)
        .ok_or(InvalidName("its member is not a whole number from 1"))
}

/// An operator's name: what stands in a URI and in a file's name as it is.
pub(crate) fn operator(text: &str) -> Result<String, InvalidName> {
    let fits = (1..=OPERATOR_BYTES_MAX).contains(&text.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match fits && text.bytes().all(plain) && !text.starts_with(['.', '-']) {
        true => Ok(text.to_owned()),
        false => Err(InvalidName(
            "an operator is 1 to 64 letters, digits, - _ and ., the first a letter, a digit or _",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "000102030405060708090a0b0c0d0e0f";

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for role in [Role::Member(7), Role::Operator("alice.b-2".to_owned()), Role::ClientCa, Role::PeerCa] {
            let name = Name { cluster: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f, role };
            assert_eq!(name.to_string(), format!("tenure://{CLUSTER}/{}", name.role));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_part_that_is_wrong() {
        let cases = [
            ("https://a/member/1", "begin with tenure://"),
            ("tenure://", "names no role"),
            ("tenure://abc/member/1", "32 hexadecimal digits"),
            (&format!("tenure://{}/member/1", CLUSTER.to_uppercase()), "the letters small"),
            (&format!("tenure://{CLUSTER}/member"), "nobody's"),
            (&format!("tenure://{CLUSTER}/member/0"), "whole number from 1"),
            (&format!("tenure://{CLUSTER}/member/01"), "whole number from 1"),
            (&format!("tenure://{CLUSTER}/member/1/2"), "whole number from 1"),
            (&format!("tenure://{CLUSTER}/king/1"), "neither member nor operator"),
            (&format!("tenure://{CLUSTER}/operator/"), "1 to 64"),
            (&format!("tenure://{CLUSTER}/operator/a/b"), "1 to 64"),
            (&format!("tenure://{CLUSTER}/operator/.."), "1 to 64"),
        ];
        for (text, why) in cases {
            let error = text.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

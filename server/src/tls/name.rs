//! Whose a certificate is: one URI among its alternative names.
//!
//! ```text
//! tenure://8d2f…32 digits…/member/1
//! tenure://8d2f…32 digits…/operator/alice
//! tenure://8d2f…32 digits…/unit/prod/mysql/0      a unit of namespace prod: it is the holder mysql/0, and no other
//! tenure://8d2f…32 digits…/app-admin/prod/bob     and reader/prod/bob: in one namespace; reader/bob and auditor/bob: in all
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
    /// Somebody who may do less, as tokens may be made for.
    Client {
        /// What they are.
        role: lease::Role,
        /// Where; none is everywhere.
        namespace: Option<String>,
        /// Who; of a unit its holder.
        who: String,
    },
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
            Role::Client { role, namespace: Some(namespace), who } => write!(f, "{role}/{namespace}/{who}"),
            Role::Client { role, namespace: None, who } => write!(f, "{role}/{who}"),
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
            (of, _) => match lease::Role::parse(of) {
                Some(role) => client(role, whose)?,
                None => {
                    return Err(InvalidName(
                        "its role is neither member nor operator, ca/client nor ca/peer",
                    ));
                }
            },
        };
        Ok(Name { cluster, role })
    }
}

/// A unit or an app-admin has a namespace, an auditor has none, and a reader may have one.
fn client(role: lease::Role, whose: &str) -> Result<Role, InvalidName> {
    let (namespace, who) = match (role, whose.split_once('/')) {
        (lease::Role::Auditor | lease::Role::Operator, _) | (lease::Role::Reader, None) => (None, whose),
        (_, Some((namespace, who))) => (Some(namespace), who),
        (_, None) => return Err(InvalidName("its role needs a namespace: ROLE/NAMESPACE/WHO")),
    };
    let who = match role {
        lease::Role::Unit => lease::Holder::parse(who).map(|_| who.to_owned()),
        _ => return Ok(Role::Client { role, namespace: scope(namespace)?, who: operator(who)? }),
    };
    let who = who.map_err(|_| InvalidName("its unit is no holder: 1 to 256 bytes, and nothing hidden"))?;
    Ok(Role::Client { role, namespace: scope(namespace)?, who })
}

fn scope(namespace: Option<&str>) -> Result<Option<String>, InvalidName> {
    let parsed = namespace.map(|namespace| lease::Namespace::parse(namespace).map(|_| namespace.to_owned()));
    parsed.transpose().map_err(|_| InvalidName("its namespace is none: 1 to 64 bytes, and nothing hidden"))
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
        let client = |role, namespace: Option<&str>, who: &str| Role::Client {
            role,
            namespace: namespace.map(str::to_owned),
            who: who.to_owned(),
        };
        for role in [
            Role::Member(7),
            Role::Operator("alice.b-2".to_owned()),
            Role::ClientCa,
            Role::PeerCa,
            client(lease::Role::Unit, Some("prod"), "mysql/0"),
            client(lease::Role::AppAdmin, Some("prod"), "bob"),
            client(lease::Role::Reader, Some("prod"), "bob"),
            client(lease::Role::Reader, None, "bob"),
            client(lease::Role::Auditor, None, "eve"),
        ] {
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
            (&format!("tenure://{CLUSTER}/unit/mysql"), "needs a namespace"),
            (&format!("tenure://{CLUSTER}/unit/prod/../x"), "no holder"),
            (&format!("tenure://{CLUSTER}/auditor/prod/eve"), "1 to 64"),
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

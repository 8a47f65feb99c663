//! A name or an address by which clients know a member.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::DnsName;

use crate::service::Echo;

/// A name or an address by which clients know a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A host's name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// What is neither, and how one looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHost(String);

impl Host {
    /// As a URL has it.
    pub(super) fn in_url(&self) -> String {
        match self {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.to_string(),
        }
    }

    /// Whether it means whatever machine it is said on.
    pub(super) fn is_this_machine(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the host {} is no name or address: write it without a port, as lease1.example, 10.0.0.7 or ::1",
            Echo(&self.0)
        )
    }
}

impl std::error::Error for InvalidHost {}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Host, InvalidHost> {
        if let Ok(address) = text.parse() {
            return Ok(Host::Address(address));
        }
        match DnsName::try_from(text) {
            Ok(name) => Ok(Host::Name(name.as_ref().to_ascii_lowercase())),
            Err(_) => Err(InvalidHost(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts_and_nothing_else_is() {
        for (text, in_url) in
            [("Lease1.example", "lease1.example"), ("10.0.0.7", "10.0.0.7"), ("::1", "[::1]")]
        {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.in_url(), in_url);
        }
        for text in ["", "a:7400", "[::1]", "*.example", "a b", "https://a", "a/b", "-", "a..b"] {
            let error = text.parse::<Host>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("lease1.example"), "{error}");
        }
    }
}

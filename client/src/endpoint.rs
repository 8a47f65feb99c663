//! Where a member listens, as users write it: `127.0.0.1:7400`, `https://lease.example:7400`, `ws://[::1]:7400`.

use std::fmt;
use std::str::FromStr;

use api::rules::Quoted;

/// The port of an endpoint that names none.
pub use api::PORT_DEFAULT;

/// One member's client port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    host: String,
    port: u16,
}

/// Whether what is said there is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Scheme {
    /// `http`, `ws`, or none.
    Plain,
    /// `https`, `wss`.
    Tls,
}

impl Endpoint {
    /// Reads a list with commas between.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] for the first that is malformed; an empty list is malformed too.
    pub fn parse_list(text: &str) -> Result<Vec<Endpoint>, InvalidEndpoint> {
        text.split(',').map(|one| one.trim().parse()).collect()
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is reached by TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Tls
    }

    /// The session's address there.
    pub(crate) fn session_url(&self) -> String {
        let scheme = if self.is_tls() { "wss" } else { "ws" };
        format!("{scheme}://{}/v1/session", self.authority())
    }

    /// Host and port, as a request names them.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls() { "https://" } else { "" })?;
        f.write_str(&self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = |why: &str| InvalidEndpoint { text: Quoted(text).to_string(), why: why.to_owned() };
        let (scheme, rest) = scheme_of(text).map_err(|why| invalid(&why))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest).map_err(|why| invalid(&why))?;
        check_host(host).map_err(|why| invalid(&why))?;
        Ok(Endpoint { scheme, host: host.to_owned(), port })
    }
}

/// An endpoint that cannot be one, why, and how one looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint {
    /// As a message shows it.
    text: String,
    why: String,
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidEndpoint { text, why } = self;
        write!(
            f,
            "endpoint {text}: {why}; write HOST:PORT, as in 127.0.0.1:7400, or https://lease.example:7400 where it is reached by TLS"
        )
    }
}

impl std::error::Error for InvalidEndpoint {}

fn scheme_of(text: &str) -> Result<(Scheme, &str), String> {
    match text.split_once("://") {
        None => Ok((Scheme::Plain, text)),
        Some(("http" | "ws", rest)) => Ok((Scheme::Plain, rest)),
        Some(("https" | "wss", rest)) => Ok((Scheme::Tls, rest)),
        Some((scheme, _)) => Err(format!("the scheme {} is not http, https, ws or wss", Quoted(scheme))),
    }
}

fn split_port(text: &str) -> Result<(&str, u16), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "between the brackets is no IPv6 address")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, parse_port(port)?)),
            None if after.is_empty() => Ok((host, PORT_DEFAULT)),
            None => Err("after the bracket comes something other than a port".to_owned()),
        };
    }
    match text.split_once(':') {
        None => Ok((text, PORT_DEFAULT)),
        Some((_, port)) if port.contains(':') => {
            Err("an IPv6 address needs brackets, as in [::1]:7400".to_owned())
        }
        Some((host, port)) => Ok((host, parse_port(port)?)),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits_only && port > 0 => Ok(port),
        _ => Err(format!("the port {} is not a number from 1 to 65535", Quoted(text))),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if host.len() > 253 {
        return Err(format!("the host has {} bytes, and the limit is 253", host.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    match host.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("the host has the character {}", Quoted(c.encode_utf8(&mut [0; 4])))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms() {
        let table = [
            ("127.0.0.1:7400", "127.0.0.1:7400"),
            ("http://127.0.0.1:7401/", "127.0.0.1:7401"),
            ("ws://lease.example:80", "lease.example:80"),
            ("localhost", "localhost:7400"),
            ("[::1]:7402", "[::1]:7402"),
            ("ws://[fe80::1]", "[fe80::1]:7400"),
            ("https://lease.example", "https://lease.example:7400"),
            ("wss://[::1]:7402/", "https://[::1]:7402"),
        ];
        for (text, shown) in table {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(shown.parse(), Ok(endpoint), "it is read as it is shown");
        }
        assert_eq!(Endpoint::parse_list("a:1, b:2").map(|list| list.len()), Ok(2));
    }

    #[test]
    fn malformed_ones_are_refused_with_the_value_the_reason_and_an_example() {
        let table = [
            ("", "host is missing"),
            (":7400", "host is missing"),
            ("h:0", "the port \"0\" is not a number from 1 to 65535"),
            ("h:70000", "the port \"70000\""),
            ("h:+80", "the port \"+80\""),
            ("h:", "the port \"\""),
            ("::1", "needs brackets"),
            ("[::1", "not closed"),
            ("[nonsense]:1", "no IPv6 address"),
            ("[::1]7400", "other than a port"),
            ("HTTPS://h:1", "the scheme \"HTTPS\""),
            ("ftp://h:1", "the scheme \"ftp\""),
            ("h h:1", "the character \" \""),
            ("h/path:1", "the character \"/\""),
            ("user@h:1", "the character \"@\""),
        ];
        for (text, why) in table {
            let Err(error) = text.parse::<Endpoint>() else { panic!("{text} was accepted") };
            let message = error.to_string();
            assert!(message.contains(why), "{text}: {message}");
            assert!(
                message.contains(&format!("\"{text}\"")) && message.contains("127.0.0.1:7400"),
                "{message}"
            );
        }
        let long = "x".repeat(300);
        let Err(error) = long.parse::<Endpoint>() else { panic!("a long host was accepted") };
        assert!(error.to_string().contains("300 bytes") && error.to_string().len() < 250);
    }
}

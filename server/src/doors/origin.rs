//! Who may ask: not a web page. A browser sends a page's requests to any address, this machine's own included, and says in
//! `Origin` whose page it is and in `Host` which name it resolved. Checked here, for every path, before any of them is read.

use api::{Code, Problem};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::reply::problem_as;
use crate::service::Echo;

/// Which names a listener answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// It is on loopback: only to names of this machine. Another name is one that a page's owner points here.
    Loopback,
    /// Other machines reach it, by whatever name they know.
    Any,
}

/// Lets a request go on, or refuses it with 403.
pub(super) async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    match check(names, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(message) => problem_as(StatusCode::FORBIDDEN, Problem::new(Code::BadRequest, message)),
    }
}

fn check(names: Names, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
    // HTTP/2 has the host in the target, and so has HTTP/1.1 to a proxy. Where both are given, both must be right.
    let in_target = uri.authority().map(|authority| authority.as_str().to_owned());
    let in_headers = headers.get_all(header::HOST).iter().map(|host| lossy(host.as_bytes()));
    let hosts: Vec<String> = in_target.into_iter().chain(in_headers).collect();
    if names == Names::Loopback
        && let Some(foreign) = hosts.iter().find(|host| !is_loopback(host))
    {
        return Err(format!(
            "the Host {} is no name of this machine's loopback, where this member listens: use localhost, 127.0.0.1 or [::1]",
            Echo(foreign)
        ));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = lossy(origin.as_bytes());
        if hosts.is_empty() || !hosts.iter().all(|host| is_same(&origin, host)) {
            return Err(format!(
                "the Origin {} is not the Host that was asked: a web page of another site may not call this member",
                Echo(&origin)
            ));
        }
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    // `user@localhost` is no Host, whatever stands behind the sign.
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()))
}

/// Whether an origin such as `http://localhost:7400` is that of `host`; each may leave its scheme's own port out.
fn is_same(origin: &str, host: &str) -> bool {
    let (rest, port) = match origin.split_once("://") {
        Some(("http" | "ws", rest)) => (rest, ":80"),
        Some(("https" | "wss", rest)) => (rest, ":443"),
        // As "null" is, of a page in a sandbox.
        _ => return false,
    };
    let tidy = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    tidy(rest) == tidy(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(names: Names, uri: &str, given: &[(&str, &str)]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        check(names, &uri.parse().unwrap(), &headers)
    }

    #[test]
    fn loopback_answers_to_its_own_names_only() {
        let host = |host| checked(Names::Loopback, "/", &[("host", host)]);
        for own in ["localhost", "LocalHost:7400", "127.0.0.1:1", "127.8.9.1", "[::1]", "[::1]:7400"] {
            assert_eq!(host(own), Ok(()), "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example:7400",
            "10.0.0.1",
            "[::2]:1",
            "a@localhost",
            "",
            "0.0.0.0",
        ] {
            let message = host(foreign).unwrap_err();
            assert!(message.contains(&format!("the Host \"{foreign}\"")), "{message}");
        }
        assert_eq!(
            checked(Names::Loopback, "/", &[]),
            Ok(()),
            "HTTP/1.0 has none, and a browser always has one"
        );
        assert!(checked(Names::Loopback, "http://evil.example/", &[]).is_err());
        assert_eq!(checked(Names::Any, "/", &[("host", "lease.example:7400")]), Ok(()));
    }

    #[test]
    fn a_pages_origin_must_be_the_host_that_was_asked() {
        let from = |origin, host| checked(Names::Any, "/", &[("host", host), ("origin", origin)]);
        for (origin, host) in [
            ("http://localhost:7400", "localhost:7400"),
            ("http://Lease.example", "lease.example:80"),
            ("https://lease.example:443", "lease.example"),
        ] {
            assert_eq!(from(origin, host), Ok(()), "{origin} to {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "localhost:7400"),
            ("http://localhost:3000", "localhost:7400"),
            ("null", "localhost:7400"),
            ("http://localhost:7400.evil.example", "localhost:7400"),
            ("file://", "localhost"),
        ] {
            let message = from(origin, host).unwrap_err();
            assert!(message.contains(&format!("the Origin \"{origin}\"")), "{message}");
        }
        assert!(checked(Names::Any, "/", &[("origin", "http://a")]).is_err(), "no host to be the same as");
    }
}

//! One answer over HTTP that is too large for a session's frame: a stream of bytes, from the first member that gives it.
//!
//! It decides nothing about leases and holds none: whoever asks reads bytes, and judges them.

use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use api::{ErrorBody, Kind};
use hyper::Request;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::outcome::{Failure, Try, Unavailable};
use crate::tls::{self, Tls};
use crate::{Bearer, Endpoint};

/// The pause between two rounds of tries.
const PAUSE: Duration = Duration::from_millis(300);
/// The longest refusal that is read.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// A member's answer, as it comes.
#[derive(Debug)]
pub struct Fetched {
    body: Incoming,
    endpoint: Endpoint,
}

/// Why an answer broke off: what has come of it is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenOff {
    /// Who gave it.
    pub endpoint: String,
    /// Why, in a few words.
    pub cause: String,
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broke off its answer ({}); try again", self.endpoint, self.cause)
    }
}

impl std::error::Error for BrokenOff {}

/// Asks for `path`, known by a certificate or by a token, until a member gives it: each endpoint in its turn, again and again for as long as `patience`. To be called within a
/// tokio runtime.
///
/// # Errors
/// A member's refusal; or what the last round of tries came to, where none refused and none gave it.
pub async fn fetch(
    endpoints: &[Endpoint],
    (tls, token): (Option<&Tls>, Option<&Bearer>),
    path: &str,
    patience: Duration,
) -> Result<Fetched, Failure> {
    let until = Instant::now() + patience;
    loop {
        let mut tries = Vec::new();
        let mut answered = None;
        for endpoint in endpoints {
            let within = until.saturating_duration_since(Instant::now());
            match ask(endpoint, (tls, token), path, within).await {
                Ok(fetched) => return Ok(fetched),
                Err(Failure::Unavailable(Unavailable::Answered(problem))) => answered = Some(problem),
                Err(Failure::Unavailable(Unavailable::Unreachable(failed))) => tries.extend(failed),
                Err(failure) => return Err(failure),
            }
        }
        if until.saturating_duration_since(Instant::now()) <= PAUSE {
            return Err(Failure::Unavailable(match answered {
                Some(problem) => Unavailable::Answered(problem),
                None => Unavailable::Unreachable(tries),
            }));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(
    endpoint: &Endpoint,
    (tls, token): (Option<&Tls>, Option<&Bearer>),
    path: &str,
    within: Duration,
) -> Result<Fetched, Failure> {
    let unreachable = |cause: String| {
        Failure::Unavailable(Unavailable::Unreachable(vec![Try { endpoint: endpoint.to_string(), cause }]))
    };
    let asked = async {
        let tcp = TcpStream::connect((endpoint.host(), endpoint.port())).await;
        let tcp = tcp.map_err(|error| tls::cause(&error, None))?;
        let stream = tls::secure(tcp, endpoint, tls).await?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| cause(&error, tls))?;
        // It ends with the answer's last byte, or with whoever reads it.
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", endpoint.authority());
        if let Some(token) = token {
            request = request.header("authorization", token.header());
        }
        let request = request.body(String::new());
        let request = request.map_err(|error| error.to_string())?;
        sender.send_request(request).await.map_err(|error| cause(&error, tls))
    };
    let response = match tokio::time::timeout(within, asked).await {
        Ok(asked) => asked.map_err(unreachable)?,
        Err(_) => {
            return Err(unreachable(format!("timed out after {}", api::Span(within.as_millis() as u64))));
        }
    };
    let (parts, body) = response.into_parts();
    let fetched = Fetched { body, endpoint: endpoint.clone() };
    match parts.status.is_success() {
        true => Ok(fetched),
        false => Err(fetched.refusal(within).await.unwrap_or_else(|| {
            unreachable(format!("HTTP {} without a word: is it a Tenure member's client port?", parts.status))
        })),
    }
}

/// What a member has against our certificate it says only after we took the handshake for done.
fn cause(error: &hyper::Error, tls: Option<&Tls>) -> String {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) => tls::cause(error, tls),
        None => error.to_string(),
    }
}

impl Fetched {
    /// Who answers.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next bytes, which must come within `patience`; none behind the last.
    ///
    /// # Errors
    /// The answer broke off. What has come is not whole.
    pub async fn piece(&mut self, patience: Duration) -> Result<Option<Bytes>, BrokenOff> {
        loop {
            let mut body = Pin::new(&mut self.body);
            let frame = poll_fn(|cx| body.as_mut().poll_frame(cx));
            let frame = match tokio::time::timeout(patience, frame).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(self.broken(cause(&error, None))),
                Err(_) => {
                    let silent = api::Span(patience.as_millis() as u64);
                    return Err(self.broken(format!("nothing came for {silent}")));
                }
            };
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    fn broken(&self, cause: String) -> BrokenOff {
        BrokenOff { endpoint: self.endpoint.to_string(), cause }
    }

    /// What an answer says that is no success, where it is a member's.
    async fn refusal(mut self, within: Duration) -> Option<Failure> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(within).await.ok()? {
            body.extend_from_slice(&piece);
            if body.len() > PROBLEM_BYTES_MAX {
                return None;
            }
        }
        let ErrorBody { error } = serde_json::from_slice(&body).ok()?;
        Some(match error.code.kind() {
            Kind::Unavailable => Failure::Unavailable(Unavailable::Answered(error)),
            _ => Failure::Refused(error),
        })
    }
}

//! A resource behind HTTP that lets in only the holder of a lease: every request shows its token.
//!
//! ```sh
//! tenure serve --dev &
//! cargo run -p client --example fence_http &
//! tenure claim example/writer --holder me        # prints the token
//! curl -i -X POST -H 'Fencing-Token: 1' 127.0.0.1:8080/     # 200 with that token, 409 with an older one
//! ```
//!
//! Two lines of defence. A token below the highest that was seen is refused without asking anybody. Any other is checked
//! with the cluster: it must be that of the lease's living grant. Between the check and the act the grant may still end;
//! where that matters, let the resource compare tokens in the same step as it acts, as the example `fence_postgres` does.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use client::{Endpoint, Options, Outcome, Session};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const LEASE: &str = "example/writer";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoints = std::env::var("TENURE_ENDPOINTS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let session = Session::connect(Options::new(Endpoint::parse_list(&endpoints)?)).await?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on {}", listener.local_addr()?);
    let highest = AtomicU64::new(0);
    loop {
        let (mut stream, _) = listener.accept().await?;
        // One request a connection, one connection at a time: enough to show the idea.
        let (status, body) = match token(&mut stream).await {
            Some(token) => admit(&session, &highest, token).await,
            None => ("400 Bad Request", "show your token: Fencing-Token: N\n".to_owned()),
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        // A caller that is gone does not need the answer.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    }
}

async fn admit(session: &Session, highest: &AtomicU64, token: u64) -> (&'static str, String) {
    let seen = highest.load(Ordering::Acquire);
    if token < seen {
        return ("409 Conflict", format!("token {token} is stale: {seen} was here\n"));
    }
    match session.check("default", LEASE, token).await {
        Outcome::Done(checked) => {
            highest.fetch_max(token, Ordering::AcqRel);
            ("200 OK", format!("done for {} under token {token}\n", checked.holder))
        }
        Outcome::Refused(problem) => ("409 Conflict", format!("{problem}\n")),
        // Without an answer nobody gets in.
        other => ("503 Service Unavailable", format!("{other:?}\n")),
    }
}

/// The token in a request's head.
async fn token(stream: &mut TcpStream) -> Option<u64> {
    let mut lines = BufReader::new(stream).lines();
    let mut token = None;
    while let Some(line) = lines.next_line().await.ok()?.filter(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("fencing-token:") {
            token = value.trim().parse().ok();
        }
    }
    token
}

//! One of a fleet leads, and all others wait in line to follow it.
//!
//! ```sh
//! tenure serve --dev &
//! cargo run -p client --example leader_election -- alice &
//! cargo run -p client --example leader_election -- bob
//! ```
//!
//! Kill the one that leads, with -9 or with ^C: the other leads within the lease's ttl. The program steps down before
//! another one can lead: when the lease is lost, `lost()` resolves at the very instant at which belief ends.

use std::error::Error;
use std::time::Duration;

use client::{Acquire, Endpoint, Options, Session};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("who are you? give a name that no other process has")?;
    let endpoints = std::env::var("TENURE_ENDPOINTS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let session = Session::connect(Options::new(Endpoint::parse_list(&endpoints)?)).await?;
    loop {
        println!("{name}: in line");
        // Readers of the lease see the value: where to find the leader.
        let acquire = Acquire {
            ttl: Duration::from_secs(5),
            value: Some(format!("{name}.example:80")),
            ..Acquire::new("example/leader", &name)
        };
        let leadership = session.hold(acquire).await.into_result()?;
        println!("{name}: leading under token {}", leadership.token());
        tokio::select! {
            biased;
            lost = leadership.lost() => println!("{name}: stepping down: {lost}"),
            () = lead(leadership.token()) => println!("{name}: done"),
        }
    }
}

/// The work of a leader. Whatever it changes elsewhere carries the token: see the example `fence_postgres`.
async fn lead(token: u64) {
    for step in 1..=10 {
        println!("  step {step} under token {token}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

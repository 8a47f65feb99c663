//! Writes to PostgreSQL that only a lease's newest holder can make, whatever was paused, delayed or cut off.
//!
//! ```sh
//! tenure serve --dev &
//! cargo run -p client --example fence_postgres -- 'host=/var/run/postgresql user=me dbname=test' alice
//! ```
//!
//! The function `guarded_write` in `fence_postgres.sql` keeps the highest token that it saw, and refuses a lower one in
//! the same transaction as the write. Start it twice, stop the first with SIGSTOP, let the second write, and wake the
//! first: its write is refused.

use std::error::Error;
use std::time::Duration;

use client::{Acquire, Endpoint, Options, Session};
use tokio_postgres::{Client, Config, NoTls};

const LEASE: &str = "example/writer";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(holder)) = (arguments.next(), arguments.next()) else {
        return Err("give a PostgreSQL connection string, and a name that no other process has".into());
    };
    let endpoints = std::env::var("TENURE_ENDPOINTS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let session = Session::connect(Options::new(Endpoint::parse_list(&endpoints)?)).await?;
    let database = open(&database.parse()?).await?;

    let acquire = Acquire { ttl: Duration::from_secs(5), ..Acquire::new(LEASE, &holder) };
    let guard = session.hold(acquire).await.into_result()?;
    for count in 1..=10 {
        // The check spares a round trip. It does not protect the table: the token does.
        if !guard.is_held() {
            break;
        }
        write(&database, guard.token(), "greeting", &format!("{count} from {holder}")).await?;
        println!("{holder}: wrote {count} under token {}", guard.token());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    guard.release().await.into_result()?;
    Ok(())
}

/// Connects, and makes the tables and the function.
pub(crate) async fn open(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (database, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    database.batch_execute(include_str!("fence_postgres.sql")).await?;
    Ok(database)
}

/// Writes a document as the holder of `token`; refused with SQLSTATE TN001 where a higher one has written.
pub(crate) async fn write(
    database: &Client,
    token: u64,
    name: &str,
    body: &str,
) -> Result<(), Box<dyn Error>> {
    // PostgreSQL counts in 63 bits, which tokens reach in this century's last third.
    let token = i64::try_from(token)?;
    database.execute("SELECT guarded_write($1, $2, $3, $4)", &[&token, &LEASE, &name, &body]).await?;
    Ok(())
}

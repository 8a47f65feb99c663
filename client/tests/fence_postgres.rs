//! The example's table in a real PostgreSQL lets in only the newest holder's token.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "a test fails by panicking; the example's main is not run"
)]

#[path = "../examples/fence_postgres.rs"]
mod example;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

/// A PostgreSQL server on a socket in a folder of its own, ended with the test.
struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
}

/// Debian keeps the server's programs out of the path, in a folder a version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed: ./test does it");
    let newest = versions.map(|version| version.unwrap().path()).max().expect("a version of PostgreSQL");
    newest.join("bin")
}

/// PostgreSQL refuses to run as root: then it runs as the user that Debian's package made.
fn as_its_user(program: PathBuf) -> Command {
    match std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)) {
        Ok(0) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        }
        _ => Command::new(program),
    }
}

impl Postgres {
    fn start() -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let mut initdb = as_its_user(programs().join("initdb"));
        initdb.arg("--pgdata").arg(&data).args(["--username=me", "--auth=trust", "--no-sync"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = as_its_user(programs().join("postgres"));
        // No port at all: the socket's name has one, in a folder that nobody else uses.
        postgres.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-h", "", "-F"]);
        let server = postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Postgres { server, folder }
    }

    fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.folder.path()).user("me").dbname("postgres");
        config
    }

    async fn open(&self) -> tokio_postgres::Client {
        let began = Instant::now();
        loop {
            match example::open(&self.config()).await {
                Ok(client) => return client,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(30), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast shutdown; killed with -9 it would leave shared memory behind.
        let pid = self.server.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.server.wait();
    }
}

fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SqlState> {
    error.downcast_ref::<tokio_postgres::Error>()?.code()
}

#[tokio::test]
async fn a_stale_token_writes_nothing_whatever_the_newer_one_did() {
    let postgres = Postgres::start();
    let (old, new) = (postgres.open().await, postgres.open().await);
    example::write(&old, 7, "greeting", "from the old holder").await.unwrap();
    example::write(&old, 7, "greeting", "again").await.unwrap();
    example::write(&new, 9, "greeting", "from the new holder").await.unwrap();
    let error = example::write(&old, 7, "greeting", "late").await.unwrap_err();
    assert_eq!(refusal(error.as_ref()).map(SqlState::code), Some("TN001"), "{error}");
    // Nor another document: the token stands for the lease, and not for a row.
    assert!(example::write(&old, 7, "other", "late").await.is_err());
    let rows = new.query("SELECT name, body, token FROM document", &[]).await.unwrap();
    let rows: Vec<(String, String, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(rows, [("greeting".to_owned(), "from the new holder".to_owned(), 9)]);
}

#[tokio::test]
async fn a_higher_token_waits_for_the_write_under_way_and_then_shuts_its_holder_out() {
    let postgres = Postgres::start();
    let (mut old, new) = (postgres.open().await, postgres.open().await);
    let paused = old.transaction().await.unwrap();
    let write = "SELECT guarded_write(7, 'example/writer', 'greeting', 'from the old holder')";
    paused.batch_execute(write).await.unwrap();
    let newer = tokio::spawn(async move {
        example::write(&new, 9, "greeting", "from the new holder").await.map_err(|error| error.to_string())
    });
    paused.commit().await.unwrap();
    newer.await.unwrap().unwrap();
    assert!(example::write(&old, 7, "greeting", "late").await.is_err());
}

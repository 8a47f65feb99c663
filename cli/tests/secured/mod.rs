//! A cluster's folder as `tenure init` makes it, and its member as `tenure serve --config` runs it: in a temporary folder, on
//! a port that the system picks, killed with the test.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The binary, without what this shell may have set for it.
pub(crate) fn tenure(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TENURE_")) {
        command.env_remove(name);
    }
    command
}

/// How a command ended, and what it said.
pub(crate) fn said(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().expect("the binary runs");
    (status.code(), String::from_utf8(stderr).expect("messages are UTF-8"))
}

/// Makes a folder with `init`, and gives its path.
pub(crate) fn init(folder: &Path, args: &[&str]) -> PathBuf {
    let mut command = tenure(&["init"]);
    let (code, said) = said(command.arg(folder).args(args));
    assert_eq!(code, Some(0), "{said}");
    folder.to_owned()
}

/// A member that runs.
pub(crate) struct Member {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
    log: PathBuf,
    /// Gone with the member.
    parent: Option<TempDir>,
}

/// Starts the member of a folder, which need not come to serve.
pub(crate) fn serve(folder: &Path) -> Command {
    let mut command = tenure(&["serve", "--config"]);
    command.arg(folder.join("tenure.toml")).env("TENURE_ALLOW_VOLATILE_DATA", "true");
    command
}

impl Member {
    /// A new cluster's first member, known as `localhost` and by this machine's addresses.
    pub(crate) fn start() -> Member {
        Member::start_with(&[])
    }

    /// The same, with settings in the environment.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Member {
        let parent = TempDir::new().expect("a temporary folder");
        let folder = init(&parent.path().join("tenure"), &["--listen", "127.0.0.1:0"]);
        let mut member = Member::of_with(&folder, settings);
        member.parent = Some(parent);
        member
    }

    /// The member of a folder that is there.
    pub(crate) fn of(folder: &Path) -> Member {
        Member::of_with(folder, &[])
    }

    fn of_with(folder: &Path, settings: &[(&str, &str)]) -> Member {
        let log = folder.join("log.txt");
        let mut command = serve(folder);
        command.envs(settings.iter().copied());
        command.stdout(Stdio::piped()).stderr(File::create(&log).expect("a file for the log"));
        let mut child = command.spawn().expect("the member starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the member speaks");
        let port = line.trim_end().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let Some(port) = port else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{line:?}: {}", fs::read_to_string(&log).unwrap_or_default())
        };
        Member { child, port, folder: folder.to_owned(), log, parent: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A path in its folder, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A verb as its operator.
    pub(crate) fn operator(&self, args: &[&str]) -> Command {
        let mut command = self.anonymous(args);
        command.env("TENURE_CERT", self.path("operator/admin.crt"));
        command.env("TENURE_KEY", self.path("operator/admin.key"));
        command
    }

    /// A verb as somebody who knows the member, and whom nobody knows.
    pub(crate) fn anonymous(&self, args: &[&str]) -> Command {
        let mut command = tenure(args);
        command.env("TENURE_ENDPOINTS", self.endpoint()).env("TENURE_CA", self.path("ca/client.crt"));
        command
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log holds a text so many times.
    pub(crate) fn logged(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(start.elapsed() < PATIENCE, "{text:?} is not {times} times in {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

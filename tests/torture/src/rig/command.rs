//! The machine's own tools, which the rig is made of: each is run to its end, and what it says is kept where it fails.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a tool, and gives what it printed.
pub(crate) fn run(words: &[&str]) -> Result<String, Failed> {
    run_with(words, "")
}

/// The same, with a text to read.
pub(crate) fn run_with(words: &[&str], input: &str) -> Result<String, Failed> {
    let failed = |why: String| Failed { command: words.join(" "), why };
    let (program, args) = words.split_first().ok_or_else(|| failed("there is no program".to_owned()))?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends without reading says why by its own end.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}: {}", output.status, said.trim())))
}

/// Runs a tool whose failure changes nothing, as when what it removes is gone already.
pub(crate) fn try_run(words: &[&str]) {
    let _ = run(words);
}

/// A tool that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) command: String,
    pub(crate) why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` failed: {}", self.command, self.why)
    }
}

impl std::error::Error for Failed {}

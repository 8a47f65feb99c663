//! The bare server, without the tools: what it needs is in the environment and the file; `--dev` is its one flag. `tenure
//! serve` is the same server with every flag. The tests run this one where they need a process to kill.

#![allow(clippy::result_large_err, reason = "it is made once, and ends the process")]

use server::{Config, ExitKind, Flags};

fn main() {
    let flags = Flags { dev: std::env::args().any(|argument| argument == "--dev"), ..Flags::default() };
    let served = Config::load(&flags).map_err(Into::into).and_then(server::serve);
    if let Err(error) = served {
        eprintln!("{error}");
        std::process::exit(match error.exit_kind() {
            ExitKind::Refused => 1,
            ExitKind::Usage => 2,
            ExitKind::Unavailable => 3,
        });
    }
}

//! Runs the fast simulation.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::command::main(sim::command::Program {
        name: "fast",
        run: sim::run,
        chunk: 64,
        #[cfg(planted)]
        bugs: lease::planted::Bug::FAST,
    })
}

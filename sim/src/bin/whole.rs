//! Runs the whole-cluster simulation.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::command::main(sim::command::Program {
        name: "whole",
        run: sim::whole::run,
        chunk: 1,
        #[cfg(planted)]
        bugs: lease::planted::Bug::WHOLE,
    })
}

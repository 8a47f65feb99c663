//! Shell completions and the manual page, made from the same definitions that read the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::output::write_out;

/// Print a shell's completions.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Print the manual page, of all or of one verb.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The verb; all where it is left out.
    verb: Option<String>,
}

pub(crate) fn completions(args: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "tenure", &mut script);
    put(&script)
}

pub(crate) fn man(args: &Man) -> Result<Exit, Failure> {
    let mut tenure = crate::Cli::command();
    tenure.build();
    let page = match &args.verb {
        None => tenure,
        Some(verb) => {
            let found = tenure.find_subcommand(verb).cloned();
            found.ok_or_else(|| {
                let verb = crate::exit::quoted(verb);
                Failure::usage(format!("{verb} is no verb of tenure; tenure --help lists them"))
            })?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(|error| Failure::unavailable(error.to_string()))?;
    put(&text)
}

fn put(bytes: &[u8]) -> Result<Exit, Failure> {
    write_out(bytes).map_err(|error| Failure::unavailable(format!("stdout cannot be written: {error}")))?;
    Ok(Exit::Done)
}

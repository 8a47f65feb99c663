//! Where a new cluster begins that goes on with what another has had: flags of `restore` and of `recover`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use server::{Beginning, Flags};

use crate::exit::Failure;
use crate::serve;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["data", "config"])))]
pub(crate) struct Target {
    /// The new data folder: an empty one, or one that is yet to be made.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration of the new cluster's first member, as `tenure init` makes it: its data folder, its ids, its certificates.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Allow a data folder on a file system that forgets, or that cannot promise to have synced.
    #[arg(long)]
    allow_volatile_data: bool,
}

impl Target {
    /// Where the new cluster begins. `member` is its first member's id, where it was said.
    pub(crate) fn beginning(&self, member: Option<u64>) -> Result<Beginning, Failure> {
        if let Some(data) = &self.data {
            let allow_volatile_data = self.allow_volatile_data;
            return Ok(Beginning { data: data.clone(), cluster: None, member, allow_volatile_data });
        }
        let flags = Flags {
            config: self.config.clone(),
            allow_volatile_data: self.allow_volatile_data,
            ..Flags::default()
        };
        Ok(Beginning::configured(&serve::load(&flags)?)?)
    }

    /// How the new cluster is started.
    pub(crate) fn to_start(&self, beginning: &Beginning) -> String {
        match &self.config {
            Some(config) => {
                format!("tenure serve --config {}", server::shell_quoted(&config.display().to_string()))
            }
            None => {
                format!("tenure serve --data {}", server::shell_quoted(&beginning.data.display().to_string()))
            }
        }
    }
}

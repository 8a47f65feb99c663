//! `bench growth`: how cost grows, as figures and as charts.

use std::fs;
use std::path::{Path, PathBuf};

use claimer::RunError;
use claimer::bench::Report;
use claimer::bench::growth::{self, Growth as Wanted};
use clap::Args;

use super::Common;
use crate::exit::{Exit, Failure};

/// How cost grows: what an extend takes and costs at 1,000 leases, ten times as many, and so on; what a lease takes in memory, and a
/// connection, plain and by TLS. On members of its own.
#[derive(Debug, Args)]
pub(super) struct Growth {
    /// How many leases there are in the end.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    leases: u32,
    /// How many hold them where they are extended, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(1..=15_000))]
    holders: u32,
    /// How many connections there are in the end, each with a wait on its way.
    #[arg(long, value_name = "N", default_value = "15000", value_parser = clap::value_parser!(u32).range(1..=17_000))]
    connections: u32,
    /// How long each round of extends is measured, behind a second of warm-up.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How many rounds of extends at each size, each on servers of its own; the medians are told.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// Draw a chart of each figure as SVG into the folder DIR, over what has its name there.
    #[arg(long, value_name = "DIR")]
    charts: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Growth {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        // Before the run, which takes minutes.
        if let Some(folder) = self.charts.as_deref().filter(|folder| !folder.is_dir()) {
            let folder = folder.display();
            return Err(Failure::usage(format!("--charts {folder} is no folder; make it first")));
        }
        let growth = Wanted {
            leases: self.leases as usize,
            holders: self.holders as usize,
            connections: self.connections as usize,
            seconds: self.seconds,
            runs: self.runs,
        };
        self.common.run(|program| {
            let report = growth::measure(growth, program)?;
            self.charts.iter().try_for_each(|folder| draw(&report, folder))?;
            Ok(report)
        })
    }
}

fn draw(report: &Report<Wanted>, folder: &Path) -> Result<(), RunError> {
    for (file, chart) in growth::charts(report) {
        let path = folder.join(file);
        let written = fs::write(&path, chart.to_string());
        written
            .map_err(|error| RunError::Broken(format!("{} could not be written: {error}", path.display())))?;
    }
    Ok(())
}

//! `report`: how the workers of a member are, as Juju's `juju_engine_report` tells it.

use std::time::Duration;

use clap::Args;
use client::fetch;

use crate::connect::{ENDPOINTS_DEFAULT, PATIENCE_DEFAULT, runtime};
use crate::exit::{Exit, Failure};
use crate::output::write_out;
use crate::parse::{self, Endpoints};
use crate::trust::Trust;

/// How long a member may be silent within its answer.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Bytes of a report: far more than one of 64 members has.
const REPORT_BYTES_MAX: usize = 1024 * 1024;

/// Show how the workers of one member are: of the first that answers.
///
/// It is Juju's engine report: a line of title, and YAML with a worker each: raft, raft-leader-flag, raft-clusterer, raft-forwarder,
/// lease-manager, lease-clock-updater, api-server. On a member that does not lead, those that only a leader runs are stopped, and
/// say so; that is no fault.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Where the members are: HOST:PORT, with commas between, tried in this order; https://HOST:PORT by TLS.
    #[arg(long, env = "TENURE_ENDPOINTS", default_value = ENDPOINTS_DEFAULT, value_parser = parse::endpoints())]
    endpoints: Endpoints,
    /// How long to try before giving up.
    #[arg(long, value_name = "TIME", default_value = PATIENCE_DEFAULT, value_parser = parse::patience())]
    patience: Duration,
    #[command(flatten)]
    trust: Trust,
}

pub(crate) fn report(args: &Report) -> Result<Exit, Failure> {
    let text = runtime()?.block_on(take(args))?;
    write_out(&text)?;
    Ok(Exit::Done)
}

async fn take(args: &Report) -> Result<Vec<u8>, Failure> {
    let endpoints = &args.endpoints.0;
    let (tls, token) = (args.trust.load(endpoints)?, args.trust.token(endpoints)?);
    let mut fetched = fetch(endpoints, (tls.as_ref(), token.as_ref()), "/depengine", args.patience).await?;
    let mut text = Vec::new();
    let broken = |error: client::BrokenOff| Failure::unavailable(error.to_string());
    while let Some(piece) = fetched.piece(SILENT_MAX).await.map_err(broken)? {
        text.extend_from_slice(&piece);
        if text.len() > REPORT_BYTES_MAX {
            return Err(Failure::unavailable(format!(
                "{} sends more than {REPORT_BYTES_MAX} bytes as a report: is it a Tenure member's client port?",
                fetched.endpoint()
            )));
        }
    }
    Ok(text)
}

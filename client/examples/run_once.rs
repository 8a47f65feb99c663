//! A nightly job that every machine's cron starts, and only one of them runs.
//!
//! ```sh
//! tenure serve --dev &
//! for machine in a b c; do cargo run -p client --example run_once -- "backup/$(date +%F)" "$machine" & done; wait
//! ```
//!
//! The lease is named after the job and its day. The winner does not release it but leaves it standing for twelve hours,
//! so that a machine whose cron is late does not run the job again. Where the job fails the lease is released, and
//! whoever comes next tries. (To run a command this way, use `tenure run`: it ends the command in time when the lease is
//! lost.)

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use api::Code;
use client::{Claim, Endpoint, Failure, Options, Session};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(job), Some(machine)) = (arguments.next(), arguments.next()) else {
        return Err("give the job's name with its day, and this machine's name".into());
    };
    let endpoints = std::env::var("TENURE_ENDPOINTS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let session = Session::connect(Options::new(Endpoint::parse_list(&endpoints)?)).await?;

    let guard = match session.claim(Claim::new(&job, &machine)).await.into_result() {
        Ok(grant) => session.guard(grant),
        Err(Failure::Refused(problem)) if problem.code == Code::Held => {
            println!("{machine}: {} has it", problem.holder.unwrap_or_default());
            return Ok(ExitCode::SUCCESS);
        }
        Err(failure) => return Err(failure.into()),
    };
    println!("{machine}: running {job} under token {}", guard.token());
    let result = tokio::select! {
        biased;
        lost = guard.lost() => Err(lost.to_string()),
        result = run() => result,
    };
    if let Err(why) = result {
        println!("{machine}: failed: {why}");
        // Refused where it was lost, which is as good.
        let _ = guard.release().await;
        return Ok(ExitCode::FAILURE);
    }
    session.extend(&guard.into_grant(), Duration::from_secs(12 * 60 * 60)).await.into_result()?;
    println!("{machine}: done");
    session.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The job itself.
async fn run() -> Result<(), String> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

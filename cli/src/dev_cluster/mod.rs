//! `dev-cluster`: a whole cluster on this machine, for trying things: each member a process of its own, with a data folder of
//! its own.
//!
//! ```text
//!   DIR/cluster.json   which members there are, and which ports are theirs: made at the first start, and kept
//!   DIR/1.toml         a member's settings, for `tenure serve --dev --config`
//!   DIR/1.log          what it logs
//!   DIR/1/             its data
//!   DIR/tls/1/         with --tls, its certificates and all that vouches for them
//! ```
//!
//! A member that dies is missed and said so, and the others go on; it is started again by hand, or with `--restart` by this.
//! All of them end with this process, however it ends: their stdin is a pipe from it.

mod member;
mod observers;
mod plan;
mod secured;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, Next, print, print_line, say};
use member::Running;
use plan::{Plan, Wanted};

/// The folder, where none is named.
const FOLDER: &str = "tenure-cluster";
/// How long the members may take to stop in order.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Run a cluster on this machine, for trying things: each member in a process of its own.
///
/// Prints for each member its id, where clients and where other members reach it, its pid and its data folder. Ctrl-C ends
/// them all; the next start goes on with what they hold.
#[derive(Debug, Args)]
pub(crate) struct DevCluster {
    /// How many voters: 1, 3, 5 or 7 [default: as many as the folder has, and 3 in a new one]
    #[arg(long, value_name = "N", value_parser = crate::parse::members())]
    members: Option<u64>,
    /// How many observers beside them: members that serve clients and have no vote, at most 9 [default: as many as the folder
    /// has, and none in a new one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=plan::OBSERVERS_MAX))]
    observers: Option<u64>,
    /// The folder with all their data; it is made where it is missing.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    data: PathBuf,
    /// The first port of a new cluster; the others follow it [default: free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    listen_from: Option<u16>,
    /// Give the members of a new cluster certificates, as tenure init makes them: clients and members then come by TLS.
    #[arg(long)]
    tls: bool,
    /// Have the members serve Juju's agents too, whose logins are not throttled then.
    #[arg(long)]
    juju: bool,
    /// With --juju: let any agent claim for any holder, for load tools.
    #[arg(long, requires = "juju")]
    load_test_any_holder: bool,
    /// Start a member again that has died.
    #[arg(long)]
    restart: bool,
    /// Stop in order when stdin ends: for a cluster that must not outlive the program that started it.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn dev_cluster(args: &DevCluster) -> Result<Exit, Failure> {
    // Held back before the first member can end; Ctrl-C and SIGTERM only once all have started, so that a start can be broken off:
    // the members end by themselves then.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    hold_back(&signals)?;
    let wanted = Wanted {
        members: args.members,
        observers: args.observers,
        listen_from: args.listen_from,
        tls: args.tls,
        juju: args.juju,
        load_test_any_holder: args.load_test_any_holder,
    };
    let plan = Plan::open(&args.data, wanted)?;
    let mut cluster = Cluster { args, program: member::program()?, plan, running: Vec::new() };
    cluster.start()?;
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    hold_back(&signals)?;
    if args.until_stdin_ends {
        stop_when_stdin_ends();
    }
    cluster.introduce()?;
    loop {
        // Also at first: one may have ended before all had started.
        cluster.look()?;
        match signals.wait() {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(_) => break,
        }
    }
    // A second one ends this process at once, and with it the members.
    let _ = signals.thread_unblock();
    cluster.stop();
    Ok(Exit::Done)
}

fn hold_back(signals: &SigSet) -> Result<(), Failure> {
    let held = signals.thread_block();
    held.map_err(|errno| Failure::unavailable(format!("signals cannot be held back: {errno}")))
}

fn stop_when_stdin_ends() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = kill(Pid::this(), Signal::SIGTERM);
    });
}

struct Cluster<'a> {
    args: &'a DevCluster,
    program: PathBuf,
    plan: Plan,
    running: Vec<Running>,
}

const TITLES: [&str; 5] = ["MEMBER", "CLIENTS", "PEERS", "PID", "DATA"];

impl Cluster<'_> {
    /// Starts all, and returns once each listens.
    fn start(&mut self) -> Result<(), Failure> {
        for member in self.plan.members() {
            self.running.push(Running::start(&self.program, &self.plan, member)?);
        }
        self.running.iter_mut().try_for_each(Running::until_it_listens)?;
        observers::add(&self.plan)
    }

    fn introduce(&self) -> Result<(), Failure> {
        let rows: Vec<_> = self.running.iter().map(|running| running.row(&self.plan)).collect();
        let json: Vec<_> = self.running.iter().map(|running| running.shown(&self.plan)).collect();
        print(self.args.json.format(), &TITLES, &rows, &json)?;
        let observers: Vec<String> = self.plan.observers().map(|member| member.id.to_string()).collect();
        if !observers.is_empty() {
            say(format!("Observers, which serve and have no vote: {}.", observers.join(", ")));
        }
        let tenure = std::env::args().next().unwrap_or_else(|| "tenure".to_owned());
        let endpoints: Vec<String> = self.plan.members().map(|member| self.plan.endpoint(member)).collect();
        say(match endpoints.len() {
            1 => "In another terminal, claim a lease, and look:",
            _ => "In another terminal, claim through each of them, and look:",
        });
        if let Some(environment) = self.plan.environment_shown() {
            say(format!("  . {}", sourced(&environment)));
        }
        for (number, endpoint) in endpoints.iter().enumerate() {
            say(format!("  {tenure} claim try/{} --holder me --ttl 10m --endpoints {endpoint}", number + 1));
        }
        let all = endpoints.join(",");
        say(format!("  {tenure} list --endpoints {all}"));
        if let Some(first) = self.running.first().filter(|_| self.running.len() > 1) {
            say("Kill one, claim from those that are left, and start it again:");
            say(format!("  kill -9 {}", first.pid()));
            say(format!("  {tenure} claim try/more --holder me --ttl 10m --endpoints {all}"));
            say(format!("  {tenure} {}", first.by_hand(&self.plan)));
        }
        say(match self.running.len() {
            1 => "Ctrl-C ends it.",
            _ => "Ctrl-C ends them all.",
        });
        Ok(())
    }

    /// Says who has ended, and starts it again where that is wanted.
    fn look(&mut self) -> Result<(), Failure> {
        for at in (0..self.running.len()).rev() {
            let Some(status) = self.running[at].has_ended() else { continue };
            let mut ended = self.running.remove(at);
            let (id, pid) = (ended.id(), ended.pid());
            say(format!("member {id} (pid {pid}) has ended: {status}; its log is {}", ended.log().display()));
            // One that never served would only end again.
            if self.args.restart && ended.has_served() {
                self.start_again(&ended)?;
            } else {
                let tenure = std::env::args().next().unwrap_or_else(|| "tenure".to_owned());
                say(format!("start it again: {tenure} {}", ended.by_hand(&self.plan)));
            }
        }
        Ok(())
    }

    fn start_again(&mut self, ended: &Running) -> Result<(), Failure> {
        let again = Running::start(&self.program, &self.plan, ended.member())?;
        let row = print_line(self.args.json.format(), &again.row(&self.plan), &again.shown(&self.plan))?;
        debug_assert!(
            matches!(row, Next::More | Next::Enough),
            "whether it is read or not, the cluster goes on"
        );
        self.running.push(again);
        Ok(())
    }

    /// Stops all, in order where they do.
    fn stop(mut self) {
        match self.running.as_slice() {
            [] => say("no member is left to end"),
            [last] => say(format!("ending member {}", last.id())),
            all => say(format!("ending {} members", all.len())),
        }
        self.running.iter_mut().for_each(Running::ask_to_stop);
        let began = Instant::now();
        while began.elapsed() < STOP_WITHIN {
            self.running.retain_mut(|running| running.has_ended().is_none());
            if self.running.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for running in &mut self.running {
            say(format!("member {} did not end within {STOP_WITHIN:?}: killed", running.id()));
            running.kill();
        }
    }
}

/// As a shell takes it: a file without a slash it looks for in its PATH.
fn sourced(file: &Path) -> String {
    let shown = if file.is_absolute() { file.to_owned() } else { Path::new(".").join(file) };
    server::shell_quoted(&shown.display().to_string())
}

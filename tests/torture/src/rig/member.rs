//! One member: a real `tenure serve` in its namespace, on its disk, under the rig's shim.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::disk::Disk;
use super::net::address;
use super::tools::Tools;

/// What all members share.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) tenure: PathBuf,
    pub(crate) tools: Tools,
    /// Where everything of the run is.
    pub(crate) folder: PathBuf,
    pub(crate) members: u64,
    /// The cluster's id.
    pub(crate) cluster: u128,
}

/// A member, running or not.
pub(crate) struct Member {
    pub(crate) number: u64,
    pub(crate) disk: Disk,
    /// Its id in the cluster: its number, until it loses its data.
    id: u64,
    setup: Setup,
    namespace: String,
    child: Option<Child>,
    /// How fast its clock runs at its next start, in thousandths.
    rate: u64,
}

impl Member {
    /// Makes its disk and its settings; it does not run yet.
    pub(crate) fn make(setup: &Setup, number: u64, namespace: String) -> io::Result<Member> {
        let disk = Disk::make(&setup.folder, number)?;
        let member =
            Member { number, disk, id: number, setup: setup.clone(), namespace, child: None, rate: 1_000 };
        fs::write(member.settings(), member.toml())?;
        fs::write(member.control(), "")?;
        Ok(member)
    }

    /// Starts its process. It must be called on a thread that lives as long as the rig: its death is the process's.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.setup.folder.join(format!("{}.log", self.number)))?;
        let mut preload = self.setup.tools.shim.clone().into_os_string();
        let mut command = in_namespace(&self.namespace);
        command.arg("env").arg(format!("TORTURE_DISK={}", self.control().display()));
        if let (true, Some(faketime)) = (self.rate != 1_000, &self.setup.tools.faketime) {
            preload.push(":");
            preload.push(faketime);
            command.arg(format!("FAKETIME={}", faked(self.rate)));
        }
        let mut load = std::ffi::OsString::from("LD_PRELOAD=");
        load.push(preload);
        command.arg(load).arg(&self.setup.tenure).args(["serve", "--config"]).arg(self.settings());
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Ends its process at once, and waits for that.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Its process must end by itself with this code: it is waited for.
    pub(crate) fn ends_with(&mut self, code: i32, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(Some(status)) => {
                    self.child = None;
                    return if status.code() == Some(code) {
                        Ok(())
                    } else {
                        Err(format!("it ended with {status}, and not with exit code {code}"))
                    };
                }
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                Ok(None) => return Err(format!("it did not end within {within:?}")),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("it does not run".to_owned())
    }

    /// Removes its data folder. It must not run.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        fs::remove_dir_all(self.data())
    }

    /// Has it be a new member from its next start on, which waits to be added to the cluster.
    pub(crate) fn be_new(&mut self, id: u64) -> io::Result<()> {
        self.id = id;
        fs::write(self.settings(), self.toml())
    }

    /// Its id in the cluster.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether its process runs; one that has ended by itself is noticed here.
    pub(crate) fn is_running(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            Some(_) => {
                self.child = None;
                false
            }
            None => false,
        }
    }

    /// Stops and continues its process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        Ok(kill(Pid::from_raw(child.id().cast_signed()), signal)?)
    }

    /// How fast its clock runs from its next start on, in thousandths.
    pub(crate) fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
    }

    /// What its disk does from now on: a word that the shim knows, or nothing.
    pub(crate) fn set_disk(&self, word: &str) -> io::Result<()> {
        // In one step: the shim never reads half a word.
        let aside = self.control().with_extension("new");
        File::create(&aside)?.write_all(word.as_bytes())?;
        fs::rename(aside, self.control())
    }

    fn settings(&self) -> PathBuf {
        self.setup.folder.join(format!("{}.toml", self.number))
    }

    fn control(&self) -> PathBuf {
        self.setup.folder.join(format!("{}.control", self.number))
    }

    /// Where the other members reach it. A new member in an old one's place has a port of its own: as long as both belong to the
    /// cluster no two have the same address.
    pub(crate) fn peer(&self) -> String {
        let port = if self.id == self.number { 7401 } else { 7411 };
        format!("{}:{port}", address(self.number))
    }

    fn data(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    fn toml(&self) -> String {
        let (number, id, data) = (self.number, self.id, self.data());
        let own = format!(
            "data = {:?}\nlisten = \"{}:7400\"\ninsecure_plain_listener = true\nmember = {id}\ncluster = \"{:032x}\"\n",
            data.to_string_lossy(),
            address(number),
            self.setup.cluster,
        );
        if self.setup.members == 1 {
            return own;
        }
        if id != number {
            return format!("{own}peer.listen = \"{}\"\npeer.join = true\n", self.peer());
        }
        let voters = (1..=self.setup.members).map(|member| format!("{member}={}:7401", address(member)));
        let voters = voters.collect::<Vec<_>>().join(",");
        format!("{own}peer.listen = \"{}\"\npeer.voters = \"{voters}\"\n", self.peer())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too, but none that waits for a frozen disk.
        self.disk.thaw_if_frozen();
        let _ = self.kill();
    }
}

/// A command in a namespace, whose process dies with the rig's main thread, however that ends.
pub(crate) fn in_namespace(namespace: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "nsenter"]).arg(format!("--net=/run/netns/{namespace}"));
    command.stdin(Stdio::null());
    command
}

/// libfaketime's words for a clock that runs at so many thousandths of its rate.
pub(crate) fn faked(rate: u64) -> String {
    format!("+0 x{}.{:03}", rate / 1_000, rate % 1_000)
}

/// The end of what a member has logged.
pub(crate) fn last_words(folder: &Path, number: u64, lines: usize) -> String {
    let text = fs::read_to_string(folder.join(format!("{number}.log"))).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

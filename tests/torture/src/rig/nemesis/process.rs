//! What happens to processes, disks and clocks.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Struck;
use crate::rig::Trouble;
use crate::rig::schedule::Kind;
use crate::rig::world::World;

/// How long a process may live on after a sync that failed: until the next sync, which a tick makes at least every 250 ms while
/// anything is held, and its exit.
const FAIL_STOP: Duration = Duration::from_secs(3);

impl World {
    /// False where the kind is none of these.
    pub(super) fn strike_process(&mut self, struck: &mut Struck) -> Result<bool, Trouble> {
        let (kind, chance) = (struck.stroke.kind, struck.stroke.chance);
        for number in struck.hit.clone() {
            match kind {
                Kind::Kill => self.member(number)?.kill()?,
                Kind::Stop => self.member(number)?.signal(Signal::SIGSTOP)?,
                Kind::SlowDisk => {
                    let ms = [50, 300, 1_500, 4_000][chance as usize % 4];
                    self.member(number)?.set_disk(&format!("slow {ms}"))?;
                }
                Kind::FullDisk => {
                    let member = self.member(number)?;
                    member.disk.fill()?;
                    member.set_disk("full")?;
                }
                Kind::FailedSync => self.member(number)?.set_disk("fail")?,
                // Within rho, and half as fast again or half as slow.
                Kind::Clock => self.restart(number, 992 + chance % 17)?,
                Kind::WildClock => self.restart(number, [500, 1_500][chance as usize % 2])?,
                // All disks first: nobody is left who could tell the others.
                Kind::PowerCut => {
                    let tool = self.setup.tools.power_cut.clone();
                    self.member(number)?.disk.cut(&tool)?;
                }
                Kind::Pause => self.clients_of(number)?.signal(Signal::SIGSTOP)?,
                Kind::Crash => self.crash(number)?,
                Kind::Partition | Kind::OneWay | Kind::Bridge | Kind::Flap | Kind::Loss => return Ok(false),
            }
        }
        if kind == Kind::PowerCut {
            for number in struck.hit.clone() {
                let member = self.member(number)?;
                member.kill()?;
                member.disk.back()?;
            }
        }
        Ok(true)
    }

    /// False where the kind is none of these.
    pub(super) fn heal_process(&mut self, struck: &Struck) -> Result<bool, Trouble> {
        for number in struck.hit.clone() {
            match struck.stroke.kind {
                Kind::Kill | Kind::PowerCut => self.member(number)?.start()?,
                Kind::Stop => self.member(number)?.signal(Signal::SIGCONT)?,
                Kind::SlowDisk => self.member(number)?.set_disk("")?,
                Kind::FullDisk => {
                    let member = self.member(number)?;
                    member.disk.free()?;
                    member.set_disk("")?;
                }
                Kind::FailedSync => self.fail_stopped(number)?,
                Kind::Clock | Kind::Crash => {}
                Kind::WildClock => self.restart(number, 1_000)?,
                // They may have crashed meanwhile.
                Kind::Pause => {
                    self.clients_of(number).map_or(Ok(()), |clients| clients.signal(Signal::SIGCONT))?
                }
                Kind::Partition | Kind::OneWay | Kind::Bridge | Kind::Flap | Kind::Loss => return Ok(false),
            }
        }
        Ok(true)
    }

    fn restart(&mut self, number: u64, rate: u64) -> Result<(), Trouble> {
        let member = self.member(number)?;
        member.kill()?;
        member.set_rate(rate);
        Ok(member.start()?)
    }

    /// A process whose sync failed must be gone; it is started again on a disk that works.
    fn fail_stopped(&mut self, number: u64) -> Result<(), Trouble> {
        let until = Instant::now() + FAIL_STOP;
        while self.member(number)?.is_running() {
            if Instant::now() > until {
                // Where another fault lasts it may have had nothing to sync.
                if !self.network.is_whole() || self.busy.len() > 1 {
                    self.member(number)?.kill()?;
                    break;
                }
                return Err(Trouble::Broken(format!(
                    "member {number} lived on though its syncs had failed for seconds: it may have acknowledged what is not kept"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let member = self.member(number)?;
        member.set_disk("")?;
        Ok(member.start()?)
    }
}

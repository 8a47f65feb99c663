//! What goes wrong: leaders that stand still or are deposed, a log that does not commit, members that restart, links that break,
//! a network that is slow, clients that pause.

use client::machine::Input;

use crate::chance::MILLI;
use crate::world::{Event, World};

impl World {
    pub(crate) fn fault(&mut self) {
        if self.now >= self.calm {
            return;
        }
        match self.chance.below(10) {
            0 => self.stall_leader(),
            1 => self.stall_log(),
            2..4 => self.depose(),
            4 => self.restart_any(),
            5 => self.break_links(),
            6 => self.slow_network(),
            7 => self.pause_client(),
            8 => self.depose_while_stalled(),
            _ => {
                // A log that stands still, and then another leader: a lost quorum.
                self.stall_log();
                self.after(self.log_stalled_until - self.now, Event::Elect { m: None });
            }
        }
        let next = self.chance.millis(100, self.peace);
        self.after(next, Event::Fault);
    }

    fn length(&mut self) -> u64 {
        match self.chance.one_in(3) {
            true => self.chance.millis(500, 3_500),
            false => self.chance.millis(20, 600),
        }
    }

    fn stall_leader(&mut self) {
        let m = self.log.get().leader;
        let length = self.length();
        self.stall(m, length);
    }

    /// A member's driver does not run for so long; what is committed it applies all the same.
    pub(crate) fn stall(&mut self, m: usize, length: u64) {
        let until = self.members[m].stalled_until.max(self.now + length);
        self.members[m].stalled_until = until;
        self.trouble(until);
        self.say(format!("m{m} stands still until {}", crate::clock::Shown(until)));
    }

    fn stall_log(&mut self) {
        let until = self.now + self.length();
        self.log_stalled_until = self.log_stalled_until.max(until);
        self.trouble(until);
        self.say(format!("the log stands still until {}", crate::clock::Shown(until)));
    }

    fn depose(&mut self) {
        self.elect(None);
    }

    /// The log fills up, its leader stands still with what waits for the next batch, another leads for a while, and then the
    /// first again.
    fn depose_while_stalled(&mut self) {
        if self.members.len() == 1 {
            return self.depose();
        }
        let m = self.log.get().leader;
        let full = self.chance.millis(60, 400);
        let away = full + self.chance.millis(1, 50);
        let back = away + self.chance.millis(1_100, 2_200);
        let woken = back + self.chance.millis(5, 200);
        self.log_stalled_until = self.log_stalled_until.max(self.now + away);
        for c in 0..self.clients.len() {
            for _ in 0..3 {
                let after = self.chance.below(full);
                self.after(after, Event::Rush { c });
            }
        }
        self.after(full, Event::Stall { m, length: woken - full });
        self.after(away, Event::Elect { m: Some((m + 1) % self.members.len()) });
        self.after(back, Event::Elect { m: Some(m) });
        self.calm = self.calm.max(self.now + woken);
        self.end = self.end.max(self.calm + 1_500 * MILLI);
        self.trouble(self.now + woken);
        self.say(format!("m{m} is to stand still, be deposed and lead again"));
    }

    fn restart_any(&mut self) {
        let m = self.chance.index(self.members.len());
        self.crash(m);
    }

    pub(crate) fn break_links(&mut self) {
        for c in 0..self.clients.len() {
            if self.chance.one_in(2) {
                self.break_links_of(c, None);
            }
        }
    }

    /// A client's links break: all, or those to one member.
    pub(crate) fn break_links_of(&mut self, c: usize, to: Option<usize>) {
        let links = self.clients[c].links.iter().filter(|(_, (m, _))| to.is_none_or(|to| to == *m));
        for link in links.map(|(link, _)| *link).collect::<Vec<_>>() {
            let after = self.chance.millis(0, 200);
            let input = Box::new(Input::Lost { link, cause: String::new() });
            self.after(after, Event::Link { c, input });
        }
    }

    fn slow_network(&mut self) {
        let until = self.now + self.length();
        self.network.slow_until = until;
        self.network.slow = self.chance.millis(50, 800);
        self.say(format!("the network is slow until {}", crate::clock::Shown(until)));
    }

    fn pause_client(&mut self) {
        let c = self.chance.index(self.clients.len());
        let until = self.now + self.length();
        if self.clients[c].paused_until < self.now {
            self.clients[c].paused_until = until;
            self.at(until, Event::Resume { c });
            self.say(format!("c{c} pauses until {}", crate::clock::Shown(until)));
        }
    }

    /// How long a message is on its way; none where it is lost.
    pub(crate) fn latency(&mut self) -> Option<u64> {
        if self.now < self.calm && self.chance.below(1_000) < self.network.lost {
            return None;
        }
        Some(match () {
            () if self.now < self.network.slow_until && self.chance.one_in(2) => {
                self.chance.between(0, self.network.slow)
            }
            () if self.now < self.calm && self.chance.below(100) < self.network.late => {
                self.chance.millis(0, 300)
            }
            () => self.chance.between(50_000, 2 * MILLI),
        })
    }
}

//! The operator of the fast simulation: what it asks ([`operates`]) reaches a member after a while.

use lease::{Command, Ttl};
use replica::HeirMust;

use crate::chance::MILLI;
use crate::door::{NAMES, Put};
use crate::operates;
use crate::world::{Event, World};

impl World {
    pub(crate) fn operator(&mut self) {
        if self.now >= self.calm {
            return self.unpin_all();
        }
        let key = self.chance.index(self.keys);
        let command = match self.chance.below(10) {
            0..3 => Some(self.pin_of(key)),
            3..5 => Some(self.unpin_of(key)),
            _ => self.revoke_of(key),
        };
        if let Some(command) = command {
            let after =
                if self.chance.one_in(2) { self.chance.millis(0, 5) } else { self.chance.millis(0, 1_500) };
            self.after(after, Event::Operates { key, command: Box::new(command) });
        }
        let next = self.chance.millis(100, 1_200);
        self.after(next, Event::Operator);
    }

    /// Takes every pin away, until it is so.
    fn unpin_all(&mut self) {
        let pinned =
            |key: &usize| self.table.get(&self.words.keys[*key]).is_some_and(|view| !view.pins.is_empty());
        for key in (0..self.keys).filter(pinned).collect::<Vec<_>>() {
            let command = self.unpin_of(key);
            self.operates(key, command);
        }
        if self.now + 500 * MILLI < self.end {
            self.after(100 * MILLI, Event::Operator);
        }
    }

    pub(crate) fn operates(&mut self, key: usize, command: Command) {
        let m = match self.chance.one_in(4) {
            true => self.chance.index(self.members.len()),
            false => self.log.get().leader,
        };
        if self.tracing() {
            self.say(format!("operator to m{m}: {command:?}"));
        }
        let deadline = Ttl::from_millis(self.chance.pick(&[20, 200, 1_000, 5_000]));
        let named = operates::named(&command, &self.words.keys[key]);
        self.ask(m, None, self.now, key, None, Put::Command(command, named, HeirMust::Claim, deadline));
    }

    fn pin_of(&self, key: usize) -> Command {
        operates::pin(&self.words.keys[key])
    }

    fn unpin_of(&self, key: usize) -> Command {
        operates::unpin(&self.words.keys[key])
    }

    fn revoke_of(&mut self, key: usize) -> Option<Command> {
        debug_assert!(key < NAMES.len(), "a key has a name");
        let token = self.table.get(&self.words.keys[key])?.grant?.token;
        let holders: Vec<&str> = self.clients.iter().map(|client| client.holder.as_str()).collect();
        Some(operates::revoke(&mut self.chance, token, &holders))
    }
}

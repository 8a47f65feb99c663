//! What happens to packets.

use std::time::{Duration, Instant};

use super::Struck;
use crate::rig::Trouble;
use crate::rig::net::{CLIENTS, Drop};
use crate::rig::schedule::Kind;
use crate::rig::world::World;

impl World {
    pub(super) fn strike_network(&mut self, struck: &mut Struck) -> Result<(), Trouble> {
        let drops = self.drops(struck);
        self.network.strike(struck.number, drops)?;
        if struck.stroke.kind == Kind::Flap {
            struck.turn = Some((Instant::now() + period(struck), true));
        }
        Ok(())
    }

    /// Turns what flaps, when it is time.
    pub(crate) fn turn(&mut self, struck: &mut Struck) -> Result<(), Trouble> {
        let Some((_, cut)) = struck.turn.filter(|(at, _)| *at <= Instant::now()) else { return Ok(()) };
        let drops = if cut { Vec::new() } else { self.drops(struck) };
        self.network.strike(struck.number, drops)?;
        struck.turn = Some((Instant::now() + period(struck), !cut));
        Ok(())
    }

    fn drops(&self, struck: &Struck) -> Vec<Drop> {
        let (one, chance) = (struck.hit[0], struck.stroke.chance);
        let others: Vec<u64> = self.numbers().into_iter().filter(|other| *other != one).collect();
        // A single member has only its clients.
        let other = others.get(chance as usize % others.len().max(1)).copied().unwrap_or(CLIENTS);
        let both = |a, b| [Drop { from: a, to: b, percent: 100 }, Drop { from: b, to: a, percent: 100 }];
        match struck.stroke.kind {
            Kind::OneWay if chance.is_multiple_of(2) => vec![Drop { from: one, to: other, percent: 100 }],
            Kind::OneWay => vec![Drop { from: other, to: one, percent: 100 }],
            Kind::Bridge => both(one, other).to_vec(),
            Kind::Loss => {
                let percent = 5 + chance % 26;
                let places: Vec<u64> = self.numbers().into_iter().chain([CLIENTS]).collect();
                let pairs = places.iter().flat_map(|a| places.iter().map(move |b| (*a, *b)));
                let hit = |(a, b): &(u64, u64)| a != b && (struck.hit.contains(a) || struck.hit.contains(b));
                pairs.filter(hit).map(|(from, to)| Drop { from, to, percent }).collect()
            }
            // Partition and flap: from all other members, and every other time from the clients too.
            _ => {
                let clients = (others.is_empty() || chance.is_multiple_of(2)).then_some(CLIENTS);
                others.into_iter().chain(clients).flat_map(|other| both(one, other)).collect()
            }
        }
    }
}

/// 50 ms to 1.5 s.
fn period(struck: &Struck) -> Duration {
    Duration::from_millis(50 + struck.stroke.chance % 1_450)
}

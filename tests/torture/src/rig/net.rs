//! The network: a namespace for each member and one for the clients, all on one switch in a namespace of its own, in which
//! packets are dropped.
//!
//! ```text
//!   tt<pid>-1 ── eth0 ─┐                                 10.99.0.1
//!   tt<pid>-2 ── eth0 ─┤ bridge in tt<pid>-s, nft drops  10.99.0.2
//!   tt<pid>-3 ── eth0 ─┤ by source and destination       10.99.0.3
//!   tt<pid>-c ── eth0 ─┘                                 10.99.0.100
//! ```
//!
//! Nothing of it touches the machine's own network; it all goes with [`Network`], and what a killed rig leaves behind goes
//! with the next one's sweep.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::command::{Failed, run, run_with, try_run};

/// A place on the switch: a member by its number, or the clients.
pub(crate) type Place = u64;

/// The clients' place.
pub(crate) const CLIENTS: Place = 100;

/// What may be done to packets on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drop {
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// Of a hundred packets so many.
    pub(crate) percent: u64,
}

/// The switch and all that is plugged into it.
pub(crate) struct Network {
    prefix: String,
    /// What each fault drops.
    drops: BTreeMap<u64, Vec<Drop>>,
    members: u64,
}

impl Network {
    /// Makes the namespaces. `prefix` starts all their names.
    pub(crate) fn make(prefix: &str, members: u64) -> Result<Network, Failed> {
        // First the value, so that what was made goes when a later step fails.
        let network = Network { prefix: prefix.to_owned(), drops: BTreeMap::new(), members };
        let switch = network.switch();
        run(&["ip", "netns", "add", &switch])?;
        run(&["ip", "-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        run(&["ip", "-n", &switch, "link", "set", "br0", "up"])?;
        network.places().try_for_each(|place| network.plug_in(place))?;
        Ok(network)
    }

    /// The namespace of a place.
    pub(crate) fn namespace(&self, place: Place) -> String {
        match place {
            CLIENTS => format!("{}-c", self.prefix),
            member => format!("{}-{member}", self.prefix),
        }
    }

    /// Drops packets until the fault is healed.
    pub(crate) fn strike(&mut self, fault: u64, drops: Vec<Drop>) -> Result<(), Failed> {
        self.drops.insert(fault, drops);
        self.apply()
    }

    /// Lets them through again.
    pub(crate) fn heal(&mut self, fault: u64) -> Result<(), Failed> {
        self.drops.remove(&fault);
        self.apply()
    }

    /// Whether nothing is dropped.
    pub(crate) fn is_whole(&self) -> bool {
        self.drops.is_empty()
    }

    fn apply(&self) -> Result<(), Failed> {
        let rules = rules(self.drops.values().flatten());
        // Not `ip netns exec`: that copies all mounts for as long as its program runs, also another rig's, whose disk then does
        // not go when its power is cut.
        let switch = format!("--net=/run/netns/{}", self.switch());
        run_with(&["nsenter", &switch, "nft", "-f", "-"], &rules).map(|_| ())
    }

    fn plug_in(&self, place: Place) -> Result<(), Failed> {
        let (switch, namespace) = (self.switch(), self.namespace(place));
        let (port, address) = (format!("p{place}"), format!("{}/24", address(place)));
        run(&["ip", "netns", "add", &namespace])?;
        run(&["ip", "-n", &namespace, "link", "set", "lo", "up"])?;
        let (link, peer) =
            (["link", "add", &port, "type", "veth"], ["peer", "name", "eth0", "netns", &namespace]);
        run(&[&["ip", "-n", &switch][..], &link, &peer].concat())?;
        run(&["ip", "-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
        run(&["ip", "-n", &namespace, "addr", "add", &address, "dev", "eth0"])?;
        run(&["ip", "-n", &namespace, "link", "set", "eth0", "up"]).map(|_| ())
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        (1..=self.members).chain([CLIENTS])
    }

    fn switch(&self) -> String {
        format!("{}-s", self.prefix)
    }
}

impl std::ops::Drop for Network {
    fn drop(&mut self) {
        for place in self.places() {
            try_run(&["ip", "netns", "del", &self.namespace(place)]);
        }
        try_run(&["ip", "netns", "del", &self.switch()]);
    }
}

/// A place's address.
pub(crate) fn address(place: Place) -> String {
    format!("10.99.0.{place}")
}

/// The whole table, so that what is in force is always what is wanted.
fn rules<'a>(drops: impl Iterator<Item = &'a Drop>) -> String {
    let mut rules = String::from(
        "add table bridge torture\n\
         add chain bridge torture way { type filter hook forward priority 0; policy accept; }\n\
         flush chain bridge torture way\n",
    );
    for Drop { from, to, percent } in drops {
        let (from, to) = (address(*from), address(*to));
        let some = if *percent < 100 { format!("numgen random mod 100 < {percent} ") } else { String::new() };
        let _ = writeln!(rules, "add rule bridge torture way ip saddr {from} ip daddr {to} {some}drop");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_both_ends_and_how_many_packets() {
        let drops = [Drop { from: 1, to: 2, percent: 100 }, Drop { from: CLIENTS, to: 3, percent: 30 }];
        let rules = rules(drops.iter());
        assert!(rules.ends_with(
            "add rule bridge torture way ip saddr 10.99.0.1 ip daddr 10.99.0.2 drop\n\
             add rule bridge torture way ip saddr 10.99.0.100 ip daddr 10.99.0.3 numgen random mod 100 < 30 drop\n"
        ));
        assert!(rules.contains("flush chain"), "rules that are lifted must go: {rules}");
    }
}

//! Load without a fault: 300 leases, each kept by one and waited for by two, and waves in which all of them must connect anew.
//! Nobody is elected: the term in the end is the term of the beginning.

use std::time::{Duration, Instant};

use super::Check;
use super::histories::kept;
use super::stage::Stage;
use crate::rig::Trouble;
use crate::rig::command::{run_with, try_run};
use crate::rig::net::CLIENTS;

const WAVE_EVERY: Duration = Duration::from_secs(10);
/// So long every packet of the clients is answered with a reset: all connections break.
const WAVE: Duration = Duration::from_millis(300);

pub(super) fn play(stage: &mut Stage, length: Duration) -> Result<Check, Trouble> {
    stage.rest(Duration::from_secs(5))?;
    let (term, leader) = stage.leader()?;
    let start = Instant::now();
    let mut waves = 0;
    while start.elapsed() < length {
        // Only a little of what a wave does to clients is a fault of theirs; the members have none.
        let lasting = stage.begin("wave", "all clients".to_owned());
        wave(stage)?;
        stage.end(&lasting);
        waves += 1;
        stage.rest(WAVE_EVERY.min(length.saturating_sub(start.elapsed())))?;
    }
    let (now, leads) = stage.leader()?;
    stage.say(&format!(
        "{waves} waves in {length:?}: term {term} to {now}, member {leader} led and {leads} leads"
    ));
    if now != term {
        stage.complain(format!("calm: the term went from {term} to {now} though nothing was struck"));
    }
    Ok(Box::new(move |records| {
        let kept = kept(records);
        println!("{} leases kept: {} lost; belief lapsed {} times", kept.kept, kept.lost.len(), kept.lapses);
        kept.lost.iter().map(|lost| format!("calm: {lost}")).collect()
    }))
}

fn wave(stage: &Stage) -> Result<(), Trouble> {
    let namespace = format!("--net=/run/netns/{}", stage.world.network.namespace(CLIENTS));
    let within = ["nsenter", &namespace, "nft"];
    let rules = "add table inet wave\n\
                 add chain inet wave out { type filter hook output priority 0; }\n\
                 add rule inet wave out tcp dport 7400 reject with tcp reset\n";
    run_with(&[&within[..], &["-f", "-"]].concat(), rules)?;
    let waited = stage.rest(WAVE);
    try_run(&[&within[..], &["delete", "table", "inet", "wave"]].concat());
    waited
}

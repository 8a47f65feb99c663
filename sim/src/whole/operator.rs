//! The operator: pins, unpins and revokes, at any member; when faults have stopped, every pin goes.

use replica::{HeirMust, Proposal};

use super::clients::HOLDERS;
use super::cluster::Cluster;
use super::executor::{chance, now, sleep};
use super::judge;
use crate::chance::MILLI;
use crate::door::Words;
use crate::operates;

/// Operates until `calm`, and then takes every pin away.
pub(crate) async fn live(cluster: Cluster, calm: u64) {
    let words = Words::new();
    let pace = chance(|it| it.pick(&[1_000, 4_000, 15_000]));
    loop {
        sleep(chance(|it| it.millis(100, pace))).await;
        let ids = cluster.ids();
        let Some((_, handle)) = cluster.door(chance(|it| it.pick(&ids))) else { continue };
        let key = chance(|it| it.pick(&[0, 1, 2]));
        let key = &words.keys[key];
        let (token, pinned) = handle.peek(|table, _| {
            let view = table.get(key);
            let pinned = words.keys.iter().find(|key| table.get(key).is_some_and(|it| !it.pins.is_empty()));
            (view.and_then(|it| it.grant).map(|it| it.token), pinned.cloned())
        });
        let is_calm = now() >= calm;
        let command = match (chance(|it| it.below(10)), token, pinned) {
            (_, _, None) if is_calm => continue,
            (_, _, Some(pinned)) if is_calm => operates::unpin(&pinned),
            (0..3, _, _) => operates::pin(key),
            (3..6, _, _) => operates::unpin(key),
            (_, Some(token), _) => chance(|it| operates::revoke(it, token, &HOLDERS)),
            (_, None, _) => continue,
        };
        judge::say(|| format!("the operator: {command:?}"));
        let named = operates::named(&command, key);
        let deadline = lease::Ttl::from_millis(chance(|it| it.pick(&[20, 200, 1_000, 5_000])));
        handle.propose(Proposal { command, named, heir: HeirMust::Claim, deadline, reply: Box::new(drop) });
        if is_calm {
            sleep(300 * MILLI).await;
        }
    }
}

//! What an operator asks: pins, unpins and revokes, by tokens that may be old by the time that the command arrives.

use lease::{Command, Entity, Heir, Instance, Key, Reason, RevokeWhen, Token, Ttl};
use replica::Named;

use crate::chance::Chance;
use crate::door;

pub(crate) fn pin(key: &Key) -> Command {
    let (entity, why) = (door::parsed(Entity::parse("op")), door::parsed(Reason::parse("")));
    Command::Pin { key: key.clone(), entity, why }
}

pub(crate) fn unpin(key: &Key) -> Command {
    Command::Unpin { key: key.clone(), entity: door::parsed(Entity::parse("op")) }
}

/// Revokes a grant, at once or at its deadline; now and then with an heir among `holders`.
pub(crate) fn revoke<H: AsRef<str>>(chance: &mut Chance, token: Token, holders: &[H]) -> Command {
    let when = if chance.one_in(2) { RevokeWhen::Now } else { RevokeWhen::AtDeadline };
    let heir = chance.one_in(4).then(|| {
        let holder = door::holder(holders[chance.index(holders.len())].as_ref());
        let ttl = Ttl::from_millis(chance.between(300, 2_000));
        Heir { holder, instance: Instance(0), ttl, confirm: Ttl::ZERO }
    });
    Command::Revoke { token, why: door::parsed(Reason::parse("r")), when, heir }
}

/// What a command of an operator's says besides, of the lease that it is about.
pub(crate) fn named(command: &Command, key: &Key) -> Option<Named> {
    matches!(command, Command::Revoke { .. }).then(|| Named {
        key: key.clone(),
        instance: None,
        holder: None,
    })
}

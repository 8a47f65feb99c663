//! Every end has a cause that named its token: a command of its entry, a revoke before it, or its own deadline.

use lease::{Command, End, Outcome, RevokeWhen, What, Why};

use super::{Committed, Kept, Ledger};

pub(crate) fn committed(ledger: &mut Ledger, entry: &Committed<'_>) -> Kept {
    ledger.note_ending(entry);
    for event in &entry.applied.events {
        let What::Ended { key, end } = &event.what else { continue };
        if !is_caused(ledger, entry, end) {
            return Err(format!(
                "{key}: the grant of token {} ended as {:?}, and nothing named it",
                end.token, end.why
            ));
        }
    }
    Ok(())
}

fn is_caused(ledger: &mut Ledger, entry: &Committed<'_>, end: &End) -> bool {
    let is_over = || ledger.deadlines.get(&end.token).is_some_and(|deadline| *deadline < entry.table.now());
    match end.why {
        Why::Expired | Why::Unconfirmed => is_over(),
        Why::Released => {
            commands(entry).any(|it| matches!(it, Command::Release { token } if *token == end.token))
        }
        Why::Transferred => {
            commands(entry).any(|it| matches!(it, Command::Transfer { token, .. } if *token == end.token))
        }
        Why::Revoked(_) => {
            let at_once = |it: &Command| matches!(it, Command::Revoke { token, when: RevokeWhen::Now, .. } if *token == end.token);
            let cut = commands(entry).any(at_once);
            let over = ledger.ending.contains(&end.token) && is_over();
            if cut {
                ledger.cut.insert(end.token);
            }
            cut || over
        }
        Why::Restored => false,
    }
}

fn commands<'a>(entry: &'a Committed<'_>) -> impl Iterator<Item = &'a Command> {
    entry
        .outcomes()
        .filter(|(_, outcome)| !matches!(outcome, Outcome::Refused(_)))
        .map(|(request, _)| &request.command)
}

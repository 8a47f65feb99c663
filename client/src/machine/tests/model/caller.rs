//! What the session's callers and its rival do, at random.

use std::time::Duration;

use api::Call;

use super::{CALM, Event, NAMES, World};
use crate::machine::tests::rig::INSTANCE;
use crate::machine::{Ask, Input, OpId};

impl World {
    pub(super) fn rival(&mut self) {
        let name = NAMES[usize::try_from(self.below(2)).unwrap_or(0)];
        self.cluster.rival(self.now, name);
        if self.now < CALM {
            self.soon(3_000, Event::Rival);
        }
    }

    pub(super) fn caller(&mut self) {
        if self.now >= CALM {
            return;
        }
        let name = NAMES[usize::try_from(self.below(2)).unwrap_or(0)];
        let token = self.tokens.get(name).copied().unwrap_or(0);
        match self.below(12) {
            0..3 => self.ask(self.claim_of(name)),
            3..5 => self.ask(extend_of(name, token)),
            5..7 => {
                self.ask(release_of(name, token));
            }
            7 => self.input(Input::Keep { namespace: "default".to_owned(), name: name.to_owned(), token }),
            8 => self.ask_bulk(),
            9..11 => self.ask_acquire(name),
            _ => {
                let op = self.pending.first().copied();
                if let Some(op) = op.filter(|_| self.one_in(2)) {
                    self.pending.remove(&op);
                    self.input(Input::Abandon { op });
                }
            }
        }
        self.soon(1_500, Event::Caller);
    }

    // Half of the ttls are so long that what nobody releases is still there at the end.
    fn claim_of(&self, name: &str) -> Call {
        let ttl_ms = if self.op_last.is_multiple_of(2) { 600_000 } else { 3_000 + self.op_last % 7 * 1_000 };
        let (namespace, holder) = ("default".to_owned(), "h".to_owned());
        Call::Claim(api::Claim {
            namespace,
            name: name.to_owned(),
            holder,
            ttl_ms: Some(ttl_ms),
            ..api::Claim::default()
        })
    }

    fn ask_bulk(&mut self) {
        let step = |call| match call {
            Call::Claim(claim) => api::Step::Claim(claim),
            Call::Release(release) => api::Step::Release(release),
            _ => unreachable!("only these are asked for in bulk"),
        };
        let token = self.tokens.get("b").copied().unwrap_or(0);
        let steps = vec![step(self.claim_of("a")), step(release_of("b", token))];
        self.ask(Call::Bulk(steps));
    }

    fn ask_acquire(&mut self, name: &str) {
        let Call::Claim(claim) = self.claim_of(name) else { unreachable!("it is a claim") };
        let timeout_ms = 500 + self.below(10_000);
        let acquire = api::Acquire {
            namespace: claim.namespace,
            name: claim.name,
            holder: claim.holder,
            ttl_ms: claim.ttl_ms,
            value: self.op_last.is_multiple_of(3).then(|| "here".to_owned()),
            timeout_ms: Some(timeout_ms),
            ..api::Acquire::default()
        };
        self.acquires.insert(OpId(self.op_last + 1), (name.to_owned(), self.cluster.token_last));
        self.ask_within(Call::Acquire(acquire), timeout_ms + 2_000);
    }

    fn ask(&mut self, call: Call) {
        let within = 200 + self.below(6_000);
        self.ask_within(call, within);
    }

    fn ask_within(&mut self, call: Call, within: u64) {
        self.op_last += 1;
        let op = OpId(self.op_last);
        self.pending.insert(op);
        let ends = Some(self.now.after(Duration::from_millis(within)));
        self.input(Input::Ask { op, ask: Ask::Call(call), ends });
    }
}

fn extend_of(name: &str, token: u64) -> Call {
    Call::Extend(api::Extend {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        token,
        instance: Some(INSTANCE),
        ttl_ms: Some(8_000),
        deadline_ms: None,
    })
}

fn release_of(name: &str, token: u64) -> Call {
    let (namespace, name) = ("default".to_owned(), name.to_owned());
    Call::Release(api::Release { namespace, name, token, instance: Some(INSTANCE), deadline_ms: None })
}

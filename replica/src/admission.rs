//! Admission: how much may wait for its turn, and who is turned away first where not all can be served in time.
//!
//! ```text
//!   extend, release   a room of its own each, as large as the queue: never refused while anything below is let in
//!   wait              the same; acquires that find their lease free, and what operators ask
//!   claim             what is carried out within 500 ms, as measured, and within its own deadline
//!   read              1,024; and 16 once claims fill half of their room: the member is pressed
//! ```
//!
//! How fast claims are carried out is measured while some are always left behind: so long as none are, nobody waits. What is not
//! let in is told so at once, and when to come back: once those before it are done. The room for claims holds at least one bulk
//! frame, however slow the member is; whose deadline would pass in it is refused by that.
//!
//! Pure: time comes in as an argument.

use lease::{
    BATCH_COMMANDS_MAX, CLAIMS_WAIT_MAX, FRAME_OPERATIONS_MAX, RETRY_AFTER_MAX, RETRY_AFTER_MIN, Ttl,
};

use crate::clock::Mono;

/// How far one measurement moves the average: an eighth of the way.
const WEIGHT: u64 = 8;

/// Who is let in to wait for a batch, or for a frame to the leader.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Commands of a kind that may wait at all.
    limit: usize,
    /// How long one claim takes, in ns, where it has been measured.
    a_claim: Option<u64>,
    /// Since when claims are always left behind.
    busy: Option<Mono>,
}

impl Admission {
    pub(crate) fn new(limit: usize) -> Admission {
        Admission { limit, a_claim: None, busy: None }
    }

    /// Commands of a kind that may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// A batch goes with so many claims, and leaves so many behind.
    pub(crate) fn went(&mut self, at: Mono, claims: usize, left: usize) {
        if let Some(since) = self.busy.filter(|_| claims > 0) {
            let each = (at.since(since).as_nanos() / claims as u64).min(CLAIMS_WAIT_MAX.as_nanos());
            self.a_claim = Some(self.a_claim.map_or(each, |before| (before * (WEIGHT - 1) + each) / WEIGHT));
        }
        if claims > 0 || left == 0 {
            self.busy = (left > 0).then_some(at);
        }
    }

    /// No claim waits any more, whatever became of those that did.
    pub(crate) fn rests(&mut self) {
        self.busy = None;
    }

    /// How many claims may wait.
    pub(crate) fn room_for_claims(&self) -> usize {
        let least = FRAME_OPERATIONS_MAX.min(self.limit);
        let in_time = |each: u64| CLAIMS_WAIT_MAX.as_nanos() / each.max(1);
        let measured = self.a_claim.and_then(|each| usize::try_from(in_time(each)).ok());
        measured.map_or(self.limit, |room| room.clamp(least, self.limit))
    }

    /// How long a claim waits for its turn behind so many.
    pub(crate) fn wait_behind(&self, claims: usize) -> Ttl {
        Ttl::from_nanos(self.a_claim.unwrap_or(0).saturating_mul(claims as u64))
    }

    /// Whether a claim that stops waiting after `deadline` is let in behind so many others. What fits in the next batch is, however
    /// slow the last ones were: how fast claims are is seen by them alone.
    pub(crate) fn lets_in(&self, claims: usize, deadline: Ttl) -> bool {
        let in_time = claims < BATCH_COMMANDS_MAX || self.wait_behind(claims) < deadline;
        claims < self.room_for_claims() && in_time
    }

    /// When another try is likelier to pass, with so many claims waiting.
    pub(crate) fn retry_after(&self, claims: usize) -> Ttl {
        self.wait_behind(claims).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
    }

    /// How pressed the member is, with so many claims waiting.
    pub(crate) fn load(&self, claims: usize) -> Load {
        let room = self.room_for_claims();
        match claims {
            claims if claims >= room => Load::Full,
            claims if claims * 2 >= room => Load::Pressed,
            _ => Load::Light,
        }
    }
}

/// How much waits at a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Whatever comes is let in.
    #[default]
    Light,
    /// Claims fill half of their room: few reads are let in, and newcomers one by one.
    Pressed,
    /// And all of it: claims are turned away.
    Full,
}

#[cfg(test)]
mod tests {
    use lease::QUEUE_MAX;

    use super::*;

    const MS: u64 = 1_000_000;
    const PATIENT: Ttl = Ttl::from_millis(60_000);

    /// A member that carries out so many claims a millisecond, and has been seen to.
    fn measured(each_ms: usize) -> Admission {
        let mut admission = Admission::new(QUEUE_MAX);
        (0..100).for_each(|at| admission.went(Mono(at * MS), each_ms, 1));
        admission
    }

    #[test]
    fn before_anything_is_measured_the_queue_is_the_bound() {
        let admission = Admission::new(100);
        assert!(admission.lets_in(99, Ttl::from_millis(1)) && !admission.lets_in(100, PATIENT));
        assert_eq!(admission.retry_after(100), RETRY_AFTER_MIN);
    }

    #[test]
    fn so_many_claims_may_wait_as_are_done_in_time() {
        let quick = measured(40);
        assert_eq!(quick.room_for_claims(), 20_000, "40 a millisecond, for 500 ms");
        assert!(quick.lets_in(19_999, PATIENT) && !quick.lets_in(20_000, PATIENT));
        assert_eq!(quick.retry_after(20_000), Ttl::from_millis(500));
        assert_eq!(measured(1_000).room_for_claims(), QUEUE_MAX, "and never more than the queue holds");
    }

    #[test]
    fn a_slow_member_takes_one_bulk_frame_but_nobody_whose_deadline_would_pass() {
        let slow = measured(2);
        assert_eq!(slow.room_for_claims(), FRAME_OPERATIONS_MAX);
        assert!(slow.lets_in(9_000, PATIENT));
        assert!(!slow.lets_in(9_000, Ttl::from_millis(4_500)), "its turn comes in 4.5 s");
    }

    #[test]
    fn nothing_is_measured_where_nobody_is_left_behind() {
        let mut admission = Admission::new(QUEUE_MAX);
        (0..10).for_each(|at| admission.went(Mono(at * 1_000 * MS), 1, 0));
        assert_eq!(admission.room_for_claims(), QUEUE_MAX, "one claim a second is what was asked for");
        // What waits behind extends alone has waited all the same.
        admission.went(Mono(20_000 * MS), 1, 5);
        admission.went(Mono(20_001 * MS), 0, 5);
        admission.went(Mono(20_002 * MS), 4, 1);
        assert_eq!(admission.wait_behind(1), Ttl::from_nanos(MS / 2));
    }

    #[test]
    fn a_member_that_stood_still_takes_claims_again_and_forgets_how_slow_it_was() {
        let mut admission = Admission::new(QUEUE_MAX);
        admission.went(Mono(0), 1, 5);
        admission.rests();
        admission.went(Mono(600_000 * MS), 1, 1);
        assert_eq!(admission.wait_behind(1), Ttl::ZERO, "ten minutes in which nobody waited");
        admission.went(Mono(1_200_000 * MS), 1, 1);
        assert_eq!(admission.wait_behind(1), CLAIMS_WAIT_MAX, "ten minutes in which one did");
        assert!(admission.lets_in(BATCH_COMMANDS_MAX - 1, Ttl::from_millis(5_000)));
        assert!(!admission.lets_in(BATCH_COMMANDS_MAX, Ttl::from_millis(5_000)));
        (0..100).for_each(|at| admission.went(Mono((1_200_001 + at) * MS), 10, 1));
        assert!(admission.wait_behind(1) < Ttl::from_millis(1), "{}", admission.wait_behind(1));
    }

    #[test]
    fn a_member_is_pressed_from_half_of_its_room_on() {
        let admission = Admission::new(100);
        let loads = [49, 50, 99, 100].map(|claims| admission.load(claims));
        assert_eq!(loads, [Load::Light, Load::Pressed, Load::Pressed, Load::Full]);
    }
}

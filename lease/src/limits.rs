//! Every limit of the lease rules and of what crosses the network, in one table, with the relations between them checked at
//! compile time.

use crate::Ttl;

/// Longest namespace, in bytes of UTF-8.
pub const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest name of a lease, holder or pinning entity, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest value of a grant, in bytes of UTF-8.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Longest reason given with a pin or a revoke, in bytes of UTF-8.
pub const WHY_BYTES_MAX: usize = 256;
/// The shortest ttl any namespace may allow.
pub const TTL_MIN: Ttl = Ttl::from_millis(200);
/// The longest ttl any namespace may allow.
pub const TTL_MAX: Ttl = Ttl::from_millis(24 * 60 * 60 * 1000);
/// The shortest ttl of a namespace that sets none.
pub const TTL_MIN_DEFAULT: Ttl = Ttl::from_millis(1_000);
/// The longest cooldown a namespace may set.
pub const COOLDOWN_MAX: Ttl = Ttl::from_millis(60 * 60 * 1000);
/// The shortest time that a holder has to confirm a grant that it did not see coming.
pub const CONFIRM_MIN: Ttl = Ttl::from_millis(500);
/// The longest; between the two it is the grant's ttl.
pub const CONFIRM_MAX: Ttl = Ttl::from_millis(2_000);
/// Pins on one lease.
pub const PINS_MAX: usize = 16;
/// Commands in one batch.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// Bytes of an encoded batch at which it is sealed.
pub const BATCH_BYTES_SEAL: usize = 64 * 1024;
/// Grants, cooldowns and unclaimable keys that one batch's sweep ends.
pub const SWEEP_MAX: u32 = 1_024;
/// Ends kept in a namespace's history, unless it sets fewer.
pub const HISTORY_MAX: usize = 10_000;
/// Leases in one namespace, unless it sets another number. Free names with pins and cooldowns count.
pub const LEASES_MAX_DEFAULT: u64 = 2_000_000;
/// Namespaces with leases, history or settings.
pub const NAMESPACES_MAX: usize = 4_096;
/// Credentials, those among them that are revoked.
pub const CREDENTIALS_MAX: usize = 10_000;
/// Bytes of one session frame or of one HTTP body.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Operations in one bulk frame.
pub const FRAME_OPERATIONS_MAX: usize = 10_000;
/// Nesting of a request's JSON.
pub const FRAME_DEPTH_MAX: usize = 16;
/// Waits outstanding on one session.
pub const SESSION_WAITS_MAX: usize = 10_000;
/// Acquires outstanding at one member.
pub const ACQUIRES_MAX: usize = 1_000_000;
/// Reads in flight on one session: each may hold a page of leases.
pub const SESSION_READS_MAX: usize = 64;
/// Watches on one session.
pub const SESSION_WATCHES_MAX: usize = 1_000;
/// Watches at one member, over all its sessions and streams.
pub const WATCHES_MAX: usize = 1_000_000;
/// Waits outstanding at one member, over all its sessions and long polls.
pub const WAITS_MAX: usize = 1_000_000;
/// Commands of a kind that may wait for their turn at one member, unless it is configured with fewer.
pub const QUEUE_MAX: usize = 65_536;
/// How long claims may have to wait for their turn, as measured: more are turned away. A bulk frame's are let in all the same.
pub const CLAIMS_WAIT_MAX: Ttl = Ttl::from_millis(500);
/// Reads that may wait at one member: each may hold a page of leases by the time that it is answered.
pub const READS_MAX: usize = 1_024;
/// The same, while claims fill half of their room.
pub const READS_PRESSED_MAX: usize = 16;
/// How soon whoever is turned away is to come back, at the least.
pub const RETRY_AFTER_MIN: Ttl = Ttl::from_millis(100);
/// And at the most.
pub const RETRY_AFTER_MAX: Ttl = Ttl::from_millis(5_000);
/// TLS handshakes of one member in their costly part at a time. Without a bound, 15,000 clients that came at once kept those that
/// were connected waiting for seconds; with 32 for 31 ms at p99. More than 32, because over a real network each waits for a
/// round trip.
pub const HANDSHAKES_MAX: usize = 64;
/// TLS handshakes of one address under way, of IPv6 of one network of 64 bits: also those that are waited for without doing anything.
pub const HANDSHAKES_OF_SOURCE_MAX: usize = 128;
/// Connections that a member lets in a second while claims fill half of their room.
pub const CONNECTIONS_PRESSED_A_SECOND: u32 = 500;
/// Calls in flight on one session, waits not counted.
pub const SESSION_CALLS_MAX: usize = 10_000;
/// Steps in flight on one session, over all its bulk calls: a few whole frames, so that the next one is under way while one is
/// answered, and a bound on what a session can hold in memory.
pub const SESSION_STEPS_MAX: usize = 4 * FRAME_OPERATIONS_MAX;
/// Bytes of one frame of a Juju client: some hundreds of claims.
pub const JUJU_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Calls in flight on one connection of a Juju client, those that wait for a lease among them.
pub const JUJU_CALLS_MAX: usize = 128;
/// Items that one call of a Juju client has at most: a small frame may have very many, and each has a result that is larger.
pub const JUJU_ITEMS_MAX: usize = 500;
/// Parts of applications' names that `/leases` is asked for at most: each lease is looked at for each of them.
pub const LEASES_APPS_MAX: usize = 64;
/// Bytes of one frame from a server that a client takes.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one lease of a page takes at the most: its keys and numbers, and its texts as JSON may write them, a byte of a
/// value as six and one of a name or a reason as two.
pub const LEASE_JSON_BYTES_MAX: usize = 1_000
    + 6 * VALUE_BYTES_MAX
    + 2 * (PINS_MAX * (32 + NAME_BYTES_MAX + WHY_BYTES_MAX) + NAMESPACE_BYTES_MAX)
    + 2 * (5 * NAME_BYTES_MAX + 2 * WHY_BYTES_MAX);
/// Bytes of leases at which a page ends, however few they are: it must fit into one frame.
pub const PAGE_BYTES_MAX: usize = REPLY_BYTES_MAX - LEASE_JSON_BYTES_MAX - FRAME_BYTES_MAX;
/// Client connections of one process.
pub const CONNECTIONS_MAX: usize = 18_000;
/// Leases in one page of a list.
pub const PAGE_LEASES_MAX: usize = 1_000;
/// Leases in a page whose call names no number.
pub const PAGE_LEASES_DEFAULT: usize = 100;
/// How long a token is good by which a new member joins a cluster, at most.
pub const JOIN_TOKEN_LIFE_MAX: Ttl = Ttl::from_millis(7 * 24 * 60 * 60 * 1_000);
/// And where nobody says: long enough to walk to the other machine.
pub const JOIN_TOKEN_LIFE_DEFAULT: Ttl = Ttl::from_millis(60 * 60 * 1_000);
/// How long a call may take where it names no deadline.
pub const DEADLINE_DEFAULT: Ttl = Ttl::from_millis(5_000);
/// The longest deadline a call may name.
pub const DEADLINE_MAX: Ttl = Ttl::from_millis(60_000);
/// The longest a wait may last.
pub const WAIT_MAX: Ttl = Ttl::from_millis(24 * 60 * 60 * 1000);
/// How long a wait over HTTP lasts that names no time: proxies and clients give up on a silent request soon after.
pub const WAIT_DEFAULT: Ttl = Ttl::from_millis(30_000);
/// How far one batch may move the lease clock. A command has no effect once the clock reads its deadline and this.
pub const CLAMP: Ttl = Ttl::from_millis(500);
/// The ttl of a claim that names none.
pub const TTL_DEFAULT: Ttl = Ttl::from_millis(15_000);
/// The bound on how far any clock's rate may err, in parts per thousand: rho.
pub const RHO_PER_MILLE: u64 = 10;
/// Records of one table, held or remembered: far more than memory has room for, so that a damaged snapshot
/// cannot ask for more.
pub const SLOTS_MAX: u32 = 1 << 26;

const _: () = assert!(TTL_MIN_DEFAULT.as_nanos() <= TTL_DEFAULT.as_nanos());
const _: () = assert!(DEADLINE_DEFAULT.as_nanos() <= DEADLINE_MAX.as_nanos());
const _: () = assert!(WAIT_DEFAULT.as_nanos() <= WAIT_MAX.as_nanos());
const _: () =
    assert!(CLAMP.as_nanos() < DEADLINE_DEFAULT.as_nanos(), "the clamp is a margin, not the deadline itself");
const _: () = assert!(QUEUE_MAX >= FRAME_OPERATIONS_MAX, "one bulk frame must fit into an empty queue");
const _: () = assert!(
    CLAIMS_WAIT_MAX.as_nanos() * 2 <= DEADLINE_DEFAULT.as_nanos(),
    "who is let in must be answered within its deadline, also where the member slows down meanwhile"
);
const _: () = assert!(READS_PRESSED_MAX < READS_MAX && READS_PRESSED_MAX > 0, "reads yield, and never stop");
const _: () = assert!(RETRY_AFTER_MIN.as_nanos() <= RETRY_AFTER_MAX.as_nanos());
const _: () = assert!(RETRY_AFTER_MAX.as_nanos() <= DEADLINE_MAX.as_nanos());
const _: () = assert!(PAGE_LEASES_DEFAULT <= PAGE_LEASES_MAX);
const _: () =
    assert!(SESSION_STEPS_MAX >= FRAME_OPERATIONS_MAX, "a full frame must fit into an idle session");
const _: () = assert!(REPLY_BYTES_MAX >= FRAME_BYTES_MAX);
const _: () = assert!(
    REPLY_BYTES_MAX >= FRAME_OPERATIONS_MAX * (1_000 + NAMESPACE_BYTES_MAX + 2 * NAME_BYTES_MAX),
    "the answers to a full bulk frame, each with its names and a sentence, must fit into one"
);
const _: () = assert!(PAGE_BYTES_MAX > LEASE_JSON_BYTES_MAX, "a page has room for more than one lease");
const _: () = assert!(
    REPLY_BYTES_MAX
        >= FRAME_BYTES_MAX
            + PAGE_LEASES_MAX * (1_000 + 2 * (NAMESPACE_BYTES_MAX + 2 * NAME_BYTES_MAX + WHY_BYTES_MAX)),
    "as many ends as a page has leases must fit into one frame"
);
const _: () = assert!(
    SESSION_WATCHES_MAX * 10 <= WATCHES_MAX,
    "a few sessions must not take all watches from the others"
);
const _: () = assert!(
    HANDSHAKES_OF_SOURCE_MAX >= HANDSHAKES_MAX,
    "a fleet behind one address may use all that there is"
);
const _: () = assert!(CONFIRM_MIN.as_nanos() <= CONFIRM_MAX.as_nanos());
const _: () = assert!(CONFIRM_MAX.as_nanos() <= TTL_MAX.as_nanos(), "a time to confirm is a ttl");
const _: () = assert!(TTL_DEFAULT.as_nanos() <= TTL_MAX.as_nanos());
const _: () = assert!(WHY_BYTES_MAX <= u16::MAX as usize, "lengths are stored in 16 bits");
const _: () =
    assert!(SESSION_WAITS_MAX * 10 <= WAITS_MAX, "a few sessions must not take all waits from the others");
const _: () = assert!(CONNECTIONS_MAX <= WAITS_MAX, "each connection may wait for a lease");
const _: () = assert!(JUJU_FRAME_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(JUJU_CALLS_MAX <= SESSION_WAITS_MAX, "a Juju client waits no more than a session may");
const _: () = assert!(
    NAMESPACE_BYTES_MAX >= "application-leadership:".len() + 36,
    "a Juju model's leases are in a namespace of its UUID"
);
const _: () = assert!(RHO_PER_MILLE > 0 && RHO_PER_MILLE < 500, "rho must lie between 0 and one half");
const _: () = assert!(TTL_MIN.as_nanos() <= TTL_MIN_DEFAULT.as_nanos());
const _: () = assert!(TTL_MIN_DEFAULT.as_nanos() < TTL_MAX.as_nanos());
const _: () = assert!(NAMESPACE_BYTES_MAX <= NAME_BYTES_MAX);
const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize, "lengths are stored in 16 bits");
const _: () = assert!(VALUE_BYTES_MAX <= u16::MAX as usize, "lengths are stored in 16 bits");

/// The longest time on one clock that surely fits into `length` on another: `floor(length (1 - rho) / (1 + rho))`, for the one
/// may run slow by rho while the other runs fast by rho. So long a holder may believe in a grant of a ttl of `length`.
pub const fn surely_within(length: Ttl) -> Ttl {
    let slow = (1_000 - RHO_PER_MILLE) as u128;
    let fast = (1_000 + RHO_PER_MILLE) as u128;
    // At most `length`, so that it fits again.
    Ttl::from_nanos((length.as_nanos() as u128 * slow / fast) as u64)
}

/// The shortest ttl under which a holder may believe for `length`, whatever it is told: `ceil(length (1 + rho) / (1 - rho))`. For who
/// is told no shorter time, and counts on the whole of what it asked for.
pub const fn surely_around(length: Ttl) -> Ttl {
    let slow = (1_000 - RHO_PER_MILLE) as u128;
    let fast = (1_000 + RHO_PER_MILLE) as u128;
    let around = (length.as_nanos() as u128 * fast).div_ceil(slow);
    Ttl::from_nanos(if around > u64::MAX as u128 { u64::MAX } else { around as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_counts_on_all_of_its_time_has_a_longer_ttl_and_no_longer_than_it_takes() {
        for ms in [1, 999, 5_000, 60_000, 300_000] {
            let length = Ttl::from_millis(ms);
            let around = surely_around(length);
            assert!(surely_within(around) >= length, "{ms} ms");
            assert!(surely_within(Ttl::from_nanos(around.as_nanos() - 2)) < length, "{ms} ms");
        }
        assert_eq!(surely_around(Ttl::from_nanos(u64::MAX)).as_nanos(), u64::MAX, "no overflow");
    }

    #[test]
    fn a_holder_stops_believing_two_per_cent_before_its_ttl() {
        let hold_ms = |ttl| surely_within(ttl).as_millis();
        assert_eq!(hold_ms(Ttl::from_millis(15_000)), 14_702, "15,000 * 990 / 1,010 = 14,702.97");
        assert_eq!(hold_ms(Ttl::from_millis(200)), 196);
        assert_eq!(hold_ms(TTL_MAX), 84_689_108);
        assert_eq!(hold_ms(Ttl::from_nanos(u64::MAX)), 18_081_462_012_844, "no overflow");
    }
}

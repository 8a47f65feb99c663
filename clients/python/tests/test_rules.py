"""What is pure: holder time, belief, what an answer proves, endpoints and pauses. No server, no sleep."""

import math
import unittest

from tenure.belief import Belief, Lost
from tenure.clock import MS, SECOND, Clock
from tenure.links import endpoint, pause
from tenure.outcome import Verdict, judge
from tenure.session import connect, seconds


def grant(ttl_ms=10_000, hold_ms=9_000, extend_after_ms=3_000, confirmed=True, token=7):
    return {
        "namespace": "default", "name": "a", "token": token, "ttl_ms": ttl_ms, "hold_ms": hold_ms,
        "extend_after_ms": extend_after_ms, "confirmed": confirmed,
    }


class World:
    """Two clocks, and what holder time makes of them."""

    def __init__(self):
        self.boottime, self.raw, self.took = 5 * SECOND, 3 * SECOND, 0
        self.clock = Clock(lambda: (self.boottime, self.raw, self.took))

    def passes(self, boottime, raw):
        self.boottime += boottime
        self.raw += raw
        return self.clock.now()


class HolderTime(unittest.TestCase):
    def test_it_begins_at_zero_and_counts_with_the_faster_clock(self):
        world = World()
        self.assertEqual(world.clock.now(), 0)
        self.assertEqual(world.passes(SECOND, 2 * SECOND), 2 * SECOND)

    def test_after_a_sleep_the_raw_clock_still_counts_where_it_is_faster(self):
        world = World()
        world.passes(3_600 * SECOND, 0)
        asleep = world.clock.now()
        self.assertEqual(world.passes(9 * SECOND, 10 * SECOND) - asleep, 10 * SECOND)

    def test_it_never_runs_backwards(self):
        world = World()
        before = world.passes(SECOND, SECOND)
        self.assertEqual(world.passes(-SECOND, -SECOND), before)

    def test_the_real_one_runs(self):
        clock = Clock()
        first = clock.now()
        while clock.now() == first:
            pass
        self.assertLess(clock.now(), SECOND)


class Believing(unittest.TestCase):
    def test_it_counts_from_before_the_attempt_left_and_ends_at_the_instant(self):
        belief = Belief(100 * MS, 900 * MS, grant())
        self.assertTrue(belief.is_held(9_100 * MS - 1))
        self.assertEqual(belief.remaining(9_000 * MS), 100 * MS)
        self.assertFalse(belief.is_held(9_100 * MS))
        self.assertEqual(belief.lost(9_100 * MS), Lost(7, "unheard"))
        self.assertEqual(belief.extend_at, 3_100 * MS)

    def test_hold_is_cut_to_what_the_ttl_and_the_clock_rates_allow(self):
        self.assertEqual(Belief(0, 0, grant(hold_ms=10_000)).safe_until, 9_801 * MS)

    def test_a_third_of_the_ttl_where_the_server_gives_no_useful_time(self):
        for said in (0, 9_000):
            self.assertEqual(Belief(0, 0, grant(9_000, 8_000, said)).extend_at, 3_000 * MS)

    def test_an_unconfirmed_grant_is_believed_only_after_its_extend(self):
        belief = Belief(0, 5 * MS, grant(confirmed=False))
        self.assertFalse(belief.is_held(5 * MS))
        self.assertEqual(belief.extend_at, 5 * MS)
        belief.extended(6 * MS, 8 * MS, grant())
        self.assertTrue(belief.is_held(9_006 * MS - 1))
        self.assertFalse(belief.is_held(9_006 * MS))

    def test_an_answer_out_of_order_shortens_nothing(self):
        belief = Belief(0, MS, grant())
        belief.extended(5_000 * MS, 5_001 * MS, grant())
        belief.extended(2_000 * MS, 5_002 * MS, grant())
        self.assertEqual(belief.safe_until, 14_000 * MS)

    def test_what_its_holder_was_told_is_lost_does_not_come_back(self):
        belief = Belief(0, MS, grant())
        belief.extended(8_000 * MS, 9_000 * MS, grant())
        self.assertFalse(belief.is_held(9_000 * MS), "the answer came at the very instant")

    def test_sending_a_release_ends_it_for_good_and_the_first_reason_stands(self):
        belief = Belief(0, MS, grant())
        belief.end(Lost(7, "released"))
        belief.end(Lost(7, "expired"))
        belief.extended(5 * MS, 6 * MS, grant())
        self.assertFalse(belief.is_held(7 * MS))
        self.assertEqual(belief.remaining(7 * MS), 0)
        self.assertEqual(belief.lost(99_000 * MS), Lost(7, "released"))

    def test_a_release_by_anothers_hand_is_told_apart_from_the_sessions_own(self):
        self.assertEqual(str(Lost(7, "released")), "token 7 is lost: released")
        theirs = Lost(7, "released", end={"token": 7, "why": "released"})
        self.assertEqual(str(theirs), "token 7 is lost: released, not by this session")

    def test_a_refused_transfer_changes_the_reason_and_brings_nothing_back(self):
        belief = Belief(0, MS, grant())
        belief.end(Lost(7, "transferred"))
        belief.gave_up("not_waiting", None)
        belief.extended(5 * MS, 6 * MS, grant())
        self.assertFalse(belief.is_held(7 * MS))
        self.assertEqual(belief.lost(7 * MS), Lost(7, "given_up", "not_waiting"))

    def test_a_revoked_grant_is_held_to_its_time_and_lost_with_the_reason(self):
        belief = Belief(0, MS, grant())
        belief.doom = Lost(7, "revoked", "maintenance")
        self.assertTrue(belief.is_held(8_999 * MS))
        self.assertEqual(str(belief.lost(9_000 * MS)), "token 7 is lost: revoked: maintenance")


def problem(code, **details):
    return {"error": {"code": code, "message": "…", **details}}


def ended(why, ago_ms=0, token=7):
    return problem("lost", end={"token": token, "holder": "h", "why": why, "ago_ms": ago_ms, "remained_ms": 1})


class Judging(unittest.TestCase):
    CLAIM = {"namespace": "default", "name": "a"}
    BY_TOKEN = {"namespace": "default", "name": "a", "token": "7"}

    def expect(self, verdict, verb, reply, since=None, now=10 * SECOND):
        body = self.CLAIM if verb in ("claim", "acquire", "get") else self.BY_TOKEN
        self.assertEqual(judge(verb, body, reply, since, now)[0], verdict)

    def test_a_grant_counts_whichever_attempt_won_it(self):
        self.expect(Verdict.DONE, "claim", {"granted": grant()}, since=0)

    def test_a_refusal_to_the_only_attempt_is_one(self):
        self.expect(Verdict.REFUSED, "claim", problem("held"))

    def test_a_refusal_to_a_retry_proves_nothing(self):
        for code in ("held", "cooldown", "queued", "full"):
            self.expect(Verdict.UNPROVABLE, "claim", problem(code), since=0)
        self.expect(Verdict.UNPROVABLE, "extend", problem("lost"), since=0)

    def test_but_the_same_text_was_wrong_the_first_time_too(self):
        self.expect(Verdict.REFUSED, "claim", problem("bad_name"), since=0)

    def test_a_repeated_release_finds_its_own_end_or_another_one(self):
        self.expect(Verdict.DONE, "release", ended("released"), since=0)
        self.expect(Verdict.REFUSED, "release", ended("expired"), since=0)
        self.expect(Verdict.DONE, "transfer", ended("transferred"), since=0)
        self.expect(Verdict.UNPROVABLE, "release", ended("released", token=6), since=0)

    def test_a_repeated_extend_is_refused_by_an_end_before_its_first_attempt(self):
        self.expect(Verdict.REFUSED, "extend", ended("expired", ago_ms=11_000), since=0)
        self.expect(Verdict.UNPROVABLE, "extend", ended("expired", ago_ms=10_000), since=0)

    def test_surely_not_done_is_worth_another(self):
        for code in ("overloaded", "late", "behind", "no_leader", "draining", "stopping", "disk_full", "disk_stalled"):
            self.expect(Verdict.AGAIN, "claim", problem(code), since=0)

    def test_what_the_server_does_not_know_is_in_doubt_unless_it_only_reads(self):
        for code in ("unknown", "a_code_from_the_future"):
            self.expect(Verdict.DOUBT, "claim", problem(code))
            self.expect(Verdict.AGAIN, "get", problem(code))

    def test_a_reply_that_does_not_fit_its_call_is_none(self):
        for verb, reply in (
            ("claim", {"released": {"token": 7}}),
            ("claim", {"granted": {**grant(), "name": "b"}}),
            ("claim", {"granted": {**grant(), "hold_ms": None}}),
            ("claim", {"error": {}}),
            ("extend", {"granted": grant(token=8)}),
            ("release", {"released": {"token": 8}}),
            ("release", {}),
        ):
            self.expect(Verdict.NONSENSE, verb, reply)


class BadArguments(unittest.TestCase):
    def test_what_is_no_length_of_time_names_the_argument_and_the_form(self):
        for wrong, kind in (("15s", TypeError), (None, TypeError), (True, TypeError), (-1, ValueError), (math.nan, ValueError)):
            with self.assertRaisesRegex(kind, rf"^ttl is {wrong!r}: give seconds .*ttl=15"):
                seconds("ttl", wrong)
        self.assertEqual([seconds("ttl", good) for good in (0, 1.5, 20)], [0, 1.5, 20])

    def test_a_session_is_over_endpoints_that_are_strings(self):
        for wrong in (None, ["a:1", "b:1"], 7400):
            with self.assertRaisesRegex(TypeError, r"an endpoint is a string.*connect\("):
                connect(wrong)
        with self.assertRaisesRegex(ValueError, "one endpoint at least"):
            connect()


class Connecting(unittest.TestCase):
    def test_endpoints_are_read_as_users_write_them(self):
        for text, read in (
            ("localhost", "localhost:7400"), ("localhost:1", "localhost:1"), ("http://a.b:7401/", "a.b:7401"),
            ("ws://[::1]", "[::1]:7400"), (" [::1]:9 ", "[::1]:9"), ("https://a", "https://a:7400"),
            ("wss://[::1]:1/", "https://[::1]:1"),
        ):
            self.assertEqual(endpoint(text), read)
        for text in ("", "a:0", "a:65536", "a:x", "::1", "ftp://a", "a/b", "a b:1", "//a"):
            with self.assertRaises(ValueError, msg=text):
                endpoint(text)

    def test_pauses_double_and_a_live_grant_caps_them_at_an_eighth_of_its_ttl(self):
        for tries, most in ((1, 0.25), (2, 0.5), (3, 1.0), (6, 8.0), (7, 10.0), (4_000, 10.0)):
            for _ in range(50):
                self.assertTrue(most / 2 <= pause(tries, None) <= most)
                self.assertLessEqual(pause(tries, 4.0), 0.5)


if __name__ == "__main__":
    unittest.main()

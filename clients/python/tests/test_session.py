"""The client's rules, against a member that the test plays."""

import asyncio
import contextlib
import time
import unittest

import tenure
from member import Member


@contextlib.asynccontextmanager
async def session_with(*members):
    """A session; what it asks while it closes is answered by nobody, and so its members go first."""
    async with contextlib.AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(member)
        session = tenure.connect(*(member.address for member in members))
        await session.__aenter__()
        try:
            yield session
        finally:
            # No goodbyes: a guard's release would wait for an answer.
            for guard in list(session._guards.values()):
                guard._keeper.cancel()
            session._guards.clear()
            for key in session._keys.values():
                key.released.set()
            await session.close()


async def guarded(session, member, **options):
    hold = asyncio.create_task(session.hold("a", holder="h", **options))
    await (await member.asked("acquire")).grant()
    return await hold


class Rules(unittest.IsolatedAsyncioTestCase):
    async def test_a_refusal_to_a_retry_after_an_unanswered_attempt_is_unknown(self):
        member = Member()
        async with session_with(member) as session:
            claim = asyncio.create_task(session.claim("a", holder="h"))
            first = await member.asked("claim")
            first.cut()
            again = await member.asked("claim")
            self.assertEqual(first.body["seq"], again.body["seq"])
            self.assertEqual(first.body["instance"], again.body["instance"])
            self.assertEqual(int(first.body["instance"]), session.instance)
            await again.refuse("held", holder="h", token="9", by_you=True)
            with self.assertRaises(tenure.Unknown) as caught:
                await claim
            self.assertEqual(caught.exception.last["code"], "held")

    async def test_an_answer_to_a_retry_counts_from_when_the_retry_left(self):
        member = Member()
        async with session_with(member) as session:
            claim = asyncio.create_task(session.claim("a", holder="h", ttl=20))
            (await member.asked("claim")).cut()
            again = await member.asked("claim")
            before = session.clock.now()
            await again.grant()
            guard = await claim
            self.assertTrue(guard.is_held())
            self.assertLess(guard.safe_until, before + 19_600_000_000)

    async def test_an_overdue_attempt_is_sent_through_the_next_endpoint(self):
        silent, other = Member(), Member()
        async with session_with(silent, other) as session:
            began = time.monotonic()
            claim = asyncio.create_task(session.claim("a", holder="h", ttl=1.2))
            first = await silent.asked("claim")
            again = await other.asked("claim")
            self.assertGreaterEqual(time.monotonic() - began, 0.2)
            self.assertEqual(first.body["seq"], again.body["seq"])
            await again.grant()
            self.assertTrue((await claim).is_held())

    async def test_a_session_that_is_sent_away_goes_and_its_guard_with_it(self):
        home, other = Member(), Member()
        async with session_with(home, other) as session:
            claim = asyncio.create_task(session.claim("a", holder="h", ttl=1.2))
            first = await home.asked("claim")
            await first.grant(extend_after_ms=300)
            guard = await claim
            await first.send_away()
            extend = await other.asked("extend")
            await extend.grant()
            self.assertTrue(guard.is_held())

    async def test_one_that_knows_no_other_member_stays_and_is_served(self):
        home = Member()
        async with session_with(home) as session:
            claim = asyncio.create_task(session.claim("a", holder="h", ttl=20.0))
            first = await home.asked("claim")
            await first.send_away(after_ms=0)
            await first.grant()
            self.assertTrue((await claim).is_held())

    async def test_a_dead_endpoint_is_passed_over_and_all_dead_are_named(self):
        async with Member() as gone:
            dead = gone.address
        live = Member()
        async with live, tenure.connect(dead, live.address) as session:
            get = asyncio.create_task(session.get("a"))
            await (await live.asked("get")).reply({"lease": {"revision": "18446744073709551615"}})
            self.assertEqual((await get)["revision"], (1 << 64) - 1)
        with self.assertRaisesRegex(tenure.Unavailable, dead):
            async with tenure.connect(dead):
                pass

    async def test_what_came_by_waiting_is_given_only_once_it_is_confirmed(self):
        member = Member()
        async with session_with(member) as session:
            hold = asyncio.create_task(session.hold("a", holder="h"))
            await (await member.asked("acquire")).grant(confirmed=False)
            confirm = await member.asked("extend")
            self.assertEqual((confirm.body["token"], hold.done()), ("7", False))
            await confirm.grant()
            self.assertTrue((await hold).is_held())

    async def test_a_confirmation_that_came_too_late_waits_again_as_a_new_claim(self):
        member = Member()
        async with session_with(member) as session:
            hold = asyncio.create_task(session.hold("a", holder="h"))
            first = await member.asked("acquire")
            await first.grant(confirmed=False)
            await (await member.asked("extend")).refuse("lost")
            again = await member.asked("acquire")
            self.assertGreater(int(again.body["seq"]), int(first.body["seq"]))
            await again.grant(token=8)
            self.assertEqual((await hold).token, 8)

    async def test_an_acquire_outlives_its_connection_and_keeps_its_number(self):
        member = Member()
        async with session_with(member) as session:
            hold = asyncio.create_task(session.hold("a", holder="h"))
            first = await member.asked("acquire")
            first.cut()
            again = await member.asked("acquire")
            self.assertEqual(first.body, again.body)
            await again.grant()
            self.assertTrue((await hold).is_held())

    async def test_late_is_tried_again_at_once_with_a_new_number(self):
        member = Member()
        async with session_with(member) as session:
            claim = asyncio.create_task(session.claim("a", holder="h"))
            first = await member.asked("claim")
            await first.refuse("late")
            again = await member.asked("claim")
            self.assertGreater(int(again.body["seq"]), int(first.body["seq"]))
            await again.grant()
            self.assertTrue((await claim).is_held())

    async def test_it_extends_when_the_server_says_so(self):
        member = Member()
        async with session_with(member) as session:
            claim = asyncio.create_task(session.claim("a", holder="h", ttl=30))
            await (await member.asked("claim")).grant(extend_after_ms=100)
            guard = await claim
            before, began = guard.safe_until, time.monotonic()
            extend = await member.asked("extend")
            self.assertTrue(0.05 < time.monotonic() - began < 5)
            await extend.grant()
            while guard.safe_until == before:
                await asyncio.sleep(0.005)

    async def test_a_member_that_does_not_know_who_asks_ends_no_grant(self):
        member = Member()
        async with session_with(member) as session:
            claim = asyncio.create_task(session.claim("a", holder="h", ttl=30))
            await (await member.asked("claim")).grant(extend_after_ms=100)
            guard = await claim
            await (await member.asked("extend")).refuse("unauthenticated")
            self.assertTrue(guard.is_held())
            await (await member.asked("extend")).grant()
            self.assertTrue(guard.is_held())

    async def test_sending_a_release_or_transfer_ends_belief_for_good(self):
        for verb, why in (("release", "released"), ("transfer", "transferred")):
            member = Member()
            async with session_with(member) as session:
                guard = await guarded(session, member)
                act = guard.release() if verb == "release" else guard.transfer("other")
                acting = asyncio.create_task(act)
                asked = await member.asked(verb)
                self.assertFalse(guard.is_held())
                self.assertEqual((await guard.lost()).why, why)
                await asked.reply({"released": {"token": "7"}})
                await acting
                self.assertFalse(guard.is_held())

    async def test_a_refused_transfer_releases_the_lease(self):
        member = Member()
        async with session_with(member) as session:
            guard = await guarded(session, member)
            transfer = asyncio.create_task(guard.transfer("other"))
            await (await member.asked("transfer")).refuse("not_waiting")
            with self.assertRaises(tenure.Refused):
                await transfer
            await (await member.asked("release")).reply({"released": {"token": "7"}})

    async def test_a_second_guard_on_a_lease_is_refused(self):
        member = Member()
        async with session_with(member) as session:
            await guarded(session, member)
            with self.assertRaises(tenure.Refused) as caught:
                await session.hold("a", holder="h")
            self.assertEqual((caught.exception.code, caught.exception.problem["by_you"]), ("held", True))

    async def test_an_unknown_claim_is_looked_for_after_its_time_and_released(self):
        member = Member()
        async with session_with(member) as session:
            began = time.monotonic()
            claim = asyncio.create_task(session.claim("a", holder="h", within=0.2))
            asked = await member.asked("claim")
            with self.assertRaises(tenure.Unknown):
                await claim
            look = await member.asked("get")
            self.assertGreater(time.monotonic() - began, (asked.body["deadline_ms"] + 1_500) / 1_000 - 0.1)
            held = {"holder": "h", "token": "9", "ttl_ms": 1, "remaining_ms": 1, "confirmed": True}
            await look.reply({"lease": {"namespace": "default", "name": "a", "held": held, "revision": "1"}})
            release = await member.asked("release")
            self.assertEqual((release.body["token"], int(release.body["instance"])), ("9", session.instance))
            await release.reply({"released": {"token": "9"}})

    # A forced transfer to our holder: its grant is another's until we claim, under the same token.
    async def test_no_claim_leaves_while_a_release_refused_as_anothers_may_yet_take_effect(self):
        member = Member()
        async with session_with(member) as session:
            with self.assertRaises(tenure.Unknown):
                await session.claim("a", holder="h", within=0.01)
            await member.asked("claim")
            held = {"holder": "h", "token": "9", "ttl_ms": 1, "remaining_ms": 1, "confirmed": False}
            lease = {"namespace": "default", "name": "a", "held": held, "revision": "1"}
            await (await member.asked("get")).reply({"lease": lease})
            (await member.asked("release")).cut()
            for _ in range(2):
                await (await member.asked("release")).refuse("not_yours")
            with self.assertRaises(tenure.Unavailable):
                await session.claim("a", holder="h", within=0.5)
            self.assertTrue(member.calls.empty())

    async def test_a_call_that_is_wrong_itself_is_a_bad_call(self):
        member = Member()
        async with session_with(member) as session:
            for code, kind in (("bad_name", tenure.BadCall), ("too_large", tenure.BadCall), ("held", tenure.Refused)):
                claim = asyncio.create_task(session.claim("a", holder="h"))
                await (await member.asked("claim")).refuse(code)
                with self.assertRaises(tenure.Refused) as caught:
                    await claim
                self.assertIs(type(caught.exception), kind)
            for wrong in ({"ttl": "15s"}, {"timeout": "x"}):
                with self.assertRaisesRegex(TypeError, f"^{next(iter(wrong))} is "):
                    await session.hold("a", holder="h", **wrong)
            with self.assertRaisesRegex(TypeError, "^timeout is 'x'"):
                await session.wait("a", timeout="x")
            self.assertTrue(member.calls.empty())

    async def test_a_call_after_the_block_is_told_that_the_session_is_closed(self):
        async with Member() as member:
            async with tenure.connect(member.address) as session:
                pass
            for call in (session.get("a"), session.hold("a", holder="h"), session.watch(name="a")):
                with self.assertRaisesRegex(tenure.Unavailable, "^this session is closed"):
                    await call

    async def test_a_transfer_that_is_refused_handed_nothing_on_and_the_lease_was_given_up(self):
        member = Member()
        async with session_with(member) as session:
            guard = await guarded(session, member)
            transfer = asyncio.create_task(guard.transfer("h2"))
            asked = await member.asked("transfer")
            self.assertFalse(guard.is_held())
            await asked.refuse("not_waiting")
            with self.assertRaises(tenure.Refused):
                await transfer
            lost = await guard.lost()
            self.assertEqual((lost.why, lost.reason, guard.is_held()), ("given_up", "not_waiting", False))
            await (await member.asked("release")).reply({"released": {"token": "7"}})

    async def test_a_hold_that_nobody_waits_for_any_more_is_cancelled(self):
        member = Member()
        async with session_with(member) as session:
            hold = asyncio.create_task(session.hold("a", holder="h"))
            asked = await member.asked("acquire")
            hold.cancel()
            self.assertEqual((await member.asked("cancel")).body, {"id": asked.id})

    async def test_without_news_a_guard_is_lost_in_time_and_then_released(self):
        member = Member()
        async with session_with(member) as session:
            guard = await guarded(session, member, ttl=0.6)
            self.assertTrue(guard.is_held())
            extend = await member.asked("extend")
            async with asyncio.timeout(5):
                self.assertEqual((await guard.lost()).why, "unheard")
            self.assertFalse(guard.is_held())
            await extend.grant(ttl_ms=600)
            release = await member.asked("release")
            self.assertFalse(guard.is_held(), "a late answer brings nothing back")
            await release.reply({"released": {"token": "7"}})

    async def test_a_watch_goes_on_behind_the_last_event_that_was_read(self):
        member = Member()
        async with session_with(member) as session:
            watch = asyncio.create_task(session.watch(prefix="a"))
            asked = await member.asked("watch")
            await asked.reply({"watching": {"revision": "4"}})
            watcher = await watch
            await asked.push_event(5)
            self.assertEqual((await anext(watcher)).revision, 5)
            asked.cut()
            following = asyncio.create_task(anext(watcher))
            again = await member.asked("watch")
            self.assertEqual(again.body["after"], "5")
            await again.reply({"watching": {"revision": "5"}})
            await again.push_event(5)
            await again.push_event(6)
            self.assertEqual((await following).revision, 6)
            await again.refuse("compacted")
            with self.assertRaises(tenure.Refused):
                await anext(watcher)


if __name__ == "__main__":
    unittest.main()

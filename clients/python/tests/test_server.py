"""The client against a real server, with real processes, kill -9 and SIGSTOP."""

import asyncio
import contextlib
import itertools
import signal
import time
import unittest

import tenure
from server import Holder, Server, session, until


class Against(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.server = Server(self.stack)

    async def asyncSetUp(self):
        # It would tell that a server's start takes its time.
        asyncio.get_running_loop().set_debug(False)

    async def test_claim_extend_release(self):
        async with session(self.server) as one:
            guard = await one.claim("db/primary", holder="mysql/0", ttl=3, value="10.0.0.1:3306")
            self.assertTrue(guard.is_held() and guard.token > 0)
            self.assertTrue(0 < guard.remaining() <= 2.941)
            before = guard.safe_until
            await until(lambda: guard.safe_until > before + 1_000_000_000)
            lease = await one.get("db/primary")
            held = lease["held"]
            self.assertEqual((held["holder"], held["token"], held["value"]), ("mysql/0", guard.token, "10.0.0.1:3306"))
            self.assertEqual(await one.count(prefix="db/"), 1)
            self.assertEqual([lease["name"] for lease in await one.list(holder="mysql/0")], ["db/primary"])
            await guard.release()
            self.assertFalse(guard.is_held())
            self.assertEqual((await guard.lost()).why, "released")
            self.assertNotIn("held", await one.get("db/primary"))
            self.assertEqual((await one.history("db/primary"))[0]["end"]["why"], "released")
            async with await one.claim("db/primary", holder="mysql/0") as again:
                self.assertGreater(again.token, guard.token)

    async def test_what_is_held_is_refused_with_its_holder(self):
        async with session(self.server) as one, session(self.server) as two:
            async with await one.claim("a", holder="h1", ttl=15) as guard:
                with self.assertRaises(tenure.Refused) as caught:
                    await two.claim("a", holder="h2")
                problem = caught.exception.problem
                self.assertEqual((problem["code"], problem["holder"], problem["token"]), ("held", "h1", guard.token))
                with self.assertRaisesRegex(tenure.Refused, "still_held"):
                    await two.hold("a", holder="h2", timeout=0.05)
                with self.assertRaisesRegex(tenure.Refused, "still_held"):
                    await two.wait("a", timeout=0.05)
                waiting = asyncio.create_task(two.wait("a", after=problem["revision"]))
                await asyncio.sleep(0)
                self.assertFalse(waiting.done())
            self.assertGreater(await waiting, problem["revision"])
            with self.assertRaisesRegex(tenure.Refused, "bad_name"):
                await two.claim("", holder="h2")
            with self.assertRaisesRegex(tenure.Refused, "bad_ttl"):
                await two.claim("a", holder="h2", ttl=0.001)

    async def test_a_lease_is_handed_on_to_who_waits_for_it(self):
        async with session(self.server) as one, session(self.server) as two:
            guard = await one.claim("a", holder="h1")
            with self.assertRaisesRegex(tenure.Refused, "not_waiting"):
                await guard.transfer("h2")
            self.assertFalse(guard.is_held())
            guard = await one.claim("a", holder="h1")
            waiting = asyncio.create_task(two.hold("a", holder="h2", value="here"))
            await in_line(two, "a")
            await guard.transfer("h2")
            self.assertFalse(guard.is_held())
            async with await waiting as second:
                self.assertTrue(second.is_held() and second.token > guard.token)
                self.assertEqual((await two.get("a"))["held"]["value"], "here")

    async def test_a_revoked_guard_is_lost_in_its_time_with_the_operators_reason(self):
        async with session(self.server) as one, session(self.server) as operator:
            guard = await one.claim("a", holder="h1", ttl=1)
            await operator.revoke("a", guard.token, why="maintenance")
            self.assertTrue(guard.is_held())
            lost = await guard.lost()
            self.assertEqual((lost.why, lost.reason), ("revoked", "maintenance"))
            guard = await one.hold("a", holder="h1", ttl=1)
            await operator.revoke("a", guard.token, why="now", now=True)
            lost = await guard.lost()
            self.assertEqual((lost.why, lost.reason, lost.end["token"]), ("revoked", "now", guard.token))

    async def test_a_watch_sees_every_change_in_order(self):
        async with session(self.server) as one, session(self.server) as two:
            async with await one.watch(prefix="db/") as watcher:
                async with await two.claim("db/a", holder="h1") as guard:
                    async with await two.claim("other", holder="h1"):
                        pass
                seen = [await anext(watcher) for _ in range(2)]
                self.server.kill()
                self.server.start()
                async with await two.claim("db/b", holder="h1", within=20) as second:
                    pass
                seen += [await anext(watcher) for _ in range(2)]
            self.assertEqual([(event.what, event.name) for event in seen], [
                ("granted", "db/a"), ("ended", "db/a"), ("granted", "db/b"), ("ended", "db/b"),
            ])
            self.assertEqual([event.detail["token"] for event in seen], [guard.token] * 2 + [second.token] * 2)
            self.assertEqual(sorted(event.revision for event in seen), [event.revision for event in seen])
            # And again from the start, by another watch.
            async with await one.watch(prefix="db/", after=0) as again:
                self.assertEqual([await anext(again) for _ in range(4)], seen)

    async def test_a_guard_keeps_its_token_over_a_restart_of_the_server_and_so_does_the_line(self):
        async with session(self.server) as one, session(self.server) as two:
            guard = await one.hold("a", holder="h1", ttl=10)
            waiting = asyncio.create_task(two.hold("a", holder="h2"))
            await in_line(two, "a")
            self.server.kill()
            before = guard.safe_until
            self.server.start()
            await until(lambda: guard.safe_until > before)
            self.assertTrue(guard.is_held())
            self.assertEqual((await one.get("a"))["held"]["token"], guard.token)
            self.assertFalse(waiting.done())
            await guard.release()
            async with await waiting as second:
                self.assertGreater(second.token, guard.token)

    async def test_three_processes_take_turns_and_never_overlap(self):
        holders = [Holder(self.stack, self.server, "turns", f"p{number}") for number in range(3)]
        await until(lambda: all(holder.process.poll() is not None for holder in holders), 60)
        self.assertEqual([holder.process.returncode for holder in holders], [0, 0, 0])
        turns = []
        for holder in holders:
            lines = holder.lines()
            for (enter, token, began), (leave, same, ended) in zip(lines[::2], lines[1::2], strict=True):
                self.assertEqual((enter, leave, token), ("enter", "leave", same))
                turns.append((began, ended, token))
        turns.sort()
        self.assertEqual(len(turns), 30)
        for (_, ended, token), (began, _, next_token) in itertools.pairwise(turns):
            self.assertLess(ended, began, "two held at once")
            self.assertLess(token, next_token)

    async def test_after_a_kill_of_the_holder_the_next_is_granted_in_time_and_never_early(self):
        ttl = 2.0
        holder = Holder(self.stack, self.server, "keep", "doomed", ttl)
        await until(lambda: holder.lines())
        async with session(self.server) as one:
            waiting = asyncio.create_task(one.hold("job", holder="next"))
            await in_line(one, "job")
            holder.signal(signal.SIGKILL)
            holder.process.wait()
            killed_at = time.monotonic_ns()
            async with asyncio.timeout(20):
                guard = await waiting
            granted_at = time.monotonic_ns()
            self.assertTrue(guard.is_held())
            _, _, held, token, believed_until = holder.lines()[-1]
            self.assertEqual(held, 1)
            self.assertGreater(guard.token, token)
            self.assertGreater(granted_at, believed_until, "granted while the dead one would still believe")
            # A debug build on a busy machine may be late, but not by another ttl.
            self.assertLess(granted_at - killed_at, 2 * ttl * 1e9)
            self.assertEqual((await one.history("job"))[0]["end"]["why"], "expired")
            await guard.release()

    async def test_a_holder_that_was_stopped_past_its_ttl_finds_that_it_holds_no_more(self):
        holder = Holder(self.stack, self.server, "keep", "stopped", 1.0)
        await until(lambda: holder.lines())
        async with session(self.server) as one:
            waiting = asyncio.create_task(one.hold("job", holder="next"))
            await in_line(one, "job")
            holder.signal(signal.SIGSTOP)
            async with asyncio.timeout(20):
                guard = await waiting
            granted_at = time.monotonic_ns()
            stale = holder.lines()[-1][3]
            holder.signal(signal.SIGCONT)
            await until(lambda: holder.lines()[-1][0] == "lost")
            checks = [line for line in holder.lines() if line[0] == "check"]
            self.assertEqual(checks[-1][2], 0, "is_held() is false at last")
            for _, asked_at, held, _, believed_until in checks:
                if held:
                    self.assertLess(asked_at, granted_at)
                    self.assertLess(believed_until, granted_at)
            self.assertEqual(holder.lines()[-1][1], "unheard")
            # And whatever it may have been about to do with its token, a resource that fences refuses.
            resource = Resource()
            resource.write(guard.token, "new")
            with self.assertRaises(PermissionError):
                resource.write(stale, "stale")
            await guard.release()

    async def test_a_resource_that_fences_refuses_the_stale_token_and_check_tells_it_from_the_valid_one(self):
        async with session(self.server) as one, session(self.server) as two:
            resource = Resource()
            first = await one.claim("a", holder="h1")
            resource.write(first.token, "one")
            self.assertEqual((await two.check("a", first.token))["holder"], "h1")
            # Its holder believes on: only the token protects the resource now.
            await two.revoke("a", first.token, now=True)
            second = await two.claim("a", holder="h2")
            resource.write(second.token, "two")
            with self.assertRaises(PermissionError):
                resource.write(first.token, "late")
            self.assertEqual(resource.value, "two")
            self.assertEqual((await one.check("a", second.token))["holder"], "h2")
            with self.assertRaises(tenure.Refused) as caught:
                await two.check("a", first.token)
            self.assertEqual(caught.exception.code, "stale_token")
            await second.release()
            with self.assertRaises(tenure.Refused) as caught:
                await two.check("a", second.token)
            self.assertEqual((caught.exception.code, caught.exception.end["why"]), ("lost", "released"))


class Resource:
    """What a lease protects: it remembers the highest token that wrote."""

    def __init__(self):
        self.token, self.value = 0, None

    def write(self, token, value):
        if token < self.token:
            raise PermissionError(f"token {token} is stale: {self.token} has written")
        self.token, self.value = token, value


async def in_line(waiter, name):
    """Waits until the hold that this session began stands in line. Calls of one connection are taken in their order: once a
    later one is answered, the server has the earlier."""
    for _ in range(2):
        await waiter.get(name)


if __name__ == "__main__":
    unittest.main()

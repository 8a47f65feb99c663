"""A session with a cluster: one life of its holders, known by its instance. It claims, waits in line, and reads; and after a
claim that nobody answered it looks once whether that won, and releases what it won.

A lease in a session:

    free ──hold, claim──▶ claiming ──granted, confirmed──▶ guarded
     ▲                       │ any other outcome              │ released, handed on, lost
     └──released, looked─────┴────────────────────────────────┘
"""

import asyncio
import math
import secrets
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

from .belief import Belief
from .call import DEADLINE_SECONDS, Call
from .clock import MS, SECOND, Clock
from .guard import Guard
from .links import Links, endpoint
from .outcome import Refused, TenureError, Unavailable, Unknown
from .tls import context as tls_context
from .tls import is_guarded
from .tls import token as token_of
from .watch import Watcher

Fields = dict[str, Any]
Leases = list[Fields]
Tasks = list[asyncio.Task[Any]]

TTL_SECONDS = 15.0
#: The shortest and longest time that the cluster gives a holder to confirm what came by waiting, in seconds.
CONFIRM_SECONDS_MIN, CONFIRM_SECONDS_MAX = 0.5, 2.0
#: How long after its own timeout a wait or acquire may still be answered, in seconds.
WAIT_SLACK = 2.0
#: How long after a release or a look that came to nothing the next is made, in seconds.
TIDY_AGAIN = 2.0
#: A refusal of what was to confirm a grant that says no more than that the grant is gone, or going.
TOO_LATE = frozenset("lost stale_token not_yours held cooldown queued ending".split())


def connect(*endpoints: str, tls: SSLContext | None = None, token: str | None = None) -> "Session":
    """A session over these members (`HOST:PORT`, or several with commas between), for `async with`: entering it connects,
    and raises Unavailable where none can be reached; leaving it releases what is still held. An endpoint `https://HOST:PORT`
    is reached by `tls`, and without it by what TENURE_CA, TENURE_CERT and TENURE_KEY name. It is known by `token`, or by the one in
    TENURE_TOKEN_FILE or TENURE_TOKEN, where there is one."""
    form = 'write connect("a:7400", "b:7400"), or connect("a:7400,b:7400")'
    if wrong := [one for one in endpoints if not isinstance(one, str)]:
        raise TypeError(f"an endpoint is a string, and not {wrong[0]!r}: {form}")
    if not endpoints:
        raise ValueError(f"connect takes one endpoint at least: {form}")
    found = [endpoint(one) for text in endpoints for one in text.split(",")]
    if tls is None and any(one.startswith("https://") for one in found):
        tls = tls_context()
    known_by = token_of(token)
    if known_by and (open_to_all := [one for one in found if not is_guarded(one)]):
        raise ValueError(f"a token goes to another machine by https alone: write https://{open_to_all[0]}")
    return Session(found, tls=tls, token=known_by)


def seconds(argument: str, value: float) -> float:
    """`value`, where it is a length of time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{argument} is {value!r}: give seconds as a number, as {argument}=15")
    if not 0 <= value < math.inf:
        raise ValueError(f"{argument} is {value!r}: give seconds from 0 on, as {argument}=15")
    return value


class Key:
    """One lease, as a session knows it."""

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        self.holder = ""
        #: It is being claimed, or guarded.
        self.busy = False
        #: Until when an unanswered attempt may yet win it; and until when a grant stood, so that one could win nothing else.
        self.loose = self.stood_until = 0
        #: Set while no token waits to be released.
        self.released = asyncio.Event()
        self.tidying: asyncio.Task[None] | None = None


class Session:
    """Made by `connect`. Times are in seconds unless they say otherwise; tokens and revisions are ints."""

    def __init__(self, endpoints: list[str], clock: Clock | None = None, tls: SSLContext | None = None,
                 token: str | None = None) -> None:
        #: Holder time, in ns.
        self.clock = clock or Clock()
        #: Which life of its holders this is: random, and never 0.
        self.instance = secrets.randbelow((1 << 64) - 1) + 1
        self._seq = 0
        self._keys: dict[tuple[str, str], Key] = {}
        self._guards: dict[Key, Guard] = {}
        self._links = Links(endpoints, tls, token, self._ttl_at_stake)

    async def hold(
        self, name: str, *, holder: str, ttl: float = TTL_SECONDS, value: str | None = None, namespace: str = "default",
        timeout: float | None = None,
    ) -> Guard:
        """Takes the lease, or waits in line for it, first come, first served; for ever, or `timeout` seconds. The place in
        line outlives a lost connection. Refused `still_held` where the turn did not come in time."""
        body: Fields = {"namespace": namespace, "name": name, "holder": holder, "value": value}
        # What is left of the timeout is set when it leaves.
        body |= {"ttl_ms": round(seconds("ttl", ttl) * 1_000), "timeout_ms": None if timeout is None else 1}
        ends = None if timeout is None else seconds("timeout", timeout) + WAIT_SLACK
        return await self._take("acquire", body, self._ends(ends))

    async def claim(
        self, name: str, *, holder: str, ttl: float = TTL_SECONDS, value: str | None = None, namespace: str = "default",
        within: float = DEADLINE_SECONDS,
    ) -> Guard:
        """Takes the lease where it is free, and keeps it. Refused `held` where it is not; `within` is for the answer."""
        body: Fields = {"namespace": namespace, "name": name, "holder": holder, "value": value}
        body["ttl_ms"] = round(seconds("ttl", ttl) * 1_000)
        return await self._take("claim", body, self._ends(seconds("within", within)))

    async def wait(
        self, name: str, *, after: int | None = None, timeout: float | None = None, namespace: str = "default"
    ) -> int:
        """Waits until the lease is free; the revision at which it was. Refused `still_held` at the timeout. `after` is the
        revision that a refusal carried: no older state may answer."""
        body: Fields = {"namespace": namespace, "name": name, "after": None if after is None else str(after)}
        body["timeout_ms"] = None if timeout is None else max(1, round(seconds("timeout", timeout) * 1_000))
        ends = self._ends(None if timeout is None else timeout + WAIT_SLACK)
        free, _ = await self.call("wait", body, ends=ends).run()
        return int(free["revision"])

    async def get(self, name: str, *, namespace: str = "default") -> Fields:
        """One lease: `held` where it is, with `holder`, `token`, `remaining_ms` …; `last_end`; `revision`."""
        return await self._ask("get", namespace=namespace, name=name)

    async def list(self, *, namespace: str | None = None, prefix: str | None = None, holder: str | None = None) -> Leases:
        """All leases that match, page by page: they may change between two of these."""
        leases: Leases = []
        after = None
        while True:
            page = await self._ask("list", namespace=namespace, prefix=prefix, holder=holder, limit=1_000, after=after)
            leases += page["leases"]
            after = page.get("next")
            if after is None:
                return leases

    async def count(self, *, namespace: str | None = None, prefix: str | None = None, holder: str | None = None) -> int:
        """How many leases that match are held."""
        return int((await self._ask("count", namespace=namespace, prefix=prefix, holder=holder))["held"])

    async def history(self, name: str | None = None, *, namespace: str = "default", limit: int | None = None) -> Leases:
        """How grants ended, the newest first: `namespace`, `name` and `end` of each."""
        ends: Leases = (await self._ask("history", namespace=namespace, name=name, limit=limit))["ends"]
        return ends

    async def check(self, name: str, token: int, *, namespace: str = "default") -> Fields:
        """For a resource that fences: Refused `stale_token`, `not_yours` or `lost` where the token is not the living grant's."""
        return await self._ask("check", namespace=namespace, name=name, token=str(token))

    async def revoke(self, name: str, token: int, *, why: str = "", now: bool = False, namespace: str = "default") -> Fields:
        """As an operator, takes a grant away: it ends at its deadline, or with `now` at once, though its holder may still
        believe."""
        return await self._ask("revoke", namespace=namespace, name=name, token=str(token), why=why, now=now)

    async def watch(
        self, *, name: str | None = None, prefix: str | None = None, after: int | None = None, namespace: str = "default"
    ) -> Watcher:
        """Every change of the lease, of all whose names start with `prefix`, or of the whole namespace, after a revision or
        from now on: done once the watch has begun."""
        body = {"namespace": namespace, "name": name, "prefix": prefix, "after": None if after is None else str(after)}
        watcher = Watcher(self, {field: value for field, value in body.items() if value is not None})
        await watcher.begin(self._ends(DEADLINE_SECONDS))
        return watcher

    async def close(self) -> None:
        """Releases what is still held, within 5 s, and closes the connection. Belief in it ends at once."""
        tasks: Tasks = [asyncio.create_task(guard.release()) for guard in self._guards.values()]
        tasks += [asyncio.create_task(key.released.wait()) for key in self._keys.values() if key.tidying is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=DEADLINE_SECONDS)
        tasks += [key.tidying for key in self._keys.values() if key.tidying is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._links.close()

    async def __aenter__(self) -> Self:
        if not await self._links.first():
            raise Unavailable(self._links.unreachable())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    # What follows is for the rest of the package.

    def call(self, verb: str, body: Fields, *, ttl: float | None = None, ends: int | None = -1, **more: Any) -> Call:
        """A call to be run; for 5 s, unless `ends` says otherwise, in ns of holder time, or for ever where it is None."""
        body = {field: value for field, value in body.items() if value is not None}
        ends = self._ends(DEADLINE_SECONDS) if ends == -1 else ends
        return Call(self._links, self.clock, verb, body, ends=ends, ttl=ttl, **more)

    def leave(self, key: Key, token: int | None) -> None:
        """Nobody claims or guards the lease here any more. Releases what may stand under `token`, and looks for what an
        unanswered attempt may yet win."""
        self._guards.pop(key, None)
        key.busy = False
        if key.loose <= key.stood_until:
            key.loose = 0
        key.released.clear()
        key.tidying = asyncio.create_task(self._tidy(key, token))

    async def _take(self, verb: str, body: Fields, ends: int | None) -> Guard:
        names = (body["namespace"], body["name"])
        key = self._keys.setdefault(names, Key(*names))
        if key in self._guards:
            self._guards[key].settle()
        if key.busy:
            message = f"this session claims or holds {names[0]}:{names[1]} already: release that, or use another session"
            raise Refused({"code": "held", "message": message, "holder": key.holder, "by_you": True})
        key.busy = True
        try:
            await self._released(key, ends)
        except BaseException:
            key.busy = False
            raise
        token: int | None = None
        try:
            key.holder, key.stood_until = body["holder"], 0
            while True:
                grant, sent_at = await self._claim(key, verb, body, ends)
                token = grant["token"]
                belief = Belief(sent_at, self.clock.now(), grant)
                if not belief.is_held(self.clock.now()):
                    # It came by waiting, at a time that nobody here could know; or its answer took too long.
                    belief = await self._confirm(key, body, grant, ends) or belief
                if belief.is_held(self.clock.now()):
                    guard = self._guards[key] = Guard(self, key, belief)
                    return guard
        except BaseException:
            self.leave(key, token)
            raise

    # Each time as a new claim, with a number of its own.
    async def _claim(self, key: Key, verb: str, body: Fields, ends: int | None, **more: Any) -> tuple[Fields, int]:
        body = {**body, "instance": str(self.instance), "seq": str(self._next_seq())}
        more = more or {"ttl": body["ttl_ms"] / 1_000}
        if body.get("timeout_ms") is not None and ends is not None:
            body["timeout_ms"] = max(1, (ends - self.clock.now()) // MS - round(WAIT_SLACK * 1_000))
        call = self.call(verb, body, ends=ends, **more)
        try:
            return await call.run(self._next_seq)
        finally:
            key.loose = max(key.loose, call.loose)

    # None where the grant is gone by now, and the lease is to be claimed again.
    async def _confirm(self, key: Key, body: Fields, grant: Fields, ends: int | None) -> Belief | None:
        window = min(CONFIRM_SECONDS_MAX, max(CONFIRM_SECONDS_MIN, body["ttl_ms"] / 1_000))
        # Time for two attempts, and for a round trip over a continent.
        more = {"ttl": window, "patience": window / 3}
        until = self._ends(max(window, body["ttl_ms"] / 1_000))
        until = until if ends is None or until is None else min(until, ends)
        try:
            if body["value"] is not None:
                # What came by waiting has no value yet.
                claim = {field: value for field, value in body.items() if field != "timeout_ms"}
                grant, sent_at = await self._claim(key, "claim", claim, until, **more)
            else:
                extend = {field: body[field] for field in ("namespace", "name", "ttl_ms")}
                extend |= {"token": str(grant["token"]), "instance": str(self.instance)}
                grant, sent_at = await self.call("extend", extend, ends=until, **more).run()
        except Refused as no:
            if no.code not in TOO_LATE:
                raise
            return None
        except (Unavailable, Unknown):
            if ends is not None and ends <= self.clock.now():
                raise
            return None
        return Belief(sent_at, self.clock.now(), grant)

    # A token that this session let go is to be gone before it claims the lease again.
    async def _released(self, key: Key, ends: int | None) -> None:
        if key.tidying is None:
            return
        try:
            async with asyncio.timeout(None if ends is None else max(0, ends - self.clock.now()) / SECOND):
                await key.released.wait()
        except TimeoutError:
            raise Unavailable("an earlier grant was released, and the release is not answered yet; try again") from None
        finally:
            if key.released.is_set():
                # Else it goes on.
                key.tidying.cancel()

    async def _tidy(self, key: Key, token: int | None) -> None:
        body = {"namespace": key.namespace, "name": key.name}
        while True:
            if token is not None:
                key.released.clear()
                await self._insist("release", {**body, "token": str(token), "instance": str(self.instance)})
            key.released.set()
            if not key.loose:
                break
            await self._until(key.loose)
            lease = await self._insist("get", body)
            key.loose = 0
            # It may be another life of the same holder: the release carries our instance, and is refused then.
            held = (lease or {}).get("held", {})
            token = held["token"] if held.get("holder") == key.holder else None
        if not key.busy:
            self._keys.pop((key.namespace, key.name), None)

    async def _insist(self, verb: str, body: Fields) -> Fields | None:
        loose = 0
        while not self._links.closed:
            call = self.call(verb, body)
            try:
                return (await call.run())[0]
            except Refused as no:
                if no.code == "not_yours":
                    # A forced transfer's grant becomes ours by our next claim, under the same token: no release that is still
                    # on its way may meet it.
                    await self._until(loose)
                return None
            except TenureError:
                loose = max(loose, call.loose)
                await asyncio.sleep(TIDY_AGAIN)
        return None

    async def _until(self, instant: int) -> None:
        while self.clock.now() < instant:
            await asyncio.sleep(min((instant - self.clock.now()) / SECOND, 1.0))

    async def _ask(self, verb: str, **body: Any) -> Fields:
        return (await self.call(verb, body).run())[0]

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _ends(self, seconds: float | None) -> int | None:
        return None if seconds is None else self.clock.now() + int(seconds * SECOND)

    # The shortest ttl of the grants that may stand, in seconds.
    def _ttl_at_stake(self) -> float | None:
        return min((guard.ttl for guard in self._guards.values()), default=None)

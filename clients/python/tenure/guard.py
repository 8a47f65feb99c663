"""A lease that keeps itself, and says when and why it is lost.

    hold or claim ──▶ Guard ──extends, unasked──▶ held ──release, end of the block──▶ lost: released
                                                   ├─the cluster says so───────────▶ lost: how it ended
                                                   ├─revoked, its time over────────▶ lost: revoked, why
                                                   └─nothing heard in time─────────▶ lost: unheard
"""

import asyncio
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .belief import Belief, Lost
from .clock import SECOND
from .outcome import GONE, REFUSED, Refused, TenureError, Unavailable, Unknown

if TYPE_CHECKING:
    from .session import Key, Session


class Guard:
    """A lease that is held until the `async with` block is left, `release` is called, or it is lost."""

    def __init__(self, session: "Session", key: "Key", belief: Belief) -> None:
        self.namespace, self.name, self.holder = key.namespace, key.name, key.holder
        #: What names the grant and fences with it: give it to every resource that the lease protects.
        self.token = belief.token
        self._session, self._key, self._belief = session, key, belief
        self._over = asyncio.Event()
        self._left = False
        self._keeper = asyncio.create_task(self._keep())

    def is_held(self) -> bool:
        """Whether its holder may act as such at this instant. Any thread may ask."""
        return self._belief.is_held(self._session.clock.now())

    def remaining(self) -> float:
        """How much longer, in seconds, the holder may believe without further news: zero where it may not."""
        return self._belief.remaining(self._session.clock.now()) / SECOND

    @property
    def ttl(self) -> float:
        """How long the grant lasts from its last extend, in seconds."""
        return self._belief.ttl_ms / 1_000

    @property
    def safe_until(self) -> int:
        """Until when the holder may believe without further news: ns on `session.clock`."""
        return self._belief.safe_until or 0

    @property
    def ending(self) -> Lost | None:
        """Why the lease will be lost at `safe_until`, where that is known already: it is extended no more."""
        return self._belief.doom

    async def lost(self) -> Lost:
        """Waits until the lease is lost, with or without news, and says why: at once where it is already."""
        while (lost := self._belief.lost(self._session.clock.now())) is None:
            with contextlib.suppress(TimeoutError):
                # The loop's clock may run slower or stop in a suspend: whoever waits looks again.
                async with asyncio.timeout(min(self.remaining(), 1.0)):
                    await self._over.wait()
        self.settle()
        return lost

    async def release(self) -> None:
        """Ends the grant and waits for the answer, at most 5 s. Belief in it ends at this call, for good, whatever is
        answered; where nothing is, the session goes on releasing it. Does nothing where it is lost already."""
        await self._let_go("released", "release", {})

    async def transfer(self, to: str, *, force: bool = False) -> None:
        """Hands the grant on to another holder, which waits in line, in one step. Belief in it ends at this call, for good;
        where it is refused, the session releases the lease, and it was `given_up`. `force` hands it on though nobody of that name waits: the first
        claim of that holder takes it, within 2 s."""
        await self._let_go("transferred", "transfer", {"to": to, "force": force})

    def settle(self) -> None:
        """Where it is lost, lets the session have the lease again: the first to see it does this."""
        lost = self._belief.lost(self._session.clock.now())
        if lost is not None and not self._left:
            self._end(lost)
            # Unless the cluster said that it is gone, it may stand, and nobody wants it any more.
            self._leave(None if lost.end or lost.why == "lost" else self.token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Whatever the release comes to, the grant ends at its ttl at the latest.
        with contextlib.suppress(TenureError):
            await self.release()

    def __repr__(self) -> str:
        return f"<Guard {self.namespace}:{self.name} token {self.token}>"

    async def _let_go(self, why: str, verb: str, body: dict[str, Any]) -> None:
        if self._belief.lost(self._session.clock.now()) is not None:
            return
        self._end(Lost(self.token, why))
        self._left = True
        self._keeper.cancel()
        standing: int | None = self.token
        try:
            call = self._session.call(verb, {**self._body(), **body}, ttl=self.ttl)
            await call.run()
            standing = None
        except Refused as no:
            if verb == "release" or no.code in GONE:
                standing = None
            if verb == "transfer":
                self._belief.gave_up(no.code, no.end)
            raise
        finally:
            self._leave(standing)

    # Extends while there is something to extend, and is there when it is over.
    async def _keep(self) -> None:
        belief, clock = self._belief, self._session.clock
        while belief.lost(now := clock.now()) is None:
            if belief.doom is None and belief.extend_at <= now:
                await self._extend()
                continue
            due = self.safe_until if belief.doom is not None else min(belief.extend_at, self.safe_until)
            await asyncio.sleep(min((due - now) / SECOND, 1.0))
        self.settle()

    async def _extend(self) -> None:
        # Later than belief ends, an extend would only bring back what its holder was told is over.
        body = {**self._body(), "ttl_ms": self._belief.ttl_ms}
        call = self._session.call("extend", body, ttl=self.ttl, ends=self.safe_until)
        try:
            grant, sent_at = await call.run()
        except Refused as no:
            await self._refused(no.problem)
        except Unknown as doubt:
            # A repeat that was refused proves as much about the grant.
            if doubt.last is not None and doubt.last["code"] in REFUSED:
                await self._refused(doubt.last)
        except Unavailable:
            await asyncio.sleep(min(0.1, self.ttl / 8))
        else:
            self._belief.extended(sent_at, self._session.clock.now(), grant)

    async def _refused(self, problem: dict[str, Any]) -> None:
        end = problem.get("end")
        if problem["code"] in GONE:
            lost = Lost(self.token, end["why"], end.get("reason"), end) if end else Lost(self.token, "lost")
            self._end(lost)
            return
        # Of one member's own, whose clock may be wrong: it says who may ask there, and nothing of the lease.
        if problem["code"] == "unauthenticated":
            await asyncio.sleep(min(0.1, self.ttl / 8))
            return
        # It lives, as when it was revoked and ends at its deadline: belief goes on to its time, and then it is said why.
        revoked = problem["code"] == "ending"
        self._belief.doom = Lost(self.token, "revoked") if revoked else Lost(self.token, "refused", problem["message"])
        with contextlib.suppress(TenureError, KeyError):
            body = {"namespace": self.namespace, "name": self.name}
            lease, _ = await self._session.call("get", body, ends=self.safe_until).run()
            held, last = lease.get("held", {}), lease.get("last_end", {})
            reason = held.get("ending") if held.get("token") == self.token else None
            reason = last.get("reason") if reason is None and last.get("token") == self.token else reason
            if revoked and reason is not None:
                self._belief.doom = Lost(self.token, "revoked", reason)

    def _end(self, lost: Lost) -> None:
        self._key.stood_until = min(self.safe_until, self._session.clock.now())
        self._belief.end(lost)
        self._over.set()

    def _leave(self, token: int | None) -> None:
        self._left = True
        self._session.leave(self._key, token)

    def _body(self) -> dict[str, Any]:
        token, instance = str(self.token), str(self._session.instance)
        return {"namespace": self.namespace, "name": self.name, "token": token, "instance": instance}

"""One call's life: sent, given up and sent through the next endpoint, or rested and sent again, until it has an outcome or its
time is over.

    unsent ──send──▶ flying ──answered──▶ outcome
      ▲  ▲             │ │
      │  └──given up───┘ └─surely not done─▶ resting
      └────────────────────────────────────────┘

A retry is the same call, with the same instance and seq. Belief counts from when the attempt left that was answered.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .clock import MS, SECOND, Clock
from .link import Link, Reply
from .links import Links, pause
from .outcome import EFFECTS, TenureError, Unavailable, Unknown, Verdict, judge, refusal

#: The longest that an attempt waits before the call is sent through the next endpoint, in seconds.
PATIENCE_MAX = 2.0
DEADLINE_SECONDS = 5.0
DEADLINE_MS_MAX = 60_000
#: How long after its deadline an attempt may still take effect: 500 ms that the member adds, and a second for how far the
#: lease clock may lag behind ours.
NOT_AFTER_MARGIN_MS = 1_500
NEVER = 1 << 63


@dataclass(eq=False)
class Attempt:
    """One that left. In ns of holder time: when, and from when on it can surely take no effect any more."""

    sent_at: int
    not_after: int


class Call:
    """A call and its attempts. `ends` in ns of holder time; `ttl` and `patience` in seconds: of the grant that it is about,
    and how long an attempt waits where that is not a sixth of it."""

    def __init__(
        self, links: Links, clock: Clock, verb: str, body: dict[str, Any], *,
        ends: int | None, ttl: float | None = None, patience: float | None = None,
    ) -> None:
        self.verb, self.body = verb, body
        self._links, self._clock = links, clock
        self._began, self._ends = clock.now(), ends
        # Only a grant that is alive is in a hurry; a claim waits as long as the server asks.
        self._at_stake = ttl if verb == "extend" or patience is not None else None
        self._patience = min(PATIENCE_MAX, ttl / 6 if ttl is not None and patience is None else patience or math.inf)
        self._unanswered: list[Attempt] = []
        self._tries = 0
        self._last: dict[str, Any] | None = None
        #: Until when an attempt that was not answered may yet take effect.
        self.loose = 0
        #: The link and number of the last attempt.
        self.frame: tuple[Link, int] | None = None

    async def run(self, next_seq: Callable[[], int] | None = None) -> tuple[dict[str, Any], int]:
        """Asks until there is an outcome: the answer, and when the attempt left that it answers. `next_seq` numbers a claim
        that is to be judged anew."""
        try:
            while True:
                link = await self._link()
                attempt, reply = await self._attempt(link)
                if reply is None:
                    continue
                verdict, answer = self._judge(link, attempt, reply)
                if verdict is Verdict.DONE:
                    return answer, attempt.sent_at
                if verdict in (Verdict.AGAIN, Verdict.DOUBT):
                    if answer["code"] == "late" and next_seq is not None:
                        # A grant won by an earlier attempt may have ended already. With a new number it is judged anew, and an
                        # attempt with the lower one can no longer win over it.
                        self.body["seq"] = str(next_seq())
                    await self._rest(link, answer)
        finally:
            self.loose = max([self.loose, *(one.not_after for one in self._unanswered)])

    async def _link(self) -> Link:
        while True:
            try:
                async with asyncio.timeout(self._left()):
                    return await self._links.get()
            except TimeoutError:
                self._check_time()

    async def _attempt(self, link: Link) -> tuple[Attempt, Reply]:
        # Before the attempt leaves: belief counts from here.
        sent_at = self._clock.now()
        body, not_after = self._timed(sent_at)
        attempt = Attempt(sent_at, not_after)
        self._settle(sent_at)
        self._unanswered.append(attempt)
        frame, reply = link.send(self.verb, body)
        self.frame = (link, frame)
        overdue = NEVER if self.verb in ("acquire", "wait") else sent_at + int(self._patience * SECOND)
        try:
            while not reply.done():
                self._check_time()
                await asyncio.wait([reply], timeout=self._left(overdue))
                if not reply.done() and self._clock.now() >= overdue:
                    overdue = self._clock.now() + int(self._patience * SECOND)
                    if len(self._links.endpoints) > 1:
                        link.leave("an answer was overdue")
                        break
                    # The same door again would help nobody; where the link is dead, a new one will.
                    link.probe(self._patience)
        finally:
            if not reply.done():
                link.forget(frame)
            if self.verb == "acquire":
                # As long as it stands its member may claim for it, with a deadline of 5 s: that time runs from now.
                attempt.not_after = self._clock.now() + int(DEADLINE_SECONDS * SECOND) + NOT_AFTER_MARGIN_MS * MS
        return attempt, reply.result() if reply.done() else None

    # The call with what is left of its time, so that no attempt outlives its sender's patience.
    def _timed(self, now: int) -> tuple[dict[str, Any], int]:
        left_ms = DEADLINE_MS_MAX if self._ends is None else max(1, min(DEADLINE_MS_MAX, (self._ends - now) // MS))
        body = dict(self.body)
        if self.verb in EFFECTS and self.verb != "acquire":
            body["deadline_ms"] = left_ms
        if "timeout_ms" in body:
            body["timeout_ms"] = max(1, body["timeout_ms"] - (now - self._began) // MS)
        return body, now + (left_ms + NOT_AFTER_MARGIN_MS) * MS

    # Attempts of an acquire that can take effect no more: the next one is answered with whatever they won.
    def _settle(self, now: int) -> None:
        if self.verb == "acquire":
            self.loose = max([self.loose, *(one.not_after for one in self._unanswered if one.not_after <= now)])
            self._unanswered = [one for one in self._unanswered if one.not_after > now]

    # What the reply means for the call; raises where that is its end.
    def _judge(self, link: Link, attempt: Attempt, reply: dict[str, Any]) -> tuple[Verdict, dict[str, Any]]:
        now = self._clock.now()
        others = [one for one in self._unanswered if one is not attempt]
        since = min((one.sent_at for one in others), default=None)
        verdict, answer = judge(self.verb, self.body, reply, since, now)
        if verdict is Verdict.NONSENSE:
            # It left, and its answer cannot be read.
            link.lose("a reply that does not fit its call")
            return verdict, {}
        if verdict is not Verdict.DOUBT:
            self._unanswered = others
        if verdict is not Verdict.DONE:
            self._last = answer
        if verdict is Verdict.REFUSED:
            raise refusal(answer)
        if verdict is Verdict.UNPROVABLE:
            # "Still held" by whom? Once no older attempt can take effect, the same acquire asked again tells.
            settled = self.verb == "acquire" and all(one.not_after <= now for one in others)
            if answer["code"] != "still_held" or not settled:
                raise Unknown(len(others), answer)
        return verdict, answer

    async def _rest(self, link: Link, problem: dict[str, Any]) -> None:
        self._tries += 1
        if problem["code"] != "overloaded" and len(self._links.endpoints) > 1:
            link.leave(f"{problem['code']}: {problem['message']}")
        said = problem.get("retry_after_ms")
        if said is None and problem["code"] == "late" and self._tries == 1:
            return
        seconds = pause(self._tries, self._at_stake) if said is None else said / 1_000
        seconds = seconds if self._at_stake is None else min(seconds, self._at_stake / 8)
        if self._ends is not None and self._clock.now() + seconds * SECOND >= self._ends and not self._unanswered:
            raise self._out_of_time()
        until = self._clock.now() + int(seconds * SECOND)
        while self._clock.now() < until:
            self._check_time()
            await asyncio.sleep(self._left(until))

    # In seconds; at most one, for our clock may run faster than the loop's, or go on in a suspend.
    def _left(self, until: int = NEVER) -> float:
        return max(0.0, min(SECOND, min(until, self._ends or NEVER) - self._clock.now()) / SECOND)

    def _check_time(self) -> None:
        if self._ends is not None and self._clock.now() >= self._ends:
            raise self._out_of_time()

    def _out_of_time(self) -> TenureError:
        if self.verb in EFFECTS and self._unanswered:
            return Unknown(len(self._unanswered), self._last)
        if self._last is not None:
            return Unavailable(f"{self._last['code']}: {self._last['message']}")
        return Unavailable(self._links.unreachable() if self._links.causes else "no answer came in time")

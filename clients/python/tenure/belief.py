"""What a holder may believe about one grant, and until when. Pure: time is an argument, in ns of holder time.

    granted, confirmed ──▶ held until sent_at + hold_ms ◀── extended (only ever later)
    granted, unconfirmed ─▶ not held, until an extend is answered
    safe_until passes, a release or transfer is sent, or the cluster says that it ended ──▶ lost, for good

Invariant: whoever asks at `now >= safe_until` is told no, with or without news.
"""

from dataclasses import dataclass
from typing import Any

from .clock import MS

RHO_PER_MILLE = 10


@dataclass(frozen=True)
class Lost:
    """That a grant is over for its holder, and its true reason."""

    token: int
    #: `released` or `transferred`: by this session. `given_up`: this session's transfer was refused, with the code given as
    #: reason: nothing was handed on, and belief had ended when it left. `unheard`: nothing was heard from the cluster before belief ended by our
    #: own clock; the grant may stand for a little longer. `revoked`: an operator took it away. `refused`: it could not be
    #: extended, for the reason given. `expired`, `unconfirmed`,
    #: `restored`, and `released` or `transferred` by another's hand: so the cluster says. `lost`: the cluster says no more.
    why: str
    #: The operator's reason, where it was revoked and the reason is known; or why extends or a transfer were refused.
    reason: str | None = None
    #: How the grant ended, where the cluster said so: `token`, `holder`, `why`, `reason`, `ago_ms`, `remained_ms`.
    end: dict[str, Any] | None = None

    def __str__(self) -> str:
        # With an end it is what the cluster said of another's hand: an operator's, an app-admin's, or another program's under this instance.
        others = self.end is not None and self.why in ("released", "transferred")
        why = f"{self.why}, not by this session" if others else self.why
        return f"token {self.token} is lost: {why}" + (f": {self.reason}" if self.reason else "")


def safe_until(sent_at: int, grant: dict[str, Any]) -> int | None:
    """Until when an answered attempt that left at `sent_at` lets its sender believe; None where it must extend first."""
    # Count from before the attempt left: the cluster may have granted the moment it arrived. And no server's slip may make
    # us believe longer than the ttl and the clocks' rates allow.
    hold_ms_max: int = grant["ttl_ms"] * (1_000 - RHO_PER_MILLE) // (1_000 + RHO_PER_MILLE)
    hold_ms: int = min(grant["hold_ms"], hold_ms_max)
    return sent_at + hold_ms * MS if grant["confirmed"] else None


def extend_at(sent_at: int, now: int, grant: dict[str, Any]) -> int:
    """When to extend what was granted by an answer that came at `now` to an attempt that left at `sent_at`."""
    if not grant["confirmed"]:
        return now
    # A server that says nothing, or says too late to try twice, gets the rule of a third.
    said: int = grant["extend_after_ms"]
    after = said if 0 < said <= grant["hold_ms"] * 2 // 3 else int(grant["ttl_ms"]) // 3
    # As belief, from when the attempt left: were the answer slow, little would be left of that by a third after it.
    return max(now, sent_at + after * MS)


class Belief:
    """One grant, as its holder sees it."""

    def __init__(self, sent_at: int, now: int, grant: dict[str, Any]) -> None:
        self.token: int = grant["token"]
        self.safe_until: int | None = None
        self.extend_at = 0
        #: Why it will be lost at `safe_until`, where that is known: it is not extended any more.
        self.doom: Lost | None = None
        self._lost: Lost | None = None
        self.extended(sent_at, now, grant)

    def extended(self, sent_at: int, now: int, grant: dict[str, Any]) -> None:
        """Takes in the answer to an extend. One that comes too late brings nothing back; one out of order shortens nothing."""
        assert grant["token"] == self.token, "an extend keeps its token"
        if self.lost(now) is not None:
            return
        self.ttl_ms: int = grant["ttl_ms"]
        until = safe_until(sent_at, grant)
        if until is not None and (self.safe_until is None or until > self.safe_until):
            self.safe_until = until
        self.extend_at = max(self.extend_at, extend_at(sent_at, now, grant))

    def is_held(self, now: int) -> bool:
        """Whether the holder may act as such at `now`."""
        return self.safe_until is not None and self.lost(now) is None

    def remaining(self, now: int) -> int:
        """How much longer the holder may believe without further news, in ns."""
        return self.safe_until - now if self.safe_until is not None and self.lost(now) is None else 0

    def lost(self, now: int) -> Lost | None:
        """Why it is over, if it is. The first reason stands."""
        if self._lost is None and self.safe_until is not None and now >= self.safe_until:
            self._lost = self.doom or Lost(self.token, "unheard")
        return self._lost

    def end(self, lost: Lost) -> None:
        """It is over: its release or transfer is about to leave, or the cluster said that it ended."""
        self._lost = self._lost or lost

    def gave_up(self, code: str, end: dict[str, Any] | None) -> None:
        """The transfer that ended it was refused. Only the reason changes: what is over stays so."""
        assert self._lost is not None, "belief ends when a transfer leaves"
        self._lost = Lost(self.token, "given_up", code, end)

"""Which member to talk to: one link at a time, and after it one to the next endpoint.

    seek ──▶ opening ──▶ current
     ▲          │ failed    │ lost, or left because an answer was overdue or the member said to go
     └──pause───┴───────────┘
"""

import asyncio
import random
from collections.abc import Callable
from ssl import SSLContext

from . import tls
from .link import Link
from .outcome import Unavailable

CONNECT_SECONDS_MAX = 2.0
#: Sessions that lose one member together come back spread over this, in seconds.
SPREAD_SECONDS = 0.25
PORT_DEFAULT = 7400


def endpoint(text: str) -> str:
    """`HOST:PORT` of what a user wrote, or `https://HOST:PORT` where it is reached by TLS: a scheme `http`, `https`, `ws` or
    `wss`, and the port, may be left out."""
    scheme, found, rest = text.strip().rpartition("://")
    host, colon, port = rest.removesuffix("/").rpartition(":")
    if not colon or port.endswith("]"):
        host, port = rest.removesuffix("/"), str(PORT_DEFAULT)
    secured = scheme in ("https", "wss")
    well = host and (not found or secured or scheme in ("http", "ws")) and port.isdecimal() and 0 < int(port) < 65_536
    if not well or any(letter in host for letter in "/@ ?#") or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r} is no endpoint: write HOST:PORT, as localhost:{PORT_DEFAULT}, or https://HOST:PORT")
    return f"https://{host}:{port}" if secured else f"{host}:{port}"


def pause(tries: int, ttl: float | None) -> float:
    """How long to wait before try number `tries` (from 1), in seconds: 250 ms, doubled each time up to 10 s, at most an
    eighth of `ttl` where a grant of that ttl is at stake; of which the second half is left to chance."""
    most = min(0.25 * 2.0 ** min(tries - 1, 10), 10.0)
    # Half of a grant's life must hold several tries, whatever the back-off has grown to.
    most = most if ttl is None else min(most, ttl / 8)
    return most * random.uniform(0.5, 1.0)


class Links:
    """The links of one session, those to https endpoints by `tls`. `at_stake` gives the shortest ttl of the grants that may
    stand, in seconds."""

    def __init__(
        self, endpoints: list[str], tls: SSLContext | None, token: str | None, at_stake: Callable[[], float | None]
    ) -> None:
        self.endpoints, self._tls, self._token = endpoints, tls, token
        #: Why each endpoint failed last, since one was reached.
        self.causes: dict[str, str] = {}
        self._at_stake = at_stake
        self._next = 0
        self._current: Link | None = None
        self._left: list[Link] = []
        self._seeking: asyncio.Task[None] | None = None
        #: Where the current link goes to.
        self._at = ""
        self._moving: asyncio.Task[None] | None = None
        self.closed = False

    async def first(self) -> bool:
        """Opens the first link; false where no endpoint can be reached."""
        return await self._round()

    async def get(self) -> Link:
        """The current link; waits for one as long as it takes."""
        while True:
            if self.closed:
                raise Unavailable("this session is closed; open another")
            if self._current is not None:
                return self._current
            # A caller that has enough leaves the seeking to the others.
            await asyncio.wait([self._seek_soon()])

    def unreachable(self) -> str:
        """Every endpoint that failed since one was reached, with its cause."""
        causes = ", ".join(f"{endpoint} ({cause})" for endpoint, cause in self.causes.items())
        return f"no endpoint could be reached: {causes}; start a member, or correct the endpoints"

    async def close(self) -> None:
        """Closes all of them."""
        self.closed = True
        tasks = [task for task in (self._seeking, self._moving) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        links = self._left + ([self._current] if self._current else [])
        await asyncio.gather(*(link.close() for link in links))

    def _seek_soon(self) -> asyncio.Task[None]:
        if self._seeking is None or self._seeking.done():
            self._seeking = asyncio.create_task(self._seek())
        return self._seeking

    async def _seek(self) -> None:
        # Not at once: thousands of sessions may have lost the same member at this very moment.
        stake = self._at_stake()
        await asyncio.sleep(random.uniform(0.0, SPREAD_SECONDS if stake is None else min(SPREAD_SECONDS, stake / 8)))
        tries = 0
        while not await self._round():
            tries += 1
            await asyncio.sleep(pause(tries, self._at_stake()))

    # Each endpoint once, from the one after the last.
    async def _round(self) -> bool:
        for _ in self.endpoints:
            address, self._next = self.endpoints[self._next], (self._next + 1) % len(self.endpoints)
            stake = self._at_stake()
            within = CONNECT_SECONDS_MAX if stake is None else min(CONNECT_SECONDS_MAX, max(stake / 6, 0.1))
            try:
                self._tls = await tls.renewed_aside(self._tls, within)
                self._current = await Link.open(address, self._tls, self._token, within, self._lost, self._going)
            except Exception as error:  # Whatever keeps this link from opening, the next endpoint may do better.
                self.causes[address] = tls.cause(error)
                continue
            self._at = address
            self.causes.clear()
            return True
        return False

    # Whoever knows no other member is served on, or comes back once this one has closed the link.
    def _going(self, link: Link, after: float) -> None:
        if len(self.endpoints) > 1 and link is self._current and not self.closed and (self._moving is None or self._moving.done()):
            self._moving = asyncio.create_task(self._move(link, after))

    async def _move(self, link: Link, after: float) -> None:
        stake = self._at_stake()
        await asyncio.sleep(after if stake is None else min(after, stake / 8))
        left = self._at
        # Not by way of `_round`: until another link is there, this one serves.
        for _ in self.endpoints:
            address, self._next = self.endpoints[self._next], (self._next + 1) % len(self.endpoints)
            if address == left:
                continue
            try:
                self._tls = await tls.renewed_aside(self._tls, CONNECT_SECONDS_MAX)
                other = await Link.open(address, self._tls, self._token, CONNECT_SECONDS_MAX, self._lost, self._going)
            except Exception as error:  # The next endpoint may do better.
                self.causes[address] = tls.cause(error)
                continue
            if link is not self._current or self.closed:
                return await other.close()
            self._current, self._at = other, address
            self._left = [one for one in self._left if one.is_open()] + [link]
            link.leave("the member sent the session away")
            return None
        return None

    def _lost(self, link: Link) -> None:
        if link is self._current and not self.closed:
            self._current = None
            self._left = [one for one in self._left if one.is_open()] + [link]
            self._seek_soon()

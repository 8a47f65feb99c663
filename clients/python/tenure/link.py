"""One WebSocket to one member: numbers calls, sends them, and hands each reply to whoever waits for it.

A reply of None means that none will come: the link is gone, and what left through it may have been done.
"""

import asyncio
import json
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import WebSocketException

from .outcome import STANDING

AGENT = "tenure-python 0.1.0"
#: The longest reply, in bytes, that a member may send.
REPLY_BYTES_MAX = 16 * 1024 * 1024
#: How long a link that was left may still bring answers, in seconds.
DRAIN_SECONDS = 10.0
#: So many events of one watch may wait unread.
UNREAD_MAX = 10_000

Reply = dict[str, Any] | None


class Socket(ClientConnection):
    """Remembers why its transport ended: what a member has against our certificate comes after the TLS handshake."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if exc is not None and self.protocol.handshake_exc is not None:
            self.protocol.handshake_exc.__cause__ = exc


class Stream:
    """What a watch is pushed: lists of events; then the reply that ended it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[dict[str, Any]] | Reply] = asyncio.Queue()
        self.unread = 0


class Link:
    """An open connection. `lost` is called once it takes no more calls; `going` each time the member says that the session should
    go to another, with the seconds that it names."""

    def __init__(
        self, socket: ClientConnection, lost: Callable[["Link"], None], going: Callable[["Link", float], None]
    ) -> None:
        #: Why it takes no more calls.
        self.cause: str | None = None
        self._socket, self._lost, self._going = socket, lost, going
        self._last = 0
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._standing: set[int] = set()
        self._streams: dict[int, Stream] = {}
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        self._probe: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._post({"hello": {"version": 1, "agent": AGENT}})

    @staticmethod
    async def open(
        address: str, tls: SSLContext | None, token: str | None, within: float, lost: Callable[["Link"], None],
        going: Callable[["Link", float], None],
    ) -> "Link":
        """Connects within so many seconds; by `tls` where the address is https, and known by the token, where there is one."""
        secured = address.startswith("https://")
        url = f"{'wss' if secured else 'ws'}://{address.removeprefix('https://')}/v1/session"
        socket = await connect_websocket(
            url, additional_headers={"Authorization": f"Bearer {token}"} if token else None, ssl=tls if secured else None,
            open_timeout=within, close_timeout=0.5, ping_interval=20, ping_timeout=10,
            max_size=REPLY_BYTES_MAX, compression=None, proxy=None, create_connection=Socket,
        )
        return Link(socket, lost, going)

    def send(self, verb: str, body: dict[str, Any]) -> tuple[int, asyncio.Future[Reply]]:
        """Sends a call; gives its number and its reply to come."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        frame = self._post({verb: body})
        self._pending[frame] = future
        if verb in STANDING:
            self._standing.add(frame)
        if verb == "watch":
            self._streams[frame] = Stream()
        return frame, future

    def forget(self, frame: int) -> None:
        """Nobody waits for this reply any more. The member is told, where it keeps the call."""
        self._pending.pop(frame, None)
        self._streams.pop(frame, None)
        if frame in self._standing:
            self._standing.discard(frame)
            self._post({"cancel": {"id": frame}})

    def stream(self, frame: int) -> Stream:
        """What the watch of this number is pushed: that no more will come, where it is gone already."""
        gone = Stream()
        gone.queue.put_nowait(None)
        return self._streams.get(frame, gone)

    def is_open(self) -> bool:
        """Whether answers may still come."""
        return self._closing is None

    def leave(self, cause: str) -> None:
        """Takes no more calls. What stands here is to stand elsewhere; the rest may still be answered."""
        if self.cause is None:
            self.cause = cause
            self._lost(self)
            for frame in list(self._standing):
                self._answer(frame, None)
            asyncio.get_running_loop().call_later(DRAIN_SECONDS if self._pending else 0, self._drop)

    def lose(self, cause: str) -> None:
        """The link is gone."""
        self.leave(cause)
        self._drop()

    def probe(self, within: float) -> None:
        """A reply is overdue: where the member does not even answer a ping within so many seconds, the link is gone."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ping(within))

    async def close(self) -> None:
        """Says goodbye."""
        self.lose("the session is closed")
        if self._closing is not None:
            await self._closing

    def _drop(self) -> None:
        if self._closing is None:
            for frame in [*self._pending, *self._streams]:
                self._answer(frame, None)
            for task in self._tasks:
                task.cancel()
            self._closing = asyncio.create_task(self._socket.close())

    def _post(self, call: dict[str, Any]) -> int:
        self._last += 1
        self._outbox.put_nowait(json.dumps({"id": self._last, "call": call}))
        return self._last

    async def _write(self) -> None:
        try:
            while True:
                await self._socket.send(await self._outbox.get())
        except (OSError, WebSocketException) as error:
            self.lose(str(error))

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                self._take(json.loads(text, object_hook=u64s_read))
            self.lose(f"closed by the server {self._socket.close_reason or ''}".strip())
        except (OSError, WebSocketException) as error:
            self.lose(str(error))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.lose(f"a frame that cannot be read: {error!r}")

    async def _ping(self, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await (await self._socket.ping())
        except (OSError, WebSocketException):
            self.lose("no sign of life, not even to a ping")

    def _take(self, frame: dict[str, Any]) -> None:
        push = frame.get("push", {})
        if "reply" in frame:
            reply = frame["reply"]
            self._answer(frame["id"], {reply: {}} if isinstance(reply, str) else reply)
        elif "events" in push:
            self._events(push["events"]["id"], push["events"]["events"])
        elif "unreadable" in push:
            self.lose("a frame that the server could not read")
        elif "going" in push:
            self._going(self, push["going"]["reconnect_after_ms"] / 1_000)

    def _answer(self, frame: int, reply: Reply) -> None:
        future, stream = self._pending.pop(frame, None), self._streams.get(frame)
        if future is not None and not future.done():
            future.set_result(reply)
        if reply is not None and "watching" in reply:
            return
        self._standing.discard(frame)
        if stream is not None:
            stream.queue.put_nowait(reply)
            del self._streams[frame]

    def _events(self, frame: int, events: list[dict[str, Any]]) -> None:
        stream = self._streams.get(frame)
        if stream is not None:
            stream.unread += len(events)
            stream.queue.put_nowait(events)
            if stream.unread > UNREAD_MAX:
                stream.queue.put_nowait({"error": {"code": "unread", "message": f"{UNREAD_MAX} events wait unread: read faster"}})
                self.forget(frame)


def u64s_read(fields: dict[str, Any]) -> dict[str, Any]:
    """On the wire a u64 is a decimal string; here it is an int."""
    for field in ("token", "revision", "member"):
        if isinstance(fields.get(field), str):
            fields[field] = int(fields[field])
    return fields

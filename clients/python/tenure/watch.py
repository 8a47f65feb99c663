"""A watch in its caller's hands: what changes, each event once and in order, over any number of connections."""

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .link import Link, Stream
from .outcome import UNAVAILABLE, Unavailable, refusal

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True)
class Event:
    """One change of one lease. Extends are no events."""

    #: Its number in the cluster.
    revision: int
    namespace: str
    name: str
    #: `granted`, `confirmed`, `valued`, `ended`, `ending`, `pinned` or `unpinned`.
    what: str
    #: As the API has it: `token`, `holder`, `why` …
    detail: dict[str, Any]

    @staticmethod
    def read(fields: dict[str, Any]) -> "Event":
        """From the wire."""
        rest = dict(fields)
        revision, namespace, name = rest.pop("revision"), rest.pop("namespace"), rest.pop("name")
        what, detail = next(iter(rest.items()))
        return Event(revision, namespace, name, what, detail)


class Watcher:
    """Every event from a revision on, for `async for`. It goes on after a lost connection behind the last event that was
    read; raises Refused `compacted` where that is no longer kept (read the state again, and watch from there), and
    Unavailable where more than 10,000 events waited unread."""

    def __init__(self, session: "Session", body: dict[str, Any]) -> None:
        #: Up to which revision everything was read: where another watch would go on.
        self.revision: int = 0
        self._session, self._body = session, body
        self._frame: tuple[Link, int] | None = None
        self._stream: Stream | None = None
        self._closed = False
        self._unread: list[Event] = []

    async def begin(self, ends: int | None) -> None:
        """Asks a member to watch from the last revision that was read; `ends` as of a call."""
        call = self._session.call("watch", self._body, ends=ends)
        watching, _ = await call.run()
        assert call.frame is not None
        link, frame = self._frame = call.frame
        self._stream = link.stream(frame)
        if "after" not in self._body:
            self._body["after"] = str(watching["revision"])
        self.revision = int(self._body["after"])

    def close(self) -> None:
        """Ends the watch."""
        if self._frame is not None:
            link, frame = self._frame
            link.forget(frame)
        self._closed = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._unread:
            if self._closed:
                raise StopAsyncIteration
            if self._stream is None:
                await self.begin(None)
                continue
            pushed = await self._stream.queue.get()
            if isinstance(pushed, list):
                self._stream.unread -= len(pushed)
                self._unread = [event for event in map(Event.read, pushed) if event.revision > self.revision]
            elif pushed is None or pushed["error"]["code"] in UNAVAILABLE:
                self._stream = None
            else:
                self._closed = True
                problem = pushed["error"]
                raise Unavailable(problem["message"]) if problem["code"] == "unread" else refusal(problem)
        event = self._unread.pop(0)
        self.revision = event.revision
        self._body["after"] = str(event.revision)
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

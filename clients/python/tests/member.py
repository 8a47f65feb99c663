"""A member that says what a test tells it to: for the rules that a real server would hardly put to the test."""

import asyncio
import json
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection, serve


@dataclass
class Asked:
    """A call that a member was asked."""

    connection: ServerConnection
    id: int
    verb: str
    body: dict

    async def reply(self, reply):
        await self.connection.send(json.dumps({"id": self.id, "reply": reply}))

    async def grant(self, token=7, ttl_ms=None, confirmed=True, extend_after_ms=0):
        ttl_ms = ttl_ms or self.body["ttl_ms"]
        hold_ms = ttl_ms * 98 // 100 if confirmed else 0
        where = {"namespace": self.body["namespace"], "name": self.body["name"], "token": str(token)}
        times = {"ttl_ms": ttl_ms, "hold_ms": hold_ms, "extend_after_ms": extend_after_ms, "confirmed": confirmed}
        await self.reply({"granted": where | times})

    async def refuse(self, code, **details):
        await self.reply({"error": {"code": code, "message": "…", **details}})

    async def push_event(self, revision):
        event = {"revision": str(revision), "namespace": "default", "name": "a", "pinned": {"entity": "e"}}
        await self.connection.send(json.dumps({"push": {"events": {"id": self.id, "events": [event]}}}))

    async def send_away(self, after_ms=100):
        going = {"why": "member 1 is draining", "reconnect_after_ms": after_ms}
        await self.connection.send(json.dumps({"push": {"going": going}}))

    def cut(self):
        """The connection is gone, and nobody says goodbye."""
        self.connection.transport.abort()


class Member:
    """Listens on a free port of loopback."""

    async def __aenter__(self):
        self.calls = asyncio.Queue()
        self.server = await serve(self._serve, "127.0.0.1", 0, close_timeout=0.1)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def asked(self, verb):
        """The next call, which must be this one."""
        async with asyncio.timeout(10):
            call = await self.calls.get()
        assert call.verb == verb, f"{call} where {verb} was expected"
        return call

    async def _serve(self, connection):
        try:
            async for text in connection:
                frame = json.loads(text)
                (verb, body), = frame["call"].items()
                if verb != "hello":
                    self.calls.put_nowait(Asked(connection, frame["id"], verb, body))
        except Exception:
            pass

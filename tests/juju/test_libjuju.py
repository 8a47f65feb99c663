"""Juju's own Python client, juju==3.5.2.1, against a real server with TLS and tokens: what it does to Juju works here unchanged."""

import asyncio
import contextlib
import logging
import unittest
import warnings

from juju import errors
from juju.client import client
from juju.client.connection import Connection

from server import Server

MODEL = "a9b1c2d3-0000-4000-8000-00000000000a"
LEADERSHIP = f"application-leadership:{MODEL}"
PATIENCE = 20.0


def agent(tag):
    """The library logs in as users alone; an agent differs by its tag."""

    class Agent(Connection):
        async def login(self):
            self.usertag = tag
            return await super().login()

    return Agent


class Libjuju(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.server = Server(self.stack)
        with open(self.server.path("ca/client.crt"), encoding="utf-8") as file:
            self.ca = file.read()

    async def asyncSetUp(self):
        # It would tell that a server's start takes its time.
        asyncio.get_running_loop().set_debug(False)
        # What it says of a connection that a test cuts is no news.
        logging.getLogger("juju").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", message="coroutine 'Connection.reconnect' was never awaited")

    async def connect(self, cls, password, username="x", uuid=MODEL, **more):
        connection = await cls.connect(
            endpoint=self.server.listen, uuid=uuid, username=username, password=password, cacert=self.ca, **{"retries": 0} | more
        )
        self.addAsyncCleanup(connection.close)
        return connection

    async def unit(self, number, **more):
        token = self.server.token(f"mysql/{number}", "unit", LEADERSHIP)
        return await self.connect(agent(f"unit-mysql-{number}"), token, **more)

    async def claim(self, connection, number, seconds=5.0):
        claim = client.ClaimLeadershipParams(application_tag="application-mysql", unit_tag=f"unit-mysql-{number}", duration=seconds)
        return await client.LeadershipServiceFacade.from_connection(connection).ClaimLeadership(params=[claim])

    async def released(self, connection):
        facade = client.LeadershipServiceFacade.from_connection(connection)
        return await asyncio.wait_for(facade.BlockUntilLeadershipReleased(name="mysql"), PATIENCE)

    async def denied(self, connection, number):
        with self.assertRaises(errors.JujuError) as caught:
            await self.claim(connection, number)
        self.assertIn("leadership claim denied", str(caught.exception))

    async def test_units_lead_in_turn(self):
        leader, follower = await self.unit(0), await self.unit(1)
        self.assertEqual(leader.info["model-tag"], f"model-{MODEL}")
        self.assertEqual(leader.info["server-version"], "2.5.1")
        await self.claim(leader, 0)
        await self.claim(leader, 0)
        await self.denied(follower, 1)
        blocked = asyncio.ensure_future(self.released(follower))
        # What waits holds up nothing else on its connection, and ends once the leader's time is over.
        await client.PingerFacade.from_connection(follower).Ping()
        await self.denied(follower, 1)
        self.assertFalse(blocked.done())
        await blocked
        await self.claim(follower, 1)
        await self.denied(leader, 0)

    async def test_a_unit_claims_for_itself_alone(self):
        unit = await self.unit(0)
        for number, seconds, words in [(1, 60.0, "permission denied"), (0, 4.99, "invalid duration"), (0, 300.1, "invalid duration")]:
            with self.assertRaises(errors.JujuError) as caught:
                await self.claim(unit, number, seconds)
            self.assertIn(words, str(caught.exception))
        await self.claim(unit, 0, 300.0)
        self.assertIn("mysql/0", self.server.operate("get", "mysql", "--namespace", LEADERSHIP))

    async def test_a_wrong_password_is_refused_with_its_code(self):
        with self.assertRaises(errors.JujuAPIError) as caught:
            await self.connect(agent("unit-mysql-0"), "password")
        self.assertEqual(caught.exception.error_code, "unauthorized access")
        token = self.server.token("mysql/0", "unit", LEADERSHIP)
        with self.assertRaises(errors.JujuAPIError):
            await self.connect(agent("unit-mysql-1"), token)

    async def test_a_user_sees_who_pins(self):
        user = await self.connect(Connection, self.server.token("bob", "reader", LEADERSHIP), username="bob")
        self.assertEqual(user.info["user-info"]["identity"], "user-bob")
        self.server.operate("pin", "mysql", "--namespace", LEADERSHIP, "--entity", "machine-0", "--why", "upgrade")
        reply = await user.rpc({"type": "LeadershipPinning", "version": 1, "request": "PinnedLeadership", "params": {}})
        self.assertEqual(reply["response"]["result"], {"mysql": ["machine-0"]})
        with self.assertRaises(errors.JujuAPIError) as caught:
            await self.claim(user, 0)
        self.assertEqual(caught.exception.error_code, "unauthorized access")

    async def test_it_comes_back_by_itself_and_leads_on(self):
        leader = await self.unit(0, retries=10, retry_backoff=0.2)
        await self.claim(leader, 0, 300.0)
        self.server.kill()
        self.server.start()
        async with asyncio.timeout(PATIENCE):
            while True:
                # Until its connection is there again, and the member has a leader.
                with contextlib.suppress(Exception):
                    await self.claim(leader, 0, 300.0)
                    break
                await asyncio.sleep(0.05)
        await self.denied(await self.unit(1), 1)

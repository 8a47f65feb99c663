"""TLS against a real server that `tenure init` secured: who is let in, and what is said to those who are not."""

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import unittest
from unittest import mock

import tenure
from server import Server


class Secured(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.server = Server(self.stack, secured=True)
        self.endpoint = "https://localhost:" + self.server.listen.rpartition(":")[2]
        self.files = {"ca": "ca/client.crt", "cert": "operator/admin.crt", "key": "operator/admin.key"}
        self.files = {name: self.server.path(file) for name, file in self.files.items()}

    async def asyncSetUp(self):
        # It would tell that a server's start takes its time.
        asyncio.get_running_loop().set_debug(False)

    async def refused(self, words, endpoint=None, **files):
        tls = tenure.tls.context(**files)
        with self.assertRaisesRegex(tenure.Unavailable, words):
            async with tenure.connect(endpoint or self.endpoint, tls=tls):
                pass

    async def test_an_operator_claims_by_files_that_the_environment_names(self):
        variables = {f"TENURE_{name.upper()}": path for name, path in self.files.items()}
        with mock.patch.dict(os.environ, variables):
            connected = tenure.connect(self.endpoint)
        async with connected as session:
            async with await session.claim("db/primary", holder="me") as guard:
                self.assertTrue(guard.is_held())

    async def test_an_operator_claims_by_a_token(self):
        with open(self.server.path("operator/admin.token"), encoding="utf-8") as file:
            token = file.read()
        tls = tenure.tls.context(ca=self.files["ca"])
        async with tenure.connect(self.endpoint, tls=tls, token=token) as session:
            async with await session.claim("db/secondary", holder="me") as guard:
                self.assertTrue(guard.is_held())
        named = {"TENURE_TOKEN_FILE": self.server.path("operator/admin.token")}
        with mock.patch.dict(os.environ, named):
            connected = tenure.connect(self.endpoint, tls=tls)
        async with connected as session:
            self.assertEqual(await session.count(), 0)
        with self.assertRaisesRegex(ValueError, "tenure token create"):
            tenure.connect(self.endpoint, tls=tls, token="41")

    async def test_a_context_of_ones_own_is_taken(self):
        own = ssl.create_default_context(cafile=self.files["ca"])
        own.load_cert_chain(self.files["cert"], self.files["key"])
        async with tenure.connect(self.endpoint, tls=own) as session:
            self.assertEqual(await session.count(), 0)

    async def test_a_renewed_certificate_is_read_before_the_next_link(self):
        made = [os.environ["TENURE_BIN"], "init", self.server.path("../bob"), "--from", self.server.path("."), "--operator", "bob"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        own = {end: self.server.path(f"own.{end}") for end in ("crt", "key")}
        for end, path in own.items():
            shutil.copy(self.server.path(f"operator/admin.{end}"), path)
        tls = tenure.tls.context(ca=self.files["ca"], cert=own["crt"], key=own["key"])
        async with tenure.connect(self.endpoint, tls=tls) as session:
            async with await session.claim("db/first", holder="me"):
                pass
            # Of the new pair the certificate alone: it cannot be used, and what was read before is.
            os.replace(self.server.path("../bob/operator/bob.crt"), own["crt"])
            with self.assertLogs("tenure", "WARNING") as said:
                self.assertIs(tenure.tls.renewed(tls), tls)
                self.assertIs(tenure.tls.renewed(tls), tls)
            self.assertEqual(len(said.output), 1, "it is said once")
            os.replace(self.server.path("../bob/operator/bob.key"), own["key"])
            self.server.kill()
            self.server.start()
            async with await session.claim("db/second", holder="me"):
                pass
        with open(self.server.path("audit.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        who = {line["name"]: line["who"] for line in lines if line.get("verb") == "claim"}
        self.assertEqual(who, {"db/first": "admin", "db/second": "bob"})

    async def test_a_file_that_hangs_costs_one_link_its_try_and_nobody_else_anything(self):
        own = {end: self.server.path(f"hung.{end}") for end in ("crt", "key")}
        for end, path in own.items():
            shutil.copy(self.server.path(f"operator/admin.{end}"), path)
        tls = tenure.tls.context(ca=self.files["ca"], cert=own["crt"], key=own["key"])
        with open(own["crt"], encoding="utf-8") as file:
            pem = file.read()
        # Whoever opens a pipe to read it waits for one who writes.
        os.remove(own["crt"])
        os.mkfifo(own["crt"])
        with self.assertRaisesRegex(TimeoutError, "have not answered within 0.1 s"):
            await tenure.tls.renewed_aside(tls, 0.1)
        self.assertIs(await tenure.tls.renewed_aside(tls, 0.1), tls)
        # One writes for each that reads: nobody else does.
        await asyncio.to_thread(lambda: open(own["crt"], "w", encoding="utf-8").write(pem))
        while tls.is_looked_at:
            await asyncio.sleep(0.01)

    async def test_who_is_not_known_is_told_why(self):
        ca = self.files["ca"]
        await self.refused("HTTP 401", ca=ca)
        stranger = self.server.path("node/peer.crt")
        await self.refused("does not know the CA", ca=ca, cert=stranger, key=self.server.path("node/peer.key"))
        await self.refused("cannot be believed", **self.files | {"ca": self.server.path("ca/peer.crt")})
        with self.assertRaisesRegex(tenure.Unavailable, "HTTP 400|speaks TLS"):
            async with tenure.connect(self.endpoint.removeprefix("https://")):
                pass

    async def test_tls_to_a_plain_port_is_told_so(self):
        plain = Server(self.stack)
        await self.refused("does not speak TLS", endpoint=f"https://{plain.listen}", **self.files)


class Files(unittest.TestCase):
    def test_what_is_missing_or_wrong_is_named(self):
        with mock.patch.dict(os.environ, clear=True):
            for words, files in [
                ("needs the cluster's CA.*TENURE_CA", {}),
                ("'/none'.*cannot be used", {"ca": "/none"}),
                ("goes with its key", {"ca": "/none", "cert": "/none"}),
            ]:
                with self.assertRaisesRegex(ValueError, words):
                    tenure.tls.context(**files)
            with self.assertRaisesRegex(ValueError, "needs the cluster's CA"):
                tenure.connect("https://localhost:1")

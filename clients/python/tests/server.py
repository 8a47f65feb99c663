"""A real server of the binary TENURE_BIN, in a folder of its own, on a port that it chose; and real processes that hold."""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import tenure

HERE = pathlib.Path(__file__).parent


class Server:
    def __init__(self, stack, secured=False):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.process = None
        self.secured = secured
        stack.callback(self.kill)
        self.listen = "127.0.0.1:0"
        if secured:
            made = [os.environ["TENURE_BIN"], "init", self.folder / "tenure", "--listen", self.listen]
            subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start()

    def path(self, name):
        """A file that init made."""
        return str(self.folder / "tenure" / name)

    def start(self):
        """Starts it, on the port that it had before if any, and waits until it serves."""
        command = [os.environ["TENURE_BIN"], "serve", "--listen", self.listen]
        command += ["--config", self.path("tenure.toml"), "--allow-volatile-data"] if self.secured else ["--dev", "--data", self.folder / "data"]
        with open(self.folder / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), f"{line!r}: {(self.folder / 'stderr').read_text()}"
        self.listen = line.split()[-1]

    def kill(self):
        """As kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


class Holder:
    """A process of holder.py, and what it logged."""

    def __init__(self, stack, server, mode, holder, ttl=15.0):
        self.log = server.folder / f"{holder}.log"
        self.log.touch()
        command = [sys.executable, str(HERE / "holder.py"), server.listen, mode, holder, str(ttl), str(self.log)]
        self.process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(HERE.parent)})
        stack.callback(self.end)

    def lines(self):
        """Each whole line that was logged: a word, and numbers."""
        text = self.log.read_text()
        lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
        return [(line[0], *(int(one) if one.isdecimal() else one for one in line[1:])) for line in lines]

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            # A stopped process takes this one too.
            self.signal(signal.SIGKILL)
        self.process.wait()


async def until(what, seconds=20.0):
    """Asks again until it is true, but not for ever; gives what it gave."""
    async with asyncio.timeout(seconds):
        while not (found := what()):
            await asyncio.sleep(0.005)
        return found


def session(server):
    return tenure.connect(server.listen)

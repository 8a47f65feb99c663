"""A server that `tenure init` secured, of the binary TENURE_BIN, with a Juju door, in a folder of its own; and its tokens."""

import os
import pathlib
import subprocess
import tempfile

TENURE = os.environ["TENURE_BIN"]


class Server:
    def __init__(self, stack):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.process = None
        stack.callback(self.kill)
        self.listen = "127.0.0.1:0"
        self.run("init", self.path(""), "--listen", self.listen)
        self.start()

    def path(self, name):
        """A file that init made."""
        return str(self.folder / "tenure" / name)

    def run(self, *words):
        return subprocess.run([TENURE, *words], check=True, capture_output=True, text=True).stdout

    def operate(self, *words):
        """`tenure` as the first operator."""
        reach = ["--endpoints", f"https://{self.listen}", "--ca", self.path("ca/client.crt")]
        return self.run(*words, *reach, "--token-file", self.path("operator/admin.token"))

    def token(self, principal, role, namespace):
        return self.operate("token", "create", principal, "--role", role, "--namespace", namespace).strip()

    def start(self):
        """Starts it, on the port that it had before if any, and waits until it serves."""
        command = [TENURE, "serve", "--juju", "--listen", self.listen, "--config", self.path("tenure.toml"), "--allow-volatile-data"]
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

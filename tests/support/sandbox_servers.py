"""Sandbox servers in processes of their own, as a user starts them."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import IO

import httpx

TOKEN = "a-token-for-tests"
# Whoever runs the tests in the background may ignore Ctrl-C, which would be inherited.
PROGRAM = """
import signal, sys
from agentgym.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


@dataclass(frozen=True)
class SandboxServer:
    url: str
    process: subprocess.Popen[str]
    errors: IO[str]

    def said(self) -> str:
        """Return what it wrote to its standard error."""
        self.errors.seek(0)
        return self.errors.read()

    def client(self, token: str | None = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextmanager
def sandbox_server(*words: str, token: str | None = TOKEN) -> Generator[SandboxServer]:
    """Run `agentgym serve sandbox` on a free port for the length of a block."""
    command = [sys.executable, "-c", PROGRAM, "serve", "sandbox", "--port", "0", *words]
    env = {name: value for name, value in os.environ.items() if name != "AGENTGYM_TOKEN"}
    if token is not None:
        env["AGENTGYM_TOKEN"] = token
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
    killer = Timer(60, process.kill)
    killer.start()
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        killer.cancel()
        found = re.search(r"http://\S+", line)
        assert found is not None, line
        yield SandboxServer(found[0], process, errors)
    finally:
        killer.cancel()
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait(30)
            process.stdout.close()
            errors.seek(0)
            sys.stderr.write(errors.read())
            errors.close()

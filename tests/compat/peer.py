"""Runs the released program, as a client of an executor and as an executor."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from tests.compat.model import StubModel, ToolCall
from tests.compat.relay import Relay
from tests.support.watch import SECONDS

VERSION = "0.169.0"
"""What docs/compatibility.md speaks of."""


def skip_without_peer() -> None:
    """Skips the module that calls it while it is imported."""
    if not os.environ.get("CROSSEXEC_PEER"):
        reason = "CROSSEXEC_PEER does not name the released codex binary; see docs/compatibility.md"
        pytest.skip(reason, allow_module_level=True)


_CONFIG = """\
model = "stub-model"
model_provider = "stub"
approval_policy = "never"
sandbox_mode = "{sandbox_mode}"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.stub]
name = "stub"
base_url = "{url}"
wire_api = "responses"
requires_openai_auth = false
request_max_retries = 0
stream_max_retries = 0
supports_websockets = false
"""


@dataclass(frozen=True)
class Turn:
    """What a model's calls led to.

    :ivar outputs: what the model was told of each call.
    :ivar relay: all that was said between client and executor.
    :ivar events: what the client printed.
    """

    outputs: list[str]
    relay: Relay
    model: StubModel
    events: str

    @property
    def output(self) -> str:
        """Of the only call."""
        (output,) = self.outputs
        return output

    def refusals(self) -> list[tuple[str, Any, Any]]:
        """Returns calls that were not answered with a result, though a client may ask for absent files."""
        return [
            (each.method, each.params, each.reply)
            for each in self.relay.exchanges()
            if (each.reply is None or each.error is not None)
            and not (
                each.method == "fs/getMetadata" and (each.error or {}).get("code") == ErrorCode.NOT_FOUND
            )
        ]


@dataclass(frozen=True)
class Peer:
    """The released program.

    :ivar program: path of the binary.
    :ivar home: a folder for what it writes; every use gets a new one below.
    """

    program: Path
    home: Path

    def version(self) -> str:
        return subprocess.check_output([self.program, "--version"], text=True, timeout=SECONDS).split()[-1]

    def new_home(self, config: str = "") -> Path:
        home = self.home / f"home{len(list(self.home.iterdir()))}"
        home.mkdir()
        (home / "config.toml").write_text(config)
        return home

    def environ(self, home: Path, **more: str) -> dict[str, str]:
        """Returns an environment without settings of the program that the caller happens to have."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("CODEX_", "OPENAI_"))
        }
        return inherited | {"CODEX_HOME": str(home)} | more

    def ask(
        self,
        calls: Sequence[ToolCall],
        executor_url: str,
        cwd: Path,
        *,
        sandbox_mode: str = "danger-full-access",
        meanwhile: Callable[[Relay], None] = lambda _: None,
    ) -> Turn:
        """Lets the released client make *calls* through the executor, and waits for its end.

        :param meanwhile: runs at the same time, on a thread.
        """
        with StubModel(calls) as model, Relay(executor_url) as relay, ThreadPoolExecutor(1) as threads:
            beside = threads.submit(meanwhile, relay)
            home = self.new_home(_CONFIG.format(url=model.url, sandbox_mode=sandbox_mode))
            done = subprocess.run(
                [self.program, "exec", "--skip-git-repo-check", "--json", "Run the command."],
                cwd=cwd,
                env=self.environ(home, CODEX_EXEC_SERVER_URL=relay.url),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
            )
            beside.result()
            # Its exit status says little: it is the model that must have been told.
            assert len(model.outputs()) == len(calls), done.stdout
        return Turn(model.outputs(), relay, model, done.stdout)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Runs the released executor; yields its URL."""
        process = subprocess.Popen(
            [self.program, "exec-server", "--listen", "ws://127.0.0.1:0"],
            env=self.environ(self.new_home()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as stdout:
            try:
                yield stdout.readline().strip()
            finally:
                process.terminate()
                process.wait(SECONDS)

    @contextmanager
    def app_server(self, model: StubModel) -> Iterator[AppServer]:
        """Runs the program that editors talk to, which takes executors by ``environment/add``."""
        home = self.new_home(_CONFIG.format(url=model.url, sandbox_mode="danger-full-access"))
        process = subprocess.Popen(
            [self.program, "app-server"],
            env=self.environ(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        # A program that falls silent is ended, so that whoever reads from it fails.
        deadline = threading.Timer(2 * SECONDS, process.kill)
        deadline.start()
        try:
            yield AppServer(process)
        finally:
            deadline.cancel()
            process.kill()
            process.communicate()


class AppServer:
    """Calls by JSON-RPC over the standard streams, one JSON object a line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._number = 0
        self._notifications: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> Any:
        """
        :raises AssertionError: the reply is an error.
        """
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while (message := self._receive()).get("id") != self._number:
            self._notifications.append(message)
        assert "result" in message, message
        return message["result"]

    def notify(self, method: str) -> None:
        self._send({"method": method})

    def wait_for(self, method: str) -> Any:
        """Returns the params of the first such notification, which may have come already."""
        for message in self._notifications:
            if message.get("method") == method:
                return message["params"]
        while (message := self._receive()).get("method") != method:
            self._notifications.append(message)
        return message["params"]

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the app server has ended"
        message: dict[str, Any] = json.loads(line)
        return message

"""Runs the released program, as a client of an executor and as an executor."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executors.protocol.errors import ErrorCode
from harness.executor_kinds.codex.home import environ
from tests.compat.app_server import AppServer, app_server
from tests.compat.model import StubModel, ToolCall
from tests.compat.relay import Relay
from tests.support.launch import ROOT
from tests.support.watch import SECONDS

LIMIT_SECONDS = 3 * SECONDS
"""How long a turn may take that hangs."""

# To a model that it knows it offers its tool for patches; nobody asks who the model is. Without those
# features it looks for nothing on the network.
_CONFIG = """\
model = "gpt-5.5"
model_provider = "stub"
approval_policy = "never"
sandbox_mode = "{sandbox_mode}"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
apps = false
plugins = false
remote_plugin = false
[model_providers.stub]
name = "stub"
base_url = "{url}"
wire_api = "responses"
requires_openai_auth = false
request_max_retries = 0
stream_max_retries = 0
supports_websockets = false
"""


def variables_of(home: Path) -> dict[str, str]:
    """Returns an environment for an executor whose user has nothing in *home*.

    That client's commands run in a login shell, which would read the settings of whoever runs the tests, and
    wait for whatever they wait for.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "HOME": str(home)}


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
    events: str = ""

    @property
    def output(self) -> str:
        """Of the only call."""
        (output,) = self.outputs
        return output

    def refusals(self) -> list[tuple[str, Any, Any]]:
        """Returns calls that were not answered with a result.

        A client may ask for absent files, and have gone before it hears that its last command is ended.
        """
        return [
            (each.method, each.params, each.reply)
            for each in self.relay.exchanges()
            if (each.reply is None or each.error is not None)
            and not (
                each.method == "fs/getMetadata" and (each.error or {}).get("code") == ErrorCode.NOT_FOUND
            )
            and not (each.method == "process/terminate" and each.reply is None)
        ]


@dataclass(frozen=True)
class Peer:
    """The released program.

    :ivar program: path of the binary.
    :ivar home: a folder for what it writes; every use gets a new one below.
    """

    program: Path
    home: Path

    def new_home(self, config: str = "") -> Path:
        home = self.home / f"home{len(list(self.home.iterdir()))}"
        home.mkdir()
        (home / "config.toml").write_text(config)
        return home

    def environ(self, home: Path, **more: str) -> dict[str, str]:
        """Returns an environment without settings of the program that the caller happens to have."""
        return {**environ(), "CODEX_HOME": str(home), **more}

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
            events = self.run_client(model, cwd, sandbox_mode, CODEX_EXEC_SERVER_URL=relay.url)
            beside.result()
            # Its exit status says little: it is the model that must have been told.
            assert len(model.outputs()) == len(calls), events
        return Turn(model.outputs(), relay, model, events)

    def run_client(
        self, model: StubModel, cwd: Path, sandbox_mode: str = "danger-full-access", **variables: str
    ) -> str:
        """Runs the released client to its end; returns what it printed.

        :param variables: name the executor.
        """
        home = self.new_home(_CONFIG.format(url=model.url, sandbox_mode=sandbox_mode))
        done = subprocess.run(
            [self.program, "exec", "--skip-git-repo-check", "--json", "Run the command."],
            cwd=cwd,
            env=self.environ(home, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        return done.stdout

    def ask_app_server(self, calls: Sequence[ToolCall], executor_url: str, cwd: str) -> Turn:
        """Does the same by the app server, which takes executors of other systems too.

        :param cwd: as the executor's system spells it.
        """
        with StubModel(calls) as model, Relay(executor_url) as relay, self.app_server(model) as app:
            app.use(relay.url, cwd)
            app.ask()
            assert app.completed() == "completed"
            assert len(model.outputs()) == len(calls)
        return Turn(model.outputs(), relay, model)

    @contextmanager
    def app_server(self, model: StubModel) -> Iterator[AppServer]:
        """Runs the app server, whose model is *model*."""
        home = self.new_home(_CONFIG.format(url=model.url, sandbox_mode="danger-full-access"))
        with app_server(self.program, self.environ(home)) as app:
            yield app

    @contextmanager
    def serve(self, *options: str) -> Iterator[str]:
        """Runs the released executor; yields its URL."""
        home = self.new_home()
        process = subprocess.Popen(
            [self.program, "exec-server", "--listen", "ws://127.0.0.1:0", *options],
            env=self.environ(home, HOME=str(home)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as stdout:
            try:
                url = stdout.readline().strip()
                assert url.startswith("ws://"), f"{self.program} does not tell where it listens"
                yield url
            finally:
                process.terminate()
                process.wait(SECONDS)

"""What the cases of sandboxes share: what the environment offers, a scene, and the count of escapes tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from suites.asking import Once, _found, ask, once
from suites.sandbox.escapes import PROPERTY, Escapes, summary
from suites.sandbox.intents import EVERYTHING_READABLE, at, intent
from suites.sandbox.scene import Scene

_INTERPRETER = """
    import sysconfig
    executable = os.path.realpath(sys.executable)
    libraries = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    libraries.append(sysconfig.get_config_var("LIBDIR"))
    places = {executable, sys.executable, os.path.dirname(executable)}
    places |= {path for path in libraries if path and os.path.isdir(path)}
    places |= {os.path.join(prefix, "pyvenv.cfg") for prefix in (sys.prefix,)}
    answer = sorted(path for path in places if os.path.exists(path))
"""
__all__ = ["_found", "once"]

_SEEN: list[dict[str, Any]] = []


@pytest.fixture(scope="session")
def offered(env: RunningEnvironment, unannounced_sandboxes: tuple[str, ...]) -> list[str]:
    """The names of the sandboxes that the environment says it offers, or is known to have."""
    with env.open_wire() as wire:
        wire.handshake()
        told = wire.request("environment/info", {})["result"]
    return list(told.get("capabilities", {}).get("sandbox") or unannounced_sandboxes)


@pytest.fixture
def sandbox(offered: list[str]) -> None:
    """Skips where no sandbox is offered."""
    if not offered:
        pytest.skip("the environment offers no sandbox")


def _interpreter_places(python: BoundPython) -> list[str]:
    found: list[str] = ask(python, _INTERPRETER)
    return found


@pytest.fixture
def scene(sandbox: None, workspace: Workspace, python: BoundPython, once: Once) -> Scene:
    """Where things are tried; skips where no sandbox is offered."""
    return Scene(workspace, python, once(_interpreter_places))


@pytest.fixture(scope="session")
def carves(env: RunningEnvironment, offered: list[str]) -> bool:
    """Whether the environment can take a part out of a place that may be written."""
    if not offered or env.python is None:
        return False
    with env.connect() as client:
        directory = env.new_directory(client)
        inner = directory.join("inner")
        client.files.create_directory(inner)
        carved = intent(EVERYTHING_READABLE, at(directory, "write"), at(inner, "read"))
        try:
            client.run([env.python, "-I", "-S", "-c", ""], sandbox=carved, cwd=directory)
        except RpcError as error:
            if error.code != ErrorCode.INVALID_PARAMS:
                raise
            return False
        finally:
            env.remove_directory(client, directory)
    return True


@pytest.fixture
def escapes(record_property: Callable[[str, object], None]) -> Escapes:
    """Counts what was tried to escape, and what did."""
    return Escapes(record_property)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        _SEEN.extend(value for name, value in report.user_properties if name == PROPERTY)  # type: ignore[misc]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _SEEN:
        terminalreporter.section("sandbox")
        for line in summary(_SEEN):
            terminalreporter.line(line)

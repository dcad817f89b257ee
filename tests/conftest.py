"""What the project's own tests share: an executor to talk to, and clients of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_ROOT = str(Path(__file__).resolve().parent.parent)
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from tests.support.launch import Executor  # noqa: E402
from tests.support.schedule import UnitScheduling, turn  # noqa: E402
from tests.support.wire import Client  # noqa: E402

# How long an example takes says more of the machine, which others use too, than of what is tested.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell's `&` has it: the programs that are tested would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # there is none with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> UnitScheduling | None:
    return UnitScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.nodeid))


@pytest.fixture(scope="module")
def speed_ups() -> None:
    """Those that there are; see :mod:`tests.support.both`."""


@pytest.fixture(scope="module")
def executor(speed_ups: object) -> Iterator[Executor]:
    """An executor for a module's tests; it must lose nothing and leave without a word on stderr."""
    with Executor() as executor:
        with executor.client() as client:
            before = executor.usual_holdings(client)
        yield executor
        executor.until_holds(before)


@pytest.fixture
def client(executor: Executor) -> Iterator[Client]:
    """A client of its own, and so a session of its own, whose handshake is over."""
    with executor.client() as client:
        yield client

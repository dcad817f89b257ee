"""Processes of somebody outside, the executor's own included: neither seen into nor touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from suites.asking import Once
from suites.sandbox.attempts import names
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent, writing_in
from suites.sandbox.outer_attempts import PROCESSES, SYSTEM
from suites.sandbox.scene import Outcome, Scene

# Nobody tells the caller that a signal did not arrive.
UNTOLD: Final = {"signal_of_input"}
# Of one thread or another of a process; what the executor's may reach differs.
OF_THREADS: Final = r"""
def open_threads(o):
    found = []
    for thread in os.listdir("/proc/%d/task" % o["pid"]):
        for way in ("/proc/%d/task/%s" % (o["pid"], thread), "/proc/" + thread):
            for name in ("mem", "environ", "fd/0"):
                try:
                    found.append(opened(way + "/" + name, os.O_RDONLY))
                except OSError as error:
                    last = error
    if not found:
        raise last
    return len(found)

def signal_threads(o):
    found = []
    for thread in os.listdir("/proc/%d/task" % o["pid"]):
        try:
            os.kill(int(thread), 0)
            found.append(thread)
        except OSError as error:
            last = error
    if not found:
        raise last
    return found
"""
# Of the executor only what does it no harm if it succeeds.
OF_EXECUTOR: Final = [
    "signal_zero", "seize", "read_memory", "read_environment", "list_root", "read_descriptor",
    "create_by_root", "read_maps", "read_memory_by_call", "open_threads", "signal_threads",
]  # fmt: skip


def simple(scene: Scene) -> Json:
    return writing_in(scene / "inside")


def simple_with_network(scene: Scene) -> Json:
    return writing_in(scene / "inside", network="enabled")


def named(scene: Scene) -> Json:
    return scene.named(at(scene / "inside", "write"))


def carved(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "read"))


Found = tuple[dict[str, Outcome], bool]


def tries(make: Callable[[Scene], Json], functions: str) -> Callable[[Scene], Found]:
    def find(scene: Scene) -> Found:
        with scene.victim() as victim:
            before = victim.state(), scene.look("outside")
            given: dict[str, Any] = victim.told | {
                "outside": scene.native("outside"),
                "inside": scene.native("inside"),
            }
            outcomes = scene.attempts(functions, [(name, [given]) for name in names(functions)], make(scene))
            return outcomes, before == (victim.state(), scene.look("outside"))

    return find


def tries_executor(make: Callable[[Scene], Json]) -> Callable[[Scene], Found]:
    def find(scene: Scene) -> Found:
        with scene.victim() as victim:
            before = scene.look("outside")
            given = victim.told | {"pid": victim.told["executor"], "outside": scene.native("outside")}
            functions = PROCESSES + OF_THREADS
            outcomes = scene.attempts(functions, [(name, [given]) for name in OF_EXECUTOR], make(scene))
            return outcomes, before == scene.look("outside")

    return find


INTENTS: Final = {one.__name__: one for one in (simple, simple_with_network, named, carved)}
OF_VICTIM: Final = {name: tries(make, PROCESSES) for name, make in INTENTS.items()}
OF_SYSTEM: Final = {name: tries(make, SYSTEM) for name, make in INTENTS.items()}
OF_THE_EXECUTOR: Final = {name: tries_executor(make) for name, make in INTENTS.items()}


def check(found: Found, escapes: Escapes, carves: bool, access: str, name: str, *, what: str) -> None:
    outcomes, kept = found
    outcome = outcomes[name]
    refused = outcome.refused is not None
    escaped = (outcome.done and name not in UNTOLD) or not kept
    escapes.tried(f"{access}, {what}: {name}", escaped=escaped, refused=refused)
    if refused:
        assert access == "carved" and not carves, f"not enforced: {outcome.refused}"
    else:
        outcome.require_tried()


@pytest.mark.parametrize("name", names(PROCESSES))
@pytest.mark.parametrize("access", INTENTS)
def test_an_outer_process_is_out_of_reach(
    once: Once, escapes: Escapes, carves: bool, access: str, name: str
) -> None:
    check(once(OF_VICTIM[access]), escapes, carves, access, name, what="an outer process")


@pytest.mark.parametrize("name", OF_EXECUTOR)
@pytest.mark.parametrize("access", ["simple", "carved"])
def test_the_executor_is_out_of_reach(
    once: Once, escapes: Escapes, carves: bool, access: str, name: str
) -> None:
    check(once(OF_THE_EXECUTOR[access]), escapes, carves, access, name, what="the executor")


@pytest.mark.parametrize("name", names(SYSTEM))
@pytest.mark.parametrize("access", INTENTS)
def test_the_system_gives_no_way_out(
    once: Once, escapes: Escapes, carves: bool, access: str, name: str
) -> None:
    check(once(OF_SYSTEM[access]), escapes, carves, access, name, what="the system")

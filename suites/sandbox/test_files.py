"""Each access times each operation: what an intent allows of a place can be done there, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from suites.asking import Once
from suites.sandbox.attempts import names
from suites.sandbox.escapes import Escapes
from suites.sandbox.file_attempts import FILES
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent
from suites.sandbox.scene import Outcome, Scene

Find = Callable[[Scene], dict[str, Outcome]]

LOOKING: Final = [name for name in names(FILES) if name.startswith(("read", "list", "execute"))]
CHANGING: Final = [name for name in names(FILES) if name not in LOOKING]
AT_TERMINALS: Final = ["create", "write", "rename_in", "unlink", "change_mode", "read"]
# They take rights that are taken from every program, or are refused to all.
PRIVILEGED: Final = {"link_out_by_descriptor", "set_file_flags"}
UNSUPPORTED: Final = {"ENOTSUP", "EOPNOTSUPP", "ENOTTY", "ENOSYS"}


def read_only(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"))


def unsaid(scene: Scene) -> Json:
    return scene.named(at(scene / "inside", "write"))


def read_only_in_writable(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "read"))


def denied(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "outside", "deny"))


def denied_in_writable(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "none"))


def tries(make: Callable[[Scene], Json], tried: list[str], **how: Any) -> Find:
    def find(scene: Scene) -> dict[str, Outcome]:
        return scene.try_files(tried, make(scene), **how)

    return find


KEPT: Final = {
    "read only": (read_only, CHANGING),
    "unsaid": (unsaid, CHANGING + LOOKING),
    "read only in writable": (read_only_in_writable, CHANGING),
    "denied": (denied, CHANGING + LOOKING),
    "denied in writable": (denied_in_writable, CHANGING + LOOKING),
}
CARVED: Final = {"read only in writable", "denied", "denied in writable"}
FIND: Final = {access: tries(make, tried) for access, (make, tried) in KEPT.items()}
FIND_AT_TERMINALS: Final = {
    access: tries(make, [name for name in AT_TERMINALS if name in tried], tty=True)
    for access, (make, tried) in KEPT.items()
}
FIND_WRITABLE: Final = tries(read_only, CHANGING + LOOKING, place="inside/place")
FIND_WRITABLE_AT_TERMINAL: Final = tries(read_only, AT_TERMINALS, place="inside/place", tty=True)
FIND_READABLE: Final = tries(read_only, LOOKING)


def cases(finds: dict[str, Find], tried: Callable[[str], list[str]]) -> list[Any]:
    return [pytest.param(access, name, id=f"{access}-{name}") for access in finds for name in tried(access)]


def check_kept(escapes: Escapes, outcome: Outcome, what: str, *, may_refuse: bool) -> None:
    refused = outcome.refused is not None
    escapes.tried(what, escaped=outcome.done or not outcome.kept, refused=refused)
    if refused:
        assert may_refuse, f"not enforced: {outcome.refused}"
    else:
        outcome.require_tried()


@pytest.mark.parametrize(("access", "name"), cases(FIND, lambda access: KEPT[access][1]))
def test_what_is_not_allowed_does_not_happen(
    once: Once, escapes: Escapes, carves: bool, access: str, name: str
) -> None:
    outcome = once(FIND[access])[name]
    check_kept(escapes, outcome, f"{access}: {name}", may_refuse=access in CARVED and not carves)


@pytest.mark.parametrize(
    ("access", "name"),
    cases(FIND_AT_TERMINALS, lambda access: [name for name in AT_TERMINALS if name in KEPT[access][1]]),
)
def test_a_terminal_makes_no_difference(
    once: Once, escapes: Escapes, carves: bool, access: str, name: str
) -> None:
    outcome = once(FIND_AT_TERMINALS[access])[name]
    what = f"at a terminal, {access}: {name}"
    check_kept(escapes, outcome, what, may_refuse=access in CARVED and not carves)


@pytest.mark.parametrize("name", CHANGING + LOOKING)
def test_what_may_be_written_can_be(once: Once, name: str) -> None:
    outcome = once(FIND_WRITABLE)[name]
    if outcome.missing is not None or outcome.error in UNSUPPORTED:
        pytest.skip(f"the system has no such thing: {outcome.error or outcome.missing}")
    if name in PRIVILEGED and not outcome.done:
        pytest.skip(f"it takes a privilege: {outcome.error}")
    assert outcome.done, outcome
    # What was made without a name is gone.
    assert outcome.kept is (name in LOOKING or name == "create_unnamed")


@pytest.mark.parametrize("name", AT_TERMINALS)
def test_what_may_be_written_can_be_at_a_terminal(once: Once, name: str) -> None:
    assert once(FIND_WRITABLE_AT_TERMINAL)[name].done


ENTRIES: Final = ["directory", "empty", "file", "link", "program"]
READ: Final = {
    "execute": "ran",
    "execute_by_interpreter": "ran",
    "read_mapped": "SECR",
    "list_directory": ENTRIES,
    "list_by_descriptor": ENTRIES,
}


@pytest.mark.parametrize("name", LOOKING)
def test_what_may_be_read_can_be(once: Once, name: str) -> None:
    outcome = once(FIND_READABLE)[name]
    assert outcome.done, outcome
    assert outcome.got == READ.get(name, "SECRET")
    assert outcome.kept

"""``envPolicy`` makes an environment of the executor's own, in a fixed order of steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from executors.protocol.processes import EnvPolicy
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from suites.asking import Once, ask
from suites.shell.variables import bare_environment

_ENVIRON = "answer = dict(os.environ)"
CORE_POSIX = {
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USER",
}

Variables = dict[str, str]


@dataclass
class Known:
    """What the tests reckon with.

    :ivar bare: what arrives where nothing but the least environment is given. It overlays every
        environment here, so that Python starts in it; Wine adds variables of its own.
    :ivar own: the executor's own variables, and *bare*.
    """

    bare: Variables
    own: Variables


def known(env: RunningEnvironment, python: BoundPython) -> Known:
    bare: Variables = ask(python, _ENVIRON, env=bare_environment(env, python))
    policy = EnvPolicy("all", ignore_default_excludes=True)
    return Known(bare, ask(python, _ENVIRON, env=bare, env_policy=policy))


def keep(own: Mapping[str, str], condition: Callable[[str], bool]) -> Variables:
    return {name: value for name, value in own.items() if condition(name.upper())}


def is_default_excluded(name: str) -> bool:
    return re.search("KEY|SECRET|TOKEN", name) is not None


ALL = EnvPolicy("all", ignore_default_excludes=True)


def policy(**fields: object) -> EnvPolicy:
    """A policy that inherits everything if *fields* do not say otherwise."""
    return EnvPolicy(**{"inherit": "all", "ignore_default_excludes": True, **fields})  # type: ignore[arg-type]


# The policy, and what it leaves of the executor's own variables.
CASES: dict[str, tuple[EnvPolicy, Callable[[Variables], Variables]]] = {
    "none": (policy(inherit="none"), lambda own: {}),
    "all": (policy(), lambda own: own),
    "default-excludes": (
        policy(ignore_default_excludes=False),
        lambda own: keep(own, lambda name: not is_default_excluded(name)),
    ),
    "exclude-a-name": (policy(exclude=["PATH"]), lambda own: keep(own, lambda name: name != "PATH")),
    "exclude-without-case": (policy(exclude=["pAtH"]), lambda own: keep(own, lambda name: name != "PATH")),
    "exclude-by-star": (policy(exclude=["P*"]), lambda own: keep(own, lambda name: name[0] != "P")),
    "exclude-by-stars": (policy(exclude=["*A*"]), lambda own: keep(own, lambda name: "A" not in name)),
    "exclude-by-question-mark": (
        policy(exclude=["pat?"]),
        lambda own: keep(own, lambda name: not (len(name) == 4 and name.startswith("PAT"))),
    ),
    "exclude-whole-names-only": (policy(exclude=["PAT", "ATH", "AT"]), lambda own: own),
    "exclude-brackets-are-letters": (
        policy(exclude=["[PQ]ATH", "PAT[H]", "PATH|HOME", "{PATH}"]),
        lambda own: own,
    ),
    "exclude-no-regular-expression": (policy(exclude=["P.TH", "PATH.*", "^PATH$", ".*"]), lambda own: own),
    "exclude-empty-pattern": (policy(exclude=[""]), lambda own: own),
    "exclude-everything": (policy(exclude=["*"]), lambda own: {}),
    "exclude-several": (
        policy(exclude=["PATH", "H*"]),
        lambda own: keep(own, lambda name: name != "PATH" and name[0] != "H"),
    ),
    "include-only-a-name": (
        policy(include_only=["path"]),
        lambda own: keep(own, lambda name: name == "PATH"),
    ),
    "include-only-by-star": (policy(include_only=["P*"]), lambda own: keep(own, lambda name: name[0] == "P")),
    "include-only-several": (
        policy(include_only=["PATH", "H*"]),
        lambda own: keep(own, lambda name: name == "PATH" or name[0] == "H"),
    ),
    "include-only-nothing-there": (policy(include_only=["NO_SUCH_NAME"]), lambda own: {}),
    "include-only-of-the-rest": (
        policy(exclude=["PATH"], include_only=["PATH", "H*"]),
        lambda own: keep(own, lambda name: name[0] == "H"),
    ),
    "set": (policy(set={"CX": "set"}), lambda own: own | {"CX": "set"}),
    "set-over-inherited": (policy(set={"PATH": "set"}), lambda own: own | {"PATH": "set"}),
    "set-over-nothing": (policy(inherit="none", set={"CX": "set"}), lambda own: {"CX": "set"}),
    "set-after-exclude": (
        policy(exclude=["CX_S?T", "PATH"], set={"CX_SET": "set", "PATH": "set"}),
        lambda own: own | {"CX_SET": "set", "PATH": "set"},
    ),
    "set-after-default-excludes": (
        policy(inherit="none", ignore_default_excludes=False, set={"CX_TOKEN": "set"}),
        lambda own: {"CX_TOKEN": "set"},
    ),
    "set-before-include-only": (
        policy(set={"CX": "set"}, include_only=["PATH"]),
        lambda own: keep(own, lambda name: name == "PATH"),
    ),
    "set-and-include-only": (
        policy(inherit="none", set={"CX": "set"}, include_only=["cx"]),
        lambda own: {"CX": "set"},
    ),
    "set-empty": (policy(inherit="none", set={"CX": ""}), lambda own: {"CX": ""}),
    "set-hostile": (
        policy(inherit="none", set={"CX": "a=b\n$HOME %PATH% é🚀"}),
        lambda own: {"CX": "a=b\n$HOME %PATH% é🚀"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_policy(case: str, once: Once, python: BoundPython) -> None:
    given, expect = CASES[case]
    has = once(known)
    assert {"PATH"} <= {name.upper() for name in has.own}, (
        "the tables here are about a variable that must be there"
    )
    assert ask(python, _ENVIRON, env=has.bare, env_policy=given) == expect(has.own) | has.bare


@pytest.mark.parametrize(
    "given",
    [
        policy(),
        policy(set={"CX_TOKEN": "set", "PATH": "set"}),
        policy(exclude=["*"]),
        policy(ignore_default_excludes=False),
        policy(include_only=["NO_SUCH_NAME"]),
        policy(inherit="none"),
        policy(inherit="core"),
    ],
    ids=["all", "set", "exclude", "default-excludes", "include-only", "none", "core"],
)
def test_env_lies_over_everything(given: EnvPolicy, once: Once, python: BoundPython) -> None:
    over = {"CX_TOKEN": "over", "PATH": "over", "CX_EMPTY": ""}
    found = ask(python, _ENVIRON, env=once(known).bare | over, env_policy=given)
    assert {name: found.get(name) for name in over} == over


def test_core_is_a_few_names(once: Once, env: RunningEnvironment, python: BoundPython) -> None:
    has = once(known)
    found = ask(python, _ENVIRON, env=has.bare, env_policy=policy(inherit="core"))
    if env.platform == "windows":
        names = {name.upper() for name in found}
        assert {"PATH", "SYSTEMROOT"} <= names < {name.upper() for name in has.own}
        assert not any(map(is_default_excluded, names))
    else:
        assert found == keep(has.own, lambda name: name in CORE_POSIX) | has.bare


def test_default_excludes_keep_secrets_in(once: Once, python: BoundPython) -> None:
    has = once(known)
    secrets = keep(has.own, is_default_excluded)
    if not secrets:
        pytest.skip("the executor's own environment has no KEY, SECRET or TOKEN to keep in")
    found = ask(python, _ENVIRON, env=has.bare, env_policy=policy(ignore_default_excludes=False))
    assert not secrets.keys() & found.keys()
    found = ask(python, _ENVIRON, env=has.bare, env_policy=policy())
    assert secrets.keys() <= found.keys()


@pytest.mark.known_gap(
    env="wine-exec", owner="wine", version="8.0", reason="CreateProcess adds variables of Wine's own"
)
def test_without_a_policy_nothing_is_inherited(once: Once, python: BoundPython) -> None:
    bare = once(bare_environment)
    assert ask(python, _ENVIRON, env=bare, env_policy=None) == bare

"""The environment that a policy makes of the executor's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.process.environment import POSIX, WINDOWS
from executors.protocol.processes import EnvPolicy

OWN = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C",
    "LC_ALL": "C",
    "LC_CTYPE": "C",
    "LC_MESSAGES": "C",
    "LOGNAME": "u",
    "SHELL": "/bin/sh",
    "TEMP": "/t",
    "TMP": "/t",
    "TMPDIR": "/t",
    "USER": "u",
    "path": "lower",
    "TERM": "xterm",
    "EDITOR": "vi",
    "API_KEY": "k",
    "MONKEY": "m",
    "my_secret_x": "s",
    "TOKENS": "t",
    "PASSWORD": "p",
    "SSH_AUTH_SOCK": "a",
    "A[1]": "bracket",
    "A1": "plain",
}
CORE = {
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "SHELL",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USER",
    "path",
}
SECRETS = {"API_KEY", "MONKEY", "my_secret_x", "TOKENS"}


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        (EnvPolicy(), set(OWN) - SECRETS),
        (EnvPolicy(inherit="core"), CORE),
        (EnvPolicy(inherit="none"), set()),
        (EnvPolicy(ignore_default_excludes=True), set(OWN)),
        (
            EnvPolicy(exclude=["lc_*", "PATH"]),
            set(OWN) - SECRETS - {"LC_ALL", "LC_CTYPE", "LC_MESSAGES", "PATH", "path"},
        ),
        (EnvPolicy(exclude=["LC_AL?", "USER?"]), set(OWN) - SECRETS - {"LC_ALL"}),
        (EnvPolicy(exclude=["ATH", ""]), set(OWN) - SECRETS),
        (EnvPolicy(exclude=["*"]), set()),
        (EnvPolicy(inherit="core", exclude=["{PATH,HOME}", "PATH|HOME"]), CORE),
        (EnvPolicy(exclude=["A[1]"]), set(OWN) - SECRETS - {"A[1]"}),
        (EnvPolicy(exclude=["A[0-9]", "A.", "A\\1"]), set(OWN) - SECRETS),
        (EnvPolicy(inherit="none", set={"API_KEY": "own"}), {"API_KEY"}),
        (EnvPolicy(inherit="core", include_only=["home"]), {"HOME"}),
        (EnvPolicy(inherit="none", set={"KEEP": "1", "DROP": "2"}, include_only=["K*"]), {"KEEP"}),
        (EnvPolicy(inherit="none", set={"A": "1"}, exclude=["A"]), {"A"}),
        (EnvPolicy(include_only=["API_KEY"]), set()),
        (EnvPolicy(include_only=["API_KEY"], ignore_default_excludes=True), {"API_KEY"}),
    ],
)
def test_policy_table(policy: EnvPolicy, names: set[str]) -> None:
    assert set(POSIX.apply_policy(policy, OWN)) == names


def test_set_overlays_what_is_inherited() -> None:
    made = POSIX.apply_policy(EnvPolicy(inherit="core", set={"HOME": "/elsewhere"}), OWN)
    assert made["HOME"] == "/elsewhere"
    assert made["PATH"] == OWN["PATH"]


def matches(name: str, pattern: str) -> bool:
    """What a pattern means, said once more in the plainest way."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(matches(name[at:], pattern[1:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and matches(name[1:], pattern[1:])


@given(st.text("ab[]!.\\\n", max_size=8), st.text("ab[]!.\\\n*?", max_size=8))
def test_patterns_know_two_wildcards_and_match_whole_names(name: str, pattern: str) -> None:
    policy = EnvPolicy(inherit="all", ignore_default_excludes=True, exclude=[pattern])
    assert (name not in POSIX.apply_policy(policy, {name: ""})) == matches(name, pattern)


@pytest.mark.timeout(20)
def test_a_pattern_of_many_stars_takes_no_exponential_time() -> None:
    policy = EnvPolicy(inherit="none", set={"a" * 5000: ""}, include_only=["*a" * 40 + "b"])
    assert POSIX.apply_policy(policy, {}) == {}


WINDOWS_OWN = {"Path": "C:\\bin", "SystemRoot": "C:\\Windows", "Api_Key": "k", "EDITOR": "edit"}


@pytest.mark.parametrize(
    ("policy", "made"),
    [
        (EnvPolicy(), {"Path": "C:\\bin", "SystemRoot": "C:\\Windows", "EDITOR": "edit"}),
        (EnvPolicy(inherit="core"), {"Path": "C:\\bin", "SystemRoot": "C:\\Windows"}),
        (
            EnvPolicy(inherit="core", set={"PATH": "C:\\new"}),
            {"PATH": "C:\\new", "SystemRoot": "C:\\Windows"},
        ),
        (EnvPolicy(inherit="none", set={"a": "1", "A": "2"}), {"A": "2"}),
        (EnvPolicy(exclude=["SYSTEM*"], include_only=["path", "systemroot"]), {"Path": "C:\\bin"}),
    ],
)
def test_policy_on_windows_where_names_have_no_case(policy: EnvPolicy, made: dict[str, str]) -> None:
    assert WINDOWS.apply_policy(policy, WINDOWS_OWN) == made


@given(
    st.dictionaries(st.text("aAbBß", max_size=2), st.text("xy", max_size=1)),
    st.dictionaries(st.text("aAbBß", max_size=2), st.text("xy", max_size=1)),
)
def test_overlaid_variables_win_whatever_their_case(env: dict[str, str], over: dict[str, str]) -> None:
    folded = {name.upper(): value for name, value in (env | {}).items()}
    folded.update({name.upper(): value for name, value in over.items()})
    assert {name.upper(): value for name, value in WINDOWS.overlay(env, over).items()} == folded
    assert POSIX.overlay(env, over) == env | over

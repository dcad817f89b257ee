"""Builds the environment of a process from the executor's own and a policy. Pure functions."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from executors.protocol.processes import EnvPolicy

DEFAULT_EXCLUDES = ("*KEY*", "*SECRET*", "*TOKEN*")


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    # fnmatch's expressions do not backtrack over a `*`; what it knows besides `*` and `?` starts with `[`.
    return re.compile(fnmatch.translate(text.replace("[", "[[]")), re.IGNORECASE)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(name) for pattern in patterns)


@dataclass(frozen=True)
class EnvironmentRules:
    """What an operating system says of variables.

    :ivar core: names, in upper case, that ``inherit: core`` keeps.
    :ivar ignore_case: names that differ by case only are one.
    """

    core: frozenset[str]
    ignore_case: bool

    def apply_policy(self, policy: EnvPolicy, own: Mapping[str, str]) -> dict[str, str]:
        """Returns the environment that *policy* makes of *own*, the executor's."""
        if policy.inherit == "all":
            env = dict(own)
        elif policy.inherit == "core":
            env = {name: value for name, value in own.items() if name.upper() in self.core}
        else:
            env = {}
        excludes = (
            [*policy.exclude] if policy.ignore_default_excludes else [*DEFAULT_EXCLUDES, *policy.exclude]
        )
        env = {name: value for name, value in env.items() if not _matches(name, excludes)}
        env = self.overlay(env, policy.set)
        if policy.include_only:
            env = {name: value for name, value in env.items() if _matches(name, policy.include_only)}
        return env

    def overlay(self, env: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
        """Returns *env* with the variables of *over* in place of its own of the same names.

        Where case does not count, of several spellings the last one remains.
        """
        if not self.ignore_case:
            return {**env, **over}
        spelt: dict[str, tuple[str, str]] = {}
        for name, value in (*env.items(), *over.items()):
            spelt[name.upper()] = (name, value)
        return dict(spelt.values())


POSIX = EnvironmentRules(
    core=frozenset(
        ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP", "TMPDIR", "USER")
    ),
    ignore_case=False,
)

WINDOWS = EnvironmentRules(
    # As the released exec-server of @openai/codex has it (measured).
    core=frozenset(
        (
            "APPDATA",
            "COMSPEC",
            "HOMEDRIVE",
            "HOMEPATH",
            "LOCALAPPDATA",
            "PATH",
            "PATHEXT",
            "PROGRAMDATA",
            "PROGRAMFILES",
            "PROGRAMFILES(X86)",
            "PROGRAMW6432",
            "SHELL",
            "SYSTEMDRIVE",
            "SYSTEMROOT",
            "TEMP",
            "TMP",
            "USERDOMAIN",
            "USERNAME",
            "USERPROFILE",
            "WINDIR",
        )
    ),
    ignore_case=True,
)

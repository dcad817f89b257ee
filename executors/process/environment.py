"""Builds the environment of a process from the executor's own and a policy. Pure functions."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from executors.protocol.processes import EnvPolicy

CORE_POSIX = frozenset(
    ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TEMP", "TMP", "TMPDIR", "USER")
)
DEFAULT_EXCLUDES = ("*KEY*", "*SECRET*", "*TOKEN*")


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    # fnmatch's expressions do not backtrack over a `*`; what it knows besides `*` and `?` starts with `[`.
    return re.compile(fnmatch.translate(text.replace("[", "[[]")), re.IGNORECASE)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(name) for pattern in patterns)


def apply_policy(policy: EnvPolicy, own: Mapping[str, str], core: frozenset[str]) -> dict[str, str]:
    """Returns the environment that *policy* makes of *own*.

    :param own: the executor's environment.
    :param core: names, in upper case, that ``inherit: core`` keeps.
    """
    if policy.inherit == "all":
        env = dict(own)
    elif policy.inherit == "core":
        env = {name: value for name, value in own.items() if name.upper() in core}
    else:
        env = {}
    excludes = [*policy.exclude] if policy.ignore_default_excludes else [*DEFAULT_EXCLUDES, *policy.exclude]
    env = {name: value for name, value in env.items() if not _matches(name, excludes)}
    env.update(policy.set)
    if policy.include_only:
        env = {name: value for name, value in env.items() if _matches(name, policy.include_only)}
    return env

r"""Which file a program's name means on Windows, and what a process's environment is. Pure text.

The search is not the system's own: CreateProcess looks into the directory of the executor and
into its current directory first, and in the executor's PATH.
"""

from __future__ import annotations

import ntpath
from collections.abc import Iterator, Mapping

_STARTABLE = (".com", ".exe", ".bat", ".cmd")


class Environment:
    """Variables of a process, whose names differ by more than case.

    :param given: of names that differ in case only the last one counts, as where a client's own
        variables come after inherited ones.
    :raises ValueError: a name or value that no environment can hold.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._variables: dict[str, tuple[str, str]] = {}
        for name, value in given.items():
            # `=C:` and its like are how the system keeps the directories of drives.
            if not name or "=" in name[1:] or name == "=":
                raise ValueError(f"{name!r} cannot be the name of a variable: it is empty or holds `=`")
            if "\0" in name or "\0" in value:
                raise ValueError(f"variable {name!r} holds NUL, which ends it in an environment")
            self._variables[_upper(name)] = (name, value)

    def get(self, name: str, default: str) -> str:
        """Returns the value of *name*, in upper case, or *default* where it is unset."""
        found = self._variables.get(name)
        return default if found is None else found[1]

    def block(self) -> bytes:
        """Returns the block for CreateProcess: UTF-16, sorted by name without case."""
        entries = [f"{name}={value}\0" for _, (name, value) in sorted(self._variables.items())]
        return ("".join(entries) or "\0").encode("utf-16-le", "surrogatepass") + b"\0\0"


def _upper(name: str) -> str:
    """Returns *name* as Windows compares it: character by character, so that none becomes two."""
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := character.upper()) == 1 else character for character in name)


def candidates(program: str, env: Environment, cwd: str) -> Iterator[str]:
    r"""Yields the absolute paths that *program* may mean, in order.

    A name with a separator or a drive is relative to *cwd*; another is looked for in the PATH of
    *env*, and not in *cwd*. Extensions are those of its PATHEXT that CreateProcess or cmd can start;
    they come before a name without extension as it is, so that ``npm`` means ``npm.cmd`` and not
    the shell script beside it.
    """
    if not program:
        return
    extensions = _extensions(env)
    has_extension = bool(ntpath.splitext(program)[1])
    is_path = any(character in program for character in "\\/:")
    for directory in [cwd] if is_path else _directories(env):
        path = ntpath.normpath(ntpath.join(cwd, directory, program))
        if has_extension:
            yield path
        for extension in extensions:
            yield path + extension
        if is_path and not has_extension:
            yield path


def _extensions(env: Environment) -> list[str]:
    listed = [extension.strip().lower() for extension in env.get("PATHEXT", "").split(";")]
    return [extension for extension in listed if extension in _STARTABLE] or [*_STARTABLE]


def _directories(env: Environment) -> Iterator[str]:
    for entry in env.get("PATH", "").split(";"):
        directory = entry.strip().strip('"')
        if directory:
            yield directory

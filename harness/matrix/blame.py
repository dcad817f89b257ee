"""Which commits wrote lines of a file, asked of git where there is one."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

NOT_COMMITTED: Final = "not committed"
_HASH_LENGTH = 8


def blame(file: Path, lines: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Returns for each line the short hash of the commit that wrote it and the day, such as ``2026-01-31``.

    For a line that is not in git these are :data:`NOT_COMMITTED` and an empty text. Where git cannot tell,
    because it is not there, the file is not in its care or the history is cut off, the line is left out or
    both are empty.
    """
    git = ["git", "-C", str(file.parent)]
    try:
        asked = _run([*git, "rev-parse", "--is-inside-work-tree", "--is-shallow-repository"])
        if asked.returncode != 0 or not asked.stdout.startswith("true"):
            return {}
        ranges = [part for line in lines for part in ("-L", f"{line},{line}")]
        told = _run([*git, "blame", "--porcelain", *ranges, "--", file.name])
    except OSError:
        return {}
    if told.returncode != 0:
        # In a work tree this means that git does not know the file.
        return dict.fromkeys(lines, (NOT_COMMITTED, ""))
    return parse_blame(told.stdout, is_shallow=asked.stdout.split()[-1] == "true")


def parse_blame(porcelain: str, is_shallow: bool) -> dict[int, tuple[str, str]]:
    """Reads what ``git blame --porcelain`` prints.

    :param is_shallow: then the oldest commit that is there stands for all before it, and tells nothing.
    """
    commits: dict[int, str] = {}
    told: dict[str, tuple[str, str]] = {}
    commit = ""
    is_header = True
    # Not by str.splitlines, which also cuts at characters that a line of code may hold.
    for line in porcelain.split("\n"):
        name, _, value = line.partition(" ")
        if line.startswith("\t"):
            is_header = True
        elif is_header and value:
            commit, is_header = name, False
            commits[int(value.split()[1])] = commit
        elif name == "author-time":
            day = datetime.datetime.fromtimestamp(int(value), datetime.UTC).date().isoformat()
            told[commit] = (commit[:_HASH_LENGTH], day) if commit.strip("0") else (NOT_COMMITTED, "")
        elif name == "boundary" and is_shallow:
            told[commit] = ("", "")
    return {line: told[commit] for line, commit in commits.items()}


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

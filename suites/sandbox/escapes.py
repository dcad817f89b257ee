"""The count of what was tried to escape from a sandbox, and of what succeeded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

PROPERTY: Final = "crossexec-escape"
"""User property of a test, for each escape that it tried: ``name``, ``tries``, ``escaped``, ``refused``."""


class Escapes:
    """Of one test.

    :param record: adds a user property to its report.
    """

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def tried(self, name: str, *, escaped: bool, refused: bool = False, tries: int = 1) -> None:
        """Counts *tries* of an escape, and fails if it was one.

        :param refused: the executor did not start it at all.
        """
        told = {"name": name, "tries": tries, "escaped": escaped, "refused": refused}
        self._record(PROPERTY, told)
        assert not escaped, f"escaped: {name}"


def summary(seen: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a person reads at the end of a run."""
    every = list(seen)
    refused = sum(bool(one["refused"]) for one in every)
    escaped = [one["name"] for one in every if one["escaped"]]
    tries = sum(one["tries"] for one in every)
    lines = [
        f"{len(every)} escapes tried, {tries} times in all; {len(escaped)} succeeded; {refused} not started"
    ]
    return lines + [f"ESCAPED: {name}" for name in escaped]

"""Cuts a suite into parts that take about as long as each other, the same ones on every machine."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from harness.matrix.timings import SHORTEST

_FORM: Final = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Shard:
    """One part of several; the first one has index 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Returns what a person wrote as ``2/5``.

    :raises ValueError: it is no such thing; the text says what would be.
    """
    found = _FORM.fullmatch(text)
    if found is not None and int(found[1]) <= int(found[2]):
        return Shard(int(found[1]), int(found[2]))
    raise ValueError(
        f"{text!r} is no shard: give I/N, I from 1 to N, such as 2/5 for the second of five parts"
    )


class Member(NamedTuple):
    """One case, as far as the cut asks.

    :ivar function: node id without parameters; its cases stay together.
    :ivar group: cases of one group stay together, whatever their functions; empty for none.
    """

    function: str
    group: str = ""


@dataclass(frozen=True)
class Units:
    """What is not cut.

    :ivar unit_of: name of the unit of each function.
    :ivar weights: of each unit, by name.
    """

    unit_of: Mapping[str, str]
    weights: Mapping[str, float]


def units(members: Iterable[Member], seconds: Mapping[str, float]) -> Units:
    """Groups the cases of a suite into units and weighs them; the order of *members* does not matter.

    :param seconds: measured for each function. Where none is measured, every case weighs the same; where
        some are, one that is not is taken for one too short to be noted, or is new.
    """
    members = list(members)
    cases = Counter(member.function for member in members)
    parents = {function: function for function in cases}

    def root(function: str) -> str:
        while parents[function] != function:
            function = parents[function]
        return function

    first_of: dict[str, str] = {}
    for function, group in members:
        if group:
            joined = sorted((root(first_of.setdefault(group, function)), root(function)))
            parents[joined[1]] = joined[0]
    measured = any(function in seconds for function in cases)
    weights: dict[str, float] = {}
    # Sorted, since the sum of floats depends on their order.
    for function in sorted(cases):
        weight = seconds.get(function, SHORTEST) if measured else float(cases[function])
        weights[root(function)] = weights.get(root(function), 0.0) + weight
    return Units({function: root(function) for function in cases}, weights)


def cut(weights: Mapping[str, float], count: int) -> tuple[frozenset[str], ...]:
    """Divides names into *count* parts: the heaviest first, each to the part that is lightest so far.

    No two parts differ by more than the heaviest name weighs. Equal weights go by name, and equal parts
    by number of names and then position, so that the result depends on nothing else.

    :param weights: of each name, not negative.
    """
    parts: list[set[str]] = [set() for _ in range(count)]
    lightest = [(0.0, 0, index) for index in range(count)]
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        load, size, index = lightest[0]
        parts[index].add(name)
        heapq.heapreplace(lightest, (load + weights[name], size + 1, index))
    return tuple(map(frozenset, parts))


def cut_id(weights: Mapping[str, float], count: int) -> str:
    """Names the division that :func:`cut` makes of these: 12 hexadecimal digits."""
    lines = [f"{count}", *(f"{name}\t{float(weights[name])!r}" for name in sorted(weights))]
    return hashlib.sha256("\n".join(lines).encode(errors="backslashreplace")).hexdigest()[:12]

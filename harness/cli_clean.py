"""``crossexec clean``: frees what killed runs have left, and what nothing uses any more."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.cache import cache_folder
from harness.cleaning import Cleaned, Removed, bytes_of
from harness.cli_commands import print_table
from harness.cli_streams import blocking
from harness.client.errors import ClientError
from harness.environments import ENVIRONMENTS, Environment
from harness.executor_kinds import EXECUTORS, PEER
from harness.matrix import pythons_clean
from harness.settings import read_settings


class InUse(ClientError):
    """What should be removed is in use."""


async def clean(options: argparse.Namespace) -> int:
    """Cleans up after each environment.

    :returns: the exit status; 1 if something remains that should have gone.
    :raises InUse: everything should go, and a run uses some of it; nothing was removed then but what dead
        runs have left.
    """
    return await blocking(_clean, options.all)


def _clean(everything: bool) -> int:
    settings = read_settings()
    folder = cache_folder()
    environments = [
        make(settings) for make in (*ENVIRONMENTS.values(), EXECUTORS[PEER].environments["local"])
    ]
    cleaned = Cleaned()
    for environment in environments:
        cleaned += _clean_strays(environment)
    used = [*pythons_clean.in_use(folder), *_in_use(environments)] if everything else []
    if not used:
        for environment in environments:
            cleaned += environment.clean_cache(everything)
        cleaned += pythons_clean.clean(folder, everything)
    _tell(cleaned)
    if used:
        raise InUse(
            f"the cache {folder} is in use, and stays as it is:{_list(used)}\n"
            "End that first, or leave out --all"
        )
    return 1 if cleaned.kept and everything else 0


def _clean_strays(environment: Environment) -> Cleaned:
    cleaned = Cleaned()
    if environment.available():
        try:
            cleaned.removed += map(Removed, environment.clean())
        except ClientError as error:
            cleaned.kept.append(f"what dead runs of {environment.name} have left: {error}")
    return cleaned


def _tell(cleaned: Cleaned) -> None:
    counts = Counter(removed.what for removed in cleaned.removed)
    sizes: Counter[str] = Counter()
    for removed in cleaned.removed:
        sizes[removed.what] += removed.bytes
    rows = [
        ("removed", str(count), what, mebibytes(sizes[what]) if sizes[what] else "")
        for what, count in counts.items()
    ]
    if rows:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        print_table(
            [(verb, count.rjust(widths[1]), what, size.rjust(widths[3])) for verb, count, what, size in rows]
        )
    else:
        print("nothing to remove")
    for kept in cleaned.kept:
        print(f"kept {kept}", file=sys.stderr)
    folder = cache_folder()
    print(f"freed {mebibytes(sum(sizes.values()))}; {mebibytes(bytes_of(folder))} are left in {folder}")


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if 0 < size < 10 * 2**20 else f"{size >> 20} MiB"


def _in_use(environments: Iterable[Environment]) -> list[str]:
    return [what for environment in environments for what in environment.in_use()]


def _list(texts: Sequence[str]) -> str:
    return "".join(f"\n  {text}" for text in texts)

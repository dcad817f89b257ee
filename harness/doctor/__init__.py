"""What this machine can give, and what keeps it from giving more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from harness.cli_streams import blocking
from harness.doctor.model import Fact, Given, Report, State
from harness.environments import ENVIRONMENTS, Availability
from harness.environments.place import place_of
from harness.settings import Settings

__all__ = ["Fact", "Given", "Report", "State", "examine"]

T = TypeVar("T")

# More than the checks allow themselves; what they wait for then hangs for good.
_SECONDS: Final = 60.0


async def examine(settings: Settings) -> Report:
    """Looks at everything, several things at a time. Nothing is made or started that would remain.

    :param settings: which Wine, Windows Python and containers are meant.
    """
    families = await asyncio.gather(*(_family(name, look) for name, look in _families(settings)))
    facts = tuple(fact for family in families for fact in family)
    environments = await asyncio.gather(*(_given(name, settings, facts) for name in ENVIRONMENTS))
    return Report(facts, tuple(environments))


def _families(settings: Settings) -> list[tuple[str, Callable[[], list[Fact]]]]:
    from harness.doctor import bubblewrap, cache, canaries, codex, docker, kernel, pythons, speedups, wine

    return [
        ("kernel", kernel.facts),
        ("sandbox", bubblewrap.facts),
        ("sandbox", canaries.facts),
        ("docker", lambda: docker.facts(settings.docker)),
        ("wine", lambda: wine.facts(settings)),
        ("python", pythons.facts),
        ("speed-ups", speedups.facts),
        ("executor codex", lambda: codex.facts(settings)),
        ("cache", cache.facts),
    ]


async def _family(group: str, look: Callable[[], list[Fact]]) -> list[Fact]:
    try:
        return await _bounded(look)
    except TimeoutError:
        found = f"what was to be looked at has not answered within {_SECONDS:g} s"
    except Exception as error:
        # A machine may be ill in ways that nobody has thought of, and the rest is worth knowing then.
        found = f"it could not be looked at: {_told(error)}"
    return [Fact(group, group, State.BROKEN, found)]


async def _given(name: str, settings: Settings, facts: Sequence[Fact]) -> Given:
    for fact in facts:
        if fact.state.is_bad and place_of(name) in fact.needed_by:
            return Given(name, False, f"{fact.name}: {fact.found}", fact.remedy)
    try:
        availability = await _bounded(ENVIRONMENTS[name](settings).available)
    except TimeoutError:
        availability = Availability(False, f"no answer within {_SECONDS:g} s")
    except Exception as error:
        availability = Availability(False, _told(error))
    return Given(name, availability.ok, availability.reason, availability.remedy)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


async def _bounded(function: Callable[[], T]) -> T:
    async with asyncio.timeout(_SECONDS):
        return await blocking(function)

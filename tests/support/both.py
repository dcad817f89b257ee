"""Runs all tests of a module with the speed-ups and without; import the fixture into the module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executors import speedups


@pytest.fixture(scope="module", autouse=True, params=["fast", "plain"])
def speed_ups(request: pytest.FixtureRequest) -> Iterator[str]:
    """``fast`` or ``plain``: what this process uses from now on, and the executors that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setenv(speedups.VARIABLE, "1")
        else:
            patch.delenv(speedups.VARIABLE, raising=False)
            missing = [each.name for each in speedups.SPEED_UPS if not speedups.is_used(each)]
            if missing:
                pytest.skip(f"not installed: {', '.join(missing)}")
        yield request.param

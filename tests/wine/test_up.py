"""``crossexec up wine-exec``: an executor that other processes reach."""

from __future__ import annotations

import os
from pathlib import Path

from harness.environments.wine import WineEnvironment
from tests.support.command import CROSSEXEC, ROOT, run, started, up
from tests.support.watch import SECONDS, until
from tests.wine.leftovers import processes_below, workers

ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_it_serves_until_a_signal(prepared: WineEnvironment, filled_cache: Path) -> None:
    env = {**ENV, "CROSSEXEC_CACHE": str(filled_cache.parent)}
    with up(env, "wine-exec") as (process, url):
        assert "Windows" in run(env, url, "cmd", "/c", "ver")
        process.terminate()
        _, err = process.communicate(timeout=SECONDS * 3)
        assert process.returncode == 0
    assert f"crossexec run --url {url} -- cmd /c ver" in err
    assert (workers(filled_cache), processes_below(filled_cache)) == ([], [])


def test_the_executor_dies(prepared: WineEnvironment, filled_cache: Path) -> None:
    env = {**ENV, "CROSSEXEC_CACHE": str(filled_cache.parent)}
    with up(env, "wine-exec") as (process, url):
        # It ends all that runs in the prefix, the executor and so this program's own connection among it.
        with started([*CROSSEXEC, "run", "--url", url, "--", "wineboot", "--kill"], env) as client:
            # It looks for the executor again for 25 s.
            assert client.wait(SECONDS * 3) != 0
        _, err = process.communicate(timeout=SECONDS * 3)
        assert process.returncode == 1
    assert "crossexec up: the executor of wine-exec has ended" in err
    assert "Traceback" not in err
    until(lambda: not processes_below(filled_cache), lambda: str(processes_below(filled_cache)))
    assert workers(filled_cache) == []

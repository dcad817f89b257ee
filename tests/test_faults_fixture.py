"""The fixture ``faults`` as its users meet it: pytest runs of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from fixtures.faults_fixture import parse_seeds

pytest_plugins = ["pytester"]

_ROOT = Path(__file__).resolve().parent.parent
_LOAD = [] if entry_points(group="pytest11", name="crossexec") else ["-p", "fixtures.plugin"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on the text of a test module; returns its result."""
    for name in ("CROSSEXEC_ENV", "CROSSEXEC_FAULTS_SEEDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)

    def run(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*_LOAD, "-p", "no:cacheprovider", "-W", "error", "-rA", *args)

    return run


def test_a_client_goes_through_the_proxy(run: Run) -> None:
    result = run(
        """
        from fixtures.faults import UP, How, after, cut, script
        from harness.client import RecoveryOptions

        def test_it(faults, python):
            # One that came back would take the script of the next connection.
            client = faults.connect(recovery=RecoveryOptions(enabled=False))
            assert client.url == faults.url
            assert client.run([python.path, "-c", "print(1)"]).exit_code == 0
            assert faults.counts.frames(UP) > 2 and faults.counts.open == 1
            wire = faults.open_wire()
            wire.handshake()
            faults.script(script(cut(after(UP, 1), How.RST)))
            assert faults.cut(How.RST) == 2
            assert wire.closed()[0] == 1006
            late = faults.open_wire()
            late.post("initialize", {"clientName": "x"})
            assert late.closed()[0] == 1006
            faults.until(lambda counts: counts.cuts == 3)
        """
    )
    result.assert_outcomes(passed=1)


def test_the_report_of_a_failure_tells_what_was_cut(run: Run) -> None:
    result = run(
        """
        import pytest
        from fixtures.faults import Chaos

        def test_failing(faults):
            faults.script(Chaos(4711))
            faults.open_wire().handshake()
            faults.heal()
            assert False

        @pytest.fixture
        def broken(faults):
            yield
            raise RuntimeError

        def test_error(broken):
            pass

        def test_good(faults):
            pass

        def test_skipped(faults):
            pytest.skip("no")

        @pytest.mark.known_gap("a gap")
        def test_gap(faults):
            assert False
        """,
        "--xfail-tb",
    )
    result.assert_outcomes(failed=1, passed=2, errors=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(
        ["*- faults -*", "chaos proxy to ws://*", "*Chaos(seed=4711*", "*#1 accepted*"]
    )
    assert result.stdout.str().count("chaos proxy to") == 3


def test_faults_are_over_at_the_end_of_a_test_and_nothing_is_left(run: Run) -> None:
    result = run(
        """
        import threading
        import pytest

        threads = set()

        def test_before(env):
            threads.update(threading.enumerate())

        @pytest.mark.parametrize("fault", ["refuse", "blackhole", "hold", "swallow"])
        def test_it(faults, workspace, python, fault):
            client = faults.connect()
            client.start([python.path, "-c", "input()"], stdin=True, cwd=workspace.uri)
            getattr(faults, fault)()

        def test_after():
            assert set(threading.enumerate()) <= threads
        """
    )
    result.assert_outcomes(passed=6)


def test_where_no_frames_can_be_found_the_test_is_skipped(run: Run) -> None:
    result = run(
        """
        import pytest
        from fixtures.target import RunningEnvironment

        class Links:
            rendezvous = "wss://there:443"

        class Env(RunningEnvironment):
            def __init__(self, url, open_link):
                self.url, self.open_link = url, open_link

        @pytest.fixture(scope="session", params=[("wss://there", None), ("remote:x", Links())])
        def env(request):
            return Env(*request.param)

        def test_it(faults):
            pass
        """
    )
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(
        [
            "*no frames can be found on the way to wss://there*",
            "*no frames can be found on the way to remote:x: its rendezvous is reached by TLS*",
        ]
    )


SEEDS = "def test_it(fault_seed):\n    print('seed is', fault_seed)\n"


@pytest.mark.parametrize(
    ("args", "variable", "expected"),
    [
        ([], None, [1]),
        ([], "7,3-5", [7, 3, 4, 5]),
        (["--faults-seeds=8"], "9", [8]),
    ],
)
def test_seeds_are_chosen_by_the_user(
    run: Run, monkeypatch: pytest.MonkeyPatch, args: list[str], variable: str | None, expected: list[int]
) -> None:
    if variable is not None:
        monkeypatch.setenv("CROSSEXEC_FAULTS_SEEDS", variable)
    result = run(SEEDS, *args)
    result.assert_outcomes(passed=len(expected))
    result.stdout.fnmatch_lines([f"PASSED *test_it?seed{seed}?" for seed in expected])


def test_seeds_that_are_none_are_told(run: Run) -> None:
    result = run(SEEDS, "--faults-seeds=1,x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--faults-seeds: '1,x' names no seeds: give numbers" in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "3-1", "1,,2", "1.5"])
def test_text_that_names_no_seeds(text: str) -> None:
    with pytest.raises(ValueError, match="names no seeds"):
        parse_seeds(text)


def test_each_seed_is_taken_once() -> None:
    assert parse_seeds("3, 1-4,2") == [3, 1, 2, 4]

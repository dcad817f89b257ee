"""Markers as users of the plugin meet them: pytest runs of their own, in a fresh directory."""

from __future__ import annotations

import json

import pytest

from executors import __version__
from fixtures.markers import Target, is_release
from tests.support.pytest_run import Run, make_run

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    return make_run(pytester, monkeypatch)


@pytest.mark.parametrize(
    ("marker", "outcome"),
    [
        ("skip_if_wine_exec('r')", "passed"),
        ("skip_if_target_windows('r')", "passed"),
        ("skip_unless_target_windows('the why of it')", "skipped"),
        ("skip_if_host_windows('r')", "passed"),
        ("skip_if_remote('r')", "passed"),
        ("skip_if_relayed('r')", "passed"),
        ("skip_if_no_remote_env('the why of it')", "skipped"),
        ("skip_if_no_remote_env(reason='the why of it')", "skipped"),
        ("known_gap(reason='r', env='docker')", "passed"),
        ("known_gap(reason='r', executor='other')", "passed"),
    ],
)
def test_marker_applies_where_it_says(run: Run, marker: str, outcome: str) -> None:
    result = run(f"import pytest\n@pytest.mark.{marker}\ndef test_it(shell):\n    pass\n", "--env=local")
    result.assert_outcomes(**{outcome: 1})
    if outcome == "skipped":
        result.stdout.fnmatch_lines(["SKIPPED*the why of it*"])


def test_markers_of_a_place_apply_where_its_executor_dials_out(run: Run) -> None:
    pytest.importorskip("aiohttp")
    result = run(
        """
        import pytest

        @pytest.mark.known_gap("r", env="local")
        def test_place(env): assert False

        @pytest.mark.known_gap("r", env=["remote-local"])
        def test_name(env): assert False

        @pytest.mark.known_gap("r", env=["docker", "remote-docker"])
        def test_elsewhere(env): pass

        @pytest.mark.skip_if_relayed("r")
        def test_direct(env): assert False
        """,
        "--env=remote-local",
    )
    result.assert_outcomes(xfailed=2, passed=1, skipped=1)


@pytest.mark.parametrize(
    "marker",
    [
        "skip_if_remote",
        "skip_if_remote()",
        "skip_if_remote('')",
        "skip_if_remote(reason='  ')",
        "skip_if_remote('r', env='x')",
        "known_gap(env='local')",
        "known_gap(reason='r', environment='local')",
    ],
)
def test_marker_without_reason_is_an_error(run: Run, marker: str) -> None:
    result = run(f"import pytest\n@pytest.mark.{marker}\ndef test_it():\n    pass\n")
    assert result.ret != 0
    assert result.parseoutcomes().get("passed", 0) == 0
    result.stdout.fnmatch_lines(["*it needs a reason*"])


_GAPS = """
    import pytest

    @pytest.mark.known_gap(reason="broken there", env=["local", "docker"], issue="https://example.org/1")
    def test_open(shell):
        assert shell.run(shell.exit(0)).exit_code == 1

    @pytest.mark.known_gap(reason="hangs there", run=False)
    def test_not_run(shell):
        assert shell.run(shell.exit(0)).exit_code == 1
"""
_CLOSED = """
    @pytest.mark.known_gap(reason="was broken", executor="python")
    def test_closed(shell):
        assert shell.run(shell.exit(0)).exit_code == 0
"""


def test_open_gap_is_expected_to_fail(run: Run) -> None:
    result = run(_GAPS)
    assert result.ret == 0
    result.assert_outcomes(xfailed=2)
    result.stdout.fnmatch_lines_random(
        ["XFAIL*known gap: broken there [[]https://example.org/1]*", "XFAIL*not run: hangs there*"]
    )


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
def test_closed_gap_fails_the_run(run: Run, workers: list[str]) -> None:
    result = run(_GAPS + _CLOSED, *workers)
    assert result.ret == 1
    result.assert_outcomes(xfailed=2, failed=1)
    result.stdout.fnmatch_lines(["*gap closed: remove the marker*was broken*test_closed*"])


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
def test_run_gaps_tells_which_are_closed(run: Run, workers: list[str]) -> None:
    result = run(_GAPS + _CLOSED, "--run-gaps", *workers)
    assert result.ret == 0
    result.assert_outcomes(xfailed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["CLOSED*test_closed: was broken", "OPEN*test_not_run*", "OPEN*test_open*", "1 of 3 gaps closed*"]
    )


def test_a_gap_that_is_closed_in_another_version_passes_and_is_told(run: Run) -> None:
    result = run(
        """
        import pytest

        GAP = dict(reason="was broken", owner="python", issue="https://example.org/1")

        @pytest.mark.known_gap(version="99", **GAP)
        def test_passes(shell):
            pass

        @pytest.mark.known_gap(version="99", **GAP)
        def test_fails(shell):
            assert False

        @pytest.mark.known_gap(version="99", run=False, **GAP)
        def test_hangs(shell):
            assert False
        """,
        "-n1",
    )
    result.assert_outcomes(passed=1, xfailed=2)
    told = f"gap closed in python {__version__}: *::test_passes: was broken [[]https://example.org/1]"
    result.stdout.fnmatch_lines([told])
    result.stdout.no_fnmatch_line("gap closed*::test_[fh]*")


def test_a_gap_of_the_version_that_runs_or_of_an_unknown_one_is_strict(run: Run) -> None:
    result = run(
        f"""
        import pytest

        @pytest.mark.known_gap("r", owner="python", version="{__version__.rpartition(".")[0]}")
        def test_same(shell):
            pass

        @pytest.mark.known_gap("r", owner="nobody-here", version="99")
        def test_unknown(shell):
            pass
        """
    )
    result.assert_outcomes(failed=2)


@pytest.mark.parametrize(
    ("fact", "version", "is_same"),
    [
        ("wine-8.0 (Debian 8.0~repack-4)", "8.0", True),
        ("wine-8.0.2", "8.0", True),
        ("wine-8", "8.0", True),
        ("wine-8.0", "8.0.2", False),
        ("wine-8.1", "8.0", False),
        ("wine-10.0", "1", False),
        ("wine-10.10", "10.1", False),
        ("wine-8.0", "8", True),
        ("of unknown version", "8.0", True),
    ],
)
def test_versions_are_compared_as_releases(fact: str, version: str, is_same: bool) -> None:
    target = Target("wine-exec", "python", "windows", True, {"wine": fact})
    running = target.version_of("wine")
    assert (not running or is_release(running, version)) == is_same


def test_a_gap_tells_its_owner_to_the_report(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import json

        def pytest_runtest_logreport(report):
            for name, value in report.user_properties:
                if name == "crossexec-gap" and report.when != "teardown":
                    with open("told", "a") as file:
                        print(json.dumps(value), file=file)
        """
    )
    run(_GAPS.replace("env=[", 'owner="wine", env=[')).assert_outcomes(xfailed=2)
    told = [json.loads(line) for line in (pytester.path / "told").read_text().splitlines()]
    assert told == [
        {
            "state": "open",
            "reason": "broken there",
            "owner": "wine",
            "issue": "https://example.org/1",
            "closed_in": "",
        },
        {"state": "open", "reason": "hangs there", "owner": "", "issue": "", "closed_in": ""},
    ]


_BAD_OWNERS = {
    "owner=''": "owner '': say who",
    "owner=8": "owner 8: say who",
    "version='8.0'": "version '8.0' of whom",
    "owner='wine', version=8.0": "version 8.0: give numbers",
    "owner='wine', version='8.x'": "version '8.x': give numbers",
}


def test_a_gap_with_a_bad_owner_or_version_is_an_error(run: Run) -> None:
    tests = (
        f"@pytest.mark.known_gap('r', {arguments})\ndef test_{number}():\n    pass\n"
        for number, arguments in enumerate(_BAD_OWNERS)
    )
    result = run("import pytest\n" + "".join(tests))
    result.assert_outcomes(errors=len(_BAD_OWNERS))
    result.stdout.fnmatch_lines_random([f"*marker known_gap: {told}*" for told in _BAD_OWNERS.values()])

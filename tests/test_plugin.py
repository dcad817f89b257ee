"""The plugin as its users meet it: pytest runs of its own, in a fresh directory."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from executors import __version__
from fixtures.markers import Target, is_release

pytest_plugins = ["pytester"]

_ROOT = Path(__file__).resolve().parent.parent
_LOAD = [] if entry_points(group="pytest11", name="crossexec") else ["-p", "fixtures.plugin"]


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on the text of a test module; returns its result."""
    monkeypatch.delenv("CROSSEXEC_ENV", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)

    def run(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*_LOAD, "-p", "no:cacheprovider", "-rA", *args)

    return run


def test_fixtures_reach_a_real_machine(run: Run) -> None:
    result = run(
        """
        def test_all(shell, workspace, python, client, env):
            workspace.write("in/a b.txt", b"hello")
            done = shell.run(shell.command(["cat", "in/a b.txt"]), check=True)
            assert done.text == "hello"
            assert python.run("import os; print(os.getcwd())").text.strip() == workspace.path
            assert client.info.platform_os == env.platform
            assert shell.run(shell.exit(7)).exit_code == 7
        """
    )
    result.assert_outcomes(passed=1)


def test_wrong_result_fails(run: Run) -> None:
    result = run("def test_it(shell):\n    assert shell.run(shell.echo('a')).text == 'b'\n")
    result.assert_outcomes(failed=1)


def test_failed_program_shows_its_output(run: Run) -> None:
    result = run(
        """
        def test_it(shell):
            shell.run(shell.sequence(shell.echo_error("the reason"), shell.exit(4)), check=True)
        """
    )
    result.stdout.fnmatch_lines(["*ended with 4*", "*the reason*"])


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


@pytest.mark.parametrize("name", ["nowhere", "http://127.0.0.1:1"])
def test_unknown_environment_is_named_with_the_known(run: Run, name: str) -> None:
    result = run("def test_it(shell):\n    pass\n", f"--env={name}")
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*no environment '{name}': give one of *local*"])


def test_unreachable_executor_fails_the_run_once(run: Run) -> None:
    result = run("def test_a(shell):\n    pass\ndef test_b(shell):\n    pass\n", "--env=ws://127.0.0.1:1")
    assert result.ret == 3
    assert "ws://127.0.0.1:1" in result.stdout.str() + result.stderr.str()


def test_option_goes_before_variable_before_ini(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\ncrossexec_env = from-ini\n")
    source = "def test_it():\n    pass\n"
    run(source).stdout.fnmatch_lines(["crossexec: environment from-ini"])
    monkeypatch.setenv("CROSSEXEC_ENV", "from-variable")
    run(source).stdout.fnmatch_lines(["crossexec: environment from-variable"])
    run(source, "--env=local").stdout.fnmatch_lines(["crossexec: environment local"])


def test_environment_starts_only_when_needed(run: Run) -> None:
    result = run("def test_it():\n    pass\n", "--env=ws://127.0.0.1:1")
    result.assert_outcomes(passed=1)


def test_each_worker_has_an_executor_and_shares_what_is_made_once(
    run: Run, pytester: pytest.Pytester
) -> None:
    result = run(
        """
        import json, os, pytest

        @pytest.mark.parametrize("number", range(40))
        def test_it(shell, env, create_once, number):
            def make(path):
                with open("made", "a") as log:
                    log.write("x")
                path.write_bytes(b"content")
            assert create_once("thing", make).read_bytes() == b"content"
            with open(f"seen-{os.environ['PYTEST_XDIST_WORKER']}-{number}", "w") as file:
                file.write(env.url)
            assert shell.run(shell.echo(str(number))).text == f"{number}\\n"
        """,
        "-n4",
    )
    result.assert_outcomes(passed=40)
    urls: dict[str, set[str]] = {}
    for path in pytester.path.glob("seen-*"):
        urls.setdefault(path.name.split("-")[1], set()).add(path.read_text())
    assert all(len(found) == 1 for found in urls.values())
    assert len(set.union(*urls.values())) == len(urls) > 1
    assert (pytester.path / "made").read_text() == "x"


def test_groups_of_xdist_stay_together(run: Run, pytester: pytest.Pytester) -> None:
    # Some releases of pytest stop it from grouping and say nothing.
    run(
        """
        import os, pytest

        @pytest.mark.parametrize("number", range(12))
        @pytest.mark.parametrize(
            "group", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in "abc"]
        )
        def test_it(group, number):
            open(f"seen-{group}-{os.environ['PYTEST_XDIST_WORKER']}-{number}", "w").close()
        """,
        "-n3",
        "--dist=loadgroup",
    ).assert_outcomes(passed=36)
    for group in "abc":
        workers = {path.name.split("-")[2] for path in pytester.path.glob(f"seen-{group}-*")}
        assert len(workers) == 1


_REPORT_PIDS = """
    import json, os

    def test_it(env, client, python, workspace):
        executor = int(python.run("import os; print(os.getppid())").text)
        daemon = python.run(
            "import os, sys\\n"
            "pid = os.fork()\\n"
            "if pid: print(pid, flush=True); os._exit(0)\\n"
            "os.setsid(); os.close(1); os.close(2)\\n"
            "while True: __import__('signal').pause()\\n"
        )
        with open("report.json", "w") as file:
            json.dump({"pids": [executor, int(daemon.text)], "workspace": workspace.path}, file)
"""


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_after_a_run(run: Run, pytester: pytest.Pytester) -> None:
    run(_REPORT_PIDS).assert_outcomes(passed=1)
    report = json.loads((pytester.path / "report.json").read_text())
    assert [pid for pid in report["pids"] if _is_running(pid)] == []
    assert not Path(report["workspace"]).exists()
    assert not Path(report["workspace"]).parent.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_executor_ends_with_a_killed_run(run: Run, pytester: pytest.Pytester) -> None:
    module = pytester.makepyfile(
        """
        import signal

        def test_it(python):
            with open("ready", "w") as file:
                file.write(python.run("import os; print(os.getppid())").text)
            signal.pause()
        """
    )
    os.mkfifo(pytester.path / "ready")
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", *_LOAD, "-p", "no:cacheprovider", str(module)],
        cwd=pytester.path,
        stdout=subprocess.DEVNULL,
    )
    try:
        executor = int((pytester.path / "ready").read_text())
        handle = os.pidfd_open(executor)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    try:
        # A pidfd becomes readable when its process ends.
        assert select.select([handle], [], [], 30)[0]
    finally:
        os.close(handle)


_APPROVALS = """
    import pytest
    from harness.client import CommandDenied

    DENIED = CommandDenied(["make", "install"], 2, b"", b"why")

    def test_as_scripted(approvals):
        approvals.answer(True, lambda denied: denied.argv == ["make"])
        assert approvals(DENIED) is True
        assert approvals(DENIED) is False

    def test_unscripted(approvals):
        approvals.answer(False)
        approvals(DENIED)
        approvals(DENIED)

    def test_unscripted_and_hidden(approvals):
        with pytest.raises(AssertionError):
            approvals(DENIED)

    def test_never_asked(approvals):
        approvals.answer(True, False)
        approvals(DENIED)

    def test_otherwise(approvals):
        approvals.answer(True, True)
        approvals(DENIED)
        raise RuntimeError("the test's own")
"""


def test_approvals_are_held_against_their_script(run: Run) -> None:
    result = run(_APPROVALS)
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "E *ApprovalError: nobody scripted an answer to: *'make', 'install'*",
            "['make', 'install'] ended with exit code 2 in the sandbox: not approved",
            "['make', 'install'] ended with exit code 2 in the sandbox: no answer",
            "*_ test_unscripted_and_hidden _*",
            "nobody scripted an answer to: *",
            "*_ test_never_asked _*",
            "the script has 2 answers, and 1 was asked for; left are False",
            "*- approvals -*",
            "*: approved",
            "*_ test_otherwise _*",
            "E *RuntimeError: the test's own",
            "['make', 'install'] ended with exit code 2 in the sandbox: approved",
        ]
    )


def test_an_approved_command_leaves_its_sandbox(run: Run) -> None:
    result = run(
        """
        import pytest
        from executors.protocol.environment import Empty
        from executors.protocol.methods import ENVIRONMENT_INFO
        from harness.client import CommandDenied
        from harness.client.sandbox import read_only

        @pytest.fixture(autouse=True)
        def offered(client):
            if not client.call(ENVIRONMENT_INFO, Empty()).capabilities.sandbox:
                pytest.skip("no sandbox is offered")

        def test_approved(approvals, python, workspace):
            approvals.answer(True)
            done = approvals.run(python.argv("open('f', 'w').write('x')"), read_only())
            assert (done.exit_code, workspace.read("f")) == (0, b"x")
            assert [one.retried_exit_code for one in approvals.decisions] == [0]

        def test_shown(approvals, python, workspace):
            approvals.answer(True, False)
            approvals.run(python.argv("open('f', 'w').write('x'); raise SystemExit(7)"), read_only())
            approvals.run(python.argv("open('f', 'w')"), read_only())
        """,
    )
    outcomes = result.parseoutcomes()
    if outcomes.get("skipped"):
        pytest.skip("this machine offers no sandbox")
    assert outcomes == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(
        [
            "*ended with exit code 1 in the sandbox: approved, and ended with exit code 7 without a sandbox",
            "*ended with exit code 1 in the sandbox: not approved",
        ]
    )

"""The plugin as its users meet it: pytest runs of its own, in a fresh directory."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pytest_run import LOAD, Run, make_run

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    return make_run(pytester, monkeypatch)


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
        [sys.executable, "-m", "pytest", *LOAD, "-p", "no:cacheprovider", str(module)],
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

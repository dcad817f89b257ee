"""Starting processes on POSIX: which program, where, with what, and how it ended."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorder import Lab, lab_test, open_lab
from tests.support.watch import holdings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the POSIX backend")

SIGNALS = sorted(signal.valid_signals() - {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}


@lab_test
async def test_every_exit_code(lab: Lab) -> None:
    codes = range(256)
    runs = [lab.start("/bin/sh", "-c", f"exit {code}") for code in codes]
    assert [await run.until_over() for run in runs] == list(codes)


@lab_test
async def test_death_by_each_signal_is_128_and_its_number(lab: Lab) -> None:
    # The shell's own kill knows no real-time signal by number everywhere.
    script = "import os, sys; os.kill(os.getpid(), int(sys.argv[1]))"
    deadly = [number for number in SIGNALS if number not in HARMLESS]
    assert signal.SIGRTMAX in deadly
    assert signal.SIGQUIT in deadly
    for tty in (False, True):
        runs = [lab.start(sys.executable, "-S", "-c", script, str(int(number)), tty=tty) for number in deadly]
        # Python itself turns SIGINT into an exception, and its default handling into death by SIGINT;
        # it ignores SIGPIPE and SIGXFSZ.
        expected = [0 if number in (signal.SIGPIPE, signal.SIGXFSZ) else 128 + number for number in deadly]
        assert [await run.until_over() for run in runs] == expected


def make_program(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


@lab_test
async def test_the_program_is_looked_up_in_the_path_of_its_env(lab: Lab, tmp_path: Path) -> None:
    make_program(tmp_path / "a/prog", "echo a")
    make_program(tmp_path / "b/prog", "echo b")
    make_program(tmp_path / "here/prog", "echo here")
    make_program(tmp_path / "unfit/prog", "echo unfit", 0o644)
    (tmp_path / "dir/prog").mkdir(parents=True)
    cases = {
        f"{tmp_path}/a:{tmp_path}/b": "a\n",
        f"{tmp_path}/b:{tmp_path}/a": "b\n",
        f"{tmp_path}/nope:{tmp_path}/unfit:{tmp_path}/dir:{tmp_path}/b": "b\n",
        # Relative and empty entries are those of the child.
        "a:b": "a\n",
        "../b": "b\n",
        ":a": "here\n",
        "": "here\n",
    }
    for tty in (False, True):
        for path, text in cases.items():
            cwd = tmp_path / "here" if path in (":a", "") or path.startswith("..") else tmp_path
            run = await lab.run("prog", cwd=str(cwd), env={"PATH": path}, tty=tty)
            assert (path, run.text) == (path, text)
    with pytest.raises(FileNotFoundError, match="prog"):
        lab.start("prog", env={"PATH": f"{tmp_path}/nope:/"})
    for unfit in ("unfit", "dir"):
        with pytest.raises(PermissionError, match="prog"):
            lab.start("prog", env={"PATH": f"{tmp_path}/{unfit}"})


@lab_test
async def test_without_path_the_usual_directories_are_searched(lab: Lab) -> None:
    assert (await lab.run("true", env={})).exit_code == 0
    with pytest.raises(FileNotFoundError):
        lab.start("crossexec-no-such-program", env={})


@lab_test
async def test_a_program_with_a_slash_is_relative_to_its_cwd(lab: Lab, tmp_path: Path) -> None:
    make_program(tmp_path / "sub/prog", "echo $0; pwd")
    run = await lab.run("sub/prog", cwd=str(tmp_path))
    assert run.text == f"sub/prog\n{tmp_path}\n"
    with pytest.raises(FileNotFoundError):
        lab.start("sub/prog", cwd="/")


@lab_test
@pytest.mark.parametrize("tty", [False, True])
async def test_arg0_is_what_the_program_sees_and_not_what_is_started(lab: Lab, tty: bool) -> None:
    for arg0 in ("myname", "/bin/false", "-sh", "ü"):
        run = await lab.run("cat", "/proc/self/cmdline", arg0=arg0, tty=tty)
        assert run.text.split("\0")[:2] == [arg0, "/proc/self/cmdline"]


@lab_test
@pytest.mark.parametrize("tty", [False, True])
async def test_what_cannot_be_started(lab: Lab, tmp_path: Path, tty: bool) -> None:
    make_program(tmp_path / "plain", "echo", 0o644)
    (tmp_path / "interpreter").write_text("#!/no/such/interpreter\n")
    (tmp_path / "interpreter").chmod(0o755)
    (tmp_path / "neither").write_text("echo no shebang\n")
    (tmp_path / "neither").chmod(0o755)
    (tmp_path / "loop").symlink_to("loop")
    before = holdings()
    refused: list[tuple[list[str], dict[str, Any], type[Exception]]] = [
        (["/no/such"], {}, FileNotFoundError),
        ([str(tmp_path / "interpreter")], {}, FileNotFoundError),
        ([str(tmp_path / "plain")], {}, PermissionError),
        ([str(tmp_path)], {}, PermissionError),
        ([str(tmp_path / "neither")], {}, OSError),
        ([str(tmp_path / "loop")], {}, OSError),
        ([""], {}, FileNotFoundError),
        (["true"], {"cwd": str(tmp_path / "missing")}, FileNotFoundError),
        (["true"], {"cwd": str(tmp_path / "plain")}, NotADirectoryError),
        (["true"], {"cwd": str(tmp_path / "loop")}, OSError),
        (["true", "x" * 3_000_000], {}, OSError),
        (["true", "a\0b"], {}, ValueError),
        (["tr\0ue"], {}, ValueError),
        (["/bin/tr\0ue"], {}, ValueError),
        (["true"], {"arg0": "a\0b"}, ValueError),
        # Python's posix_spawn makes no process without a name.
        (["true"], {"arg0": ""}, ValueError),
        (["true"], {"cwd": "/tmp\0x"}, ValueError),
        (["true"], {"env": {"A\0": "x"}}, ValueError),
        (["true"], {"env": {"A": "x\0"}}, ValueError),
        (["true"], {"env": {"A=B": "x"}}, ValueError),
        (["true"], {"env": {"": "x"}}, ValueError),
        (["true", "\ud800"], {}, ValueError),
    ]
    for argv, how, error in refused:
        with pytest.raises(error):
            lab.start(*argv, tty=tty, **how)
    assert holdings() == before
    assert Path.cwd() == Path(os.environ.get("PWD", Path.cwd())), "the executor has moved"
    # The backend is as good as before.
    assert (await lab.run("true", tty=tty)).exit_code == 0


@lab_test
@pytest.mark.parametrize("tty", [False, True])
async def test_the_environment_is_the_one_given_and_no_more(lab: Lab, tty: bool) -> None:
    env = {"A": "1", "ü": "€\n", "EMPTY": "", "=odd": "x", "lower case": "y"}
    run = await lab.run("/usr/bin/env", "-0", env=env, tty=tty)
    assert run.text.split("\0")[:-1] == [f"{name}={value}" for name, value in env.items()]


@lab_test
@pytest.mark.parametrize("tty", [False, True])
async def test_each_leads_a_session_and_a_group(lab: Lab, tty: bool) -> None:
    run = await lab.run("/bin/sh", "-c", "echo $$; cut -d ' ' -f 1,5,6,7,8 /proc/$$/stat", tty=tty)
    pid, stat = run.text.splitlines()
    own, group, session, terminal, foreground = stat.split()
    assert pid == own == group == session
    assert (terminal != "0", foreground) == (tty, pid if tty else "-1")


@lab_test
@pytest.mark.parametrize("how", [{}, {"pipe_stdin": True}, {"tty": True}])
async def test_no_descriptor_but_the_standard_streams(lab: Lab, how: dict[str, bool]) -> None:
    neighbour = lab.start("cat", pipe_stdin=True)
    given, other = os.pipe()
    os.set_inheritable(given, True)
    try:
        async with asyncio.timeout(60):
            # Descriptors that this process was given by its own parent stay here, too.
            from executors.process.posix import keep_descriptors

            keep_descriptors()
            run = await lab.run("/bin/ls", "-l", "/proc/self/fd", **how)
    finally:
        os.close(given)
        os.close(other)
    links = {line.split()[-3]: line.split()[-1] for line in run.text.splitlines() if "->" in line}
    assert set(links) == {"0", "1", "2", "3"}, "3 is the directory that is listed"
    assert links["3"].startswith("/proc/")
    if how.get("tty"):
        assert links["0"] == links["1"] == links["2"]
        assert links["0"].startswith("/dev/pts/")
    else:
        assert links["0"].startswith("pipe:" if how else "/dev/null")
        assert len({links["0"], links["1"], links["2"]}) == 3
    neighbour.child.close_stdin()
    await neighbour.until_over()


@lab_test
async def test_ignored_signals_and_the_mask_are_not_passed_on(lab: Lab) -> None:
    numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN + 3]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    try:
        run = await lab.run("cat", "/proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
    fields = dict(line.split(":", 1) for line in run.text.splitlines())
    # The C library keeps the two below SIGRTMIN to itself.
    visible = ~sum(1 << number - 1 for number in range(32, signal.SIGRTMIN))
    assert {name: int(fields[name], 16) & visible for name in ("SigBlk", "SigIgn")} == {
        "SigBlk": 0,
        "SigIgn": 0,
    }


@lab_test
async def test_the_mark_of_a_tree_is_on_the_tree_only(lab: Lab) -> None:
    runs = [await lab.run("grep", "realtime timeout", "/proc/self/limits") for _ in range(2)]
    first, second = (int(run.text.split()[3]) for run in runs)
    # Some 36,000 years, of real-time scheduling only.
    assert first != second
    assert min(first, second) >= 1 << 60
    assert resource.getrlimit(resource.RLIMIT_RTTIME) == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@lab_test
async def test_many_at_once(lab: Lab) -> None:
    runs = [lab.start("/bin/sh", "-c", f"echo {number}", tty=number % 4 == 0) for number in range(200)]
    for number, run in enumerate(runs):
        assert (await run.until_over(), run.text) == (0, f"{number}\n")


def test_a_low_limit_on_open_files_is_raised_for_the_executor_only() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def limits_of_a_child() -> list[int]:
        async with open_lab() as lab:
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
            run = await lab.run("/bin/sh", "-c", "ulimit -Sn; ulimit -Hn")
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
            return [int(line) for line in run.text.split()]

    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        assert asyncio.run(limits_of_a_child()) == [200, before[1]]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

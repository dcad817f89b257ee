"""The command ``crossexec``, as a person runs it: real processes, a real executor."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

import executors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and shells here are those of POSIX")

ROOT = Path(__file__).resolve().parent.parent
CROSSEXEC = [sys.executable, "-m", "harness.cli"]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}
SECONDS = 60


def crossexec(*arguments: object, input: bytes | None = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end; *input* is what is piped into it."""
    result = subprocess.run(
        [*CROSSEXEC, *map(str, arguments)], input=input, env=ENVIRON, capture_output=True, timeout=SECONDS
    )
    assert b"Traceback" not in result.stderr, result.stderr.decode()
    return result


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An executor that listens."""
    with subprocess.Popen(
        [sys.executable, "-m", "executors", "--exit-with-parent"],
        env=ENVIRON,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as executor:
        assert executor.stdin and executor.stdout
        yield executor.stdout.readline().strip()
        executor.stdin.close()


@pytest.fixture
def start(url: str) -> Iterator["Starter"]:
    """Starts ``crossexec run`` on a program in Python and leaves it running; ends it with the test."""
    starter = Starter(url)
    yield starter
    starter.end()


class Starter:
    def __init__(self, url: str) -> None:
        self.url = url
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, code: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*CROSSEXEC, "run", "--url", self.url, "--", sys.executable, "-uc", code],
            env=ENVIRON,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class TestWholeCommand:
    def test_help_is_quick_and_names_every_command(self) -> None:
        code = (
            "import sys\nfrom harness.cli import main\ntry: main(['--help'])\n"
            "finally: print({'asyncio', 'msgspec', 'picows', 'websockets', 'harness.client'}"
            " & set(sys.modules))"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], env=ENVIRON, capture_output=True, text=True, timeout=SECONDS
        )
        assert result.stdout.endswith("set()\n")
        commands = {line.split()[0] for line in result.stdout.splitlines() if line.startswith("    ")}
        assert {"serve", "run", "info", "envs", "get", "put"} <= commands

    def test_version(self) -> None:
        assert crossexec("--version").stdout.decode() == f"crossexec {executors.__version__}\n"

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            ([], "COMMAND"),
            (["frobnicate"], "frobnicate"),
            (["run"], "crossexec run -- uname -a"),
            (["run", "--"], "crossexec run -- uname -a"),
            (["info", "--env", "local", "--url", "ws://127.0.0.1:1"], "not allowed with"),
            (["info", "--env", "nowhere"], "local"),
            (["run", "--tty", "--", "true"], "add -n"),
            (["serve", "--listen", "http://127.0.0.1:1"], "--listen"),
        ],
    )
    def test_wrong_usage_is_2_and_says_what_to_do(self, arguments: list[str], word: str) -> None:
        result = crossexec(*arguments)
        assert (result.returncode, result.stdout) == (2, b"")
        assert word in result.stderr.decode().splitlines()[-1]

    @pytest.mark.parametrize(
        ("command", "status"), [(["info"], 1), (["get", "/x", "-"], 1), (["run", "--", "true"], 125)]
    )
    def test_no_executor_is_one_line(self, command: list[str], status: int) -> None:
        result = crossexec(command[0], "--url", "ws://127.0.0.1:1", *command[1:])
        assert (result.returncode, result.stdout) == (status, b"")
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith(f"crossexec {command[0]}: cannot connect to ws://127.0.0.1:1")

    def test_serve_is_the_executor(self) -> None:
        with subprocess.Popen(
            [*CROSSEXEC, "serve", "--listen", "ws://127.0.0.1:0"],
            env=ENVIRON,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as executor:
            assert executor.stdout
            url = executor.stdout.readline().strip()
            assert crossexec("info", "--url", url).returncode == 0
            executor.send_signal(signal.SIGINT)
            assert executor.wait(SECONDS) == 0


class TestRun:
    def test_output_and_exit_code(self, url: str) -> None:
        result = crossexec("run", "--url", url, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (result.returncode, result.stdout, result.stderr) == (3, b"out\n", b"err\n")

    def test_in_an_environment(self) -> None:
        result = crossexec("run", "--env", "local", "--", "echo", "here")
        assert (result.returncode, result.stdout, result.stderr) == (0, b"here\n", b"")

    def test_arguments_are_the_programs_own(self, url: str) -> None:
        arguments = ["--tty", "-n", "", "--", "a b", "*", "é"]
        code = "import json, sys; print(json.dumps(sys.argv[1:]))"
        result = crossexec("run", "--url", url, sys.executable, "-c", code, *arguments)
        assert json.loads(result.stdout) == arguments

    def test_death_by_a_signal(self, url: str) -> None:
        assert crossexec("run", "--url", url, "--", "sh", "-c", "kill -9 $$").returncode == 137

    def test_a_missing_program(self, url: str) -> None:
        result = crossexec("run", "--url", url, "--", "/no/such/program")
        assert result.returncode == 127
        assert b"/no/such/program" in result.stderr

    def test_input_is_handed_on_to_its_end(self, url: str) -> None:
        data = bytes(range(256)) * 4096
        result = crossexec("run", "--url", url, "--", "cat", input=data)
        assert (result.returncode, result.stdout == data) == (0, True)

    def test_input_that_nobody_reads(self, url: str) -> None:
        result = crossexec("run", "--url", url, "--", "true", input=bytes(1_000_000))
        assert (result.returncode, result.stderr) == (0, b"")

    def test_no_input(self, url: str) -> None:
        assert crossexec("run", "-n", "--url", url, "--", "cat", input=b"text").stdout == b""

    @pytest.mark.parametrize(
        ("closed", "left"),
        [("<&-", (b"out\n", b"err\n")), (">&-", (b"", b"err\n")), ("2>&-", (b"out\n", b""))],
    )
    def test_a_closed_stream(self, url: str, closed: str, left: tuple[bytes, bytes]) -> None:
        command = [*CROSSEXEC, "run", "--url", url, "--", "sh", "-c", "cat; echo out; echo err >&2"]
        result = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
            input=b"",
            env=ENVIRON,
            capture_output=True,
            timeout=SECONDS,
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, *left)

    def test_working_directory(self, url: str, tmp_path: Path) -> None:
        for cwd in [tmp_path, tmp_path.as_uri(), os.path.relpath(tmp_path)]:
            result = crossexec("run", "--url", url, "--cwd", cwd, "--", "pwd", "-P")
            assert result.stdout.decode() == f"{tmp_path.resolve()}\n"

    def test_a_terminal_without_input(self, url: str) -> None:
        result = crossexec("run", "-n", "--tty", "--url", url, "--", "sh", "-c", "test -t 1 && echo yes")
        assert (result.returncode, result.stdout) == (0, b"yes\r\n")

    def test_output_that_nobody_reads_ends_the_program(self, start: Starter) -> None:
        process = start("import os\nprint(os.getpid())\nwhile True: print('x' * 1000)")
        assert process.stdout and process.stderr
        pid = int(process.stdout.readline())
        process.stdout.close()
        assert (process.wait(SECONDS), process.stderr.read()) == (141, b"")
        assert not is_running(pid)


class TestSignals:
    LISTENING = "import os, signal, sys\nprint(os.getpid())\n"

    def test_ctrl_c_is_the_programs_to_answer(self, start: Starter) -> None:
        answering = "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\nprint('ready')\nsignal.pause()"
        process = start(self.LISTENING + answering)
        assert process.stdout
        process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 7

    def test_ctrl_c_ends_a_program_that_does_not_care(self, start: Starter) -> None:
        careless = "signal.signal(signal.SIGINT, signal.SIG_DFL)\nprint()\nsignal.pause()"
        process = start(self.LISTENING + careless)
        assert process.stdout and process.stderr
        process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert (process.wait(SECONDS), process.stderr.read()) == (130, b"")

    def test_a_second_ctrl_c_kills(self, start: Starter) -> None:
        stubborn = "signal.signal(signal.SIGINT, lambda *_: print('no'))\nprint()\nwhile True: signal.pause()"
        process = start(self.LISTENING + stubborn)
        assert process.stdout and process.stderr
        pid = int(process.stdout.readline())
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"no\n"
        process.send_signal(signal.SIGINT)
        assert (process.wait(SECONDS), process.stderr.read()) == (130, b"")
        assert not is_running(pid)

    def test_sigterm_kills(self, start: Starter) -> None:
        process = start(self.LISTENING + "signal.pause()")
        assert process.stdout
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 143
        assert not is_running(pid)


class TestTerminal:
    def test_keys_sizes_and_a_terminal_left_as_it_was(self, url: str) -> None:
        code = (
            "import os, signal, sys\n"
            # print is not reentrant, as what a signal handler calls must be.
            "def say(text): os.write(1, text.encode() + b'\\n')\n"
            "signal.signal(signal.SIGWINCH, lambda *_: say('size %d %d' % os.get_terminal_size()))\n"
            "signal.signal(signal.SIGINT, lambda *_: say('interrupted'))\n"
            "say('ready')\n"
            "for line in sys.stdin: say('line ' + line.upper())\n"
            "sys.exit(9)\n"
        )
        script = '"$@"; echo "status $?"; stty -a | grep -q " icanon" && echo restored'
        command = [*CROSSEXEC, "run", "--tty", "--url", url, "--", sys.executable, "-c", code]
        argv = ["-c", script, "sh", *command]
        with pexpect.spawn("sh", argv, env=ENVIRON, dimensions=(30, 100), timeout=SECONDS) as terminal:
            terminal.expect_exact("ready")
            terminal.setwinsize(40, 120)
            terminal.expect_exact("size 120 40")
            terminal.sendline("hello")
            terminal.expect_exact("line HELLO")
            terminal.sendcontrol("c")
            terminal.expect_exact("interrupted")
            terminal.sendeof()
            terminal.expect_exact("status 9")
            terminal.expect_exact("restored")


class TestInfo:
    def test_as_a_table(self, url: str) -> None:
        lines = crossexec("info", "--url", url).stdout.decode().splitlines()
        rows = dict(line.split(None, 1) for line in lines)
        assert rows["executor"] == executors.__version__
        assert rows["directory"] == os.getcwd()

    def test_as_json(self, url: str) -> None:
        told = json.loads(crossexec("info", "--json", "--url", url).stdout)
        assert told["executorVersion"] == executors.__version__
        assert told["cwd"] == Path.cwd().as_uri()

    def test_environments(self) -> None:
        rows = dict(line.split(None, 1) for line in crossexec("envs").stdout.decode().splitlines())
        assert rows["local"] == "available"


class TestFiles:
    DATA = bytes(range(256)) * 10_000  # more than two blocks of the protocol

    def test_there_and_back(self, url: str, tmp_path: Path) -> None:
        mine, there, back = tmp_path / "mine", tmp_path / "there", tmp_path / "back"
        mine.write_bytes(self.DATA)
        assert crossexec("put", "--url", url, mine, there).returncode == 0
        assert crossexec("get", "--url", url, there.as_uri(), back).returncode == 0
        assert there.read_bytes() == back.read_bytes() == self.DATA

    def test_through_the_standard_streams(self, url: str, tmp_path: Path) -> None:
        assert crossexec("put", "--url", url, "-", tmp_path / "x", input=self.DATA).returncode == 0
        assert crossexec("get", "--url", url, tmp_path / "x", "-").stdout == self.DATA

    def test_into_a_directory(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "name é").write_bytes(b"text")
        for folder in ["there", "here"]:
            (tmp_path / folder).mkdir()
        assert crossexec("put", "--url", url, tmp_path / "name é", tmp_path / "there").returncode == 0
        assert crossexec("get", "--url", url, tmp_path / "there/name é", tmp_path / "here").returncode == 0
        assert (tmp_path / "here/name é").read_bytes() == b"text"

    def test_a_missing_remote_file_leaves_the_local_one(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "kept").write_bytes(b"text")
        result = crossexec("get", "--url", url, tmp_path / "missing", tmp_path / "kept")
        assert result.returncode == 1
        assert str(tmp_path / "missing") in result.stderr.decode()
        assert (tmp_path / "kept").read_bytes() == b"text"

    def test_a_missing_local_file(self, url: str, tmp_path: Path) -> None:
        result = crossexec("put", "--url", url, tmp_path / "missing", tmp_path / "new")
        assert result.returncode == 1
        assert str(tmp_path / "missing") in result.stderr.decode()
        assert not (tmp_path / "new").exists()

    def test_output_that_nobody_reads(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(self.DATA)
        with subprocess.Popen(
            [*CROSSEXEC, "get", "--url", url, str(tmp_path / "x"), "-"],
            env=ENVIRON,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout and process.stderr
            process.stdout.read(1)
            process.stdout.close()
            assert (process.wait(SECONDS), process.stderr.read()) == (141, b"")

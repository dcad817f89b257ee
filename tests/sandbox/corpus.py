"""Commands under a sandbox, labelled by hand: did the sandbox make them fail?

All run under the same intent: everything may be read, ``$IN`` (where they start) may be written, and there is
no network. ``$OUT`` is another directory, with ``file``, ``dir/file``, ``repo`` (a Git repository) and
``socket`` (somebody listens); somebody listens on ``$PORT`` of the loopback device, and ``$VICTIM`` is a
process outside. ``$PY`` is a Python.

A command is *denied* if it fails, and would have succeeded, at what it was about, without the sandbox.

``python -m tests.sandbox.corpus`` runs them and prints how well each rule does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Command:
    """
    :ivar script: for ``sh -c``.
    :ivar needs: a program that must be there.
    :ivar locale: a locale that must be there, and is set.
    """

    name: str
    denied: bool
    script: str
    tty: bool = False
    needs: str | None = None
    locale: str | None = None

    @property
    def missing(self) -> str | None:
        """Returns what this machine lacks for it."""
        if self.needs is not None and shutil.which(self.needs) is None:
            return self.needs
        if self.locale is not None and self.locale not in _locales():
            return f"locale {self.locale}"
        return None


def _locales() -> set[str]:
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    # Listed as de_DE.utf8, asked for as de_DE.UTF-8.
    return {name.replace("utf8", "UTF-8") for name in listed.split()}


def _denied(name: str, script: str, **more: object) -> Command:
    return Command(name, True, script, **more)  # type: ignore[arg-type]


def _fine(name: str, script: str, **more: object) -> Command:
    return Command(name, False, script, **more)  # type: ignore[arg-type]


_BASH: Final = {"needs": "bash"}
_GIT: Final = {"needs": "git"}
_PERL: Final = {"needs": "perl"}

CORPUS: Final = (
    # Writing outside, with a word about it.
    _denied("redirection of sh", 'echo x > "$OUT/new"'),
    _denied("appending by sh", 'echo x >> "$OUT/file"'),
    _denied("redirection of bash", "bash -c 'echo x > \"$OUT/new\"'", **_BASH),
    _denied("touch a new file", 'touch "$OUT/new"'),
    _denied("touch a file", 'touch "$OUT/file"'),
    _denied("touch by a relative path", "touch ../out/new"),
    _denied("touch after cd", 'cd "$OUT" && touch new'),
    _denied("cp to outside", 'cp file "$OUT/new"'),
    _denied("cp over a file outside", 'cp file "$OUT/file"'),
    _denied("mv to outside", 'mv movable "$OUT/"'),
    _denied("mv from outside", 'mv "$OUT/file" .'),
    _denied("mv within outside", 'mv "$OUT/file" "$OUT/other"'),
    _denied("rm", 'rm "$OUT/file"'),
    _denied("rm -rf", 'rm -rf "$OUT/dir"'),
    _denied("rmdir", 'rmdir "$OUT/empty"'),
    _denied("mkdir", 'mkdir "$OUT/new"'),
    _denied("mkdir -p", 'mkdir -p "$OUT/new/below"'),
    _denied("symbolic link outside", 'ln -s x "$OUT/new"'),
    _denied("hard link outside", 'ln file "$OUT/new"'),
    _denied("tee", 'echo x | tee "$OUT/new"; exit 1'),
    _denied("dd", 'dd if=file of="$OUT/new" bs=1 count=1'),
    _denied("sed -i", 'sed -i s/a/b/ "$OUT/file"'),
    _denied("truncate", 'truncate -s 0 "$OUT/file"'),
    _denied("install", 'install -m 644 file "$OUT/new"'),
    _denied("mkfifo", 'mkfifo "$OUT/fifo"'),
    _denied("tar extracts to outside", 'tar -cf t.tar file && tar -xf t.tar -C "$OUT"'),
    _denied("python writes", '"$PY" -c \'import os; open(os.environ["OUT"] + "/new", "w")\''),
    _denied("python removes", '"$PY" -c \'import os; os.unlink(os.environ["OUT"] + "/file")\''),
    _denied("perl", "perl -e 'open F, \">$ENV{OUT}/new\" or die qq(no: $!)'", **_PERL),
    _denied("perl unlink", "perl -e 'unlink qq($ENV{OUT}/file) or die $!'", **_PERL),
    _denied("git init outside", 'git init -q "$OUT/new"', **_GIT),
    _denied("git commit outside", 'cd "$OUT/repo" && git commit -q --allow-empty -m x', **_GIT),
    _denied("git clone to outside", 'git init -q r && git clone -q r "$OUT/new"', **_GIT),
    _denied("through a link inside", 'ln -s "$OUT" link && echo x > link/new'),
    _denied("by a grandchild", "sh -c 'sh -c \"touch $OUT/new\"; exit $?'; exit $?"),
    _denied("by a background job", 'touch "$OUT/new" & wait $!'),
    _denied("at a terminal", 'echo x > "$OUT/new"', tty=True),
    _denied("touch at a terminal", 'touch "$OUT/file"', tty=True),
    _denied("after much output", 'seq 100000; touch "$OUT/new"'),
    _denied("before much output", 'touch "$OUT/new" || { seq 100000; exit 1; }'),
    # What the owner may do without opening anything.
    _denied("chmod", 'chmod 600 "$OUT/file"'),
    _denied("chown", 'chown "$(id -u)" "$OUT/file"'),
    _denied("touch -d", 'touch -d 2001-01-01 "$OUT/file"'),
    _denied("setfattr", 'setfattr -n user.x -v 1 "$OUT/file"', needs="setfattr"),
    _denied("python chmod", '"$PY" -c \'import os; os.chmod(os.environ["OUT"] + "/file", 0o600)\''),
    # Nothing is said about it.
    _denied("redirection, silent", 'exec 2>/dev/null; echo x > "$OUT/new"'),
    _denied("touch, silent", 'touch "$OUT/new" 2>/dev/null'),
    _denied("own exit code", 'touch "$OUT/new" 2>/dev/null || exit 3'),
    _denied("own words", 'touch "$OUT/new" 2>/dev/null || { echo cannot save >&2; exit 1; }'),
    _denied("rm -rf, silent", 'rm -rf "$OUT/dir" 2>/dev/null'),
    _denied("grep of the error", 'touch "$OUT/new" 2>&1 | grep -q nothing'),
    _denied(
        "python exits 1",
        '"$PY" -c \'\nimport os, sys\n'
        'try: open(os.environ["OUT"] + "/new", "w")\nexcept OSError: sys.exit(1)\'',
    ),
    _denied(
        "python dies silently",
        '"$PY" -c \'\nimport os\ntry: os.mkdir(os.environ["OUT"] + "/new")\nexcept OSError: os.abort()\'',
    ),
    _denied("test -w then give up", 'touch "$OUT/new" 2>/dev/null; test -e "$OUT/new"'),
    _denied("silent at a terminal", 'touch "$OUT/new" 2>/dev/null', tty=True),
    _denied("error to a file", 'touch "$OUT/new" 2>errors'),
    _denied("in German", 'touch "$OUT/new"', locale="de_DE.UTF-8"),
    # The network.
    _denied("bash connects", 'bash -c "echo > /dev/tcp/127.0.0.1/$PORT"', **_BASH),
    _denied(
        "python connects",
        '"$PY" -c \'import os, socket; socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))\'',
    ),
    _denied(
        "python connects, silent",
        '"$PY" -c \'\nimport os, socket, sys\n'
        'try: socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))\n'
        "except OSError: sys.exit(1)'",
    ),
    _denied(
        "python sends a datagram",
        '"$PY" -c \'\nimport os, socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)'
        '.sendto(b"x", ("127.0.0.1", int(os.environ["PORT"])))\'',
    ),
    _denied(
        "a Unix socket outside",
        '"$PY" -c \'\nimport os, socket\n'
        'socket.socket(socket.AF_UNIX).connect(os.environ["OUT"] + "/socket")\'',
    ),
    # Other processes.
    _denied("kill", 'kill "$VICTIM"'),
    _denied("kill -0, silent", 'kill -0 "$VICTIM" 2>/dev/null'),
    _denied("python kills", '"$PY" -c \'import os; os.kill(int(os.environ["VICTIM"]), 15)\''),
    # Words, and nothing else.
    _fine("words", "echo Permission denied; exit 1"),
    _fine("words on stderr", "echo 'x: Operation not permitted' >&2; exit 1"),
    _fine("words of another file system", "echo Read-only file system; exit 30"),
    _fine("words at a terminal", "echo Permission denied; exit 1", tty=True),
    _fine("words of a remote host", "echo 'git@host: Permission denied (publickey).' >&2; exit 255"),
    _fine("words of a log", "echo '12:00 GET /x 403 permission denied'; exit 4"),
    _fine("words about a path inside", 'echo "cannot write $IN/file: Permission denied" >&2; exit 1'),
    _fine("grep finds the words", "echo permission denied > log; grep -c 'permission denied' log && exit 5"),
    _fine("a failing test with the words", "printf 'FAIL test_denied: Permission denied != ok\\n'; exit 1"),
    _fine("words of no network", "echo 'socket: Operation not permitted'; exit 1"),
    # Ordinary failures.
    _fine("false", "false"),
    _fine("exit code 77", "exit 77"),
    _fine("grep finds nothing", "grep nothing file"),
    _fine("missing file", "cat missing"),
    _fine("missing file outside", 'cat "$OUT/missing"'),
    _fine("rm of a missing file outside", 'rm "$OUT/missing"'),
    _fine("no such directory", 'echo x > "$OUT/missing/new"'),
    _fine("a directory outside is there", 'mkdir "$OUT/dir"'),
    _fine("is a directory", 'cat "$OUT/dir"'),
    _fine("unknown command", "no-such-command-at-all"),
    _fine("not executable", "printf x > plain; ./plain"),
    _fine("a directory as a program", '"$OUT/dir"'),
    _fine("syntax error", "if"),
    _fine("unknown option", "ls --no-such-option"),
    _fine("full device", "echo x > /dev/full"),
    _fine("what nobody may write", "mkdir /sys/new"),
    _fine("python raises", "\"$PY\" -c 'raise SystemExit(4)'"),
    _fine("python raises its own", '"$PY" -c \'raise PermissionError(13, "Permission denied")\''),
    _fine("diff", "echo x > other; diff file other"),
    _fine("git outside of a repository", "git log", **_GIT),
    _fine("git diff of a repository outside", 'cd "$OUT/repo" && git diff --exit-code', **_GIT),
    _fine("kill of nobody", "kill 4194304"),
    _fine("ends by a signal", "kill -9 $$"),
    _fine("ends by SIGSYS of its own", "kill -SYS $$"),
    _fine("a timeout", "timeout 0.05 sleep 5"),
    _fine("not executable at a terminal", "printf x > plain; ./plain", tty=True),
    _fine(
        "python keeps no cache outside", 'PYTHONPATH="$OUT" "$PY" -c \'import module; raise SystemExit(1)\''
    ),
    # Denied something, and none the worse.
    _fine("goes on", 'touch "$OUT/new"; exit 0'),
    _fine("falls back", 'touch "$OUT/new" 2>/dev/null || touch new'),
    _fine("cp -p within", 'cp -p "$OUT/file" copy'),
    _fine("ignores it", 'echo x | tee "$OUT/new" > /dev/null || true'),
    _fine("probes and goes on", 'test -w "$OUT" || echo read-only; exit 0'),
    _fine("denied, then fails for another reason", 'touch "$OUT/new" 2>/dev/null; grep nothing file'),
    # All is well.
    _fine("writes inside", "echo x > new && rm new"),
    _fine("reads outside", 'cat "$OUT/file"'),
    _fine("chmod inside", "chmod 600 file"),
    _fine("git inside", "git init -q g && cd g && git commit -q --allow-empty -m x", **_GIT),
    _fine("says so and is well", "echo Permission denied"),
)


@contextmanager
def world(command: Command) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yields where commands start and the environment they run in."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        base = Path(os.path.realpath(name))
        inside, outside = base / "in", base / "out"
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(inside),
            "IN": str(inside),
            "OUT": str(outside),
            "PY": sys.executable,
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        fill(inside, outside)
        if command.needs == "git":
            make_repository(outside / "repo", env)
        victim = subprocess.Popen(["sleep", "1000"])
        try:
            with (
                socket.create_server(("127.0.0.1", 0)) as listener,
                socket.socket(socket.AF_UNIX) as unix,
            ):
                unix.bind(str(outside / "socket"))
                unix.listen()
                yield inside, env | {"PORT": str(listener.getsockname()[1]), "VICTIM": str(victim.pid)}
        finally:
            victim.kill()
            victim.wait()


def fill(inside: Path, outside: Path) -> None:
    """Makes the files of the corpus."""
    for directory in (inside, outside / "dir", outside / "empty"):
        directory.mkdir(parents=True)
    for path in (inside / "file", inside / "movable", outside / "file", outside / "dir/file"):
        path.write_text("a\n")
    (outside / "module.py").write_text("")


def make_repository(path: Path, env: dict[str, str]) -> None:
    """Makes a repository whose index Git would like to write anew, for a file has another time in it."""
    script = 'git init -q "$0" && cd "$0" && echo x > f && git add f && git commit -q -m x && touch f'
    subprocess.run(["sh", "-c", script, str(path)], env=env, check=True)


@dataclass
class Score:
    """How a rule does: counts of true and false, positives and negatives, and what it gets wrong."""

    right: int = 0
    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    def add(self, denied: bool, said: bool) -> None:
        self.right += denied == said
        self.hits += denied and said
        self.false_alarms += said and not denied
        self.misses += denied and not said

    @property
    def precision(self) -> float:
        return self.hits / ((self.hits + self.false_alarms) or 1)

    @property
    def recall(self) -> float:
        return self.hits / ((self.hits + self.misses) or 1)

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.right} | {self.false_alarms} | {self.misses} "
            f"| {self.precision:.1%} | {self.recall:.1%} |"
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a command: by the rule of the executor and by the text rule."""

    command: Command
    exit_code: int
    output: str
    ours: bool
    by_text: bool


async def run_all(backend_name: str, commands: Iterable[Command] = CORPUS) -> list[Outcome]:
    """Runs *commands* under a backend of this machine, each in a session and a world of its own.

    :raises LookupError: there is no such backend here.
    """
    from executors.sandbox.denial import text_says_denied
    from tests.sandbox.session import backends, managed, open_calls

    found = [backend for backend in backends() if backend.name == backend_name]
    if not found:
        raise LookupError(f"no sandbox backend {backend_name!r} works here")
    outcomes = []
    async with open_calls(found) as calls:
        for number, command in enumerate(commands):
            with world(command) as (inside, env):
                if command.locale is not None:
                    env["LC_ALL"] = command.locale
                exited = await calls.run(
                    str(number),
                    *("/bin/sh", "-c", command.script),
                    cwd=inside.as_uri(),
                    env=env,
                    tty=command.tty,
                    sandbox=managed((inside, "write")),
                )
            output, code = calls.output(str(number)), exited["exitCode"]
            outcome = Outcome(command, code, output, exited["sandboxDenied"], text_says_denied(code, output))
            outcomes.append(outcome)
    return outcomes


def main() -> None:
    from tests.sandbox.session import backends

    left_out = [f"{one.name} ({one.missing})" for one in CORPUS if one.missing is not None]
    commands = [one for one in CORPUS if one.missing is None]
    denied = sum(one.denied for one in commands)
    print(f"{len(commands)} commands, {denied} of them denied; left out: {', '.join(left_out) or 'none'}\n")
    print("| rule | right | false alarms | misses | precision | recall |")
    print("|---|---|---|---|---|---|")
    wrong = []
    for backend in backends():
        outcomes = asyncio.run(run_all(backend.name, commands))
        text, ours = Score(), Score()
        for one in outcomes:
            text.add(one.command.denied, one.by_text)
            ours.add(one.command.denied, one.ours)
            if one.ours != one.command.denied:
                said = "denied" if one.ours else "not denied"
                wrong.append(f"{backend.name}: {one.command.name}: {said}, exit code {one.exit_code}")
        print(text.row(f"{backend.name}: text"))
        print(ours.row(f"{backend.name}: this executor"))
    print("\nWhat this executor gets wrong:", *(wrong or ["nothing"]), sep="\n- ")


if __name__ == "__main__":
    main()

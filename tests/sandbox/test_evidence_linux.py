"""What a program was kept from in the sandbox of Landlock, as the supervisor has seen it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("seccomp is of Linux", allow_module_level=True)

from executors.sandbox.backend import Evidence
from executors.sandbox.landlock_backend_linux import LandlockBackend
from tests.sandbox.confined_linux import Confined, Places, on_loop

BACKEND = LandlockBackend()
pytestmark = pytest.mark.skipif(BACKEND.missing() is not None, reason=str(BACKEND.missing()))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


DENIED = [
    ("touch {out}/new", "openat"),
    ("echo x 2>/dev/null >{out}/new", "openat"),
    ("echo x >>{out}/file", "openat"),
    ("truncate -s 0 {out}/file", "openat"),
    ("mkdir {out}/new", "mkdir"),
    ("rm -f {out}/file", "unlinkat"),
    ("rmdir {out}", "rmdir"),
    ("mv {out}/file .", "renameat2"),
    ("touch f; mv f {out}/", "renameat2"),
    ("ln -s x {out}/new", "symlinkat"),
    ("ln {out}/file .", "linkat"),
    ("mkfifo {out}/new", "mknodat"),
    ("chmod 777 {out}/file", "fchmodat"),
    ("chown -h 1 {out}/file", "fchownat"),
    ("touch -d 2001-01-01 -c {out}/file", "utimensat"),
    ("kill -CONT $PPID", "kill"),
    (f"{sys.executable} -c 'import ctypes; exit(-ctypes.CDLL(None).ptrace(0, 0, 0, 0))'", "ptrace"),
    ("setsid touch {out}/new", "openat"),
    ("(touch {out}/new 2>/dev/null; true) | cat; exit 1", "openat"),
]


@pytest.mark.parametrize(("command", "operation"), DENIED)
@on_loop
async def test_what_is_denied_is_noted(places: Places, command: str, operation: str) -> None:
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.shell(command.format(out=places.out), cwd=places.ws)
    assert outcome.evidence is not None, outcome
    names = {operation, operation.removesuffix("at"), operation.removesuffix("2"), operation + "2"}
    names |= {"open" if operation == "openat" else operation, "lchown", "rename"}
    assert outcome.evidence.operation in names, outcome
    if operation not in ("kill", "ptrace"):
        assert outcome.evidence.target.startswith((str(places.out), str(places.ws))), outcome


UNDENIED = [
    "echo Permission denied >&2; exit 1",
    "cat /nothing/there",
    "mkdir -p {out}",
    "mkdir {out}",
    "rm {out}/nothing",
    "ls {out}/nothing >/dev/null",
    "echo x >/nothing/there/new",
    "echo x >{out}/",
    "test -w {out}/file; cat {out}/file >/dev/null; false",
    "chmod 600 {out}/nothing",
    "mv {out}/nothing .",
    "echo x >/dev/stderr; echo x >/dev/full",
    "true 3<>/dev/tty",
    "kill -0 $PPID; kill -9 999999999; sleep 9 & kill $!",
    "nice -n 5 true; ulimit -c 0; exit 3",
]


@pytest.mark.parametrize("command", UNDENIED)
@on_loop
async def test_what_fails_by_itself_is_not_noted(places: Places, command: str) -> None:
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.shell(command.format(out=places.out), cwd=places.ws)
    assert outcome.evidence is None, outcome


@on_loop
async def test_evidence_belongs_to_whoever_was_started(places: Places) -> None:
    denied = f"touch {places.out}/new 2>/dev/null"
    # The second one leaves its session and its parent behind.
    daemon = f"setsid setsid sh -c 'exec >&- 2>&-; {denied}; touch done' & while [ ! -e done ]; do :; done"
    async with Confined(BACKEND, places.policy) as confined:
        innocent, orphan, guilty = (
            confined.start(["/bin/sh", "-c", command], cwd=places.ws)
            for command in ("while [ ! -e over ]; do :; done", daemon, f"{denied}; true")
        )
        expected = Evidence("openat", str(places.out / "new"))
        assert (await guilty.outcome()).evidence == expected
        assert (await orphan.outcome()).evidence == expected
        (places.ws / "over").touch()
        assert (await innocent.outcome()).evidence is None
        assert confined.confinement.evidence(guilty.process.pid) is None


@on_loop
async def test_what_programs_do_without_does_not_hide_the_rest(places: Places) -> None:
    commands = [f"touch {places.out}/new", f"mkdir {places.out}/__pycache__"]
    async with Confined(BACKEND, places.policy) as confined:
        for text in ("; ".join(commands), "; ".join(reversed(commands))):
            outcome = await confined.shell(text, cwd=places.ws)
            assert outcome.evidence == Evidence("openat", str(places.out / "new")), text

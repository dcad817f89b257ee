"""Workspaces, and programs in the sandbox of bubblewrap, for its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from executors.sandbox.bubblewrap_linux import BubblewrapBackend
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from tests.sandbox.confined_linux import Confined, Outcome

NONE, READ, WRITE = Access.NONE, Access.READ, Access.WRITE
BACKEND = BubblewrapBackend()


def _why_not() -> str | None:
    if (missing := BACKEND.missing()) is not None:
        return missing
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return None if tried.returncode == 0 else f"bubblewrap does not work here: {tried.stderr}"


_WHY_NOT = _why_not()
needs_bubblewrap = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

# Each attempt is made by a process of its own.
PROGRAM = """
import ctypes, errno, json, os, signal, socket, sys
values = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
values["check"] = check
found = {}
for name, code in json.loads(sys.argv[2]).items():
    reader, writer = os.pipe()
    if not os.fork():
        try:
            exec(code, globals() | values)
            text = "done"
        except OSError as error:
            text = errno.errorcode[error.errno]
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    found[name] = os.read(reader, 1000).decode()
    os.close(reader)
    os.wait()
print(json.dumps(found))
"""


class Place:
    """A workspace, and what lies around it."""

    def __init__(self, base: Path) -> None:
        base = base.resolve()
        self.ws = base / "ws"
        self.out = base / "out"
        (self.ws / ".git").mkdir(parents=True)
        (self.ws / ".git" / "config").write_text("[core]")
        (self.ws / "inner" / "deep").mkdir(parents=True)
        (self.ws / "inner" / "deep" / "secret").write_text("hush")
        (self.ws / "keys").mkdir()
        (self.ws / "keys" / "id").write_text("hush")
        self.out.mkdir()
        (self.out / "file").write_text("kept")
        (self.ws / "to_out").symlink_to(self.out)

    def policy(self, *more: Rule, network: bool = False, patterns: tuple[str, ...] = ()) -> Policy:
        rules = [
            Rule(Path("/"), READ),
            Rule(self.ws, WRITE),
            Rule(self.ws / ".git", READ),
            Rule(self.ws / "keys", NONE),
            Rule(self.ws / "inner/deep/secret", NONE),
        ]
        return make_policy([*rules, *more], network=network, denied_patterns=patterns)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def attempts(policy: Policy, place: Place, codes: dict[str, str], **values: object) -> dict[str, str]:
    """Makes them in one sandbox, and returns the name of the error of each, or ``done``."""
    known = {"out": str(place.out), "ws": str(place.ws), **values}
    async with Confined(BACKEND, policy) as confined:
        argv = [sys.executable, "-I", "-S", "-c", PROGRAM, json.dumps(known), json.dumps(codes)]
        outcome = await confined.run(argv, cwd=place.ws)
    assert outcome.code == 0, outcome.output
    result: dict[str, str] = json.loads(outcome.output)
    return result


async def say(policy: Policy, text: str, place: Place) -> Outcome:
    async with Confined(BACKEND, policy) as confined:
        return await confined.shell(text, cwd=place.ws)

"""Workspaces, and programs in the sandbox of bubblewrap, for its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from executors.sandbox.bubblewrap_linux import BubblewrapBackend
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from executors.sandbox.private_mounts_linux import PrivateMounts
from tests.sandbox.confined_linux import Confined, Outcome

NONE, READ, WRITE = Access.NONE, Access.READ, Access.WRITE
BACKEND = BubblewrapBackend()


def _why_not() -> str | None:
    if (missing := BACKEND.missing()) is not None:
        return missing
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return None if tried.returncode == 0 else f"bubblewrap does not work here: {tried.stderr}"


def _can_join() -> bool:
    mounts = PrivateMounts.if_possible()
    if mounts is not None:
        mounts.close()
    return mounts is not None


_WHY_NOT = _why_not()
_CAN_JOIN = _can_join()
needs_super_user = pytest.mark.skipif(not _CAN_JOIN, reason="a super-user is needed, and the right to mount")
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


class Joined(Confined):
    """Starts no program as the first one, whose namespaces the others join."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            assert (await self.run(["/bin/true"])).code == 0
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self


class Place:
    """A workspace, and what lies around it."""

    def __init__(self, base: Path, *, joined: bool = False) -> None:
        self._joined = joined
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

    def confined(self, policy: Policy) -> Confined:
        """Returns what starts programs, each in the way that is to be tested."""
        return (Joined if self._joined else Confined)(BACKEND, policy)

    def policy(self, *more: Rule, network: bool = False, patterns: tuple[str, ...] = ()) -> Policy:
        rules = [
            Rule(Path("/"), READ),
            Rule(self.ws, WRITE),
            Rule(self.ws / ".git", READ),
            Rule(self.ws / "keys", NONE),
            Rule(self.ws / "inner/deep/secret", NONE),
        ]
        return make_policy([*rules, *more], network=network, denied_patterns=patterns)


@pytest.fixture(params=["first", "joined"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    joined = request.param == "joined"
    if joined and not _CAN_JOIN:
        pytest.skip("only a super-user joins what another start has made")
    return Place(tmp_path, joined=joined)


async def attempts(policy: Policy, place: Place, codes: dict[str, str], **values: object) -> dict[str, str]:
    """Makes them in one sandbox, and returns the name of the error of each, or ``done``."""
    known = {"out": str(place.out), "ws": str(place.ws), **values}
    async with place.confined(policy) as confined:
        argv = [sys.executable, "-I", "-S", "-c", PROGRAM, json.dumps(known), json.dumps(codes)]
        outcome = await confined.run(argv, cwd=place.ws)
    assert outcome.code == 0, outcome.output
    result: dict[str, str] = json.loads(outcome.output)
    return result


async def say(policy: Policy, text: str, place: Place) -> Outcome:
    async with place.confined(policy) as confined:
        return await confined.shell(text, cwd=place.ws)

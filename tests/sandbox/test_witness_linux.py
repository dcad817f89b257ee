"""What a program was kept from in the sandbox of bubblewrap, as the executor has seen it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("bubblewrap is of Linux", allow_module_level=True)

from executors.sandbox.backend import Evidence
from executors.sandbox.policy import Rule, make_policy
from tests.sandbox.bubblewrapped_linux import BACKEND, READ, WRITE, Place, needs_bubblewrap, place
from tests.sandbox.confined_linux import on_loop
from tests.sandbox.test_evidence_linux import DENIED, UNDENIED

__all__ = ["place"]
pytestmark = [
    needs_bubblewrap,
    pytest.mark.skipif(not BACKEND.sees_denials, reason="this process is watched itself"),
]
# Their own processes are all that they see.
_OF_OTHERS = "$PPID"


@pytest.mark.parametrize(("command", "operation"), [one for one in DENIED if _OF_OTHERS not in one[0]])
@on_loop
async def test_what_is_denied_is_noted(place: Place, command: str, operation: str) -> None:
    async with place.confined(place.policy()) as confined:
        outcome = await confined.shell(command.format(out=place.out), cwd=place.ws)
    assert outcome.evidence is not None, outcome
    names = {operation, operation.removesuffix("at"), operation.removesuffix("2"), operation + "2"}
    names |= {"open" if operation == "openat" else operation, "lchown", "rename"}
    if "mv {out}" in command:
        # It has been copied, and cannot be removed.
        names |= {"unlink", "unlinkat"}
    assert outcome.evidence.operation in names, outcome
    if operation != "ptrace":
        assert outcome.evidence.target.startswith((str(place.out), str(place.ws))), outcome


@pytest.mark.parametrize("command", UNDENIED)
@on_loop
async def test_what_fails_by_itself_is_not_noted(place: Place, command: str) -> None:
    async with place.confined(place.policy()) as confined:
        outcome = await confined.shell(command.format(out=place.out), cwd=place.ws)
    assert outcome.evidence is None, outcome


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("cat keys/id", "keys/id"),
        ("cat keys/id 2>/dev/null", "keys/id"),
        ("exec 2>/dev/null; touch .git/new", ".git/new"),
        ("rm -rf .git", ".git/config"),
        ("cat inner/deep/secret", "inner/deep/secret"),
        ("cat matching.key", "matching.key"),
        ("chmod 600 .git/config", ".git/config"),
        ("cd .git && chmod 600 config", ".git/config"),
        ("exec 5<.git/config; /bin/sh -c 'chmod 600 /proc/self/fd/5'", ".git/config"),
    ],
)
@on_loop
async def test_what_is_carved_out_is_noted(place: Place, command: str, target: str) -> None:
    (place.ws / "matching.key").touch()
    async with place.confined(place.policy(patterns=(f"{place.ws}/*.key",))) as confined:
        outcome = await confined.shell(command, cwd=place.ws)
    assert outcome.evidence is not None, outcome
    assert outcome.evidence.target == str(place.ws / target)


@pytest.mark.parametrize(
    "command",
    [
        "echo x >/dev/shm/new && cat /dev/shm/new && rm /dev/shm/new; false",
        "echo 1 >/proc/self/oom_score_adj; false",
        "mkdir a && mv a b && touch b/c && chmod 700 b && rm -r b; false",
        "kill $$",
        "sleep 9 & kill $!; wait; kill $!; kill 3; false",
        "cat /etc/passwd >/dev/null; false",
    ],
)
@on_loop
async def test_what_is_allowed_is_not_noted(place: Place, command: str) -> None:
    async with place.confined(place.policy()) as confined:
        outcome = await confined.shell(command, cwd=place.ws)
    assert outcome.evidence is None, outcome


@on_loop
async def test_what_is_not_shown_is_noted(place: Place) -> None:
    policy = make_policy(
        [
            *(Rule(Path(path), READ) for path in ("/usr", "/etc/ld.so.cache", "/etc/locale.alias")),
            Rule(place.ws, WRITE),
        ]
    )
    async with place.confined(policy) as confined:
        outcome = await confined.run(["/usr/bin/cat", str(place.out / "file")], cwd=place.ws)
        missing = await confined.run(["/usr/bin/cat", str(place.out / "nothing")], cwd=place.ws)
    assert outcome.evidence is not None
    assert outcome.evidence.target == str(place.out / "file")
    assert missing.evidence is None


@on_loop
async def test_moving_between_two_places_is_told_apart(place: Place) -> None:
    other = place.ws.with_name("other")
    other.mkdir()
    policy = place.policy(Rule(other, WRITE))
    async with place.confined(policy) as confined:
        link = await confined.shell("touch f; ln f ../other/f", cwd=place.ws)
        move = await confined.shell("touch f; mv f ../other/g", cwd=place.ws)
        within = await confined.shell("touch f; ln f g; mv f h; mv missing ../other; false", cwd=place.ws)
    assert link.evidence == Evidence("linkat", str(other / "f"), crosses=True)
    assert move.evidence is not None
    assert (move.code, move.evidence.target, move.evidence.crosses) == (0, str(other / "g"), True)
    assert within.evidence is None


@on_loop
async def test_a_process_outside_is_noted(place: Place) -> None:
    victim = subprocess.Popen(["sleep", "100"])
    while victim.pid < 1100:
        # Inside such a number could be meant for somebody else.
        victim.kill()
        victim.wait()
        victim = subprocess.Popen(["sleep", "100"])
    try:
        async with place.confined(place.policy()) as confined:
            outcome = await confined.shell(f"kill {victim.pid} 2>/dev/null", cwd=place.ws)
        assert outcome.evidence == Evidence("kill", str(victim.pid))
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@on_loop
async def test_the_network_is_noted(place: Place) -> None:
    text = (
        "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: raise SystemExit(3)"
    )
    async with place.confined(place.policy()) as confined:
        outcome = await confined.python(text, cwd=place.ws)
    assert (outcome.code, outcome.evidence) == (3, Evidence("socket", "AF_INET"))


@on_loop
async def test_evidence_belongs_to_whoever_was_started(place: Place) -> None:
    denied = f"touch {place.out}/new 2>/dev/null"
    async with place.confined(place.policy()) as confined:
        innocent, guilty = (
            confined.start(["/bin/sh", "-c", command], cwd=place.ws)
            for command in ("until [ -e over ]; do :; done; false", f"setsid sh -c '{denied}'; true")
        )
        assert (await guilty.outcome()).evidence == Evidence("openat", str(place.out / "new"))
        (place.ws / "over").touch()
        assert (await innocent.outcome()).evidence is None


@on_loop
async def test_a_terminal_is_watched(place: Place) -> None:
    async with place.confined(place.policy()) as confined:
        outcome = await confined.start(
            ["/bin/sh", "-c", f"touch {place.out}/new 2>/dev/null"], cwd=place.ws, tty=True
        ).outcome()
    assert outcome.evidence == Evidence("openat", str(place.out / "new"))


@on_loop
async def test_what_programs_do_without_does_not_hide_the_rest(place: Place) -> None:
    commands = [f"touch {place.out}/new", f"mkdir {place.out}/__pycache__"]
    async with place.confined(place.policy()) as confined:
        for text in ("; ".join(commands), "; ".join(reversed(commands))):
            outcome = await confined.shell(text, cwd=place.ws)
            assert outcome.evidence == Evidence("openat", str(place.out / "new")), text

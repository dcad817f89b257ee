"""Programs in the sandbox of bubblewrap start, are signalled and end as without one, or with an error."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("bubblewrap is of Linux", allow_module_level=True)

from executors.process.base import SpawnRequest
from executors.sandbox.bubblewrap_linux import BubblewrapBackend
from executors.sandbox.policy import Rule, make_policy
from tests.sandbox.bubblewrapped_linux import (
    BACKEND,
    NONE,
    READ,
    WRITE,
    Place,
    attempts,
    needs_bubblewrap,
    needs_super_user,
    place,
    say,
)
from tests.sandbox.confined_linux import Confined, on_loop

__all__ = ["place"]
pytestmark = needs_bubblewrap
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only a super-user can become another")


@pytest.mark.parametrize("tty", [False, True])
@on_loop
async def test_programs_run_as_without_a_sandbox(place: Place, tty: bool) -> None:
    text = 'echo "$0|$1|$VALUE|$(pwd)"; env; ls -1 /proc/self/fd; exit 7'
    async with place.confined(place.policy()) as confined:
        env = {"VALUE": "ü\n=", "LD_LIBRARY_PATH": "/nothing", "EMPTY": ""}
        outcome = await confined.run(["sh", "-c", text, "a b", "c,d"], cwd=place.ws, env=env, tty=tty)
    lines = "\n".join(outcome.output.split("\r\n" if tty else "\n"))
    assert outcome.code == 7
    assert lines.startswith(f"a b|c,d|ü\n=|{place.ws}\n"), lines
    assert "\nLD_LIBRARY_PATH=/nothing\n" in lines
    assert "\nEMPTY=\n" in lines
    assert lines.endswith("\n0\n1\n2\n3\n"), "the last one is the listing's own"


@on_loop
async def test_arg0_is_what_is_asked_for(place: Place) -> None:
    async with place.confined(place.policy()) as confined:
        # A shell tells the name that it was called by.
        outcome = await confined.run(["sh", "-c", "head -c 6 /proc/$$/cmdline"], arg0="other")
    assert outcome.output == "other\0"


@on_loop
async def test_bwrap_gets_nothing_of_the_environment(place: Place) -> None:
    async with place.confined(place.policy()) as confined:
        running = confined.start(
            ["sleep", "60"], cwd=place.ws, env={"SECRET": "hush", "LD_PRELOAD": "/nothing"}
        )
        pid = running.process.pid
        while not _text(f"/proc/{pid}/cmdline"):
            # It is being executed.
            os.sched_yield()
        assert _text(f"/proc/{pid}/environ") == ""
        assert "hush" not in _text(f"/proc/{pid}/cmdline")


def _text(path: str) -> str:
    return Path(path).read_bytes().decode()


SLEEPER = """
import os, signal, sys
def ended(number, frame):
    os.write(1, b"heard %d\\n" % number)
    sys.exit(9)
for name in ("SIGINT", "SIGTERM", "SIGQUIT"):
    signal.signal(getattr(signal, name), ended)
os.write(1, b"ready\\n")
signal.pause()
"""


@pytest.mark.parametrize("tty", [False, True])
@on_loop
async def test_an_interrupt_reaches_the_program_only(place: Place, tty: bool) -> None:
    async with place.confined(place.policy()) as confined:
        running = confined.start([sys.executable, "-I", "-S", "-c", SLEEPER], cwd=place.ws, tty=tty)
        await running.until_said(b"ready")
        running.process.interrupt()
        outcome = await running.outcome()
    assert outcome.code == 9
    assert "heard 2" in outcome.output


@on_loop
async def test_a_key_at_the_terminal_reaches_the_program_only(place: Place) -> None:
    async with place.confined(place.policy()) as confined:
        running = confined.start([sys.executable, "-I", "-S", "-c", SLEEPER], cwd=place.ws, tty=True)
        await running.until_said(b"ready")
        running.process.write(b"\x1c")
        outcome = await running.outcome()
    assert outcome.code == 9
    assert "heard 3" in outcome.output


@on_loop
async def test_a_signal_to_the_own_group_does_not_end_the_sandbox(place: Place) -> None:
    outcome = await say(place.policy(), "trap 'echo heard' TERM; kill -TERM 0; echo on; exit 4", place)
    assert (outcome.code, outcome.output) == (4, "heard\non\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@on_loop
async def test_a_death_by_a_signal_is_told_as_without_a_sandbox(place: Place, number: signal.Signals) -> None:
    outcome = await say(place.policy(), f"kill -{int(number)} $$", place)
    assert (outcome.code, outcome.output) == (128 + number, "")


@on_loop
async def test_all_ends_with_the_program_and_by_terminating(place: Place) -> None:
    async with place.confined(place.policy()) as confined:
        left = await confined.shell("sleep 60 >/dev/null 2>&1 & echo on", cwd=place.ws)
        assert left.output == "on\n"
        running = confined.start(
            ["/bin/sh", "-c", "setsid sleep 61 & setsid sleep 62 & echo on; wait"], cwd=place.ws
        )
        await running.until_said(b"on")
        assert running.process.has_left_any()
        await running.process.terminate()
        assert not running.process.has_left_any()


@needs_super_user
@on_loop
async def test_who_waits_for_the_program_is_out_of_its_reach(tmp_path: Path) -> None:
    """With the memory of the first process inside it could tell of an end, and go on."""
    place = Place(tmp_path, joined=True)
    codes = {name: f'open("/proc/1/{name}", "{mode}")' for name, mode in (("mem", "r+b"), ("maps", "r"))}
    codes["descriptors"] = 'for name in os.listdir("/proc/1/fd"): os.readlink("/proc/1/fd/" + name)'
    codes["own memory"] = 'open("/proc/self/mem", "r+b")'
    found = await attempts(place.policy(), place, codes)
    assert found.pop("own memory") == "done"
    assert set(found.values()) == {"EACCES"}, found


@on_loop
async def test_a_missing_program_is_an_error_of_the_start(place: Place) -> None:
    async with place.confined(place.policy()) as confined:
        for argv in (["/nothing"], ["nothing-of-this-name"], ["./nothing"]):
            with pytest.raises(FileNotFoundError):
                confined.start(argv, cwd=place.ws)
        (place.ws / "plain").write_text("")
        (place.ws / "keys" / "program").write_text("#!/bin/sh\n")
        (place.ws / "keys" / "program").chmod(0o755)
        for argv in (["./plain"], [str(place.ws)]):
            with pytest.raises(PermissionError, match="Permission denied"):
                confined.start(argv, cwd=place.ws)
        with pytest.raises(PermissionError, match="the sandbox keeps it from being run"):
            confined.start(["./keys/program"], cwd=place.ws)
        with pytest.raises(PermissionError, match="the sandbox keeps it from being entered"):
            confined.start(["/bin/true"], cwd=place.ws / "keys")
        with pytest.raises(FileNotFoundError):
            confined.start(["/bin/true"], cwd=place.ws / "nothing")
        with pytest.raises(ValueError, match="null byte"):
            confined.start(["/bin/true", "a\0b"], cwd=place.ws)
        assert (await confined.shell("echo still there", cwd=place.ws)).output == "still there\n"


@pytest.mark.parametrize("tty", [False, True])
@on_loop
async def test_a_program_that_cannot_be_run_inside_says_so(place: Place, tty: bool) -> None:
    script = place.ws / "script"
    script.write_text("#!/nothing/here\n")
    script.chmod(0o755)
    async with place.confined(place.policy()) as confined:
        outcome = await confined.run([str(script)], cwd=place.ws, tty=tty)
        assert outcome.code == 127
        assert outcome.output.startswith(
            f"crossexec: cannot run {script} inside of the bubblewrap sandbox: No such"
        )
        script.write_bytes(b"\x7fELF broken")
        assert (await confined.run([str(script)], cwd=place.ws, tty=tty)).code == 126


@on_loop
async def test_a_root_that_vanishes_is_an_error_and_nothing_runs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    policy = make_policy([Rule(Path("/"), READ), Rule(place.ws, WRITE), Rule(place.out, WRITE)])
    async with place.confined(policy) as confined:
        shutil.rmtree(place.out)
        outcome = await confined.shell("echo ran > ran", cwd=place.ws)
    assert outcome.code == 125
    assert "crossexec: the bubblewrap sandbox could not be made, nothing was run" in outcome.output
    assert not (place.ws / "ran").exists()
    with pytest.raises(ValueError, match="may be written, and is not there"):
        BACKEND.confine(policy)


@on_loop
async def test_a_place_that_is_swapped_stays_what_it_was(place: Place) -> None:
    policy = make_policy([Rule(Path("/"), READ), Rule(place.ws, WRITE)])
    old = place.ws.with_name("old")
    async with place.confined(policy) as confined:
        place.ws.rename(old)
        place.ws.symlink_to(place.out)
        await confined.shell(f"echo new > {place.out}/file", cwd="/")
        place.ws.unlink()
        place.ws.mkdir()
        await confined.shell(f"echo new > {place.ws}/new", cwd="/")
    assert (place.out / "file").read_text() == "kept"
    assert list(place.ws.iterdir()) == []
    place.ws.rmdir()
    place.ws.symlink_to(old)
    with pytest.raises(ValueError, match="symbolic link"):
        BACKEND.confine(policy)
    with pytest.raises(ValueError, match="symbolic link"):
        BACKEND.confine(make_policy([Rule(place.ws / "inner", WRITE)]))


@on_loop
async def test_200_places(place: Place) -> None:
    rules = []
    for number in range(100):
        (place.ws / f"d{number}").mkdir()
        (place.ws / f"f{number}").write_text("hush")
        rules += [Rule(place.ws / f"d{number}", READ), Rule(place.ws / f"f{number}", NONE)]
    outcome = await say(place.policy(*rules), "touch d99/x; cat f99; touch ok", place)
    assert "Read-only file system" in outcome.output
    assert "Permission denied" in outcome.output
    assert (place.ws / "ok").exists()


def test_too_many_places_are_refused(place: Place) -> None:
    for number in range(801):
        (place.ws / f"d{number}").mkdir()
    policy = place.policy(*(Rule(place.ws / f"d{number}", READ) for number in range(801)))
    assert "800" in str(BACKEND.lacks(policy))
    with pytest.raises(ValueError, match="name outer directories"):
        BACKEND.confine(policy)


def test_a_bwrap_that_is_missing_or_of_no_use_is_not_offered(place: Place, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    assert "No such file" in str(BubblewrapBackend(str(fake)).missing())
    fake.write_text("#!/bin/sh\necho usage\n")
    fake.chmod(0o755)
    assert "--ro-bind-fd" in str(BubblewrapBackend(str(fake)).missing())
    fake.write_text("#!/bin/sh\necho --ro-bind-fd\n")
    assert BubblewrapBackend(str(fake)).missing() is None
    fake.chmod(0o4755)
    backend = BubblewrapBackend(str(fake))
    assert "set-user-ID" in str(backend.missing())
    with pytest.raises(OSError, match="set-user-ID"):
        backend.confine(place.policy())


def test_a_machine_without_bwrap_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nothing")
    assert "install bubblewrap" in str(BubblewrapBackend().missing())


@pytest.mark.parametrize("code", [0, 1, 3])
@on_loop
async def test_a_bwrap_that_exits_early_is_no_end_of_the_program(
    place: Place, tmp_path: Path, code: int
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\n[ $1 = --help ] && echo --ro-bind-fd\nexit {code}\n")
    fake.chmod(0o755)
    async with Confined(BubblewrapBackend(str(fake)), place.policy()) as confined:
        outcome = await confined.shell("echo ran > ran", cwd=place.ws)
    assert outcome.code == 125
    assert f"nothing was run: bwrap ended with {code}" in outcome.output
    assert not (place.ws / "ran").exists()


@needs_root
@on_loop
async def test_another_user_is_as_confined(tmp_path: Path) -> None:
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("there is no setpriv")
    wrapper = tmp_path / "bwrap"
    who = "--reuid=65534 --regid=65534 --clear-groups"
    wrapper.write_text(f'#!/bin/sh\nexec {tool} {who} {shutil.which("bwrap")} "$@"\n')
    wrapper.chmod(0o755)
    # Other users may not go into those of pytest.
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        place = Place(Path(base))
        os.chown(place.ws, 65534, 65534)
        policy = make_policy(
            [
                Rule(Path("/"), READ),
                Rule(place.ws, WRITE),
                Rule(place.ws / ".git", READ),
                Rule(place.out, NONE),
            ]
        )
        async with Confined(BubblewrapBackend(str(wrapper)), policy) as confined:
            outcome = await confined.shell(
                f"touch ok .git/new; cat {place.out}/file; grep CapEff /proc/self/status", cwd=place.ws
            )
        made = (place.ws / "ok").stat().st_uid if (place.ws / "ok").exists() else None
    if outcome.code == 125 and "namespace" in outcome.output:
        pytest.skip(f"other users may not make namespaces: {outcome.output}")
    assert made == 65534
    assert "Read-only file system" in outcome.output
    assert "Permission denied" in outcome.output
    assert outcome.output.split()[-1] == "0" * 16


@on_loop
async def test_nothing_is_left_of_a_confinement(place: Place) -> None:
    policy = place.policy()
    BACKEND.confine(policy).close()
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        confinement = BACKEND.confine(policy)
        confinement.wrap(SpawnRequest(argv=["/bin/true"], cwd="/", env={}))
        confinement.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)


@on_loop
async def test_nothing_is_left_on_the_machine(place: Place) -> None:
    def tree() -> list[str]:
        return sorted(str(path) for path in place.ws.rglob("*"))

    before = tree()
    policy = place.policy(patterns=(f"{place.ws}/**/config",))
    async with place.confined(policy) as confined:
        assert (await confined.shell("true", cwd=place.ws)).code == 0
    assert tree() == before

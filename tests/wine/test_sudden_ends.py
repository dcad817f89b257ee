"""What is left when a run is killed: nothing, or what the next one removes."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from harness.client.sync import blocking_context, sync_client
from harness.environments.wine import WineEnvironment
from harness.wine.host_view import HostView
from tests.support.watch import SECONDS, Watched, children, until
from tests.wine.harness_run import harness_run
from tests.wine.leftovers import processes_below, unfinished, workers


def until_nothing_is_left(cache: Path) -> None:
    def nothing() -> bool:
        locks = list((cache / "workers").glob("*.lock"))
        return not workers(cache) and not locks and not processes_below(cache)

    until(nothing, lambda: f"{workers(cache)} and processes {processes_below(cache)} are left")


def keeper_of(pid: int) -> int:
    """Returns the process that cleans up after *pid*."""
    for child in children(pid):
        # Others of its children come and go.
        with suppress(OSError):
            if b"keeper.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    raise LookupError(f"process {pid} has no keeper")


def test_a_killed_run_leaves_nothing(filled_cache: Path) -> None:
    with harness_run() as run:
        run.wait_until_up()
        for pid in processes_below(filled_cache):
            # None that is there yet can end by itself.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        run.kill()
        until_nothing_is_left(filled_cache)


def test_ctrl_c_leaves_nothing(filled_cache: Path) -> None:
    with harness_run() as run:
        run.wait_until_up()
        keeper = Watched(keeper_of(run.process.pid))
        run.interrupt()
        assert run.process.wait() != 0
        assert keeper.has_ended(within=SECONDS)
        keeper.close()
        until_nothing_is_left(filled_cache)


def test_the_next_run_removes_what_a_run_killed_with_its_keeper_has_left(
    prepared: WineEnvironment, filled_cache: Path
) -> None:
    with harness_run() as run:
        left = run.wait_until_up()
        os.kill(keeper_of(run.process.pid), signal.SIGKILL)
        run.kill()
    assert left.exists()
    with blocking_context(prepared.start()):
        assert not left.exists()
        assert len(workers(filled_cache)) == 1
    until_nothing_is_left(filled_cache)


def test_cleaning_removes_what_dead_runs_have_left_and_no_more(
    prepared: WineEnvironment, filled_cache: Path
) -> None:
    with harness_run() as run:
        left = run.wait_until_up()
        os.kill(keeper_of(run.process.pid), signal.SIGKILL)
        run.kill()
    with harness_run() as other:
        # It removes what it finds, so the dead one is put back for the cleaning to find.
        living = other.wait_until_up()
        left.mkdir()
        left.with_name(f"{left.name}.lock").touch()
        assert prepared.clean() == [f"Wine prefix {left}"]
        assert not left.exists()
        assert living.exists()
        assert prepared.clean() == []


def test_what_a_keeper_is_about_to_remove_is_left_to_it(
    prepared: WineEnvironment, filled_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with harness_run() as run:
        left = run.wait_until_up()
        keeper = keeper_of(run.process.pid)
        os.kill(keeper, signal.SIGSTOP)
        run.kill()
        try:
            with blocking_context(prepared.start()):
                assert left.exists()
        finally:
            os.kill(keeper, signal.SIGCONT)
    until_nothing_is_left(filled_cache)
    assert caplog.text == ""


def test_a_run_that_lives_is_left_alone(prepared: WineEnvironment, filled_cache: Path) -> None:
    with harness_run() as run:
        other = run.wait_until_up()
        # Its keeper's death makes it no dead run.
        keeper = Watched(keeper_of(run.process.pid))
        os.kill(keeper.pid, signal.SIGKILL)
        assert keeper.has_ended(within=SECONDS)
        keeper.close()
        with blocking_context(prepared.start()):
            assert other.exists()
            assert len(workers(filled_cache)) == 2


def test_a_template_killed_half_way_is_made_by_the_next_run(
    prepared: WineEnvironment, filled_cache: Path
) -> None:
    (template,) = filled_cache.glob("prefix-*")
    shutil.rmtree(template)
    with harness_run() as run:
        made = "drive_c/windows/system32/ntdll.dll"
        until(
            lambda: any((folder / "prefix" / made).exists() for folder in workers(filled_cache)),
            lambda: "no template is begun",
        )
        run.kill()
        until_nothing_is_left(filled_cache)
    assert not template.exists()
    with blocking_context(prepared.start()) as up, sync_client(up.connect()) as client:
        assert client.run(["cmd", "/c", "exit 3"]).exit_code == 3
    assert template.exists()
    assert unfinished(filled_cache) == []


def test_two_runs_from_an_empty_cache_make_one_of_everything(filled_cache: Path) -> None:
    # All but what needs the network or takes minutes.
    for tree in [*filled_cache.glob("prefix-*"), *filled_cache.glob("executor-*")]:
        shutil.rmtree(tree)
    with harness_run() as one, harness_run() as two:
        assert one.wait_until_up() != two.wait_until_up()
    until_nothing_is_left(filled_cache)
    assert len(list(filled_cache.glob("prefix-*/manifest.json"))) == 1
    assert len(list(filled_cache.glob("executor-*/manifest.json"))) == 1
    assert unfinished(filled_cache) == []


def test_a_file_that_a_worker_wrote_through_its_link_is_made_anew(
    prepared: WineEnvironment, filled_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tree,) = filled_cache.glob("executor-*")
    # The links to the user's own cache must not be written through.
    copy = tree.with_name("copy")
    shutil.copytree(tree, copy, symlinks=True)
    shutil.rmtree(tree)
    copy.rename(tree)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING), blocking_context(prepared.start()) as up:
            assert isinstance(up.host_view, HostView)
            there = up.host_view.uri(up.host_view.drive_c / "crossexec/executor/executors/__init__.py")
            with sync_client(up.connect()) as client:
                clean = client.files.read_file(there)
                assert b"written" not in clean
                client.files.write_file(there, clean + b"# written\n")
    assert "executors/__init__.py was written to through a link" in caplog.text

"""What is said, and what is left, when there is no Wine, a broken one, no room or no Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.client.sync import blocking_context
from harness.environments import EnvironmentFailed, make_environment
from harness.environments import child as child_module
from harness.environments.wine import WineEnvironment
from harness.progress import SILENT
from harness.settings import Settings
from harness.wine import prefix, program
from harness.wine.keeper import processes_of
from tests.wine.leftovers import processes_below, unfinished, workers

MakeWine = Callable[[str], Path]


def failure(environment: WineEnvironment, cache: Path) -> str:
    """Returns why the environment does not come up; nothing of the try may be left."""
    with pytest.raises(EnvironmentFailed) as error, blocking_context(environment.start()):
        pass
    assert workers(cache) == []
    assert processes_below(cache) == []
    assert unfinished(cache) == []
    return str(error.value)


def with_wine(wine: Path) -> WineEnvironment:
    return WineEnvironment(Settings(wine=wine, windows_python=Path("python.zip")))


def test_no_wine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    given = with_wine(tmp_path / "wine")
    assert str(given.available()).startswith(f"not available: {tmp_path}/wine is no program: install it")
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = make_environment("wine-exec", Settings())
    assert not environment.available()
    assert environment.available().reason == "no wine in PATH"
    assert "apt-get install wine" in environment.available().remedy
    assert "apt-get install wine" in failure(WineEnvironment(Settings()), cache)


def test_no_wineserver(make_wine: MakeWine, monkeypatch: pytest.MonkeyPatch) -> None:
    wine = make_wine("exit 0")
    wine.with_name("wineserver").unlink()
    monkeypatch.setenv("PATH", str(wine.parent))
    availability = with_wine(wine).available()
    assert "has no wineserver beside it" in availability.reason


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("exit 7", "--version ended with 7 and said ''"),
        ("echo welcome", "ended with 0 and said 'welcome'"),
        ("echo wine: cannot load ntdll; exit 1", "ended with 1 and said 'wine: cannot load ntdll'"),
        ("exec sleep 600", "--version has not ended within 0.5 s"),
    ],
)
def test_a_wine_that_tells_no_version(
    tmp_path: Path,
    cache: Path,
    make_wine: MakeWine,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    text: str,
    unpacked_python: Path,
) -> None:
    if "within" in text:
        monkeypatch.setattr(program, "_VERSION_SECONDS", 0.5)
    wine = make_wine("")
    wine.write_text(f"#!/bin/sh\n{script}\n")
    told = failure(WineEnvironment(Settings(unpacked_python, wine)), cache)
    assert text in told
    assert "apt-get install --reinstall wine" in told


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo cannot make it >&2; exit 5", "ended with 5; if this Wine is broken"),
        ("exit 0", "made a prefix without drive_c/windows/system32/cmd.exe"),
        ("sleep 600 & exec sleep 600", "has not ended within 0.5 s: this Wine hangs"),
        ("trap '' TERM INT HUP; while :; do sleep 1; done", "within 0.5 s: this Wine hangs"),
    ],
)
def test_a_wine_that_makes_no_prefix(
    cache: Path,
    make_wine: MakeWine,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    text: str,
    unpacked_python: Path,
) -> None:
    if "within" in text:
        monkeypatch.setattr(prefix, "_MAKE_SECONDS", 0.5)
    told = failure(WineEnvironment(Settings(unpacked_python, make_wine(script))), cache)
    assert "making a Wine prefix" in told or "wineboot --init made a prefix" in told
    assert text in told
    if ">&2" in script:
        assert "it printed:\ncannot make it" in told
    assert list(cache.glob("prefix-*/manifest.json")) == []


def test_a_wine_that_cannot_start_a_program_at_once(
    tmp_path: Path, cache: Path, make_wine: MakeWine, unpacked_python: Path
) -> None:
    real = program.find_wine(None)
    wine = make_wine("")
    wine.with_name("wineserver").write_text(f'#!/bin/sh\nexec {real.server} "$@"\n')
    failed = tmp_path / "failed"
    wine.write_text(
        f"""#!/bin/sh
if [ "$1" = winecfg ] && [ ! -e {failed} ]; then
    touch {failed}
    echo ShellExecuteEx failed
    exit 1
fi
exec {real.loader} "$@"
"""
    )
    WineEnvironment(Settings(unpacked_python, wine)).prepare(SILENT)
    assert failed.exists()
    (made,) = cache.glob("prefix-*/manifest.json")
    assert "Microsoft Windows 10" in prefix.windows_version(made.parent / "tree")


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        ("echo wine: out of luck >&2; exit 3", "exited with status 3"),
        ("echo welcome", "printed 'welcome' where its URL was due"),
        ("exec sleep 600", "printed no URL within 0.5 s"),
    ],
)
def test_a_wine_that_does_not_run_the_executor(
    filled_cache: Path, make_wine: MakeWine, monkeypatch: pytest.MonkeyPatch, trouble: str, text: str
) -> None:
    real = program.find_wine(None)
    if "within" in text:
        monkeypatch.setattr(child_module, "_START_SECONDS", 0.5)
        monkeypatch.setattr(child_module, "_STOP_SECONDS", 0.5)
    wine = make_wine(trouble)
    wine.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real.loader} --version\n{trouble}\n')
    told = failure(WineEnvironment(Settings(program_python(), wine)), filled_cache)
    assert text in told
    assert "apt-get install --reinstall wine" in told
    if ">&2" in trouble:
        assert "its standard error:\nwine: out of luck" in told


def program_python() -> Path | None:
    """Returns the Windows Python that the user's settings name."""
    given = os.environ.get("CROSSEXEC_WINDOWS_PYTHON")
    return Path(given) if given else None


def test_a_wineserver_that_hangs(
    prepared: WineEnvironment, filled_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "_STOP_SECONDS", 0.5)
    with pytest.raises(EnvironmentFailed, match="remains on wine-exec"), blocking_context(prepared.start()):
        (worker,) = workers(filled_cache)
        (server,) = [pid for pid in processes_of(worker / "prefix") if b"wineserver" in command_line(pid)]
        os.kill(server, signal.SIGSTOP)
        # The executor answers nobody without its server; its own client need not wait for that.
        for pid in processes_of(worker / "prefix"):
            if b"python.exe" in command_line(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert workers(filled_cache) == []
    assert processes_below(filled_cache) == []


def command_line(pid: int) -> bytes:
    """Returns nothing of a process that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked_python: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CROSSEXEC_CACHE", str(tmp_path / "file"))
    told = failure(WineEnvironment(Settings(windows_python=unpacked_python)), tmp_path / "file/wine")
    assert "Not a directory" in told
    assert "name another folder by the variable CROSSEXEC_CACHE" in told


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache on a file system of 200 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200m", "crossexec-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        monkeypatch.setenv("CROSSEXEC_CACHE", str(folder))
        yield folder / "wine"
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_room_for_a_prefix(small_disk: Path, unpacked_python: Path) -> None:
    told = failure(WineEnvironment(Settings(windows_python=unpacked_python)), small_disk)
    assert "a Wine prefix takes 900 MiB" in told
    assert "CROSSEXEC_CACHE" in told


def test_a_disk_that_gets_full_while_the_prefix_is_made(
    small_disk: Path, unpacked_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix, "_NEEDED_BYTES", 0)
    told = failure(WineEnvironment(Settings(windows_python=unpacked_python)), small_disk)
    assert "CROSSEXEC_CACHE" in told
    assert list(small_disk.glob("*/manifest.json")) == []


def test_a_disk_that_is_full_when_a_worker_is_made(
    prepared: WineEnvironment, user_cache: Path, small_disk: Path
) -> None:
    small_disk.mkdir()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb") as file:
        while True:
            file.write(bytes(2**20))
    told = failure(prepared, small_disk)
    assert "No space left on device" in told or "MiB free" in told


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_path_without_a_windows_python(tmp_path: Path, cache: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    environment = WineEnvironment(Settings(windows_python=tmp_path / name))
    told = failure(environment, cache)
    assert name in told
    assert "give an unpacked 64-bit (AMD64) Windows Python" in told
    with pytest.raises(EnvironmentFailed, match="Windows Python"):
        environment.prepare(SILENT)


def test_no_wheels_for_the_version_of_the_python(
    tmp_path: Path, filled_cache: Path, unpacked_python: Path
) -> None:
    newer = tmp_path / "python"
    shutil.copytree(unpacked_python, newer)
    (library,) = [path for path in newer.glob("python3?*.dll")]
    shutil.copy(library, newer / "python399.dll")
    told = failure(WineEnvironment(Settings(windows_python=newer)), filled_cache)
    assert "the Windows Python is 3.99: give an older one" in told


def test_no_package_index(
    filled_cache: Path, prepared: WineEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tree in filled_cache.glob("packages-*"):
        shutil.rmtree(tree) if tree.is_dir() else tree.unlink()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    told = failure(prepared, filled_cache)
    assert "the executor's packages for Windows could not be installed" in told
    assert "pip and a package index that answers are needed" in told

"""The environment wine-exec, brought up."""

from __future__ import annotations

import asyncio
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import executors
from executors.protocol.errors import RpcError
from executors.protocol.path_uri import PathUri
from harness.cache import cache_folder
from harness.client.sync import SyncClient, blocking_context, sync_client
from harness.environments import Running, make_environment
from harness.environments.wine import WineEnvironment
from harness.progress import SILENT
from harness.settings import Settings, read_settings
from harness.wine.errors import WineFailed
from harness.wine.host_view import HostView
from harness.wine.keeper import processes_of
from harness.wine.machine import prepare_machine
from harness.wine.workplace import workplace
from tests.support.watch import until
from tests.wine.leftovers import processes_below, workers


def prefix_of(up: Running) -> Path:
    assert isinstance(up.host_view, HostView)
    return up.host_view.drive_c.parent


def output(client: SyncClient, *argv: str) -> str:
    done = client.run(list(argv))
    assert done.exit_code == 0, done
    return done.stdout.decode("cp437").strip()


def test_it_is_a_windows_machine(running: Running) -> None:
    assert running.name == "wine-exec"
    assert running.platform == "windows"
    assert running.is_remote
    assert str(running.workspace_root).startswith("file:///C:/windows/temp/")
    with sync_client(running.connect()) as client:
        assert "Windows 10." in output(client, "cmd", "/c", "ver")
        python = running.facts["python"]
        assert output(client, python, "-c", "import os; print(os.name)") == "nt"
        assert output(client, "cmd", "/c", "echo %TEMP% %TMP%") == r"C:\windows\temp C:\windows\temp"


def test_the_facts(running: Running) -> None:
    assert running.facts["wine"].startswith("wine-")
    assert running.facts["windows"].startswith("Microsoft Windows 10 (build ")
    assert running.facts["code page"] == str(running.info.console_code_page)
    with sync_client(running.connect()) as client:
        version = output(
            client, running.facts["python"], "-c", "import sys; print(*sys.version_info[:2], sep='.')"
        )
    assert running.facts["python version"].startswith(f"{version} (")


def test_the_host_sees_what_the_executor_writes_and_the_other_way_round(running: Running) -> None:
    view = running.host_view
    assert isinstance(view, HostView)
    with sync_client(running.connect()) as client:
        client.files.write_file(running.workspace_root.join("Grüße 日本.txt"), b"from the executor")
        view.write(running.workspace_root.join("host.bin"), bytes(range(256)))
        assert view.read(running.workspace_root.join("GRÜßE 日本.TXT")) == b"from the executor"
        assert client.files.read_file(running.workspace_root.join("HOST.bin")) == bytes(range(256))
        assert view.list(running.workspace_root) == ["Grüße 日本.txt", "host.bin"]


def test_the_target_has_nothing_of_the_host(running: Running, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    assert os.listdir(prefix_of(running) / "dosdevices") == ["c:"]
    links = [path for path in (prefix_of(running) / "drive_c").rglob("*") if path.is_symlink()]
    assert links == []
    with sync_client(running.connect()) as client:
        with pytest.raises(RpcError):
            client.files.read_file(PathUri.parse(f"file:///Z:{tmp_path}/secret"))
        drives = output(client, running.facts["python"], "-c", "import os; print(os.listdrives())")
        assert drives == r"['C:\\']"


def test_variables_of_the_host_do_not_reach_the_target(
    prepared: WineEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSEXEC_SECRET", "of the host")
    with blocking_context(prepared.start()) as up, sync_client(up.connect()) as client:
        program = "import os; print(*sorted(os.environ), sep='\\n')"
        names = set(output(client, up.facts["python"], "-c", program).split())
    assert "SYSTEMROOT" in names
    # Wine's own are given to every program by Wine itself.
    unix = {"CROSSEXEC_SECRET", "HOME", "LANG", "TMPDIR", "WINEDEBUG", "WINEPREFIX", "XDG_RUNTIME_DIR"}
    assert names & unix == set()


def test_the_end_leaves_nothing(prepared: WineEnvironment) -> None:
    with blocking_context(prepared.start()) as up, sync_client(up.connect()) as client:
        prefix = prefix_of(up)
        client.start([up.facts["python"], "-c", "import time; time.sleep(600)"], process_id="sleeper")
        assert processes_of(prefix) != []
        assert prefix.exists()
    assert processes_of(prefix) == []
    assert not prefix.parent.exists()
    assert not prefix.parent.with_suffix(".lock").exists()


def test_the_users_own_wine_prefix_is_untouched(
    prepared: WineEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user's cache folder is told by HOME as well.
    monkeypatch.setenv("CROSSEXEC_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WINEPREFIX", str(tmp_path / "own"))
    with blocking_context(prepared.start()) as up, sync_client(up.connect()) as client:
        output(client, "cmd", "/c", "ver")
    assert list(tmp_path.iterdir()) == []


def test_workers_at_the_same_time_have_machines_of_their_own(prepared: WineEnvironment) -> None:
    def work(number: int) -> tuple[Path, list[str]]:
        there = PathUri.parse("file:///C:/shared.txt")
        with blocking_context(prepared.start()) as up, sync_client(up.connect()) as client:
            client.files.write_file(there, str(number).encode())
            seen = client.files.read_file(there)
            assert seen == str(number).encode()
            assert isinstance(up.host_view, HostView)
            return prefix_of(up), up.host_view.list(PathUri.parse("file:///C:/"))

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(work, range(3)))
    assert len({prefix for prefix, _ in results}) == 3
    assert all("shared.txt" in names for _, names in results)


def test_cancelling_a_start_leaves_nothing(prepared: WineEnvironment, filled_cache: Path) -> None:
    async def cancel_while_copying() -> None:
        starting = asyncio.ensure_future(prepared.start().__aenter__())
        await asyncio.to_thread(
            until, lambda: workers(filled_cache) != [], lambda: "no worker's folder is made"
        )
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(cancel_while_copying())
    assert workers(filled_cache) == []
    assert processes_below(filled_cache) == []


def test_the_executor_starts_from_one_file(prepared: WineEnvironment, user_cache: Path) -> None:
    machine = prepare_machine(read_settings(), user_cache, SILENT)
    with workplace(user_cache) as place:
        machine.fill(place)
        bundle = place.drive_c / "crossexec/executor"
        shutil.rmtree(bundle / "executors")
        arguments = machine.executor_command()[1:]
        told = machine.wine.run(place, [*arguments, "--version"], "asking for the version", 60)
        assert told.strip() == f"crossexec executor {executors.__version__}"
        (bundle / "modules.bin").unlink()
        with pytest.raises(WineFailed, match=r"modules\.bin"):
            machine.wine.run(place, [*arguments, "--version"], "asking for the version", 60)


def test_an_embeddable_zip(unpacked_python: Path, tmp_path: Path) -> None:
    archive = tmp_path / "python-embed-amd64.zip"
    make_embeddable(unpacked_python, archive)
    environment = make_environment("wine-exec", Settings(windows_python=archive))
    with blocking_context(environment.start()) as up, sync_client(up.connect()) as client:
        assert str(archive) in up.facts["python version"]
        program = "import json, sys; print(json.__file__)"
        assert "python3" in output(client, up.facts["python"], "-c", program)
        assert ".zip\\json" in output(client, up.facts["python"], "-c", program)


def make_embeddable(python: Path, archive: Path) -> None:
    """Packs an unpacked Python as the official embeddable package is: flat, its library zipped."""
    version = next(python.glob("python3?*.dll")).stem
    library = archive.with_name(f"{version}.zip")
    with zipfile.ZipFile(library, "w") as file:
        for path in (python / "Lib").rglob("*.py"):
            relative = path.relative_to(python / "Lib")
            if relative.parts[0] not in ("site-packages", "test"):
                file.write(path, relative)
    with zipfile.ZipFile(archive, "w") as file:
        file.write(library, library.name)
        file.writestr(f"{version}._pth", f"{library.name}\n.\n")
        for path in [*python.glob("*.exe"), *python.glob("*.dll"), *python.glob("DLLs/*")]:
            file.write(path, path.name)

"""``crossexec clean`` and what it rests on: real files, and processes that hold them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cleaning import bytes_of, freed_by, sweep
from harness.matrix import pythons_clean
from harness.shared import create_once, is_in_use, remove_unused, using
from tests.support.watch import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="what is cleaned up after here is POSIX")

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"thing-": "thing"}
SECONDS = 60


def make_tree(path: Path) -> None:
    path.mkdir()
    for name in ("a", "b"):
        (path / name).write_bytes(name.encode() * 5000)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def another_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Runs *code* until it has printed a line, and on until the end of its input."""
    with python(f"import sys\nfrom pathlib import Path\n{code}", *arguments) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n"
        yield process
        if not process.stdin.closed:
            process.stdin.close()
        assert process.wait(SECONDS) in (0, -9)


USING = """
from harness.shared import using
with using(Path(sys.argv[1]), Path.mkdir):
    print("ready", flush=True)
    sys.stdin.read()
"""
MAKING = """
from harness.shared import create_once
def make(path):
    path.mkdir()
    print("ready", flush=True)
    sys.stdin.read()
create_once(Path(sys.argv[1]), make)
"""


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class TestWhatIsShared:
    def test_removal_leaves_nothing(self, tmp_path: Path) -> None:
        path = create_once(tmp_path / "x", make_tree)
        for suffix in (".unfinished", ".removed", ".damaged"):
            make_tree(tmp_path / f"x{suffix}")
        assert remove_unused(path)
        assert names(tmp_path) == []
        assert remove_unused(path)

    @pytest.mark.parametrize("is_file", [False, True])
    def test_what_is_used_stays_until_the_user_is_dead(self, tmp_path: Path, is_file: bool) -> None:
        path = tmp_path / "x"
        create_once(path, (lambda path: path.write_text("x")) if is_file else make_tree)  # type: ignore[arg-type]
        with another_process(USING, path) as process:
            assert is_in_use(path)
            assert not remove_unused(path)
            assert path.exists()
            process.kill()
            process.wait(SECONDS)
            assert not is_in_use(path)
            assert remove_unused(path)
            assert names(tmp_path) == []

    def test_what_is_being_made_stays(self, tmp_path: Path) -> None:
        with another_process(MAKING, tmp_path / "x"):
            assert is_in_use(tmp_path / "x")
            assert not remove_unused(tmp_path / "x")
        assert (tmp_path / "x").is_dir()

    def test_several_may_use_it(self, tmp_path: Path) -> None:
        create_once(tmp_path / "x", make_tree)
        with (
            another_process(USING, tmp_path / "x"),
            another_process(USING, tmp_path / "x"),
            using(tmp_path / "x", make_tree) as path,
        ):
            assert names(path) == ["a", "b"]

    def test_users_and_removers_at_once(self, tmp_path: Path) -> None:
        """Nobody ever sees half of it, and nothing but the lock's file is left."""
        user = """
import sys
from pathlib import Path
from harness.shared import using
path, going_on = map(Path, sys.argv[1:])
def make(path):
    path.mkdir()
    for name in "abc":
        (path / name).write_text(name)
while going_on.exists():
    with using(path, make):
        for name in "abc":
            assert (path / name).read_text() == name
"""
        remover = """
import sys
from pathlib import Path
from harness.shared import remove_unused
path, going_on = map(Path, sys.argv[1:])
removals = 0
while removals < 5:
    was_there = path.exists()
    removals += remove_unused(path) and was_there
"""
        path, going_on = tmp_path / "x", tmp_path / "going on"
        going_on.touch()
        users = [python(user, path, going_on) for _ in range(2)]
        removers = [python(remover, path, going_on) for _ in range(2)]
        try:
            for process in removers:
                process.communicate(timeout=SECONDS)
            going_on.unlink()
            for process in users:
                process.communicate(timeout=SECONDS)
        finally:
            for process in (*users, *removers):
                process.kill()
        assert [process.returncode for process in (*users, *removers)] == [0, 0, 0, 0]
        assert set(names(tmp_path)) <= {"x", "x.lock"}


class TestSweep:
    def test_only_what_nobody_wants_goes(self, tmp_path: Path) -> None:
        for name in ("thing-old", "thing-new", "other-old"):
            create_once(tmp_path / name, make_tree)
        for name in ("thing-half.unfinished", "thing-new.damaged"):
            make_tree(tmp_path / name)
        (tmp_path / "thing-gone.lock").touch()
        cleaned = sweep(tmp_path, KINDS, lambda name: name == "thing-new")
        assert names(tmp_path) == ["other-old", "other-old.lock", "thing-new", "thing-new.lock"]
        assert sorted(removed.what for removed in cleaned.removed) == [
            *("half-made thing", "half-made thing", "lock file", "thing")
        ]
        assert sum(removed.bytes for removed in cleaned.removed) >= 3 * 10000
        assert cleaned.kept == []

    def test_a_wanted_thing_that_was_never_finished(self, tmp_path: Path) -> None:
        make_tree(tmp_path / "thing-new.unfinished")
        sweep(tmp_path, KINDS, lambda name: True)
        assert names(tmp_path) == []

    def test_what_is_used_is_told(self, tmp_path: Path) -> None:
        create_once(tmp_path / "thing-old", make_tree)
        with another_process(USING, tmp_path / "thing-old"):
            cleaned = sweep(tmp_path, KINDS, lambda name: False)
        assert cleaned.removed == []
        (kept,) = cleaned.kept
        assert kept.startswith(f"{tmp_path / 'thing-old'}: ")

    def test_sizes_are_those_of_the_disk(self, tmp_path: Path) -> None:
        make_tree(tmp_path / "x")
        once = bytes_of(tmp_path / "x" / "a")
        assert once >= 5000
        os.link(tmp_path / "x" / "a", tmp_path / "link")
        assert bytes_of(tmp_path / "x" / "a", tmp_path / "link") == once
        assert freed_by(tmp_path / "link") == 0
        assert freed_by(tmp_path / "x" / "b") == once
        assert freed_by(tmp_path / "missing") == 0


class TestEnvironmentsOfOtherPythons:
    def make(self, cache: Path, name: str) -> Path:
        folder = cache / "pythons" / name
        scripts = folder / "venv" / "bin"
        scripts.mkdir(parents=True)
        shutil.copy(shutil.which("sleep") or "", scripts / "python")
        (folder / "ready").touch()
        return folder

    def test_one_of_another_state_goes(self, tmp_path: Path) -> None:
        folder = self.make(tmp_path, "3.13-0123456789abcdef")
        cleaned = pythons_clean.clean(tmp_path, everything=False)
        assert [removed.what for removed in cleaned.removed] == ["virtual environment of another Python"]
        assert set(names(folder)) <= {"ready.lock"}
        assert pythons_clean.clean(tmp_path, everything=True).removed == []

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seen in /proc")
    def test_one_that_runs_something_stays(self, tmp_path: Path) -> None:
        folder = self.make(tmp_path, "3.13-0123456789abcdef")
        with subprocess.Popen([folder / "venv/bin/python", "600"]) as process:
            try:
                # Just started, it has no command line yet.
                until(
                    lambda: b"600" in Path(f"/proc/{process.pid}/cmdline").read_bytes(), lambda: "no process"
                )
                assert pythons_clean.in_use(tmp_path) == [f"virtual environment {folder}"]
                cleaned = pythons_clean.clean(tmp_path, everything=True)
            finally:
                process.kill()
        assert cleaned.removed == []
        assert (folder / "ready").exists()

    def test_one_that_is_being_made_stays(self, tmp_path: Path) -> None:
        folder = self.make(tmp_path, "3.13-0123456789abcdef")
        (folder / "ready").unlink()
        with another_process(MAKING, folder / "ready"):
            cleaned = pythons_clean.clean(tmp_path, everything=True)
        assert cleaned.removed == []
        assert (folder / "ready").exists()


class TestCommand:
    """Without Wine and without a daemon, so that nothing but the test's own cache is met."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        (tmp_path / "cache").mkdir()
        return tmp_path / "cache"

    def clean(self, cache: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        (cache.parent / "bin").mkdir(exist_ok=True)
        alone = {
            "PATH": str(cache.parent / "bin"),
            "CROSSEXEC_CACHE": str(cache),
            "DOCKER_HOST": f"unix://{cache}/no.sock",
            "PYTHONPATH": str(ROOT),
        }
        result = subprocess.run(
            [sys.executable, "-m", "harness.cli", "clean", *arguments],
            env=alone | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def test_there_is_no_cache_yet(self, cache: Path) -> None:
        cache.rmdir()
        result = self.clean(cache)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == f"nothing to remove\nfreed 0 MiB; 0 MiB are left in {cache}\n"
        assert not cache.exists()

    def test_what_cannot_be_judged_stays(self, cache: Path) -> None:
        make_tree_below(cache / "wine/executor-0123456789abcdef")
        make_tree_below(cache / "docker/executor-0123456789abcdef")
        result = self.clean(cache)
        assert result.returncode == 0
        assert "no wine in PATH" in result.stderr
        assert "no Docker daemon answers" in result.stderr or "docker-py" in result.stderr
        assert (cache / "wine/executor-0123456789abcdef/a").exists()
        assert (cache / "docker/executor-0123456789abcdef/a").exists()

    def test_all_of_it(self, cache: Path) -> None:
        for name in ("wine/prefix-1", "wine/python-1-compiled", "docker/executor-1", "pythons/3.13-1"):
            make_tree_below(cache / name)
        make_tree_below(cache / "windows-python-build/downloads")
        (cache / "wine/build.lock").touch()
        result = self.clean(cache, "--all")
        # Images could not be looked for.
        assert result.returncode == 1
        assert "images of containers" in result.stderr
        assert "removed  1  Wine prefix" in result.stdout
        left = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert left == []

    def test_all_of_it_but_it_is_in_use(self, cache: Path) -> None:
        make_tree_below(cache / "wine/prefix-1")
        make_tree_below(cache / "docker/executor-1")
        with another_process(USING, cache / "wine/prefix-1"):
            result = self.clean(cache, "--all")
        assert result.returncode == 1
        assert f"Wine prefix {cache / 'wine/prefix-1'}" in result.stderr
        assert "leave out --all" in result.stderr
        assert (cache / "docker/executor-1/a").exists()

    def test_a_build_goes_on_where_it_was(self, cache: Path) -> None:
        (cache / "wine").mkdir()
        make_tree_below(cache / "windows-python-build/downloads")
        self.clean(cache)
        assert (cache / "windows-python-build/downloads/a").exists()

    def test_the_folder_of_builds_is_that_of_the_build(self) -> None:
        from harness.wine import caches, crossbuild

        assert caches._BUILDS == crossbuild._FOLDER

    def test_two_at_once(self, cache: Path) -> None:
        for number in range(30):
            make_tree_below(cache / f"wine/executor-{number}")
        code = "from harness.cli import main; import sys; sys.exit(main(['clean', '--all']))"
        env = {**os.environ, "PYTHONPATH": str(ROOT), "CROSSEXEC_CACHE": str(cache), "PATH": ""}
        env["DOCKER_HOST"] = f"unix://{cache}/no.sock"
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=SECONDS) for process in both]
        assert not any("Traceback" in err for _, err in said), said
        # Each may have met the other; whatever that left goes now.
        self.clean(cache, "--all")
        assert {path.name for path in (cache / "wine").rglob("*") if path.is_file()} <= {"build.lock"}

    def test_no_home(self, cache: Path) -> None:
        if os.getuid() != 0 or not shutil.which("setpriv"):
            pytest.skip("root and setpriv make a user without a home")
        command = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", sys.executable]
        result = subprocess.run(
            [*command, "-m", "harness.cli", "clean"],
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if "Permission denied" in result.stderr or "ModuleNotFoundError" in result.stderr:
            pytest.skip("this Python, or what is installed in it, is not for other users")
        assert result.returncode == 1
        assert "CROSSEXEC_CACHE" in result.stderr
        assert "Traceback" not in result.stderr


def make_tree_below(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_tree(path)

"""``crossexec doctor``, on this machine and on worse ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.docker.options import DockerOptions
from harness.doctor import Fact, Report, State, bubblewrap, docker
from harness.environments import ENVIRONMENTS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is looked at is Linux's")

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60


def doctor(
    *arguments: str, env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [*prefix, sys.executable, "-m", "harness.cli", "doctor", *arguments],
        env={**(os.environ if env is None else env), "PYTHONPATH": str(ROOT)},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def report(*arguments: str, env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()) -> Report:
    return msgspec.json.decode(doctor("--json", *arguments, env=env, prefix=prefix).stdout, type=Report)


def fact(report: Report, name: str) -> Fact:
    (found,) = [fact for fact in report.facts if fact.name == name]
    return found


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Variables of a machine with nothing: no programs, no daemon, no cache yet."""
    for name in ("bin", "home"):
        (tmp_path / name).mkdir()
    return {
        "PATH": str(tmp_path / "bin"),
        "HOME": str(tmp_path / "home"),
        "CROSSEXEC_CACHE": str(tmp_path / "cache"),
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
    }


def make_program(folder: str, name: str, script: str) -> Path:
    path = Path(folder, name)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_everything_is_told_in_80_columns() -> None:
    result = doctor()
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() or "\x1b" in line for line in lines)
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings == [
        *("kernel", "sandbox", "docker", "wine", "python", "speed-ups", "executor codex", "cache"),
        "environments",
    ]
    assert "  ok          local               can be given here" in lines


def test_every_environment_and_a_remedy_for_all_that_is_wrong() -> None:
    found = report()
    assert [given.name for given in found.environments] == list(ENVIRONMENTS)
    for given in found.environments:
        assert given.ok == (not given.reason), given
    later = {fact.name: fact for fact in found.facts if fact.state.is_bad and not fact.remedy}
    assert set(later) <= {"mount namespaces", "network namespaces", "overlayfs"}
    assert {fact.name for fact in found.facts} >= {
        "version",
        "Landlock",
        "seccomp",
        "cgroup v2",
        "bubblewrap",
    }


def test_a_machine_with_nothing(bare: dict[str, str]) -> None:
    found = report(env=bare)
    assert {given.name: given.ok for given in found.environments} == {
        "local": True,
        "docker": False,
        "wine-exec": False,
        "remote-local": True,
        "remote-docker": False,
        "remote-wine-exec": False,
    }
    for name in ("daemon", "wine", "bubblewrap"):
        assert fact(found, name).state is State.MISSING
        assert fact(found, name).remedy
    tools = fact(found, "tools to build one")
    assert "patch" in tools.found
    assert tools.remedy.startswith("apt-get install")
    # Nothing is written but in a cache that is there, and nothing of it stays.
    assert not Path(bare["CROSSEXEC_CACHE"]).exists()
    assert os.listdir(bare["HOME"]) == []


def test_an_environment_that_is_needed(bare: dict[str, str]) -> None:
    assert doctor("local", env=bare).returncode == 0
    assert doctor("local", "docker", env=bare).returncode == 1
    assert doctor("remote-local", env=bare).returncode == 0
    assert doctor("remote", env=bare).returncode == 1
    result = doctor("nowhere", env=bare)
    assert (result.returncode, result.stdout) == (2, "")
    assert "local, docker, wine-exec" in result.stderr


def test_wine_without_what_builds_its_python_cannot_be_given(bare: dict[str, str]) -> None:
    make_program(bare["PATH"], "wine", "echo wine-0.1")
    make_program(bare["PATH"], "wineserver", "exit 0")
    found = report(env=bare)
    assert fact(found, "wine").found.startswith("wine-0.1, ")
    (given,) = [given for given in found.environments if given.name == "wine-exec"]
    assert (given.ok, given.reason.partition(":")[0]) == (False, "tools to build one")


def test_a_wine_that_fails_is_broken(bare: dict[str, str]) -> None:
    make_program(bare["PATH"], "wine", "echo no; exit 1")
    make_program(bare["PATH"], "wineserver", "exit 0")
    found = fact(report(env=bare), "wine")
    assert (found.state, bool(found.remedy)) == (State.BROKEN, True)


def test_a_cache_that_is_no_folder(bare: dict[str, str]) -> None:
    Path(bare["CROSSEXEC_CACHE"]).write_text("")
    found = report(env=bare)
    assert fact(found, "folder").state is State.BROKEN
    assert "CROSSEXEC_CACHE" in fact(found, "folder").remedy
    assert not any(given.ok for given in found.environments if given.name not in ("local", "remote-local"))


def test_no_home(bare: dict[str, str]) -> None:
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("root and setpriv make a user without a home")
    prefix = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
    probe = subprocess.run([*prefix, sys.executable, "-c", "import msgspec"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this Python is not for other users")
    found = report(env={"PATH": os.environ["PATH"], "DOCKER_HOST": bare["DOCKER_HOST"]}, prefix=prefix)
    assert "no home directory" in fact(found, "folder").found
    assert found.environments[0].ok


def test_no_password_of_the_package_index_is_shown(bare: dict[str, str]) -> None:
    url = "https://someone:secret@packages.example/simple"
    result = doctor("--json", env={**bare, "PIP_INDEX_URL": url, "PIP_EXTRA_INDEX_URL": f"{url} {url}/2"})
    assert "secret" not in result.stdout
    index = fact(msgspec.json.decode(result.stdout, type=Report), "package index")
    assert "index-url https://packages.example/simple" in index.found


def test_a_daemon_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("docker")
    monkeypatch.setattr(docker, "_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/sock")
        _, found = docker.facts(DockerOptions())
    assert (found.name, found.state) == ("daemon", State.MISSING)


class TestBubblewrap:
    @pytest.fixture
    def bwrap(self, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("PATH", bare["PATH"])
        return make_program(bare["PATH"], "bwrap", '[ "$1" = --version ] && echo bwrap 9 && exit\n. $0.does')

    def test_it_fails(self, bwrap: Path) -> None:
        Path(f"{bwrap}.does").write_text("echo no permission >&2; exit 1")
        (found,) = bubblewrap.facts()
        assert (found.state, "no permission" in found.found) == (State.BROKEN, True)

    def test_it_hangs(self, bwrap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bubblewrap, "_SECONDS", 0.2)
        Path(f"{bwrap}.does").write_text("while :; do :; done")
        (found,) = bubblewrap.facts()
        assert (found.state, "0.2 s" in found.found) == (State.BROKEN, True)


class TestKernel:
    def test_namespaces_that_are_forbidden(self) -> None:
        from harness.doctor import kernel_linux

        if kernel_linux.try_namespaces().get("user"):
            pytest.skip("this machine has none, whatever is forbidden")
        forbid = "echo 0 >/proc/sys/user/max_user_namespaces && exec "
        prefix = ("unshare", "--user", "--map-root-user", "sh", "-c", f'{forbid}"$@"', "sh")
        found = report(prefix=prefix)
        user = fact(found, "user namespaces")
        assert user.state is State.MISSING
        assert user.remedy == "as root: sysctl -w user.max_user_namespaces=15000"
        assert fact(found, "overlayfs").state is State.MISSING
        assert fact(found, "bubblewrap").state is not State.OK

    def test_nothing_of_the_namespaces_remains(self) -> None:
        from harness.doctor import kernel_linux

        def ours() -> list[str]:
            """This process's namespaces, and what is mounted where it mounts things; others come and go."""
            mounts = Path("/proc/self/mounts").read_text().splitlines()
            links = [os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt", "net")]
            return links + [line for line in mounts if line.split()[1] in ("/tmp", "/tmp/merged")]

        before = ours()
        found = kernel_linux.try_namespaces()
        assert list(found)[:1] == ["user"]
        assert ours() == before

    def test_landlock_and_seccomp_as_the_kernel_tells(self) -> None:
        from harness.doctor import kernel_linux

        abi, reason = kernel_linux.landlock_abi()
        assert (abi > 0) != bool(reason)
        actions = Path("/proc/sys/kernel/seccomp/actions_avail")
        if actions.exists():
            assert kernel_linux.seccomp_actions() == tuple(actions.read_text().split())
        # To ask has not changed this process.
        status = Path("/proc/self/status").read_text()
        assert "NoNewPrivs:\t0" in status or "NoNewPrivs:\t1" in status
        assert "Seccomp:\t1" not in status

    def test_a_landlock_that_is_denied_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from harness.doctor import kernel_linux

        # A number that no system call has: what an older kernel answers.
        monkeypatch.setattr(kernel_linux, "_LANDLOCK_CREATE_RULESET", 100_000)
        assert kernel_linux.landlock_abi() == (0, "this kernel is older than 5.13 or was built without it")
        (found,) = [fact for fact in kernel_linux.facts() if fact.name == "Landlock"]
        assert (found.state, "CONFIG_SECURITY_LANDLOCK" in found.remedy) == (State.MISSING, True)

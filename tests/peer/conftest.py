"""Stand-ins for the released exec-server and for npm."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.npm import integrity_of
from harness.executor_kinds.codex.release import LINUX, VERSION, Package

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the released program is run on Linux alone")
_ROOT = Path(__file__).resolve().parents[2]
_SERVES = """
    import sys
    sys.path.insert(0, {root!r})
    import executors.server.environment as environment
    environment.__version__ = {version!r}
    from executors.command import main
    sys.exit(main(sys.argv[2:]))
"""
Make = Callable[..., Path]


@pytest.fixture
def make_program(tmp_path: Path) -> Make:
    """Makes a program in the place that it has in a package: by default our executor, under its version."""

    def make(source: str = "", *, version: str = VERSION, told: str = VERSION) -> Path:
        vendor = tmp_path / "given"
        file = LINUX.program_in(vendor)
        file.parent.mkdir(parents=True)
        text = dedent(source or _SERVES).format(root=str(_ROOT), version=told)
        file.write_text(f"#!{sys.executable}\n{text}")
        file.chmod(0o755)
        (vendor / "codex-package.json").write_text(json.dumps({"version": version}))
        return file

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no npm."""
    monkeypatch.setenv("CROSSEXEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return program.folder()


@pytest.fixture
def make_npm(tmp_path: Path, cache: Path) -> Callable[[], Package]:
    """Puts an npm into PATH that has a package, notes its calls, and has nothing installed."""

    def make() -> Package:
        content = tmp_path / "package"
        file = LINUX.program_in(LINUX.vendor_in(content))
        file.parent.mkdir(parents=True)
        file.write_text("#!/bin/sh\n")
        (content / "package.json").write_text(json.dumps({"version": LINUX.version}))
        archive = tmp_path / "made.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(content, "package")
        npm = tmp_path / "bin/npm"
        npm.write_text(
            dedent(f"""\
                #!{sys.executable}
                import os, shutil, sys
                with open({str(tmp_path / "calls")!r}, "a") as calls:
                    calls.write(sys.argv[1] + "\\n")
                if sys.argv[1] == "pack":
                    shutil.copy({str(archive)!r}, "fetched.tgz")
                else:
                    print({str(tmp_path / "global")!r})
            """)
        )
        npm.chmod(0o755)
        return Package(LINUX.platform, integrity_of(archive), LINUX.vendor, LINUX.program)

    return make

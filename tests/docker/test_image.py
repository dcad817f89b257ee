"""The image that the project builds: once, whole, and with a word for what goes wrong."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.docker import image
from harness.docker.daemon import open_daemon
from harness.docker.errors import DockerFailed
from harness.progress import SILENT

if TYPE_CHECKING:
    from docker import APIClient

Recipe = Callable[[str], Path]


@pytest.fixture
def recipe(
    api: APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Recipe]:
    """Puts a script in the place of mmdebstrap, so that another image is built; returns its list of calls."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("made"))
    (tmp_path / "made.tar").write_bytes(archive.getvalue())
    calls = tmp_path / "calls"
    calls.touch()

    def use(script: str) -> Path:
        program = tmp_path / "bootstrap"
        program.write_text(f'#!/bin/sh\necho "$@" >>{calls}\ncat {tmp_path}/made.tar\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setattr(image, "_BUILD", (str(program), request.node.name))
        return calls

    yield use
    with suppress(Exception):
        api.remove_image(image.default_tag())


def test_built_by_the_first_that_asks(api: APIClient, tmp_path: Path, recipe: Recipe) -> None:
    calls = recipe("sleep 0.2")
    found = []

    def ask() -> None:
        with open_daemon() as daemon:
            found.append(image.ensure_image(daemon, None, tmp_path / "cache", SILENT))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert len(calls.read_text().splitlines()) == 1
    assert "LANG=C.UTF-8" in api.inspect_image(found[0])["Config"]["Env"]  # type: ignore[no-untyped-call]


def test_another_recipe_has_another_tag(recipe: Recipe) -> None:
    before = image.default_tag()
    recipe("")
    assert image.default_tag() != before


def test_what_is_built_halfway_is_no_image(tmp_path: Path, recipe: Recipe) -> None:
    recipe("echo 'E: no mirror answers' >&2; exit 3")
    with open_daemon() as daemon:
        with pytest.raises(DockerFailed, match="ended with 3:\nE: no mirror answers"):
            image.ensure_image(daemon, None, tmp_path / "cache", SILENT)
        assert image._find(daemon, image.default_tag()) is None
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["image.lock"]


def test_a_missing_mmdebstrap_has_a_remedy(tmp_path: Path, recipe: Recipe) -> None:
    recipe("")
    (tmp_path / "bootstrap").unlink()
    with open_daemon() as daemon, pytest.raises(DockerFailed, match="install mmdebstrap"):
        image.ensure_image(daemon, None, tmp_path / "cache", SILENT)

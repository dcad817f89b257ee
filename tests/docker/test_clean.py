"""Cleaning up what was made for containers: what the present code would use, and what runs, stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.cache import VARIABLE, cache_folder
from harness.docker import caches
from harness.docker.options import DockerOptions
from harness.environments.docker import DockerEnvironment
from harness.progress import SILENT
from tests.docker.conftest import Up

if TYPE_CHECKING:
    from docker import APIClient


@pytest.fixture
def cache(prepared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for the test alone, with all that the default image needs, and with old things."""
    shutil.copytree(cache_folder() / "docker", tmp_path / "docker")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    cache = tmp_path / "docker"
    for name in ("executor-0123456789abcdef", "packages-0123456789abcdef", "executor-1.unfinished"):
        (cache / name).mkdir()
    (cache / "python-0123456789abcdef01234567.json").write_text("{}")
    (cache / "image-abcdefgh").mkdir()
    return cache


def made(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.suffix != ".lock"}


def test_what_no_image_needs_goes(cache: Path, image: str) -> None:
    cleaned = DockerEnvironment(DockerOptions()).clean_cache(everything=False)
    assert cleaned.kept == []
    left = made(cache)
    assert not [name for name in left if "0123456789abcdef" in name or name.startswith("image-")]
    assert "executor-1.unfinished" not in left
    # What the image needs was there and is there: nothing is made anew.
    DockerEnvironment(DockerOptions()).prepare(SILENT)
    assert made(cache) == left


def test_a_live_run_keeps_its_bundle_and_the_images(
    cache: Path, image: str, up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = DockerEnvironment(DockerOptions())
    # Of images, those of this name only; there is none.
    monkeypatch.setattr(caches, "REPOSITORY", f"crossexec-test-{os.urandom(4).hex()}")
    with up() as (_, client):
        assert any("a run in a container" in used for used in environment.in_use())
        cleaned = environment.clean_cache(everything=True)
        assert len(cleaned.kept) == 2, cleaned.kept
        assert client.run(["python3", "-c", "print(1)"]).stdout == b"1\n"
        assert {name.split("-")[0] for name in made(cache)} == {"executor", "packages"}
    assert environment.in_use() == []
    environment.clean_cache(everything=True)
    assert made(cache) == set()


def test_images_of_other_recipes_go_and_those_in_use_stay(
    cache: Path, image: str, api: APIClient, up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = f"crossexec-test-{os.urandom(4).hex()}"
    current, old = f"{repository}:{'0' * 16}", f"{repository}:{'1' * 16}"
    monkeypatch.setattr(caches, "REPOSITORY", repository)
    monkeypatch.setattr(caches, "default_tag", lambda: current)
    for tag in (current, old, f"{repository}:mine"):
        api.tag(image, repository, tag.rpartition(":")[2])

    def tags() -> set[str]:
        return {tag for found in api.images(repository) for tag in found["RepoTags"] or ()}

    try:
        with up():
            cleaned = DockerEnvironment(DockerOptions()).clean_cache(everything=False)
            assert [kept for kept in cleaned.kept if old in kept], cleaned.kept
            assert len(tags()) == 3
        cleaned = DockerEnvironment(DockerOptions()).clean_cache(everything=False)
        assert "image of containers" in {removed.what for removed in cleaned.removed}
        assert tags() == {current, f"{repository}:mine"}
        DockerEnvironment(DockerOptions()).clean_cache(everything=True)
        assert tags() == {f"{repository}:mine"}
    finally:
        for tag in tags():
            api.remove_image(tag)

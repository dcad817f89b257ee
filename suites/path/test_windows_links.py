"""Junctions and symbolic links of Windows, made by the system: file calls treat both as links."""

from __future__ import annotations

from typing import Final

import pytest

from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.links import needs_links
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("only Windows has junctions besides symbolic links")

_MAKE: Final = r"""
import _winapi
def make(kind, target, link):
    target = os.path.abspath(target)
    if kind == "junction":
        _winapi.CreateJunction(target, os.path.abspath(link))
    else:
        os.symlink(target, link, target_is_directory=kind == "directory-link")
os.makedirs("target\\sub")
write("target\\leaf", "precious")
refused = attempt(make, question, "target\\leaf" if question == "file-link" else "target", "link")
attribute = attributes(os.path.abspath("link"))
answer = refused or attribute is None or not attribute & 0x400
"""

_NO_JUNCTIONS = pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="no junctions can be made: FSCTL_SET_REPARSE_POINT fails with ERROR_NOT_SUPPORTED",
)
DIRECTORY_LINKS = [
    pytest.param("junction", marks=_NO_JUNCTIONS),
    pytest.param("directory-link", marks=needs_links),
]
LINKS = [*DIRECTORY_LINKS, pytest.param("file-link", marks=needs_links)]


def make_link(kind: str, python: BoundPython) -> None:
    """Makes ``link``, which leads to ``target``, or to ``target\\leaf`` if it is one to a file."""
    refused = ask_win32(python, _MAKE, kind)
    if isinstance(refused, str) and kind != "junction":
        pytest.skip("this user may not make symbolic links there; Developer Mode lets everybody")
    assert not refused, "the system made no link"


@pytest.mark.parametrize("kind", LINKS)
def test_link_is_followed_and_told_as_one(
    kind: str, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    make_link(kind, python)
    link = workspace / "link"
    metadata = client.files.metadata(link)
    assert metadata.is_symlink
    assert metadata.is_file == (kind == "file-link")
    final = ask_win32(python, "answer = final_path('link')")
    assert client.files.canonicalize(link).to_native(env.platform) == final


@pytest.mark.parametrize("kind", LINKS)
def test_removing_the_link_leaves_what_it_leads_to(
    kind: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    make_link(kind, python)
    client.files.copy(workspace / "link", workspace / "copy")
    assert client.files.metadata(workspace / "copy").is_symlink
    client.files.remove(workspace / "link", force=False)
    client.files.remove(workspace / "copy", force=False)
    assert ask_win32(python, "answer = tree(os.getcwd())") == {"target\\leaf": "precious"}


@pytest.mark.parametrize("kind", DIRECTORY_LINKS)
def test_walk_enters_the_link_only_if_told_to(
    kind: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    make_link(kind, python)
    inside = [str(workspace / f"target/{name}") for name in ("leaf", "sub")]
    walked = client.files.walk(workspace.uri)
    assert sorted(entry.path for entry in walked.entries) == [str(workspace / "target"), *inside]
    followed = client.files.walk(workspace / "link", follow_directory_symlinks=True)
    assert sorted(entry.path for entry in followed.entries) == [
        str(workspace / f"link/{name}") for name in ("leaf", "sub")
    ]

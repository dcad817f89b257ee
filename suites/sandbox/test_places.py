"""Which place is which: nested and overlapping roots, repositories, patterns, and places that have names."""

from __future__ import annotations

import json
from typing import Final

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent, matching, special
from suites.sandbox.scene import Scene

TRY = """
import json, os, sys
def can(kind, path):
    try:
        if kind == "write":
            with open(path, "ab") as file:
                file.write(b"+")
        elif kind == "create":
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "xb").close()
        elif kind == "rename":
            os.rename(path, path + "-away")
        elif kind == "remove":
            os.unlink(path)
        elif os.path.isdir(path):
            os.listdir(path)
        else:
            with open(path, "rb") as file:
                file.read()
        return True
    except OSError:
        return False
print(json.dumps([can(*one) for one in json.loads(sys.argv[1])]))
"""


class Places:
    """Tries to read and write files, under an intent."""

    def __init__(self, scene: Scene, python: BoundPython, escapes: Escapes, carves: bool) -> None:
        self._scene = scene
        self._python = python
        self._escapes = escapes
        self._carves = carves

    def expect(self, sandbox: Json, expected: dict[str, bool], *, carved: bool, cwd: str = "inside") -> None:
        """*expected*: for each ``kind path`` whether it can be done; refused as a whole where *carved*."""
        wanted = [text.split(" ", 1) for text in expected]
        asked = json.dumps([[kind, self._scene.native(path)] for kind, path in wanted])
        found: list[bool | None] = [None] * len(wanted)
        try:
            found = json.loads(self._python.run(TRY, asked, sandbox=sandbox, cwd=self._scene / cwd).stdout)
        except RpcError as error:
            assert error.code == ErrorCode.INVALID_PARAMS
            assert carved and not self._carves, f"not enforced: {error}"
        for (what, may), can in zip(expected.items(), found, strict=True):
            if not may:
                self._escapes.tried(what, escaped=can is True, refused=can is None)
            else:
                assert can is not False, f"{what} is allowed, and cannot be done"


@pytest.fixture
def places(scene: Scene, python: BoundPython, escapes: Escapes, carves: bool) -> Places:
    return Places(scene, python, escapes, carves)


def put(workspace: Workspace, *names: str) -> None:
    for name in names:
        workspace.write(name, b"x")


def test_writable_in_read_only_in_writable(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "inside/r/f", "inside/r/w/f", "inside/r/w/d/f", "f")
    sandbox = intent(
        EVERYTHING_READABLE,
        at(scene / "inside", "write"),
        at(scene / "inside/r", "read"),
        at(scene / "inside/r/w", "write"),
    )
    places.expect(
        sandbox,
        {
            "write inside/f": True,
            "write inside/r/f": False,
            "create inside/r/new": False,
            "read inside/r/f": True,
            "write inside/r/w/f": True,
            "write inside/r/w/d/f": True,
            "create inside/r/w/new": True,
            "write f": False,
            "rename inside/r": False,
            "rename inside/r/w": False,
            "remove inside/r/f": False,
        },
        carved=True,
    )


@pytest.mark.parametrize("first", ["outer", "inner"])
def test_the_order_of_entries_means_nothing(
    places: Places, scene: Scene, workspace: Workspace, first: str
) -> None:
    put(workspace, "inside/f", "inside/r/f")
    entries = [EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "inside/r", "read")]
    sandbox = intent(*(entries if first == "outer" else reversed(entries)))
    places.expect(sandbox, {"write inside/f": True, "write inside/r/f": False}, carved=True)


def test_what_holds_a_place_cannot_be_moved_away(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/a/b/r/f")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "inside/a/b/r", "read"))
    expected = {"rename inside/a/b/r": False, "rename inside/a/b": False, "rename inside/a": False,
                "create inside/a/b/new": True, "write inside/a/b/r/f": False}  # fmt: skip
    places.expect(sandbox, expected, carved=True)
    assert workspace.read("inside/a/b/r/f") == b"x"


@pytest.mark.parametrize("access", ["deny", "none"])
def test_writable_in_denied(places: Places, scene: Scene, workspace: Workspace, access: str) -> None:
    put(workspace, "outside/f", "outside/w/f")
    sandbox = intent(
        EVERYTHING_READABLE,
        at(scene / "inside", "write"),
        at(scene / "outside", access),
        at(scene / "outside/w", "write"),
    )
    expected = {"read outside/f": False, "read outside": False, "write outside/f": False,
                "write outside/w/f": True, "read outside/w/f": True}  # fmt: skip
    places.expect(sandbox, expected, carved=True)


def test_a_denied_file_among_others(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/secret", "inside/f")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "inside/secret", "deny"))
    expected = {"read inside/secret": False, "write inside/secret": False, "remove inside/secret": False,
                "rename inside/secret": False, "write inside/f": True}  # fmt: skip
    places.expect(sandbox, expected, carved=True)
    assert workspace.read("inside/secret") == b"x"


def test_a_writable_file_among_others(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "outside/f", "outside/w")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "outside/w", "write"))
    expected = {"write outside/w": True, "write outside/f": False, "create outside/new": False,
                "remove outside/w": False}  # fmt: skip
    places.expect(sandbox, expected, carved=False)


def test_overlapping_roots(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/a/f", "inside/a/b/f", "outside/f")
    sandbox = intent(
        EVERYTHING_READABLE,
        *(at(scene / name, "write") for name in ("inside", "inside/a", "inside/a/b", "inside")),
    )
    expected = {"write inside/a/f": True, "write inside/a/b/f": True, "write outside/f": False}
    places.expect(sandbox, expected, carved=False)


def test_a_read_only_root_named_inside_of_a_readable_one(
    places: Places, scene: Scene, workspace: Workspace
) -> None:
    put(workspace, "outside/a/f")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "outside/a", "read"))
    places.expect(sandbox, {"read outside/a/f": True, "write outside/a/f": False}, carved=False)


def test_a_link_in_the_path_of_an_entry_is_resolved(
    places: Places, scene: Scene, workspace: Workspace, python: BoundPython
) -> None:
    put(workspace, "outside/real/f", "outside/f")
    python.run("import os; os.symlink('outside/real', 'way', target_is_directory=True)")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "way", "write"))
    expected = {"write way/f": True, "write outside/real/f": True, "write outside/f": False}
    places.expect(sandbox, expected, carved=False)


# Repositories.

GIT: Final = {
    "write inside/.git/config": False,
    "create inside/.git/hooks/pre-commit": False,
    "rename inside/.git": False,
    "remove inside/.git/HEAD": False,
    "read inside/.git/config": True,
    "write inside/f": True,
}


def test_a_repository_may_only_be_read(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "inside/.git/config", "inside/.git/HEAD")
    places.expect(intent(EVERYTHING_READABLE, at(scene / "inside", "write")), GIT, carved=True)


def test_an_entry_of_its_own_opens_a_repository(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "inside/.git/config")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "inside/.git", "write"))
    places.expect(sandbox, {"write inside/.git/config": True, "write inside/f": True}, carved=False)


@pytest.mark.parametrize("pointer", ["relative", "absolute"])
def test_where_a_pointer_file_leads_may_only_be_read(
    places: Places, scene: Scene, workspace: Workspace, pointer: str
) -> None:
    put(workspace, "inside/f", "inside/real/config")
    leads = "real" if pointer == "relative" else scene.native("inside/real")
    workspace.write("inside/.git", f"gitdir: {leads}\n".encode())
    expected = {"write inside/.git": False, "remove inside/.git": False, "write inside/real/config": False,
                "create inside/real/hooks/post-commit": False, "write inside/f": True}  # fmt: skip
    places.expect(intent(EVERYTHING_READABLE, at(scene / "inside", "write")), expected, carved=True)


def test_a_pointer_file_opens_nothing(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "outside/config", "inside/f")
    workspace.write("inside/.git", f"gitdir: {scene.native('outside')}\n".encode())
    expected = {"write outside/config": False, "write inside/.git": False}
    places.expect(intent(EVERYTHING_READABLE, at(scene / "inside", "write")), expected, carved=True)


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "kept", "free"),
    [
        ("**/*.secret", ["a.secret", "d/b.secret", "d/e/c.secret"], ["a.open", "d/secret"]),
        ("*.secret", ["a.secret"], ["d/b.secret", "a.open"]),
        ("d/**", ["d/secret", "d/e/c.secret"], ["a.secret"]),
        ("**/.env*", [".env", "d/.env.local"], ["d/env"]),
        ("[ab].?ecret", ["a.secret"], ["c.secret"]),
        ("[!a].secret", ["c.secret"], ["a.secret"]),
    ],
)
def test_what_matches_a_pattern_is_denied(
    places: Places, scene: Scene, workspace: Workspace, pattern: str, kept: list[str], free: list[str]
) -> None:
    names = ["a.secret", "c.secret", "a.open", "d/b.secret", "d/e/c.secret", "d/secret", "d/env", ".env"]
    put(workspace, *(f"inside/{name}" for name in [*names, "d/.env.local"]))
    sandbox = intent(
        EVERYTHING_READABLE,
        at(scene / "inside", "write"),
        matching(f"{scene.native('inside')}/{pattern}"),
    )
    expected = {f"read inside/{name}": False for name in kept}
    expected |= {f"write inside/{name}": False for name in kept}
    expected |= {f"write inside/{name}": True for name in free}
    places.expect(sandbox, expected, carved=True)
    assert all(workspace.read(f"inside/{name}") == b"x" for name in kept)


def test_a_relative_pattern_is_one_of_each_project_root(
    places: Places, scene: Scene, workspace: Workspace
) -> None:
    put(workspace, "inside/a.secret", "outside/a.secret", "a.secret")
    sandbox = intent(
        EVERYTHING_READABLE,
        special("project_roots", "write"),
        matching("*.secret"),
        roots=[scene / "inside", scene / "outside"],
    )
    expected = {"read inside/a.secret": False, "read outside/a.secret": False, "read a.secret": True}
    places.expect(sandbox, expected, carved=True)


# Places that have names.


def test_the_working_directory_of_the_intent(places: Places, scene: Scene, workspace: Workspace) -> None:
    """The intent's, not where the program starts."""
    put(workspace, "inside/f", "outside/f")
    sandbox = intent(
        EVERYTHING_READABLE, special("current_working_directory", "write"), cwd=scene / "outside"
    )
    places.expect(sandbox, {"write outside/f": True, "write inside/f": False}, carved=False)


def test_project_roots(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "outside/f", "third/f")
    sandbox = intent(
        EVERYTHING_READABLE,
        special("project_roots", "write"),
        roots=[scene / "inside", scene / "outside"],
        cwd=scene / "third",
    )
    expected = {"write inside/f": True, "write outside/f": True, "write third/f": False}
    places.expect(sandbox, expected, carved=False)


def test_a_part_of_each_project_root(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "inside/kept/f", "outside/f", "outside/kept/f")
    sandbox = intent(
        EVERYTHING_READABLE,
        special("project_roots", "write"),
        special("project_roots", "read", subpath="kept"),
        roots=[scene / "inside", scene / "outside"],
    )
    expected = {"write inside/f": True, "write inside/kept/f": False, "write outside/kept/f": False}
    places.expect(sandbox, expected, carved=True)


def test_a_writable_part_of_each_project_root(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "inside/build/f")
    sandbox = intent(
        EVERYTHING_READABLE, special("project_roots", "write", subpath="build"), roots=[scene / "inside"]
    )
    places.expect(sandbox, {"write inside/build/f": True, "write inside/f": False}, carved=False)


def temporary(client: SyncClient, python: BoundPython) -> PathUri:
    assert client.info.temp_dir is not None
    return PathUri.parse(client.info.temp_dir)


@pytest.mark.parametrize("kind", ["tmpdir", "slash_tmp"])
@pytest.mark.parametrize("access", ["write", "read"])
def test_temporary_directories(
    scene: Scene, client: SyncClient, python: BoundPython, escapes: Escapes, kind: str, access: str
) -> None:
    name = f"crossexec-{scene.home.render().rpartition('/')[2]}-{kind}-{access}"
    where = temporary(client, python).join(name) if kind == "tmpdir" else scene.home.join(f"/tmp/{name}")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), special(kind, access))
    # The whole of the scene may lie in the temporary directory: nothing else is said of that here.
    try:
        code = "import sys; open(sys.argv[1], 'x')"
        result = python.run(code, where.render(), check=False, sandbox=sandbox, cwd=scene / "inside")
        if access == "write":
            assert result.exit_code == 0, result.error_text
        else:
            escapes.tried(f"{kind} for reading", escaped=result.exit_code == 0)
    finally:
        client.files.remove(where, force=True)


def test_what_programs_need_at_least(
    places: Places, scene: Scene, workspace: Workspace, python: BoundPython
) -> None:
    put(workspace, "outside/f", "inside/f")
    expected = {"read outside/f": False, "read outside": False, "read .": False, "read /etc/shadow": False,
                "read /root": False, "write /usr/bin/env": False, "read /usr": True,
                "write inside/f": True}  # fmt: skip
    places.expect(scene.named(at(scene / "inside", "write")), expected, carved=False)


def test_ten_thousand_entries(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, "inside/f", "outside/f", "outside/7777/f")
    many = [at(scene / f"outside/{number}", "read") for number in range(9_998)]
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), *many)
    expected = {"write inside/f": True, "write outside/7777/f": False, "read outside/7777/f": True}
    places.expect(sandbox, expected, carved=False)


def test_a_hundred_writable_places(places: Places, scene: Scene, workspace: Workspace) -> None:
    put(workspace, *(f"outside/{number}/f" for number in range(100)), "outside/f", "inside/f")
    many = [at(scene / f"outside/{number}", "write") for number in range(0, 100, 2)]
    expected = {f"write outside/{number}/f": number % 2 == 0 for number in range(100)}
    places.expect(intent(EVERYTHING_READABLE, *many), expected | {"write outside/f": False}, carved=False)


@pytest.mark.parametrize("name", ["two words", "ünïcödé", "*", "a\\b", "x\ny", "%41", "-rf", "[a]"])
def test_a_place_of_an_odd_name(places: Places, scene: Scene, workspace: Workspace, name: str) -> None:
    put(workspace, f"{name}/f", "inside/f", "a/f", "A/f")
    sandbox = intent(EVERYTHING_READABLE, at(scene / name, "write"))
    expected = {f"write {name}/f": True, "write inside/f": False, "write a/f": False, "write A/f": False}
    places.expect(sandbox, expected, carved=False)


def test_a_place_replaced_by_a_link_of_the_program_opens_nothing(
    scene: Scene, workspace: Workspace, python: BoundPython, escapes: Escapes
) -> None:
    """What a program leaves behind in one start changes nothing for the next."""
    put(workspace, "inside/d/f", "outside/f")
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"))
    swap = "import os, sys; os.rename('d', 'away'); os.symlink(sys.argv[1], 'd')"
    python.run(swap, scene.native("outside"), sandbox=sandbox, cwd=scene / "inside")
    code = "open('d/f', 'w').write('changed')"
    python.run(code, check=False, sandbox=sandbox, cwd=scene / "inside")
    escapes.tried("a link left for the next start", escaped=workspace.read("outside/f") != b"x")
    inner = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "inside/d", "write"))
    try:
        python.run(code, check=False, sandbox=inner, cwd=scene / "inside")
    except RpcError as error:
        assert error.code == ErrorCode.INVALID_PARAMS
    escapes.tried("a link left for an entry", escaped=workspace.read("outside/f") != b"x")


def test_a_root_that_vanishes_is_refused(scene: Scene, workspace: Workspace, python: BoundPython,
                                         client: SyncClient) -> None:  # fmt: skip
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "outside", "write"))
    python.run("open('../outside/f', 'x')", sandbox=sandbox, cwd=scene / "inside")
    client.files.remove(scene / "outside")
    with pytest.raises(RpcError) as refused:
        python.run("open('f', 'x')", sandbox=sandbox, cwd=scene / "inside")
    assert refused.value.code == ErrorCode.INVALID_PARAMS
    assert not workspace.exists("inside/f")


def test_a_root_that_is_made_anew_is_the_new_one(
    scene: Scene, workspace: Workspace, python: BoundPython, client: SyncClient
) -> None:
    sandbox = intent(EVERYTHING_READABLE, at(scene / "inside", "write"))
    python.run("open('f', 'x')", sandbox=sandbox, cwd=scene / "inside")
    client.files.remove(scene / "inside")
    workspace.mkdir("inside")
    python.run("open('g', 'x')", sandbox=sandbox, cwd=scene / "inside")
    assert workspace.exists("inside/g")

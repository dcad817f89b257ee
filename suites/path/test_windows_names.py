"""Names that Windows refuses or changes: file calls do what the system does, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import RpcError
from executors.protocol.path_uri import Convention, PathUri
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import Once
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("a POSIX name is what it is")

TRAILING = {
    "dot": "x.",
    "dots": "x...",
    "blank": "x ",
    "blanks": "x   ",
    "dot-and-blank": "x. ",
    "blank-and-dot": "x .",
    "extension-and-dot": "x.txt.",
    "dots-before-too": "..x..",
}


def spelt(client: SyncClient, python: BoundPython, workspace: Workspace, name: str) -> tuple[str, PathUri]:
    """The name that the system makes of *name*, and the URI of it as spelt, in an empty directory."""
    place = workspace.mkdir("place")
    code = "answer = os.path.basename(full_path(os.path.join('place', question)))"
    real: str = ask_win32(python, code, name)
    assert real != name
    return real, place.join(name)


@pytest.mark.parametrize("case", TRAILING)
def test_file_of_a_name_with_an_end_that_counts_for_nothing(
    case: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    real, uri = spelt(client, python, workspace, TRAILING[case])
    client.files.write_file(uri, b"text")
    assert ask_win32(python, "answer = tree(os.path.abspath('place'))") == {real: "text"}
    assert client.files.read_file(uri) == b"text"
    assert client.files.canonicalize(uri) == workspace / f"place/{real}"
    client.files.copy(uri, workspace / f"place/copy-{TRAILING[case]}")
    assert workspace.read(f"place/copy-{real}") == b"text"
    client.files.remove(uri, force=False)
    assert [entry.file_name for entry in client.files.read_directory(workspace / "place")] == [f"copy-{real}"]


@pytest.mark.parametrize("case", TRAILING)
def test_tree_of_a_name_with_an_end_that_counts_for_nothing(
    case: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    real, uri = spelt(client, python, workspace, TRAILING[case])
    workspace.write(f"place/{real}/sub/leaf", b"text")
    walked = client.files.walk(uri).entries
    assert [entry.kind for entry in walked] == ["directory", "file"]
    assert client.files.read_file(walked[1].path) == b"text"
    client.files.copy(uri, workspace / f"copy-{TRAILING[case]}", recursive=True)
    assert workspace.read(f"copy-{real}/sub/leaf") == b"text"
    client.files.remove(uri, force=False)
    assert client.files.read_directory(workspace / "place") == []


@pytest.mark.parametrize("case", TRAILING)
def test_directory_below_a_name_with_such_an_end(
    case: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    # In the middle of a path one dot is taken away, blanks are not: another name than at its end.
    text = f"place\\{TRAILING[case]}\\sub"
    full = ask_win32(python, "answer = full_path(question)", text)
    try:
        client.files.create_directory(workspace / text)
    except RpcError:
        code = "answer = [attempt(os.makedirs, question), attributes(exactly(full_path(question)))]"
        assert ask_win32(python, code, text) == ["FileNotFoundError", None]
    else:
        there = "answer = attributes(exactly(question)) & 16"
        assert ask_win32(python, there, full) == 16
        assert client.files.metadata(workspace / text).is_directory


# Win32 leaves nothing of such a name, so that it would mean the directory it is asked for in.
NOTHING = ("...", "....", " ", ". ", " .", "... ...")


@pytest.mark.parametrize("recursive", [True, False], ids=["tree", "directory"])
@pytest.mark.parametrize("name", NOTHING)
def test_removing_a_name_of_dots_and_blanks_removes_nothing(
    name: str, recursive: bool, client: SyncClient, workspace: Workspace
) -> None:
    place = workspace.mkdir("place")
    if recursive:
        workspace.write("place/leaf", b"precious")
    with pytest.raises(RpcError):
        client.files.remove(place.join(name), recursive=recursive, force=False)
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["place"]
    assert len(client.files.read_directory(place)) == recursive


@pytest.mark.parametrize("name", NOTHING)
def test_copying_to_a_name_of_dots_and_blanks_makes_nothing(
    name: str, client: SyncClient, workspace: Workspace
) -> None:
    workspace.write("tree/leaf", b"text")
    place = workspace.mkdir("place")
    with pytest.raises(RpcError):
        client.files.copy(workspace / "tree", place.join(name), recursive=True)
    with pytest.raises(RpcError):
        client.files.create_directory(place.join(name), recursive=False)
    assert client.files.read_directory(place) == []


# Only a path that begins with \\?\ can make or name these; a file server or a Linux program makes them too.
EXACT = ("x.", "x ", "NUL", "con.txt", "COM1")

_MAKE_EXACT = r"""
place = os.path.join(os.getcwd(), "tree")
os.makedirs(exactly(place) + "\\" + question + "\\sub")
for name in ("x", question + "\\sub\\leaf", question + ".d"):
    write(exactly(place) + "\\" + name, name)
answer = None
"""


@pytest.mark.parametrize("name", EXACT)
def test_what_a_listing_tells_of_can_be_read(
    name: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    ask_win32(python, _MAKE_EXACT, name)
    expected = {f"{name}\\sub\\leaf", "x", f"{name}.d"}
    walked = [entry for entry in client.files.walk(workspace / "tree").entries if entry.kind == "file"]
    assert {client.files.read_file(entry.path).decode() for entry in walked} == expected
    found = {entry.file_name: entry for entry in client.files.read_directory(workspace / "tree")}
    directory = found[name]
    assert directory.is_directory
    inside = client.files.read_directory(directory.path or workspace / f"tree/{name}")
    assert [entry.file_name for entry in inside] == ["sub"]


@pytest.mark.parametrize("name", EXACT)
def test_tree_with_a_name_that_win32_would_change_is_copied_and_removed(
    name: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    ask_win32(python, _MAKE_EXACT, name)
    client.files.copy(workspace / "tree", workspace / "copy", recursive=True)
    client.files.remove(workspace / "tree", force=False)
    assert ask_win32(python, "answer = tree(os.getcwd())") == {
        f"copy\\{file}": file for file in (f"{name}\\sub\\leaf", "x", f"{name}.d")
    }


CHARACTERS = {
    "less-than": "<",
    "greater-than": ">",
    "quote": '"',
    "bar": "|",
    "question-mark": "?",
    "star": "*",
    "one": "\x01",
    "bell": "\x07",
    "backspace": "\x08",
    "tab": "\t",
    "newline": "\n",
    "vertical-tab": "\x0b",
    "carriage-return": "\r",
    "escape": "\x1b",
    "thirty-one": "\x1f",
    "delete": "\x7f",
    "next-line": "\x85",
    "lone-high-surrogate": "\ud800",
    "lone-low-surrogate": "\udfff",
    "surrogates-in-the-wrong-order": "\udc00\ud800",
    "replacement-character": "\ufffd",
    "noncharacter": "\ufffe",
}

_MAKE_NAMES = r"""
answer = {}
for case, char in question.items():
    os.makedirs(os.path.join("theirs", case))
    made = attempt(write, os.path.join("theirs", case, f"n{char}m"), "text")
    answer[case] = [made is None, os.listdir(os.path.join("theirs", case))]
"""


def all_names(client: SyncClient, python: BoundPython, workspace: Workspace) -> dict[str, Any]:
    """What became of a name with each character: made by the system, and by the executor."""
    system = ask_win32(python, _MAKE_NAMES, CHARACTERS)
    found: dict[str, Any] = {}
    for case, char in CHARACTERS.items():
        place = workspace.mkdir(f"ours/{case}")
        uri = place.join(f"n{char}m")
        written: RpcError | None = None
        try:
            client.files.write_file(uri, b"text")
        except RpcError as error:
            written = error
        theirs = [
            PathUri.parse(entry.path).to_native("windows") if entry.path else entry.file_name
            for entry in client.files.read_directory(workspace / f"theirs/{case}")
        ]
        found[case] = {"system": system[case], "written": written, "theirs": theirs}
    listing = "answer = {case: os.listdir(os.path.join('ours', case)) for case in question}"
    for case, names in ask_win32(python, listing, [*CHARACTERS]).items():
        found[case]["ours"] = names
    return found


@pytest.mark.parametrize("case", CHARACTERS)
def test_character_is_taken_or_refused_as_the_system_does(case: str, once: Once) -> None:
    found = once(all_names)[case]
    is_possible, listing = found["system"]
    assert found["ours"] == listing
    assert [native.rpartition("\\")[2] for native in found["theirs"]] == listing
    assert (found["written"] is None) == is_possible, found["written"]


CALLS: dict[str, Callable[[SyncClient, PathUri], Any]] = {
    "read": lambda client, uri: client.files.read_file(uri),
    "metadata": lambda client, uri: client.files.metadata(uri),
    "canonicalize": lambda client, uri: client.files.canonicalize(uri),
    "list": lambda client, uri: client.files.read_directory(uri),
    "remove": lambda client, uri: client.files.remove(uri, force=False),
    "copy": lambda client, uri: client.files.copy(uri, uri.join("..\\copy"), recursive=True),
}


@pytest.mark.parametrize("pattern", ["*", "n*", "n?me", "na<", 'name"', "*.*", "d?r", "dir\\*"])
def test_no_call_takes_a_name_for_a_pattern(pattern: str, client: SyncClient, workspace: Workspace) -> None:
    workspace.write("name", b"precious")
    workspace.write("dir/leaf", b"precious")
    for call in CALLS.values():
        with pytest.raises(RpcError):
            call(client, workspace / pattern)
    assert workspace.read("name") == workspace.read("dir/leaf") == b"precious"
    assert len(client.files.read_directory(workspace.uri)) == 2


def test_lone_surrogate_goes_by_the_fallback(workspace: Workspace) -> None:
    uri = workspace / "n\ud800m"
    assert uri.is_fallback
    assert uri.convention is Convention.WINDOWS
    assert uri.to_native("windows") == workspace.path + "\\n\ud800m"

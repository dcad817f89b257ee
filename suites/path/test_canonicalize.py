"""Canonical paths are the operating system's: links, dots, case."""

from __future__ import annotations

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import ask
from suites.links import needs_links

# Directories end in a slash; a link tells where it leads.
TREE = {
    "dir/": None,
    "dir/sub/": None,
    "dir/sub/file": None,
    "file": None,
    "two words %41": None,
    "to-file": "file",
    "to-dir": "dir",
    "to-link": "to-file",
    "to-link-to-link": "to-link",
    "to-dir-by-dots": "dir/sub/../../dir",
    "dir/up": "..",
    "dir/sub/up-to-file": "../../file",
    "to-two-words": "two words %41",
    "dangling": "nowhere",
    "to-dangling": "dangling",
    "loop": "loop",
    "ping": "pong",
    "pong": "ping",
}

MAKE = """
    answer = None
    try:
        for name, target in question.items():
            if target is not None:
                os.symlink(target, name, target_is_directory=os.path.isdir(os.path.join(name, "..", target)))
            elif name.endswith("/"):
                os.mkdir(name)
            else:
                open(name, "x").close()
        os.symlink(os.path.abspath("dir"), "to-dir-absolute", target_is_directory=True)
    except OSError as error:
        answer = str(error)
"""


@pytest.fixture
def tree(python: BoundPython, workspace: Workspace) -> Workspace:
    """A workspace with files and links, made by the operating system."""
    refused = ask(python, MAKE, TREE)
    if refused is not None:
        pytest.skip(f"links cannot be made there: {refused}")
    return workspace


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "file",
        "dir",
        "dir/sub/file",
        "two words %41",
        *(
            pytest.param(path, marks=needs_links)
            for path in (
                "to-file",
                "to-dir",
                "to-dir/sub/file",
                "to-dir-absolute",
                "to-dir-absolute/sub",
                "to-link",
                "to-link-to-link",
                "to-dir-by-dots/sub",
                "dir/up",
                "dir/up/to-dir/up/file",
                "dir/sub/up-to-file",
                "to-dir/sub/up-to-file",
                "to-two-words",
            )
        ),
    ],
)
def test_links_are_resolved(
    path: str, env: RunningEnvironment, client: SyncClient, python: BoundPython, tree: Workspace
) -> None:
    expected = ask(python, "answer = os.path.realpath(question)", path)
    assert client.files.canonicalize(tree / path).to_native(env.platform) == expected


@pytest.mark.parametrize(
    "path", ["missing", "missing/below", "dangling", "to-dangling", "loop", "ping", "file/below"]
)
def test_what_the_system_cannot_find_is_refused(
    path: str, client: SyncClient, python: BoundPython, tree: Workspace
) -> None:
    find = """
        try:
            answer = os.stat(question) and "found"
        except OSError as error:
            answer = type(error).__name__
    """
    found = ask(python, find, path)
    assert found != "found"
    with pytest.raises(RpcError) as refused:
        client.files.canonicalize(tree / path)
    expected = ErrorCode.NOT_FOUND if found == "FileNotFoundError" else ErrorCode.INTERNAL_ERROR
    assert refused.value.code == expected


@pytest.mark.parametrize(
    ("spelt", "path"),
    [
        ("dir/", "dir"),
        ("./dir/./sub/.", "dir/sub"),
        ("dir//sub", "dir/sub"),
        ("dir/../file", "file"),
        ("missing/../file", "file"),
        ("dir/sub/../../dir", "dir"),
        ("%64ir", "dir"),
        # A URI's dots are resolved before any link is followed.
        ("to-dir/../file", "file"),
        ("to-dir/sub/../..", "."),
        ("dir/up/..", "dir"),
    ],
)
def test_dots_are_resolved_before_links(spelt: str, path: str, client: SyncClient, tree: Workspace) -> None:
    assert client.files.canonicalize(f"{tree.uri}/{spelt}") == tree / path


@needs_links
def test_working_directory_may_be_a_link(client: SyncClient, python: BoundPython, tree: Workspace) -> None:
    assert ask(python, "answer = sorted(os.listdir('.'))", cwd=tree / "to-dir") == ["sub", "up"]
    where = ask(python, "answer = os.path.realpath('.')", cwd=tree / "to-dir-by-dots/sub")
    assert where == tree.native("dir/sub")


@needs_links
def test_canonical_path_is_canonical(client: SyncClient, tree: Workspace) -> None:
    once = client.files.canonicalize(tree / "to-dir-by-dots/sub/up-to-file")
    assert client.files.canonicalize(once) == once == tree / "file"


# Two spellings that some file systems take for one name and others for two.
TWINS = {
    "ascii-case": ("CaseProbe", "cASEpROBE"),
    "umlaut-case": ("Ärger", "ärger"),
    "sharp-s": ("STRASSE", "straße"),
    "dotted-i": ("İ", "i\u0307"),
    "kelvin": ("\u212a", "k"),
    "greek-final-sigma": ("\u03a3\u03b1\u03c2", "\u03c3\u03b1\u03c3"),
    "composition": ("caf\u00e9", "cafe\u0301"),
    "hangul": ("\ud55c", "\u1112\u1161\u11ab"),
    "compatibility": ("\ufb01", "fi"),
    "full-width": ("\uff21", "A"),
    "trailing-dot": ("name.", "name"),
    "trailing-space": ("name ", "name"),
}


@pytest.mark.parametrize("case", TWINS)
def test_two_spellings_are_one_name_where_the_system_says_so(
    case: str, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    first, second = TWINS[case]
    workspace.mkdir("theirs")
    compare = """
        first, second = (os.path.join("theirs", name) for name in question)
        open(first, "x").close()
        same = os.path.exists(second)
        canonical = os.path.realpath(second) if same else None
        open(second, "a").close()
        answer = {"same": same, "canonical": canonical, "listing": sorted(os.listdir("theirs"))}
    """
    system = ask(python, compare, [first, second])

    workspace.write(f"ours/{first}", b"first")
    assert workspace.exists(f"ours/{second}") == system["same"]
    if system["same"]:
        canonical = client.files.canonicalize(workspace / f"theirs/{second}")
        assert canonical.to_native(env.platform) == system["canonical"]
    workspace.write(f"ours/{second}", b"second")
    assert workspace.read(f"ours/{first}") == (b"second" if system["same"] else b"first")
    listing = sorted(entry.file_name for entry in client.files.read_directory(workspace / "ours"))
    assert listing == system["listing"]

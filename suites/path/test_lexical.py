"""Joining, parents and rendering agree with the path library of the environment."""

from __future__ import annotations

import pytest

from executors.protocol.path_uri import Convention, PathUri, PathUriError
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from suites.asking import Once, ask

# Both libraries come with every Python, so each environment answers for both conventions.
LIBRARY = {Convention.POSIX: "posixpath", Convention.WINDOWS: "ntpath"}

TEXTS = {
    "": "empty",
    ".": "dot",
    "..": "dots",
    "a": "name",
    "a/b": "two-names",
    "a/": "slash-at-end",
    "a//b": "two-slashes",
    "./a/./b/.": "single-dots",
    "../a": "sibling",
    "a/../b": "dots-inside",
    "a/b/../../..": "dots-at-end",
    "../../../../../../../../../..": "far-up",
    "../../../../../../../../../../a": "far-up-and-down",
    "...": "three-dots",
    ".hidden": "hidden",
    "a b": "space",
    "~": "tilde",
    "~/a": "tilde-and-name",
    "100%": "percent",
    "%41": "percent-like-a",
    "%2e%2e/a": "percent-like-dots",
    "a?b#c": "query-and-fragment",
    "a;b&c=d": "reserved",
    "caf\u00e9": "composed",
    "cafe\u0301": "decomposed",
    "\U0001f680/שלום": "emoji-and-hebrew",
    "$HOME": "variable",
}
POSIX_TEXTS = {
    "/": "root",
    "/abs/olute": "absolute",
    "/a/../..//b": "absolute-with-dots",
    "a\\b": "backslash",
    "\\a": "backslash-first",
    "C:": "like-a-drive",
    "C:\\x": "like-a-drive-path",
    "a\nb": "newline",
}
WINDOWS_TEXTS = {
    "a\\b": "backslash",
    "a\\..\\..\\b": "backslashes-and-dots",
    "a/b\\c": "both-slashes",
    "\\rooted": "rooted",
    "/rooted/too": "rooted-by-slash",
    "\\": "root",
    "D:\\other\\drive": "other-drive",
    "D:/other/drive": "other-drive-by-slashes",
    "\\\\server\\share\\x": "share",
    "//server/share/x/..": "share-by-slashes",
    "%TEMP%": "variable",
}
BASES = {
    Convention.POSIX: ("/", "/one", "/one/two three/%41"),
    Convention.WINDOWS: (
        "C:\\",
        "C:\\one",
        "C:\\one\\two three\\%41",
        "\\\\server\\share",
        "\\\\server\\share\\one",
    ),
}

JOINS = [
    pytest.param(convention, base, text, id=f"{convention.value}-{number}-{name}")
    for convention, texts in (
        (Convention.POSIX, TEXTS | POSIX_TEXTS),
        (Convention.WINDOWS, TEXTS | WINDOWS_TEXTS),
    )
    for number, base in enumerate(BASES[convention])
    for text, name in texts.items()
]

_JOIN = """
    import ntpath, posixpath
    libraries = {"posixpath": posixpath, "ntpath": ntpath}
    answer = [libraries[name].normpath(libraries[name].join(base, text)) for name, base, text in question]
"""
_KEYS: list[tuple[Convention, str, str]] = [param.values for param in JOINS]  # type: ignore[misc]


def without_end(path: str, convention: Convention) -> str:
    r"""Without the separator that a library leaves at the end of a share, ``\\server\share\``."""
    return path.rstrip("\\") if convention is Convention.WINDOWS and path.startswith("\\\\") else path


def all_joined(python: BoundPython) -> dict[tuple[Convention, str, str], str]:
    question = [[LIBRARY[convention], base, text] for convention, base, text in _KEYS]
    return dict(zip(_KEYS, ask(python, _JOIN, question), strict=True))


@pytest.mark.parametrize(("convention", "base", "text"), JOINS)
def test_join_is_the_system_s(convention: Convention, base: str, text: str, once: Once) -> None:
    expected = once(all_joined)[convention, base, text]
    joined = PathUri.from_native(base, convention).join(text)
    assert joined.render() == without_end(expected, convention)
    assert joined.convention is convention


def all_joined_to_the_workspace(python: BoundPython, workspace: Workspace) -> tuple[PathUri, dict[str, str]]:
    code = "answer = [os.path.normpath(os.path.join(question[0], text)) for text in question[1]]"
    answers = ask(python, code, [workspace.path, [*TEXTS]])
    return workspace.uri, dict(zip(TEXTS, answers, strict=True))


@pytest.mark.parametrize("text", TEXTS, ids=TEXTS.values())
def test_join_to_the_workspace_is_the_system_s(text: str, once: Once, env: RunningEnvironment) -> None:
    base, expected = once(all_joined_to_the_workspace)
    assert base.join(text).to_native(env.platform) == expected[text]


_PARENTS = """
    import ntpath, posixpath
    libraries = {"posixpath": posixpath, "ntpath": ntpath}
    answer = []
    for name, path in question:
        chain = [path]
        while (above := libraries[name].dirname(chain[-1])) != chain[-1]:
            chain.append(above)
        answer.append([chain, libraries[name].basename(path)])
"""
PARENTS = {
    "posix-root": (Convention.POSIX, "/"),
    "posix-name": (Convention.POSIX, "/a"),
    "posix-deep": (Convention.POSIX, "/a b/c%d/é/.hidden"),
    "posix-like-a-drive": (Convention.POSIX, "/C:/x"),
    "drive": (Convention.WINDOWS, "C:\\"),
    "drive-name": (Convention.WINDOWS, "C:\\a"),
    "drive-deep": (Convention.WINDOWS, "C:\\Users\\Alice Smith\\main.rs"),
    "share": (Convention.WINDOWS, "\\\\server\\share\\"),
    "share-deep": (Convention.WINDOWS, "\\\\server\\share\\a b\\c"),
}


def all_parents(python: BoundPython) -> dict[str, tuple[list[str], str]]:
    question = [[LIBRARY[convention], path] for convention, path in PARENTS.values()]
    return dict(zip(PARENTS, ask(python, _PARENTS, question), strict=True))


@pytest.mark.parametrize("case", PARENTS)
def test_ancestors_are_the_system_s(case: str, once: Once) -> None:
    chain, name = once(all_parents)[case]
    convention, path = PARENTS[case]
    uri = PathUri.from_native(path, convention)
    assert [above.render() for above in uri.ancestors()] == [without_end(path, convention) for path in chain]
    assert (uri.basename or "") == name


def test_ancestors_of_the_workspace_are_the_system_s(
    env: RunningEnvironment, python: BoundPython, workspace: Workspace
) -> None:
    code = """
        answer = [os.getcwd()]
        while (above := os.path.dirname(answer[-1])) != answer[-1]:
            answer.append(above)
    """
    assert [above.to_native(env.platform) for above in workspace.uri.ancestors()] == ask(python, code)


RENDERED = {
    "posix-plain": (Convention.POSIX, "/home/alice/main.rs"),
    "posix-space": (Convention.POSIX, "/home/Alice Smith/main.rs"),
    "posix-reserved": (Convention.POSIX, "/a?b#c%d/;e&f"),
    "posix-unicode": (Convention.POSIX, "/é/\U0001f680"),
    "posix-backslash": (Convention.POSIX, "/a\\b"),
    "drive-root": (Convention.WINDOWS, "C:\\"),
    "drive-space": (Convention.WINDOWS, "C:\\Users\\Alice Smith\\main.rs"),
    "drive-percent": (Convention.WINDOWS, "C:\\100%\\%41#"),
    "drive-unicode": (Convention.WINDOWS, "Z:\\é\\\U0001f680"),
    "share-space": (Convention.WINDOWS, "\\\\server\\a share\\main.rs"),
    "share-percent": (Convention.WINDOWS, "\\\\server\\share\\50%"),
}
_URIS = """
    import pathlib, warnings
    warnings.simplefilter("ignore")
    classes = {"posixpath": pathlib.PurePosixPath, "ntpath": pathlib.PureWindowsPath}
    answer = [classes[name](path).as_uri() for name, path in question]
"""


def all_uris(python: BoundPython) -> dict[str, str]:
    question = [[LIBRARY[convention], path] for convention, path in RENDERED.values()]
    return dict(zip(RENDERED, ask(python, _URIS, question), strict=True))


@pytest.mark.parametrize("case", RENDERED)
def test_uri_made_there_renders_as_the_native_path(case: str, once: Once) -> None:
    convention, native = RENDERED[case]
    made_there, made_here = PathUri.parse(once(all_uris)[case]), PathUri.from_native(native, convention)
    assert made_there.convention is convention
    assert made_there.render() == made_here.render() == native
    assert made_there.starts_with(made_here)
    assert made_here.starts_with(made_there)


@pytest.mark.parametrize("text", ["a\0b", "\0", "/a\0"], ids=["inside", "only", "absolute"])
def test_join_refuses_nul(text: str, workspace: Workspace) -> None:
    with pytest.raises(PathUriError, match="NUL"):
        workspace.uri.join(text)


@pytest.mark.parametrize("text", ["D:x", "D:", "d:..\\x"])
def test_join_refuses_what_depends_on_a_drive_s_directory(text: str) -> None:
    with pytest.raises(PathUriError, match="drive"):
        PathUri.from_native("C:\\one", Convention.WINDOWS).join(text)

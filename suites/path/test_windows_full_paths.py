"""What a path means on Windows is what GetFullPathNameW says, asked there."""

from __future__ import annotations

from typing import Any

import pytest

from executors.protocol.errors import RpcError
from executors.protocol.path_uri import Convention, PathUri, PathUriError
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import Once
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("only Windows has GetFullPathNameW")

BASES = {"root": "C:\\", "directory": "C:\\one\\two three\\%41", "share": "\\\\server\\share\\one"}

# Relative to the directory and independent of it.
TEXTS = {
    "name": "a",
    "names": "a\\b",
    "slash": "a/b",
    "both-slashes": "a/b\\c/d",
    "separator-at-end": "a\\",
    "slash-at-end": "a/",
    "separators": "a\\\\b",
    "slashes-and-backslashes": "a/\\/b",
    "dot": ".",
    "dots": "..",
    "dot-inside": "a\\.\\b",
    "dot-at-end": "a\\.",
    "dots-inside": "a\\..\\b",
    "dots-at-end": "a\\b\\..",
    "dots-and-slashes": "a/../b/./c",
    "dots-separator-at-end": "a\\..\\",
    "far-up": "..\\..\\..\\..\\..\\..\\..",
    "far-up-and-down": "..\\..\\..\\..\\..\\..\\..\\x",
    "dots-leading": "..a\\...b",
    "dots-in-names": "a..b\\c.d.e",
    "blank-leading": " a",
    "blank-inside": "a b\\c  d",
    "blank-at-end-of-a-directory": "a \\b",
    "percent": "%41\\100%",
    "variable": "%TEMP%",
    "like-a-uri": "file:",
    "hash-and-semicolon": "a#b;c",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "beyond-the-bmp": "\U0001f680",
    "not-allowed": "a|b",
    "wildcards": "a*b?",
    "control-character": "a\x01b",
    "only-looks-reserved": "CON1\\NULL\\COM\\COM10\\LPT",
    "reserved-and-more": "CONTACT\\nul_\\com1-",
}
ABSOLUTE = {
    "drive": "C:\\x",
    "drive-in-small": "c:\\x",
    "drive-by-slash": "C:/x/y",
    "drive-root": "C:\\",
    "drive-with-dots": "C:\\a\\..\\..\\b",
    "other-drive": "Q:\\other\\drive",
    "share": "\\\\server\\share\\x",
    "share-by-slashes": "//server/share/x",
    "share-with-dots": "\\\\server\\share\\a\\..\\b",
    "share-dots-at-its-root": "\\\\server\\share\\..\\..\\x",
    "share-alone": "\\\\server\\share",
    "share-hidden": "\\\\server\\c$\\x",
    "share-by-address": "\\\\192.0.2.1\\share\\x",
}
ROOTED = {
    "root": "\\",
    "name": "\\x",
    "names": "\\x\\y",
    "dots": "\\..\\x",
    "separator-at-end": "\\x\\",
}

_CASES: list[tuple[str, str]] = [
    (base, base + "\\" + text) for base in BASES.values() for text in TEXTS.values()
]


def all_full_paths(python: BoundPython) -> dict[str, str]:
    asked = [path for _, path in _CASES] + [*ABSOLUTE.values()]
    answers = ask_win32(python, "answer = [full_path(path) for path in question]", asked)
    return dict(zip(asked, answers, strict=True))


def without_end(full: str) -> str:
    """Without the separator at the end, which GetFullPathNameW keeps and a URI cannot hold."""
    return full if len(full) == 3 else full.rstrip("\\")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("base", BASES)
def test_join_is_the_full_path(base: str, text: str, once: Once) -> None:
    expected = once(all_full_paths)[BASES[base] + "\\" + TEXTS[text]]
    joined = PathUri.from_native(BASES[base], Convention.WINDOWS).join(TEXTS[text])
    assert joined.to_native("windows") == without_end(expected)


@pytest.mark.parametrize("text", ABSOLUTE)
def test_absolute_text_is_its_full_path(text: str, once: Once) -> None:
    expected = without_end(once(all_full_paths)[ABSOLUTE[text]])
    base = PathUri.from_native("C:\\base", Convention.WINDOWS)
    assert PathUri.from_native(ABSOLUTE[text], Convention.WINDOWS).to_native("windows") == expected
    assert base.join(ABSOLUTE[text]).to_native("windows") == expected


def all_rooted_paths(python: BoundPython) -> dict[str, str]:
    # The system takes the drive from the current directory, a URI from the path that it is joined to.
    code = 'os.chdir("C:\\\\windows"); answer = [full_path(text) for text in question]'
    return dict(zip(ROOTED, ask_win32(python, code, [*ROOTED.values()]), strict=True))


@pytest.mark.parametrize("text", ROOTED)
def test_rooted_text_keeps_the_drive(text: str, once: Once) -> None:
    joined = PathUri.from_native("C:\\windows", Convention.WINDOWS).join(ROOTED[text])
    assert joined.to_native("windows") == without_end(once(all_rooted_paths)[text])
    elsewhere = PathUri.from_native("Q:\\windows", Convention.WINDOWS).join(ROOTED[text])
    assert elsewhere.to_native("windows") == "Q" + joined.to_native("windows")[1:]


@pytest.mark.parametrize("text", ["C:", "C:x", "C:.", "C:..\\x", "c:x", "Q:x", "Q:"])
def test_drive_relative_text_is_refused_for_its_meaning_changes(text: str, python: BoundPython) -> None:
    # Each drive has a current directory, which the system keeps in variables such as "=Q:".
    answer = ask_win32(
        python,
        r"""
        def meaning(here):
            kernel32.SetCurrentDirectoryW(here)
            kernel32.SetEnvironmentVariableW("=Q:", "Q:" + here[2:])
            return full_path(question)
        answer = [meaning(here) for here in ("C:\\windows", "C:\\windows\\system32")]
        """,
        text,
    )
    assert answer[0] != answer[1]
    with pytest.raises(PathUriError, match="relative to the current directory of a drive"):
        PathUri.from_native("C:\\base", Convention.WINDOWS).join(text)
    with pytest.raises(PathUriError, match="relative to the current directory of a drive"):
        PathUri.from_native(text, Convention.WINDOWS)


# Win32 takes these for another name or for several; a URI keeps them as they are spelt.
CHANGED = {
    "dot-at-end": "file.",
    "dots-at-end": "file...",
    "blank-at-end": "file ",
    "dots-and-blanks-at-end": "file. .",
    "dot-at-end-of-a-directory": "sub.\\leaf",
    "below-a-file-with-a-dot": "file.\\leaf",
    "three-dots": "...",
    "four-dots": "sub\\....",
    "blank": "sub\\ ",
    "dot-and-blank": "sub\\. ",
    "blank-and-dots": "sub\\ ..",
    "three-dots-inside": "sub\\...\\file",
    "dots-at-end-of-missing": "missing.",
    "blank-at-end-of-a-directory": "sub \\leaf",
}

_BUILD = r"""
os.makedirs(question["base"] + "\\sub")
for name in ("file", "sub\\leaf"):
    write(os.path.join(question["base"], name), name)
def meant(text):
    path = os.path.join(question["base"], text)
    def look():
        status = os.stat(path)
        return {"directory": bool(status.st_file_attributes & 16), "size": status.st_size}
    return {"full": full_path(path), "found": attempt(look), "read": attempt(lambda: open(path).read())}
answer = {text: meant(text) for text in question["texts"]}
"""


def all_changed(python: BoundPython, workspace: Workspace, client: SyncClient) -> dict[str, Any]:
    """What the system makes of each text, and what the executor says that there is."""
    base = workspace.native("base")
    system = ask_win32(python, _BUILD, {"base": base, "texts": [*CHANGED.values()]})
    found: dict[str, Any] = {"base": base}
    for case, text in CHANGED.items():
        uri = (workspace / "base").join(text)
        found[case] = {"uri": uri, "system": system[text]}
        for name, call in (("metadata", client.files.metadata), ("read", client.files.read_file)):
            try:
                found[case][name] = call(uri)
            except RpcError as error:
                found[case][name] = error
    return found


@pytest.mark.parametrize("case", CHANGED)
def test_name_stays_in_the_uri_as_it_was_asked_for(case: str, once: Once) -> None:
    found = once(all_changed)
    assert found[case]["uri"].to_native("windows") == f"{found['base']}\\{CHANGED[case]}"


def is_no_name(text: str) -> bool:
    """Whether a name in *text* is nothing but dots and blanks, so that Win32 leaves none of it."""
    return any(not name.strip(". ") for name in text.split("\\"))


@pytest.mark.parametrize("case", CHANGED)
def test_file_calls_go_where_the_system_goes_or_nowhere(case: str, once: Once) -> None:
    found = once(all_changed)[case]
    system, metadata, content = found["system"], found["metadata"], found["read"]
    if is_no_name(CHANGED[case]) or isinstance(system["found"], str):
        assert isinstance(metadata, RpcError), f"the system says {system}"
        assert isinstance(content, RpcError), f"the system says {system}"
        return
    assert not isinstance(metadata, RpcError), f"the system says {system}, the executor {metadata}"
    assert metadata.is_directory == system["found"]["directory"]
    if not metadata.is_directory:
        assert (metadata.size, content) == (system["found"]["size"], system["read"].encode())

"""PathUri by example: each rule of paths on its own."""

from __future__ import annotations

import copy
import pickle

import pytest

from executors.protocol.path_uri import Convention, ForeignPathError, PathUri, PathUriError
from tests.support.uris import fallback, uri, wide

POSIX, WINDOWS = Convention.POSIX, Convention.WINDOWS
NATIVE_PLATFORM = {POSIX: "linux", WINDOWS: "windows"}


@pytest.mark.parametrize(
    ("text", "convention", "authority"),
    [
        ("file:///", POSIX, ""),
        ("file:///x", POSIX, ""),
        ("file:///C:x", POSIX, ""),
        ("file:///CC:/x", POSIX, ""),
        ("file:///1:/x", POSIX, ""),
        ("file:///x/C:/y", POSIX, ""),
        ("file:////C:/x", POSIX, ""),
        ("file:////server/share", POSIX, ""),
        ("file:///C%3A/x", POSIX, ""),
        ("file:///bad/path/L3gA", POSIX, ""),
        ("file:///C:", WINDOWS, ""),
        ("file:///C:/", WINDOWS, ""),
        ("file:///z:/x", WINDOWS, ""),
        ("file://server/", WINDOWS, "server"),
        ("file://server/share/x", WINDOWS, "server"),
        (fallback(b"/x\0"), POSIX, ""),
        (fallback(wide("\\\\.\\x")), WINDOWS, ""),
        (fallback(wide("C:\\\0")), WINDOWS, ""),
        (fallback(wide("C:x\0")), None, ""),
        (fallback(wide("\\x\0")), None, ""),
        (fallback(wide("\\\\.\\x") + b"x"), None, ""),
        (fallback(b"x"), None, ""),
    ],
)
def test_convention(text: str, convention: Convention | None, authority: str) -> None:
    assert (uri(text).convention, uri(text).authority) == (convention, authority)


# Canonical URI and native path, each made from the other.
BOTH_WAYS = [
    (POSIX, "file:///", "/"),
    (POSIX, "file:///a/b%20c", "/a/b c"),
    (POSIX, "file:///a%3Fb%23c%25d", "/a?b#c%d"),
    (POSIX, "file:///a%5Cb", "/a\\b"),
    (POSIX, "file:///%FF%E9", "/\udcff\udce9"),
    (POSIX, "file:///%ED%A0%80", "/\udced\udca0\udc80"),
    (POSIX, "file:///%C3%A9%09%0A%7F", "/é\t\n\x7f"),
    (POSIX, "file:///~/$HOME", "/~/$HOME"),
    (POSIX, "file:///%252e%252e/%2500", "/%2e%2e/%00"),
    (POSIX, "file:///C%3A", "/C:"),
    (POSIX, "file:///C%3A/x", "/C:/x"),
    (POSIX, "file:///C%7C/x", "/C|/x"),
    (POSIX, "file:///C:x/C:/C|", "/C:x/C:/C|"),
    (POSIX, "file:///...", "/..."),
    (POSIX, "file:///bad/path/L3gA", "/bad/path/L3gA"),
    (POSIX, "file:///%22%3C%3E%5E%60%7B%7D'", "/\"<>^`{}'"),
    (POSIX, "file:///%00/bad/path/L3RtcC9udWxsLQAt_y1ieXRl", "/tmp/null-\0-\udcff-byte"),
    (POSIX, fallback(b"/a/../b//\0"), "/a/../b//\0"),
    (WINDOWS, "file:///C:/", "C:\\"),
    (WINDOWS, "file:///c:/Users/Alice%20Smith/main.rs", "c:\\Users\\Alice Smith\\main.rs"),
    (WINDOWS, "file:///C:/a:b/C:/x.%20", "C:\\a:b\\C:\\x. "),
    (WINDOWS, "file:///C:/%25FF%2500/%C3%A9/%F0%9F%98%80", "C:\\%FF%00\\é\\\U0001f600"),
    (WINDOWS, "file:///C:/con/NUL.txt/...", "C:\\con\\NUL.txt\\..."),
    (WINDOWS, "file://server/share", "\\\\server\\share"),
    (WINDOWS, "file://server/c$/x", "\\\\server\\c$\\x"),
    (WINDOWS, "file://server/C:/x", "\\\\server\\C:\\x"),
    (WINDOWS, "file://server/C%7C/x", "\\\\server\\C|\\x"),
    (WINDOWS, "file://127.0.0.1/share", "\\\\127.0.0.1\\share"),
    (WINDOWS, "file://server/", "\\\\server\\"),
    (WINDOWS, "file:///%00/bad/path/XABcAC4AXABDAE8ATQAxAA", "\\\\.\\COM1"),
    (WINDOWS, fallback(wide("\\\\?\\Volume{x}\\a")), "\\\\?\\Volume{x}\\a"),
    (WINDOWS, fallback(b"C\0:\0\\\0\x3d\xd8"), "C:\\\ud83d"),
    (WINDOWS, fallback(wide("C:\\a\0b")), "C:\\a\0b"),
    (WINDOWS, fallback(wide("\\\\")), "\\\\"),
    # servers that no authority spells
    (WINDOWS, fallback(wide("\\\\localhost\\c$")), "\\\\localhost\\c$"),
    (WINDOWS, fallback(wide("\\\\LocalHost\\c$")), "\\\\LocalHost\\c$"),
    (WINDOWS, fallback(wide("\\\\bücher\\x")), "\\\\bücher\\x"),
    (WINDOWS, fallback(wide("\\\\\u212a\\x")), "\\\\\u212a\\x"),
    (WINDOWS, fallback(wide("\\\\C:\\x")), "\\\\C:\\x"),
    (WINDOWS, fallback(wide("\\\\C|\\x")), "\\\\C|\\x"),
    (WINDOWS, fallback(wide("\\\\a b\\x")), "\\\\a b\\x"),
    (WINDOWS, fallback(wide("\\\\a%41\\x")), "\\\\a%41\\x"),
    (WINDOWS, fallback(wide("\\\\..\\x")), "\\\\..\\x"),
    (WINDOWS, fallback(wide("\\\\\\server\\x")), "\\\\\\server\\x"),
    (WINDOWS, fallback(wide("\\\\server\\..\\x")), "\\\\server\\..\\x"),
    (WINDOWS, fallback(wide("\\\\server\\.\\x")), "\\\\server\\.\\x"),
    # verbatim paths that Win32 would read otherwise without the prefix
    (WINDOWS, fallback(wide("\\\\?\\C:\\a.")), "\\\\?\\C:\\a."),
    (WINDOWS, fallback(wide("\\\\?\\C:\\a \\b")), "\\\\?\\C:\\a \\b"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\a\\..\\b")), "\\\\?\\C:\\a\\..\\b"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\a/b")), "\\\\?\\C:\\a/b"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\a\\\\b")), "\\\\?\\C:\\a\\\\b"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\nul.txt")), "\\\\?\\C:\\nul.txt"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\COM\u00b9 .x")), "\\\\?\\C:\\COM\u00b9 .x"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\CONOUT$")), "\\\\?\\C:\\CONOUT$"),
    (WINDOWS, fallback(wide("\\\\?\\C:")), "\\\\?\\C:"),
    (WINDOWS, fallback(wide("\\\\?\\\u212a:\\x")), "\\\\?\\\u212a:\\x"),
    (WINDOWS, fallback(wide("\\\\?\\UNC\\server")), "\\\\?\\UNC\\server"),
    (WINDOWS, fallback(wide("\\\\?\\UNC\\server\\")), "\\\\?\\UNC\\server\\"),
    (WINDOWS, fallback(wide("\\\\?\\UNC\\server.\\x")), "\\\\?\\UNC\\server.\\x"),
    (WINDOWS, fallback(wide("\\\\?\\UNC\\localhost\\x")), "\\\\?\\UNC\\localhost\\x"),
    (WINDOWS, fallback(wide("\\\\?\\C:\\a\0")), "\\\\?\\C:\\a\0"),
]


@pytest.mark.parametrize(("convention", "text", "native"), BOTH_WAYS, ids=lambda value: ascii(value))
def test_uri_and_native_path_lead_to_each_other(convention: Convention, text: str, native: str) -> None:
    made = PathUri.from_native(native, convention)
    assert str(made) == text
    assert made.to_native(NATIVE_PLATFORM[convention]) == native
    assert made.is_fallback is ("%00" in text)
    parsed = uri(text)
    assert (parsed, parsed.convention, parsed.is_fallback) == (made, convention, made.is_fallback)
    assert parsed.to_native(NATIVE_PLATFORM[convention]) == native


# Native paths of which the URI keeps another spelling.
TIDIED = [
    (POSIX, "//", "file:///"),
    (POSIX, "//a", "file:///a"),
    (POSIX, "/a//b/./c/", "file:///a/b/c"),
    (POSIX, "/a/../../b", "file:///b"),
    (POSIX, "/a/..", "file:///"),
    (POSIX, "/a/../C:", "file:///C%3A"),
    (WINDOWS, "C:/a/b", "file:///C:/a/b"),
    (WINDOWS, "C:\\a\\\\b\\.\\", "file:///C:/a/b"),
    (WINDOWS, "C:\\..\\..\\x", "file:///C:/x"),
    (WINDOWS, "C:\\a\\..", "file:///C:/"),
    (WINDOWS, "//Server/Share/x", "file://server/Share/x"),
    (WINDOWS, "/\\server\\share", "file://server/share"),
    (WINDOWS, "\\\\server", "file://server/"),
    (WINDOWS, "\\\\server\\\\share\\x", "file://server/share/x"),
    (WINDOWS, "\\\\server\\share\\..\\..\\x", "file://server/share/x"),
    (WINDOWS, "\\\\?\\C:\\", "file:///C:/"),
    (WINDOWS, "\\\\?\\c:\\Users\\x", "file:///c:/Users/x"),
    (WINDOWS, "\\\\?\\C:\\console\\.git\\COM10", "file:///C:/console/.git/COM10"),
    (WINDOWS, "\\\\?\\UNC\\server\\share\\x", "file://server/share/x"),
    (WINDOWS, "\\\\?\\unc\\server\\share", "file://server/share"),
    (WINDOWS, "C:\\\ud83d\ude00", "file:///C:/%F0%9F%98%80"),
    (WINDOWS, "//./COM1", "file:///%00/bad/path/XABcAC4AXABDAE8ATQAxAA"),
    (WINDOWS, "C:/a\0/b", fallback(wide("C:\\a\0\\b"))),
    # A slash in the prefix leaves Win32 normalisation on, so this must not turn into \\?\C:\a\..\b.
    (WINDOWS, "//?/C:/a/../b", fallback(wide("\\\\?/C:\\a\\..\\b"))),
    (WINDOWS, "//?\\C:/a/../b", fallback(wide("\\\\?/C:\\a\\..\\b"))),
]


@pytest.mark.parametrize(("convention", "native", "text"), TIDIED, ids=lambda value: ascii(value))
def test_native_path_is_tidied(convention: Convention, native: str, text: str) -> None:
    assert str(PathUri.from_native(native, convention)) == text


@pytest.mark.parametrize(
    ("convention", "data", "text"),
    [
        (POSIX, b"/a\xff\\b", "file:///a%FF%5Cb"),
        (POSIX, b"/\xc3\xa9", "file:///%C3%A9"),
        (POSIX, b"/\0", fallback(b"/\0")),
        (WINDOWS, b"C:\\\xc3\xa9", "file:///C:/%C3%A9"),
        (WINDOWS, b"C:\\\xed\xa0\x80", fallback(b"C\0:\0\\\0\0\xd8")),
    ],
)
def test_from_bytes(convention: Convention, data: bytes, text: str) -> None:
    assert str(PathUri.from_native(data, convention)) == text


@pytest.mark.parametrize(
    ("convention", "path", "reason"),
    [
        (POSIX, "", "not absolute"),
        (POSIX, "a/b", "not absolute"),
        (POSIX, "~/a", "not absolute"),
        (POSIX, "C:\\x", "not absolute"),
        (POSIX, "a\0", "not absolute"),
        (POSIX, "/\ud800", "surrogates not allowed"),
        (WINDOWS, "", "not absolute"),
        (WINDOWS, "a\\b", "not absolute"),
        (WINDOWS, "a\0", "not absolute"),
        (WINDOWS, "\ud800", "not absolute"),
        (WINDOWS, "\\x", "relative to the current drive"),
        (WINDOWS, "/x", "relative to the current drive"),
        (WINDOWS, "C:", "current directory of a drive"),
        (WINDOWS, "C:x", "current directory of a drive"),
        (WINDOWS, "é:\\x", "current directory of a drive"),
        (WINDOWS, "1:\\x", "current directory of a drive"),
        (WINDOWS, "\U0001f600:\\x", "not absolute"),
        (WINDOWS, b"C:\\\xff", "invalid start byte"),
    ],
)
def test_from_native_refuses(convention: Convention, path: str | bytes, reason: str) -> None:
    with pytest.raises(PathUriError, match=reason):
        PathUri.from_native(path, convention)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("file:///C:/workspace", "linux"),
        ("file:///C:/workspace", "macos"),
        ("file://server/share", "linux"),
        ("file:///tmp/a%20b", "windows"),
        ("file:///C%3A/x", "windows"),
        (fallback(b"/x\0"), "windows"),
        (fallback(wide("\\\\.\\x")), "macos"),
        (fallback(b"x"), "linux"),
        (fallback(b"x"), "windows"),
    ],
)
def test_foreign_path_has_no_native_form(text: str, platform: str) -> None:
    with pytest.raises(ForeignPathError) as caught:
        uri(text).to_native(platform)
    assert str(caught.value) == f"'{text}' is invalid on '{platform}'"


def test_foreign_path_shows_the_canonical_uri() -> None:
    with pytest.raises(ForeignPathError) as caught:
        PathUri.parse("FILE:C|\\workspace").to_native("linux")
    assert str(caught.value) == "'file:///C:/workspace' is invalid on 'linux'"


@pytest.mark.parametrize(
    ("text", "platform", "native"),
    [
        ("file:///C:", "windows", "C:\\"),
        ("file:///C:/a/", "windows", "C:\\a\\"),
        ("file:///C://a///b", "windows", "C:\\a\\b"),
        ("file://server//share", "windows", "\\\\server\\share"),
        ("file:///a/", "linux", "/a/"),
        ("file:////a//b//", "macos", "/a/b/"),
        ("file:///%41%zz%", "linux", "/A%zz%"),
        ("file:///%c3%a9", "macos", "/é"),
    ],
)
def test_native_form_of_other_spellings(text: str, platform: str, native: str) -> None:
    assert uri(text).to_native(platform) == native


@pytest.mark.parametrize(
    ("text", "platform", "reason"),
    [
        ("file:///a%2Fb", "linux", "encoded separator"),
        ("file:///a/..%2fb", "linux", "encoded separator"),
        ("file:///C:/a%2Fb", "windows", "encoded separator"),
        ("file:///C:/a%5cb", "windows", "encoded separator"),
        ("file://server/a%5Cb", "windows", "encoded separator"),
        ("file:///C:/%FF", "windows", "UTF-8"),
        ("file:///C:/%ED%A0%80", "windows", "UTF-8"),
    ],
)
def test_uri_without_native_form(text: str, platform: str, reason: str) -> None:
    with pytest.raises(PathUriError, match=reason) as caught:
        uri(text).to_native(platform)
    assert not isinstance(caught.value, ForeignPathError)


@pytest.mark.parametrize("platform", ["", "Linux", "win32", "posix"])
def test_unknown_platform(platform: str) -> None:
    with pytest.raises(ValueError, match="expected one of linux, macos, windows") as caught:
        uri("file:///x").to_native(platform)
    assert not isinstance(caught.value, PathUriError)


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("file:///C:/Users/Alice%20Smith/main.rs", "C:\\Users\\Alice Smith\\main.rs"),
        ("file:///C:", "C:\\"),
        ("file://server/share/x", "\\\\server\\share\\x"),
        ("file:///tmp/a%20b", "/tmp/a b"),
        ("file:///%FFx", "/\ufffdx"),
        ("file:///C:/%FFx", "C:\\\ufffdx"),
        (fallback(wide("\\\\.\\COM1")), "\\\\.\\COM1"),
        (fallback(b"C\0:\0\\\0\0\xd8x\0"), "C:\\\ufffdx"),
        (fallback(b"/\0\xff"), "/\0\ufffd"),
        (fallback(b"x"), fallback(b"x")),
        ("file:///a%2Fb", "file:///a%2Fb"),
        ("file:///C:/a%5Cb", "file:///C:/a%5Cb"),
    ],
)
def test_render(text: str, display: str) -> None:
    assert uri(text).render() == display


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file:///%00/bad/path/", "alphabet"),
        ("file:///%00/bad/path/L3gA/", "alphabet"),
        ("file:///%00/bad/path/L3gA/x", "alphabet"),
        ("file:///%00/bad/path/L3gA%3D", "alphabet"),
        ("file:///%00/bad/path/L3gAAA==", "alphabet"),
        ("file:///%00/bad/path/L3h-AA+", "alphabet"),
        ("file:///%00/bad/path/L3g%41", "alphabet"),
        ("file:///%00/bad/path/é", "alphabet"),
        ("file:///%00/bad/path/L3gAA", "base64url"),
        ("file:///%00/bad/path/L3gAAB", "stray bits"),
        ("file:///%00/bad/path/L3gAAAB", "stray bits"),
    ],
)
def test_fallback_is_canonical_base64url(text: str, reason: str) -> None:
    with pytest.raises(PathUriError, match=reason):
        PathUri.parse(text)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"/etc/passwd", "file:///etc/passwd"),
        (b"/a/../b", "file:///b"),
        (wide("C:\\Windows"), "file:///C:/Windows"),
        (wide("C:/Windows"), "file:///C:/Windows"),
        (wide("\\\\server\\share"), "file://server/share"),
        (wide("\\\\?\\C:\\x"), "file:///C:/x"),
        (wide("\\\\./COM1"), "file:///%00/bad/path/XABcAC4AXABDAE8ATQAxAA"),
    ],
)
def test_no_path_hides_behind_a_second_fallback(payload: bytes, text: str) -> None:
    assert PathUri.parse(fallback(payload)) == uri(text)


def test_fallback_reached_by_another_spelling() -> None:
    assert PathUri.parse("FILE:\\x\\..\\%00\\bad\\path\\L3gA") == uri("file:///%00/bad/path/L3gA")


def test_equality_and_hash_are_of_the_canonical_text() -> None:
    spellings = {
        PathUri.parse(text) for text in ("file:/x", "FILE:///x", "file://LOCALHOST/x", "file:///y/../x")
    }
    assert spellings == {uri("file:///x")}
    assert uri("file:///%61") != uri("file:///a")
    assert uri("file:///%2f") != uri("file:///%2F")
    assert uri("file:///a") != uri("file:///a/")
    assert uri("file:///x") != "file:///x"


def test_text_and_repr() -> None:
    path = PathUri.parse("FILE:/it's")
    assert (str(path), repr(path)) == ("file:///it's", 'PathUri("file:///it\'s")')


def test_immutable() -> None:
    path = uri("file:///x")
    for name in ("_text", "convention", "other"):
        with pytest.raises(AttributeError, match=name):
            setattr(path, name, "y")
    with pytest.raises(AttributeError, match="_text"):
        del path._text
    with pytest.raises(TypeError, match=r"PathUri\.parse"):
        PathUri()
    assert str(path) == "file:///x"


@pytest.mark.parametrize("text", ["file:///a%20b", "file://server/x", fallback(b"/\0"), fallback(b"x")])
def test_copies_and_pickles(text: str) -> None:
    path = uri(text)
    for twin in (copy.copy(path), copy.deepcopy(path), pickle.loads(pickle.dumps(path))):
        assert twin == path
        assert (twin.convention, twin.is_fallback) == (path.convention, path.is_fallback)

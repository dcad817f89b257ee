"""PathUri in relation to others: names, parents, joins and containment."""

from __future__ import annotations

import pytest

from executors.protocol.path_uri import PathUriError
from tests.support.uris import fallback, uri, wide


@pytest.mark.parametrize(
    ("text", "basename", "ancestors"),
    [
        ("file:///", None, []),
        ("file:///a", "a", ["file:///"]),
        ("file:///a/b%20c", "b c", ["file:///a", "file:///"]),
        ("file:///a/b/", "b", ["file:///a", "file:///"]),
        ("file:///a//b", "b", ["file:///a", "file:///"]),
        ("file:////C:/b", "b", ["file:///C%3A", "file:///"]),
        ("file:///%FF", "\udcff", ["file:///"]),
        ("file:///a%5Cb", "a\\b", ["file:///"]),
        ("file:///a/b%2Fc", None, ["file:///a", "file:///"]),
        ("file:///C:", None, []),
        ("file:///C:/", None, []),
        ("file:///C:/a", "a", ["file:///C:/"]),
        ("file:///C:/a/b", "b", ["file:///C:/a", "file:///C:/"]),
        ("file:///C:/%FF", None, ["file:///C:/"]),
        ("file:///C:/a%5Cb", None, ["file:///C:/"]),
        ("file://server/", None, []),
        ("file://server/share", None, []),
        ("file://server/share/", None, []),
        ("file://server/share/x", "x", ["file://server/share"]),
        ("file://server//C|/x/y", "y", ["file://server/C%7C/x", "file://server/C%7C"]),
        (fallback(b"/a/b\0"), None, []),
        (fallback(b"x"), None, []),
    ],
)
def test_basename_parent_and_ancestors(text: str, basename: str | None, ancestors: list[str]) -> None:
    path = uri(text)
    assert path.basename == basename
    assert path.parent == (uri(ancestors[0]) if ancestors else None)
    assert [str(place) for place in path.ancestors()] == [text, *ancestors]
    assert {place.convention for place in path.ancestors()} == {path.convention}


@pytest.mark.parametrize(
    ("base", "text", "joined"),
    [
        ("file:///a", "", "file:///a"),
        ("file:///a/", "", "file:///a/"),
        ("file:///a", ".", "file:///a"),
        ("file:///a", "b", "file:///a/b"),
        ("file:///a/", "b", "file:///a/b"),
        ("file:///a//", "b", "file:///a/b"),
        ("file:///", "b", "file:///b"),
        ("file:///a", "./b//c/./", "file:///a/b/c"),
        ("file:///a/b", "..", "file:///a"),
        ("file:///a/b", "../c", "file:///a/c"),
        ("file:///a/b", "c/../../d", "file:///a/d"),
        ("file:///a", "../../../b", "file:///b"),
        ("file:///a", "..", "file:///"),
        ("file:///a", "/b/c", "file:///b/c"),
        ("file:///a", "//b/../c", "file:///c"),
        ("file:///a", "~/b", "file:///a/~/b"),
        ("file:///a", "a?b#c%d", "file:///a/a%3Fb%23c%25d"),
        ("file:///a", "%2e%2e/%2F", "file:///a/%252e%252e/%252F"),
        ("file:///a", "b\\..\\c", "file:///a/b%5C..%5Cc"),
        ("file:///a", "C:\\x", "file:///a/C:%5Cx"),
        ("file:///a", "\udcff", "file:///a/%FF"),
        ("file:///a", "file:///b", "file:///a/file:/b"),
        ("file:///", "C:", "file:///C%3A"),
        ("file:///a", "../C|/x", "file:///C%7C/x"),
        ("file:///C:/a", "b\\c/d", "file:///C:/a/b/c/d"),
        ("file:///C:/a", "..\\..\\..\\b", "file:///C:/b"),
        ("file:///C:", "..", "file:///C:/"),
        ("file:///C:", "a", "file:///C:/a"),
        ("file:///C:/a/b", "\\c", "file:///C:/c"),
        ("file:///C:/a/b", "/c\\..\\..\\d", "file:///C:/d"),
        ("file:///C:/a/b", "\\", "file:///C:/"),
        ("file:///C:/a", "D:\\x", "file:///D:/x"),
        ("file:///C:/a", "D:/x", "file:///D:/x"),
        ("file:///C:/a", "\\\\server\\share\\x", "file://server/share/x"),
        ("file:///C:/a", "//server/share/x", "file://server/share/x"),
        ("file:///C:/a", "\\\\.\\COM1", "file:///%00/bad/path/XABcAC4AXABDAE8ATQAxAA"),
        ("file:///C:/a", "ab:c", "file:///C:/a/ab:c"),
        ("file:///C:/a", "b\\C:", "file:///C:/a/b/C:"),
        ("file:///C:/a", ".\\b:c", "file:///C:/a/b:c"),
        ("file:///C:/a", "\U0001f600:c", "file:///C:/a/%F0%9F%98%80:c"),
        ("file:///C:/a", "~\\%TEMP%", "file:///C:/a/~/%25TEMP%25"),
        ("file:///C:/a", "\ud83d\ude00", "file:///C:/a/%F0%9F%98%80"),
        ("file:///C:/a", "..\\b\\\ud83d", fallback(b"C\0:\0\\\0b\0\\\0\x3d\xd8")),
        ("file://server/share/a", "..\\..\\..\\b", "file://server/share/b"),
        ("file://server/share/a", "\\b", "file://server/share/b"),
        ("file://server/share", "..", "file://server/share"),
        ("file://server/", "share\\x", "file://server/share/x"),
        ("file://server/", ".\\C|", "file://server/C%7C"),
        ("file://server/share", "C:\\x", "file:///C:/x"),
        (fallback(b"/\0"), "", fallback(b"/\0")),
    ],
    ids=lambda value: ascii(value),
)
def test_join(base: str, text: str, joined: str) -> None:
    assert uri(base).join(text) == uri(joined)


@pytest.mark.parametrize(
    ("base", "text", "reason"),
    [
        ("file:///a", "b\0", "NUL"),
        ("file:///a", "/b\0", "NUL"),
        ("file:///a", "\ud800", "surrogates not allowed"),
        ("file:///C:/a", "b\0", "NUL"),
        ("file:///C:/a", "C:\\b\0", "NUL"),
        ("file:///C:/a", "C:", "current directory of a drive"),
        ("file:///C:/a", "C:b", "current directory of a drive"),
        ("file:///C:/a", "d:..\\b", "current directory of a drive"),
        ("file:///C:/a", "1:\\b", "current directory of a drive"),
        ("file:///C:/a", "é:b", "current directory of a drive"),
        ("file://server/share", "C:b", "current directory of a drive"),
        (fallback(b"/\0"), "a", "nothing lies below"),
        (fallback(b"/\0"), ".", "nothing lies below"),
        (fallback(b"/\0"), "/a", "nothing lies below"),
        (fallback(wide("\\\\.\\x")), "C:\\a", "nothing lies below"),
        (fallback(b"x"), "a", "nothing lies below"),
    ],
    ids=lambda value: ascii(value),
)
def test_join_refuses(base: str, text: str, reason: str) -> None:
    with pytest.raises(PathUriError, match=reason) as caught:
        uri(base).join(text)
    assert f"cannot join {text!r} to '{base}'" in str(caught.value)


@pytest.mark.parametrize(
    ("base", "below"),
    [
        ("file:///", "file:///"),
        ("file:///", "file:///a/b"),
        ("file:///a", "file:///a"),
        ("file:///a", "file:///a/"),
        ("file:///a/", "file:///a"),
        ("file:///a", "file:////a//b"),
        ("file:///a%20b", "file:///a%20b/c"),
        ("file:///a", "file:///%61/b"),
        ("file:///%FF", "file:///%ff/x"),
        ("file:///a%5Cb", "file:///a%5Cb/c"),
        ("file:///C:", "file:///C:/a"),
        ("file:///C:/", "file:///C:"),
        ("file:///C:/a", "file:///c:/a/b"),
        ("file:///C:/a", "file:///C:/a/...x"),
        ("file://server/", "file://server/share/x"),
        ("file://server/share", "file://server/share/x"),
        (fallback(b"/\0"), fallback(b"/\0")),
        (fallback(b"x"), fallback(b"x")),
    ],
)
def test_starts_with(base: str, below: str) -> None:
    assert uri(below).starts_with(uri(base))


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ("file:///a/b", "file:///a"),
        ("file:///a", "file:///"),
        ("file:///a", "file:///ab"),
        ("file:///a", "file:///A/b"),
        ("file:///", "file:///C:/a"),
        ("file:///", "file://server/a"),
        ("file:///C:/", "file:///D:/a"),
        ("file:///C:/a", "file:///C:/A/b"),
        ("file:///C:/", "file:///C%3A/a"),
        ("file:///C%3A", "file:///C:/a"),
        ("file://server/share", "file://server/shares"),
        ("file://server/share", "file://server2/share/x"),
        ("file://server/share", "file://server/"),
        ("file:////server/share", "file://server/share"),
        ("file:///a", "file:///a/..%2Fb"),
        ("file:///a", "file:///a%2Fb"),
        ("file:///a%2Fb", "file:///a%2Fb"),
        ("file:///a%2fb", "file:///a%2fb/c"),
        ("file:///C:/a", "file:///C:/a/..%5Cb"),
        ("file:///C:/a", "file:///C:/a%5cb"),
        ("file:///C:/a", "file:///C:/a/..%2Fb"),
        ("file:///C:/a", "file:///C:/a/..%20/b"),
        ("file:///C:/a", "file:///C:/a/.../b"),
        ("file:///", fallback(b"/\0")),
        (fallback(b"/\0"), "file:///"),
        (fallback(b"/\0"), fallback(b"/\0a")),
        (fallback(b"/a\0"), fallback(b"/a\0/b")),
        ("file:///%2500", "file:///%25/00"),
    ],
)
def test_starts_with_crosses_no_border(base: str, other: str) -> None:
    assert not uri(other).starts_with(uri(base))

"""PathUri against the WHATWG URL standard: what it reads, refuses, and keeps on purpose."""

from __future__ import annotations

import pytest

from executors.protocol.path_uri import PathUri, PathUriError

# Input and href of the WHATWG URL standard, for a URL without a base.
STANDARD = [
    # the scheme and what may follow it
    ("file:", "file:///"),
    ("file:/", "file:///"),
    ("file://", "file:///"),
    ("file:///", "file:///"),
    ("FILE:///x", "file:///x"),
    ("fIlE:x", "file:///x"),
    ("file:test", "file:///test"),
    ("file:/x", "file:///x"),
    ("file:///x", "file:///x"),
    ("file:////x", "file:////x"),
    ("file:\\x\\y", "file:///x/y"),
    ("file:\\\\\\x\\y", "file:///x/y"),
    ("file:\\\\server\\share", "file://server/share"),
    ("file:/\\server/share", "file://server/share"),
    ("file:\\//", "file:///"),
    ("file:\\\\//", "file:////"),
    # white space and controls
    ("  file:///x\n", "file:///x"),
    ("\x01\x1ffile:///x \x02", "file:///x"),
    ("fi\nle:\t///a\r\nb", "file:///ab"),
    ("file:///a b", "file:///a%20b"),
    ("file:///a\x01b\x7f", "file:///a%01b%7F"),
    # hosts
    ("file://localhost", "file:///"),
    ("file://localhost/x", "file:///x"),
    ("file://LOCALHOST/x", "file:///x"),
    ("file://lOcAlHoSt/x", "file:///x"),
    ("file://loc%61lhost/x", "file:///x"),
    ("file://localhost.", "file://localhost./"),
    ("file://localhost//a//../..//foo", "file://///foo"),
    ("file://localhost////foo", "file://////foo"),
    ("file:\\localhost//", "file:///localhost//"),
    ("file://\\/localhost//cat", "file:////localhost//cat"),
    ("file:////localhost//cat", "file:////localhost//cat"),
    ("file://server", "file://server/"),
    ("file://SERVER/Share/X", "file://server/Share/X"),
    ("file://s%65rver/share", "file://server/share"),
    ("file://server\\share", "file://server/share"),
    ("file://server/..", "file://server/"),
    ("file://server/share/../other", "file://server/other"),
    ("file://my_host.example-1/x", "file://my_host.example-1/x"),
    ("file://192.0.2.1/x", "file://192.0.2.1/x"),
    ("file://a!$&'()*+,;=~/x", "file://a!$&'()*+,;=~/x"),
    ("file://xn--bcher-kva/x", "file://xn--bcher-kva/x"),
    # drive letters
    ("file:C:/x", "file:///C:/x"),
    ("file:c:\\foo\\bar.html", "file:///c:/foo/bar.html"),
    ("  File:c|////foo\\bar.html", "file:///c:////foo/bar.html"),
    ("file:C|/m/", "file:///C:/m/"),
    ("file:C||/m/", "file:///C||/m/"),
    ("file:/C|/", "file:///C:/"),
    ("file:///C|", "file:///C:"),
    ("file:///C:", "file:///C:"),
    ("file://C:", "file:///C:"),
    ("file://C:/x", "file:///C:/x"),
    ("file://C|/x", "file:///C:/x"),
    ("file://C:\\x", "file:///C:/x"),
    ("file:///c:x", "file:///c:x"),
    ("file:///C%7C/x", "file:///C%7C/x"),
    ("file:///C%3A/x", "file:///C%3A/x"),
    ("file:////C|/x", "file:////C|/x"),
    ("file:///a/C|/x", "file:///a/C|/x"),
    ("file:///a/../C|/x", "file:///C:/x"),
    ("file://server/C|/x", "file://server/C:/x"),
    ("file:///1:/x", "file:///1:/x"),
    ("file:///w||m", "file:///w||m"),
    # dot segments
    ("file:.", "file:///"),
    ("file:..", "file:///"),
    ("file:...", "file:///..."),
    ("file:.//p", "file:////p"),
    ("file:///a/.", "file:///a/"),
    ("file:///a/./b", "file:///a/b"),
    ("file:///a/..", "file:///"),
    ("file:///a/../b", "file:///b"),
    ("file:///a/b/..", "file:///a/"),
    ("file:///../../a", "file:///a"),
    ("file:///a//../b", "file:///a/b"),
    ("file:///a/%2e", "file:///a/"),
    ("file:///a/%2E%2e/b", "file:///b"),
    ("file:///a/.%2e", "file:///"),
    ("file:///a/%2e./b", "file:///b"),
    ("file:///a\\..\\b", "file:///b"),
    ("file:///a/.\t./b", "file:///b"),
    ("file:///a/..%2fb", "file:///a/..%2fb"),
    ("file:///a/.b/..c/d.", "file:///a/.b/..c/d."),
    ("file:///C:/..", "file:///C:/"),
    ("file:///C:/../../x", "file:///C:/x"),
    ("file:///C|/a/../..", "file:///C:/"),
    ("file:///C:/.", "file:///C:/"),
    ("file:///c:x/..", "file:///"),
    ("file://server/C:/../x", "file://server/C:/x"),
    # percent-encoding
    ("file:///%41%zz%", "file:///%41%zz%"),
    ("file:///%2f%2F", "file:///%2f%2F"),
    ("file:///%FF%fe", "file:///%FF%fe"),
    ("file:///%2500", "file:///%2500"),
    ("file:///é/日本", "file:///%C3%A9/%E6%97%A5%E6%9C%AC"),
    ("file:///\U0001f600", "file:///%F0%9F%98%80"),
    ('file:///"<>^`{}', "file:///%22%3C%3E%5E%60%7B%7D"),
    ("file:///!$&'()*+,-.;=@[]_|~:", "file:///!$&'()*+,-.;=@[]_|~:"),
    ("file:///a//b///", "file:///a//b///"),
]

# Refused by the standard as well.
STANDARD_REFUSES = [
    ("", "relative URL without a base"),
    ("x", "relative URL without a base"),
    ("/x", "relative URL without a base"),
    ("//server/share", "relative URL without a base"),
    ("\\\\server\\share", "relative URL without a base"),
    ("1file:///x", "relative URL without a base"),
    ("fi le:///x", "relative URL without a base"),
    ("file://server:80/x", "no server name"),
    ("file://user@server/x", "no server name"),
    ("file://a b/x", "no server name"),
    ("file://a%20b/x", "no server name"),
    ("file://a%/x", "no server name"),
    ("file://a%2Fb/x", "no server name"),
    ("file://a%3Fb/x", "no server name"),
    ("file://a<b/x", "no server name"),
    ("file://a^b/x", "no server name"),
    ("file://a|b/x", "no server name"),
    ("file://C%3A/x", "no server name"),
    ("file://C%7C/x", "no server name"),
    ("file://a%7Fb/x", "no server name"),
    ("file://a%00b/x", "no server name"),
    ("file://[example]/x", "IPv6"),
    ("file://\u00ad/x", "not ASCII"),
]

# Accepted by the standard, and refused here on purpose.
STRICTER = [
    ("file:///x?", "query"),
    ("file:///x?q", "query"),
    ("file:?q", "query"),
    ("file://server?q", "query"),
    ("file:///x#", "fragment"),
    ("file:///x#f", "fragment"),
    ("file:///x#f?q", "fragment"),
    ("file:///x?q#f", "query"),
    ("file:///%00", "%00"),
    ("file:///a%00b", "%00"),
    ("file:///%00/bad/path", "%00"),
    ("file:///%00/bad/paths/L3gA", "%00"),
    ("file:////%00/bad/path/L3gA", "%00"),
    ("file:///x/%00/bad/path/L3gA", "%00"),
    ("file://server/%00/bad/path/L3gA", "%00"),
    ("file:///a\0b", "NUL"),
    ("file:///x\0", "NUL"),
    ("\0file:///x", "NUL"),
    ("file:///\ud800", "lone surrogate"),
    ("file://\ud800/x", "lone surrogate"),
    ("file://./COM1", "no server name"),
    ("file://%2E/COM1", "no server name"),
    ("file://../x", "no server name"),
    ("file://bücher/x", "not ASCII"),
    ("file://b%C3%BCcher/x", "not ASCII"),
    ("file://\u212aelvin/x", "not ASCII"),
    ("file://[::1]/x", "IPv6"),
    ("http://server/x", "'http'"),
    ("HTTP://server/x", "'http'"),
    ("files:///x", "'files'"),
    ("data:x", "'data'"),
    ("C:\\x", "'c'.*from_native"),
    ("c:/x", "'c'.*from_native"),
]


@pytest.mark.parametrize(("text", "href"), STANDARD, ids=lambda value: ascii(value))
def test_reads_urls_as_the_standard_does(text: str, href: str) -> None:
    assert str(PathUri.parse(text)) == href


@pytest.mark.parametrize(("text", "reason"), STANDARD_REFUSES, ids=lambda value: ascii(value))
def test_refuses_what_the_standard_refuses(text: str, reason: str) -> None:
    with pytest.raises(PathUriError, match=reason):
        PathUri.parse(text)


@pytest.mark.parametrize(("text", "reason"), STRICTER, ids=lambda value: ascii(value))
def test_refuses_what_names_no_file(text: str, reason: str) -> None:
    with pytest.raises(PathUriError, match=reason):
        PathUri.parse(text)


@pytest.mark.parametrize(
    ("text", "href"),
    [
        # The standard makes these IPv4 addresses; a name is not re-spelt here.
        ("file://0x7f.1/x", "file://0x7f.1/x"),
        ("file://256/x", "file://256/x"),
        # It refuses these, the first as an IPv4 address, the second as Punycode.
        ("file://1.2.3.4.5/x", "file://1.2.3.4.5/x"),
        ("file://xn--/x", "file://xn--/x"),
    ],
)
def test_keeps_server_names_that_the_standard_changes(text: str, href: str) -> None:
    assert str(PathUri.parse(text)) == href


def test_refusal_says_what_was_tried() -> None:
    with pytest.raises(PathUriError) as caught:
        PathUri.parse("http://server/x")
    assert str(caught.value) == (
        "cannot parse 'http://server/x' as a file URI: the scheme is 'http' and only 'file' is accepted"
    )

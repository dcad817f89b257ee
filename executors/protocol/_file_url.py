"""The ``file:`` part of the WHATWG URL standard: the basic parser without a base, and percent-encoding.

Deliberate differences from the standard, each of which keeps a path from silently naming another file:

- a query, a fragment and a NUL character are refused;
- a lone surrogate is refused, not replaced by U+FFFD;
- a host is ASCII: it is percent-decoded and lower-cased, but not mapped by IDNA (write the ``xn--`` form,
  which is not checked), and a number is not re-spelt as an IPv4 address;
- an IPv6 address is refused, having no UNC form, and so are the hosts ``.`` and ``..``, which are no servers.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import Final

from . import _windows_path as windows

# What the standard's path percent-encode set leaves alone, less "%", "/" and "\", which is a separator too.
_KEPT: Final = re.escape("".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"#<>?^`{}\\%/'))
_URL_UNSAFE: Final = re.compile(rf"[^{_KEPT}%/]+")
_NATIVE_UNSAFE: Final = re.compile(rf"[^{_KEPT}/]+")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HEX: Final = [f"%{code:02X}" for code in range(256)]

# Canonical as it stands and without authority, but for what "%" may hide and for a drive spelt "C|".
# Not possessive as a whole: Python 3.11.2 overlooks the lookahead then.
_CANONICAL: Final = re.compile(rf"file://((?:/(?!\.\.?(?:/|\Z))[{_KEPT}%]*+)+)")
_HIDDEN: Final = re.compile(r"%(?:00|2[Ee])")

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_STRIPPED: Final = "".join(map(chr, range(0x21)))
_REMOVED: Final = dict.fromkeys(map(ord, "\t\n\r"))
_SINGLE_DOT: Final = frozenset({".", "%2e"})
_DOUBLE_DOT: Final = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})
_DRIVE: Final = re.compile(r"[A-Za-z][:|]")
_DRIVE_PATH: Final = re.compile(r"/[A-Za-z]:(?:/|\Z)")


def is_drive(segment: str) -> bool:
    """Whether *segment* is a "Windows drive letter" of the standard: ``C:``, or ``C|`` which becomes it."""
    return _DRIVE.fullmatch(segment) is not None


def has_drive(path: str) -> bool:
    """Whether the first segment of the canonical URI path *path* is a drive."""
    return _DRIVE_PATH.match(path) is not None


def quote(data: bytes) -> str:
    """*data* as URI path text, with all but ``/`` and what a segment keeps as it is percent-encoded."""
    return _NATIVE_UNSAFE.sub(
        lambda found: "".join([_HEX[ord(char)] for char in found[0]]), data.decode("latin-1")
    )


def unquote(text: str) -> bytes:
    """The bytes that ASCII *text* spells; a ``%`` without two hexadecimal digits stands for itself."""
    data = text.encode("ascii")
    return _ESCAPE.sub(lambda found: unhexlify(found[1]), data) if b"%" in data else data


def canonical_path(text: str) -> str | None:
    """The path of *text* where a glance shows that :func:`parse` would change nothing and find no host."""
    found = _CANONICAL.fullmatch(text)
    if found is None or ("%" in text and _HIDDEN.search(text)):
        return None
    path: str = found[1]
    return None if path[2:3] == "|" else path


def parse(text: str) -> tuple[str, str]:
    """The authority, ``""`` for none, and the canonical path of the URL *text*.

    :raises ValueError: what is wrong with *text*, for the end of a message.
    """
    if "\0" in text:
        raise ValueError("it holds a NUL character, which no path can")
    rest = text.strip(_STRIPPED).translate(_REMOVED)
    scheme = _SCHEME.match(rest)
    if scheme is None:
        raise ValueError("relative URL without a base; write file:///…, or use from_native for a native path")
    if scheme[1].lower() != "file":
        remedy = "; use from_native for a Windows path" if len(scheme[1]) == 1 else ""
        raise ValueError(f"the scheme is {scheme[1].lower()!r} and only 'file' is accepted{remedy}")
    rest = rest[scheme.end() :]
    if "?" in rest.partition("#")[0]:
        raise ValueError("it has a query; spell a '?' in a file name as %3F")
    if "#" in rest:
        raise ValueError("it has a fragment; spell a '#' in a file name as %23")
    try:
        rest = _URL_UNSAFE.sub(
            lambda found: "".join([_HEX[byte] for byte in found[0].encode("utf-8")]), rest.replace("\\", "/")
        )
    except UnicodeEncodeError:
        raise ValueError("it holds a lone surrogate; use from_native for a native path") from None

    if not rest.startswith("//"):
        return "", _path(rest.removeprefix("/"))
    host, _, path = rest[2:].partition("/")
    if is_drive(host):  # file://C:/x has a drive where the host should be, and no host
        return "", _path(rest[2:])
    return _host(host), _path(path)


def _host(host: str) -> str:
    """The standard's host parser, as far as servers go; ``localhost`` is no host."""
    name = unquote(host).decode("latin-1")
    if not name.isascii():
        raise ValueError(f"the host {host!r} is not ASCII; write its 'xn--' form")
    name = name.lower()
    if name in ("", "localhost"):
        return ""
    if name.startswith("["):
        raise ValueError(f"the host {name!r} is an IPv6 address; for UNC write 2001-db8--1.ipv6-literal.net")
    if not windows.is_server_name(name):
        raise ValueError(f"the host {name!r} is no server name; a file URI has no user and no port")
    return name


def _path(path: str) -> str:
    """The standard's path state: drive letters normalised, dot segments resolved, empty segments kept."""
    segments: list[str] = []
    dots = ""
    for part in path.split("/"):
        dots = part.lower()
        if dots in _DOUBLE_DOT:
            # A drive is never climbed out of; "|" has become ":" by now.
            if len(segments) != 1 or not is_drive(segments[0]):
                del segments[-1:]
        elif dots not in _SINGLE_DOT:
            segments.append(part[0] + ":" if not segments and is_drive(part) else part)
    if dots in _SINGLE_DOT or dots in _DOUBLE_DOT:
        segments.append("")
    return "/" + "/".join(segments)

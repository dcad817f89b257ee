"""Windows path text taken apart lexically: no I/O, no ``ntpath``, the same answer on every host.

The rules are those of Microsoft's "Naming Files, Paths, and Namespaces" and "File path formats on Windows
systems". Text is a ``str`` of UTF-16 code units as Windows hands them out, so it may hold lone surrogates.
"""

from __future__ import annotations

import re
from typing import Final

_DRIVE_ABSOLUTE: Final = re.compile(r"[A-Za-z]:[\\/]")
# Win32 takes any one code unit before a colon for a drive, though only letters are.
_DRIVE: Final = re.compile(r"[^\\/\U00010000-\U0010ffff]:")
_SEPARATOR: Final = re.compile(r"[\\/]")
_TWO_SEPARATORS: Final = re.compile(r"[\\/]{2}")

# Only this exact spelling of the prefix switches Win32 normalisation off.
_VERBATIM: Final = re.compile(
    r"\\\\\?\\(?:(?P<drive>[A-Za-z]:)|(?i:UNC)\\(?P<server>[^\\/]+))\\(?P<names>.*)", re.DOTALL
)

# A name that Win32 normalisation changes or sends to a device; "NUL .txt" and "NUL:x" are still NUL.
_NORMALISED_AWAY: Final = re.compile(
    r"(?:.*/.*|.*[. ]|)\Z"
    r"|(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]) *(?:[.:]|\Z)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)

# Printable ASCII in lower case but for the URL standard's forbidden domain code points, #%/:<>?@[\]^|
_SERVER: Final = re.compile(r"[!\"$&'()*+,\-.0-9;=_`a-z{}~]+")


def is_absolute(text: str) -> bool:
    r"""Whether *text* begins with ``C:\`` or ``\\``, in either slash: it needs no current directory."""
    return _DRIVE_ABSOLUTE.match(text) is not None or _TWO_SEPARATORS.match(text) is not None


def has_drive(text: str) -> bool:
    """Whether Win32 takes the beginning of *text* for a drive, be it absolute, ``C:``, ``C:x`` or ``1:x``."""
    return _DRIVE.match(text) is not None


def is_rooted(text: str) -> bool:
    r"""Whether *text* begins with a separator; ``\x`` is relative to the current drive or share only."""
    return _SEPARATOR.match(text) is not None


def is_server_name(text: str) -> bool:
    r"""Whether *text*, in lower case, can be the authority of a ``file:`` URI.

    Not ``.`` (``\\.\`` is the device namespace), nor ``..``, nor ``localhost``, which a ``file:`` URI drops.
    """
    return _SERVER.fullmatch(text) is not None and text not in (".", "..", "localhost")


def split(text: str) -> list[str]:
    """The parts of *text* between separators, empty ones included."""
    return _SEPARATOR.split(text)


def join_surrogates(text: str) -> str:
    """*text* with each surrogate pair as the one character it encodes in UTF-16."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def ordinary(text: str) -> tuple[str, list[str]] | None:
    r"""The authority and the parts of absolute *text*, or ``None`` where a ``file:`` URI cannot hold it.

    The first part that is not empty is the drive (``C:``) or the share; the others may be ``.`` or ``..``.
    ``None`` is the answer for device paths, for verbatim paths that would mean something else without their
    ``\\?\``, and for servers that no authority can spell.
    """
    verbatim = _VERBATIM.match(text)
    if verbatim is not None:
        drive, server, below = verbatim.group("drive", "server", "names")
        names = below.split("\\") if server is None else [server, *below.split("\\")]
        if any(map(_NORMALISED_AWAY.match, names)) and not (drive and not below):
            return None
        text = (drive or "\\\\" + server) + "\\" + below
    if not _TWO_SEPARATORS.match(text):
        return "", split(text)
    server, *parts = split(text[2:])
    # A share has a name: "." and ".." are no steps there, and no URI path can keep them.
    share = next(filter(None, parts), "")
    # ASCII comes first: the Kelvin sign is "k" in lower case.
    if not server.isascii() or not is_server_name(server.lower()) or share in (".", ".."):
        return None
    return server.lower(), parts


def backslashed(text: str) -> str:
    r"""Absolute *text* with backslashes only, meaning the same to Win32.

    ``\\?\`` text is left alone, for a slash is no separator there, and ``//?/`` text does not turn into it.
    """
    if text.startswith("\\\\?\\"):
        return text
    changed = text.replace("/", "\\")
    return "\\\\?/" + changed[4:] if changed.startswith("\\\\?\\") else changed

"""Paths of any operating system on any operating system, as ``file:`` URIs.

Every path on the wire is a :class:`PathUri`. All lexical work is done on the URI, never with the host's
``os.path``, so that a Linux harness and a Windows executor give the same answer. URIs are those of RFC 8089,
read by the rules of the WHATWG URL standard; :mod:`._file_url` lists where it is stricter.
"""

from __future__ import annotations

import binascii
import enum
import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NoReturn, final

from . import _file_url as url
from . import _windows_path as windows

__all__ = ["Convention", "ForeignPathError", "PathUri", "PathUriError"]


class Convention(enum.Enum):
    """Whose rules a path follows."""

    POSIX = "posix"
    """Bytes separated by ``/``; as ``str``, UTF-8 with ``surrogateescape``, as ``os.fsdecode`` gives them."""

    WINDOWS = "windows"
    r"""UTF-16 code units below a drive (``C:\``) or a share (``\\server\share``)."""


class PathUriError(ValueError):
    """A text that is no path URI, a native path that has none, or a join that means nothing."""


class ForeignPathError(PathUriError):
    """A URI was asked for its native form on a host of another convention."""


_PLATFORMS: Final = {"linux": Convention.POSIX, "macos": Convention.POSIX, "windows": Convention.WINDOWS}
_ENCODED_SEPARATOR: Final = {
    Convention.POSIX: re.compile("%2[Ff]"),
    Convention.WINDOWS: re.compile("%(?:2[Ff]|5[Cc])"),
}
_EMPTY_SEGMENTS: Final = re.compile(r"/{2,}")

_FALLBACK: Final = "/%00/bad/path/"
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_TO_URL: Final = str.maketrans("+/", "-_")
_FROM_URL: Final = str.maketrans("-_", "+/")


def _resolve(parts: Iterable[str]) -> tuple[int, list[str]]:
    """How far *parts* climb first, and the names they then descend to; empty parts and ``.`` vanish."""
    climbs = 0
    names: list[str] = []
    for part in parts:
        if part in ("", "."):
            continue
        if part != "..":
            names.append(part)
        elif names:
            names.pop()
        else:
            climbs += 1
    return climbs, names


def _path(segments: list[str], authority: str, convention: Convention | None) -> str:
    """The URI path of canonical *segments*, of which the first may look like a drive without being one."""
    if convention is Convention.WINDOWS and not authority:
        return "/" + "/".join(segments) + ("/" if len(segments) == 1 else "")
    if segments and url.is_drive(segments[0]):
        mark = segments[0][1]
        if mark == "|" or convention is Convention.POSIX:
            segments = [f"{segments[0][0]}%{ord(mark):02X}", *segments[1:]]
    return "/" + "/".join(segments)


@final
class PathUri:
    r"""An absolute path as an immutable ``file:`` URI in canonical form.

    An authority makes the path a Windows one (``file://server/share/x`` is ``\\server\share\x``), and so does
    a first segment spelt as a drive (``file:///C:/x`` is ``C:\x``); every other path is a POSIX one. A POSIX
    directory named ``C:`` is spelt ``file:///C%3A``.

    A path that none of these can hold has a *fallback*, ``file:///%00/bad/path/`` and the unpadded base64url
    of the native path: its bytes (POSIX) or its UTF-16LE code units (Windows).

    Equality and hash are those of the text. Percent-encoding is kept as spelt, so ``file:///%61`` and
    ``file:///a`` name one file without being equal; :meth:`starts_with` compares what they name.
    """

    __slots__ = ("_authority", "_convention", "_path", "_payload", "_text")

    _text: str  # the canonical URI
    _authority: str  # in lower case, "" for none
    _path: str  # the rest of the URI, from the "/" after the authority
    _convention: Convention | None
    _payload: bytes | None  # the native path that a fallback carries, None for every other URI

    def __init__(self) -> None:
        raise TypeError("use PathUri.parse or PathUri.from_native")

    @classmethod
    def _make(
        cls,
        authority: str,
        path: str,
        convention: Convention | None,
        payload: bytes | None = None,
    ) -> PathUri:
        self = object.__new__(cls)
        put = object.__setattr__
        put(self, "_text", f"file://{authority}{path}")
        put(self, "_authority", authority)
        put(self, "_path", path)
        put(self, "_convention", convention)
        put(self, "_payload", payload)
        return self

    @classmethod
    def _fallback(cls, payload: bytes, convention: Convention | None) -> PathUri:
        encoded = binascii.b2a_base64(payload, newline=False).decode("ascii").rstrip("=").translate(_TO_URL)
        return cls._make("", _FALLBACK + encoded, convention, payload)

    @classmethod
    def parse(cls, text: str) -> PathUri:
        """The path that a URI names, in any spelling the URL standard allows.

        A fallback whose payload an ordinary URI can hold becomes that URI, lest a path escape a check by
        going under a second name. A fallback whose payload is no absolute path has no convention and no
        native form.

        :raises PathUriError: another scheme or none; a query or a fragment; a host that is no server name;
            NUL or ``%00``; a fallback that is not canonical base64url, or goes on after it.
        """
        path = url.canonical_path(text)
        authority = ""
        if path is None:
            try:
                authority, path = url.parse(text)
            except ValueError as error:
                raise PathUriError(f"cannot parse {text!r} as a file URI: {error}") from None
            if "%00" in path:
                return cls._parse_fallback(text, authority, path)
        is_windows = authority or url.has_drive(path)
        return cls._make(authority, path, Convention.WINDOWS if is_windows else Convention.POSIX)

    @classmethod
    def _parse_fallback(cls, text: str, authority: str, path: str) -> PathUri:
        encoded = path.removeprefix(_FALLBACK)
        if authority or encoded == path:
            raise PathUriError(
                f"cannot parse {text!r} as a file URI: it holds %00, and no path can hold a NUL"
            )
        try:
            if not _BASE64URL.fullmatch(encoded):
                raise binascii.Error("it has a character outside the alphabet")
            padding = "=" * (-len(encoded) % 4)
            payload = binascii.a2b_base64(encoded.translate(_FROM_URL) + padding, strict_mode=True)
            fallback = cls._fallback(payload, None)
            if fallback._path != path:
                raise binascii.Error("its last character has stray bits")
        except binascii.Error as error:
            raise PathUriError(
                f"cannot parse {text!r} as a fallback URI: the payload is not unpadded base64url: {error}"
            ) from None
        if payload.startswith(b"/"):
            return cls._from_posix(payload)
        if len(payload) % 2 == 0:
            native = payload.decode("utf-16-le", "surrogatepass")
            if windows.is_absolute(native):
                return cls._from_windows(native)
        return fallback

    @classmethod
    def from_native(cls, path: str | bytes, convention: Convention) -> PathUri:
        r"""The URI of an absolute native path; every one has a URI.

        Empty parts, ``.`` and a trailing separator vanish and ``..`` is resolved lexically, for a URI cannot
        hold them; where symbolic links matter, resolve them first.

        - POSIX: bytes, or a ``str`` as ``os.fsdecode`` gives it. A path with a NUL byte has a fallback.
        - Windows: a ``str``, or bytes as ``os.fsencode`` gives them there (UTF-8 with ``surrogatepass``).
          ``\\?\C:\x`` and ``\\?\UNC\server\share`` lose the prefix where that changes nothing. Other verbatim
          paths, device paths, NUL, lone surrogates, ``localhost`` and servers that are no ASCII host names
          have a fallback.

        :raises PathUriError: the path is relative, or is no text of its convention.
        """
        try:
            if convention is Convention.POSIX:
                return cls._from_posix(
                    path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
                )
            native = path if isinstance(path, str) else path.decode("utf-8", "surrogatepass")
        except UnicodeError as error:
            raise PathUriError(f"cannot make a {convention.value} path of {path!r}: {error}") from None
        return cls._from_windows(native)

    @classmethod
    def _from_posix(cls, data: bytes) -> PathUri:
        if not data.startswith(b"/"):
            raise PathUriError(
                f"cannot make a URI of {data!r}: not absolute on POSIX; join it to a directory"
            )
        if b"\0" in data:
            return cls._fallback(data, Convention.POSIX)
        _, names = _resolve(data.decode("latin-1").split("/"))
        segments = url.quote("/".join(names).encode("latin-1")).split("/")
        return cls._make("", _path(segments, "", Convention.POSIX), Convention.POSIX)

    @classmethod
    def _from_windows(cls, text: str) -> PathUri:
        text = windows.join_surrogates(text)
        if not windows.is_absolute(text):
            if windows.has_drive(text):
                found = "relative to the current directory of a drive; write it in full, as C:\\x"
            elif windows.is_rooted(text):
                found = "relative to the current drive; join it to a directory"
            else:
                found = "not absolute on Windows; join it to a directory"
            raise PathUriError(f"cannot make a URI of {text!r}: {found}")
        ordinary = None if "\0" in text else windows.ordinary(text)
        if ordinary is not None:
            authority, parts = ordinary
            root, *names = [part for part in parts if part] or [""]
            try:
                quoted = url.quote("/".join([root, *_resolve(names)[1]]).encode("utf-8"))
            except UnicodeEncodeError:
                pass  # a lone surrogate
            else:
                path = _path(quoted.split("/"), authority, Convention.WINDOWS)
                return cls._make(authority, path, Convention.WINDOWS)
        payload = windows.backslashed(text).encode("utf-16-le", "surrogatepass")
        return cls._fallback(payload, Convention.WINDOWS)

    def to_native(self, platform: Literal["linux", "macos", "windows"] | str) -> str:
        r"""The path as the operating system *platform* takes it, without a doubled separator.

        - Linux and macOS: a ``str`` of which ``os.fsencode`` makes the exact bytes.
        - Windows: with backslashes; a bare drive is ``C:\``, never the drive-relative ``C:``.

        :raises ForeignPathError: the path follows another convention than *platform*, or none.
        :raises PathUriError: a file name holds an encoded separator, or on Windows is not UTF-8.
        :raises ValueError: *platform* is none of the three.
        """
        host = _PLATFORMS.get(platform)
        if host is None:
            raise ValueError(f"unknown platform {platform!r}: expected one of {', '.join(_PLATFORMS)}")
        if host is not self._convention:
            raise ForeignPathError(f"'{self._text}' is invalid on '{platform}'")
        return self._native("surrogateescape" if host is Convention.POSIX else "strict")

    def _native(self, errors: str) -> str:
        """The path by its own convention, which must be known; *errors* is for bytes that are not UTF-8."""
        convention = self._convention
        assert convention is not None
        if self._payload is not None:
            if convention is Convention.POSIX:
                return self._payload.decode("utf-8", errors)
            return self._payload.decode("utf-16-le", "replace" if errors == "replace" else "surrogatepass")
        path = self._path
        if "%" in path and _ENCODED_SEPARATOR[convention].search(path):
            raise PathUriError(
                f"'{self._text}' has no native path: no file name can hold the encoded separator"
            )
        if "//" in path:
            path = _EMPTY_SEGMENTS.sub("/", path)
        if convention is Convention.WINDOWS:
            if self._authority:
                path = f"//{self._authority}{path}"
            else:
                path = path[1:] if len(path) > len("/C:") else path[1:] + "/"
            path = path.replace("/", "\\")
        if "%" not in path:
            return path
        try:
            return url.unquote(path).decode("utf-8", errors)
        except UnicodeDecodeError:
            raise PathUriError(
                f"'{self._text}' has no native path: on Windows file names are UTF-8"
            ) from None

    def render(self) -> str:
        """The path for display by its own convention, on any host; the URI where it has no native form.

        What is not Unicode shows as U+FFFD, so that the text can always be encoded; it does not lead back.
        """
        if self._convention is None:
            return self._text
        try:
            return self._native("replace")
        except PathUriError:
            return self._text

    @property
    def convention(self) -> Convention | None:
        """Whose rules the path follows; ``None`` only for a fallback whose payload is no absolute path."""
        return self._convention

    @property
    def authority(self) -> str:
        """The UNC server in lower case; ``""`` for a path that is not UNC."""
        return self._authority

    @property
    def is_fallback(self) -> bool:
        """Whether the URI carries a native path that no ordinary URI can hold."""
        return self._payload is not None

    def _segments(self) -> list[str]:
        """The segments as spelt, without empty ones."""
        return [segment for segment in self._path.split("/") if segment]

    def _floor(self) -> int:
        """How many leading segments are the root's: the drive, or the share where there is one."""
        return 1 if self._convention is Convention.WINDOWS else 0

    def _with(self, segments: list[str]) -> PathUri:
        """The path of the same root with *segments*, among which the drive or share is."""
        path = _path(segments, self._authority, self._convention)
        return self._make(self._authority, path, self._convention)

    @property
    def basename(self) -> str | None:
        """The last name, in native form.

        ``None`` for ``/``, a drive, a share and a fallback, and where :meth:`to_native` would refuse the
        name.
        """
        segments = self._segments()
        convention = self._convention
        if self._payload is not None or convention is None or len(segments) <= self._floor():
            return None
        if _ENCODED_SEPARATOR[convention].search(segments[-1]):
            return None
        errors = "surrogateescape" if convention is Convention.POSIX else "strict"
        try:
            return url.unquote(segments[-1]).decode("utf-8", errors)
        except UnicodeDecodeError:
            return None

    @property
    def parent(self) -> PathUri | None:
        r"""The directory above, lexically; ``None`` for ``/``, ``C:\``, ``\\server\share`` and a fallback."""
        segments = self._segments()
        if self._payload is not None or len(segments) <= self._floor():
            return None
        return self._with(segments[:-1])

    def ancestors(self) -> Iterator[PathUri]:
        """This path, its parent, and so on up to the root."""
        place: PathUri | None = self
        while place is not None:
            yield place
            place = place.parent

    def join(self, text: str) -> PathUri:
        r"""The path that *text*, native to this path's convention, names from here.

        Empty parts and ``.`` vanish; ``..`` stops at the root, drive or share. Absolute text replaces this
        path. ``~``, ``%``, ``?`` and ``#`` are file-name text. On Windows both slashes separate, and ``\x``
        starts from the drive or share of this path.

        :raises PathUriError: NUL, a drive-relative ``C:x`` (any one character before the colon, as Win32 has
            it), a ``str`` that no POSIX bytes decode to, or any text but ``""`` on a fallback.
        """
        if not text:
            return self
        convention = self._convention
        tried = f"cannot join {text!r} to '{self._text}'"
        if self._payload is not None or convention is None:
            raise PathUriError(f"{tried}: nothing lies below a fallback URI")
        if "\0" in text:
            raise PathUriError(f"{tried}: no file name can hold the NUL in it")
        segments = self._segments()
        if convention is Convention.POSIX:
            if text.startswith("/"):
                return self.from_native(text, convention)
            climbs, names = _resolve(text.split("/"))
        else:
            if windows.is_absolute(text):
                return self.from_native(text, convention)
            if windows.has_drive(text):
                raise PathUriError(
                    f"{tried}: relative to the current directory of a drive; write it in full, as C:\\x"
                )
            climbs, names = _resolve(windows.split(text))
            if windows.is_rooted(text):
                climbs = len(segments)
        if not climbs and not names:
            return self
        base = segments[: max(self._floor(), len(segments) - climbs)]
        errors = "surrogateescape" if convention is Convention.POSIX else "strict"
        try:
            return self._with(base + [url.quote(name.encode("utf-8", errors)) for name in names])
        except UnicodeEncodeError as error:
            if convention is Convention.POSIX:
                raise PathUriError(f"{tried}: {error}") from None
        # A lone surrogate is allowed in a Windows name, and the fallback can hold it.
        root = self._with(base).to_native("windows").rstrip("\\")
        return self._from_windows("\\".join([root, *names]))

    def starts_with(self, other: PathUri) -> bool:
        """Whether this path is *other* or lies below it, lexically.

        Convention, authority and whole percent-decoded segments are compared; case counts but for the drive
        letter, since only the file system knows whether names differ by it. A fallback contains only itself.
        The answer is no where either path has an encoded separator, or on Windows a name of dots and spaces
        only, which Win32 may take away.
        """
        if self._payload is not None or other._payload is not None:
            return self._text == other._text
        if self._convention is not other._convention or self._authority != other._authority:
            return False
        mine, others = self._names(), other._names()
        return mine is not None and others is not None and mine[: len(others)] == others

    def _names(self) -> list[bytes] | None:
        """The decoded segments for containment; ``None`` where one may be more or less than a name."""
        convention = self._convention
        if convention is None or _ENCODED_SEPARATOR[convention].search(self._path):
            return None
        names = [url.unquote(segment) for segment in self._segments()]
        if convention is Convention.WINDOWS:
            if not all(name.strip(b". ") for name in names):
                return None
            if not self._authority:
                names[0] = names[0].lower()
        return names

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, PathUri) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"PathUri({self._text!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return PathUri.parse, (self._text,)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"PathUri is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"PathUri is immutable: cannot delete {name!r}")

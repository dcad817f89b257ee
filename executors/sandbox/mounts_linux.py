"""From a policy to the mounts of a file system that shows just what it allows. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Final

from executors.sandbox.policy import Access, Policy, Rule

_ROOT: Final = PurePosixPath("/")
_PROC: Final = PurePosixPath("/proc")
SETTINGS: Final = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
"""Of the whole machine: who owns them, a super-user, may write there without any capability."""
_DEV: Final = PurePosixPath("/dev")
SHARED_MEMORY: Final = PurePosixPath("/dev/shm")
FRESH_DEVICES: Final = frozenset(
    {"console", "core", "fd", "full", "null", "ptmx", "pts", "random", "shm"}
    | {"stderr", "stdin", "stdout", "tty", "urandom", "zero"}
)
"""What is there in a /dev of bubblewrap, whatever the policy says: no data is there to be kept."""


class Kind(enum.Enum):
    """What is at a path."""

    FILE = enum.auto()
    """Anything but a directory."""
    DIRECTORY = enum.auto()
    NOTHING = enum.auto()


class Unenforceable(ValueError):
    """Mounts cannot express a policy; the message says what of it."""


class Gone(ValueError):
    """What a policy is about is not there."""


@dataclass(frozen=True)
class Show:
    """The same as outside, at the same path.

    :ivar device: whether it is a device that is to be usable as one.
    """

    path: PurePath
    writable: bool
    device: bool = False


@dataclass(frozen=True)
class Hide:
    """Nothing that could be read or written.

    :ivar kind: FILE or DIRECTORY, as outside.
    :ivar passable: of a directory, whether places inside of it can be reached.
    """

    path: PurePath
    kind: Kind
    passable: bool = False


Mount = Show | Hide


def plan(
    policy: Policy, kind: Callable[[PurePath], Kind], matches: Mapping[PurePath, Kind] | None = None
) -> list[Mount]:
    """Returns the mounts that *policy* takes, outer ones before those that they would cover.

    A fresh /dev and /proc come on their own, and a root where none of these is about it.

    A directory that holds a place with less access than it has itself, and that may be written, is shown on
    its own, too: what is mounted upon can be neither renamed nor removed, so that the place stays where the
    policy has it.

    :param kind: tells what is at a path outside, without following a symbolic link.
    :param matches: what the patterns match, as it is now: it is hidden, whatever the rules say.
    :raises Unenforceable: mounts cannot do that.
    :raises Gone: a place that may be written is not there.
    """
    return _Plan(policy, kind).make(matches or {})


class _Plan:
    def __init__(self, policy: Policy, kind: Callable[[PurePath], Kind]) -> None:
        self._policy = policy
        self._kind = kind
        self._mounts: dict[PurePath, Mount] = {}
        self._matched: set[PurePath] = set()
        self._on_the_way = {
            place for rule in policy.rules if rule.access != Access.NONE for place in rule.path.parents
        }

    def make(self, matches: Mapping[PurePath, Kind]) -> list[Mount]:
        for path, kind in sorted(matches.items(), key=lambda match: len(match[0].parts)):
            if not self._hides(path):
                self._refuse_system_places(path)
                self._mounts[path] = Hide(path, kind)
                self._matched.add(path)
        for rule in self._policy.rules:
            if not self._hides(rule.path):
                self._add(rule)
        for path in self._matched:
            self._hold(path)
        return sorted(self._mounts.values(), key=lambda mount: len(mount.path.parts))

    def _hides(self, path: PurePath) -> bool:
        """Whether a match of a pattern holds *path*."""
        return bool(self._matched) and not self._matched.isdisjoint((path, *path.parents))

    def _add(self, rule: Rule) -> None:
        path, access = rule.path, rule.access
        if path.parts[1:2] == _DEV.parts[1:] and path != _DEV and path.parts[:3] != SHARED_MEMORY.parts:
            self._add_device(rule)
            return
        if (path == _DEV and access != Access.NONE) or (path == _PROC and access == Access.READ):
            return
        self._refuse_system_places(path)
        outer = Access.NONE if path == _ROOT else self._policy.access(path.parent)
        kind = self._kind(path)
        if kind == Kind.NOTHING:
            if access == Access.WRITE:
                raise Gone(f"{path} may be written, and is not there: make it first")
            if outer == Access.WRITE:
                raise Unenforceable(f"it cannot keep {path} from being made, which is not there")
            return
        if access == Access.NONE:
            self._mounts[path] = Hide(path, kind, passable=path in self._on_the_way)
        else:
            self._mounts[path] = Show(path, access == Access.WRITE)
        if access < outer:
            self._hold(path)

    def _add_device(self, rule: Rule) -> None:
        path, access = rule.path, rule.access
        name = path.relative_to(_DEV).parts[0]
        if name in FRESH_DEVICES:
            if access == Access.NONE:
                raise Unenforceable(f"it cannot deny {path}, which programs need")
        elif access == Access.WRITE and self._kind(path) != Kind.NOTHING:
            self._mounts[path] = Show(path, writable=True, device=True)
        # Others are not there inside: less than may be read, not more.

    def _refuse_system_places(self, path: PurePath) -> None:
        if path == _DEV:
            raise Unenforceable(f"it cannot deny {path}, which programs need")
        if _in_proc(path):
            raise Unenforceable(f"it cannot set apart {path}: the processes there are the sandbox's own")

    def _hold(self, path: PurePath) -> None:
        """Sees to it that nothing can be renamed on the way to *path*."""
        for place in path.parents:
            if place in self._mounts or self._policy.access(place) != Access.WRITE:
                return
            if self._kind(place) != Kind.DIRECTORY:
                raise Gone(f"{place} is no directory any more")
            self._mounts[place] = Show(place, writable=True)


def _in_proc(path: PurePath) -> bool:
    return path.parts[:2] == _PROC.parts


def arguments(
    mounts: Sequence[Mount], descriptors: Mapping[PurePath, int], links: Mapping[str, str]
) -> list[str]:
    """Returns the options of bwrap(1) that make *mounts*.

    :param descriptors: of what is shown and no device, by path: what a path leads to may have changed.
    :param links: symbolic links to make, in directories that are there only because of what is in them; with
        where each leads.
    """
    whole = any(mount.path == _ROOT for mount in mounts)
    options: list[str] = []
    read_only = ["/dev"] if whole else ["/", "/dev"]
    for mount in mounts:
        if mount.path == _ROOT:
            options += _options(mount, descriptors)
    options += ["--dev", "/dev", "--proc", "/proc"]
    # Of some bwrap sees to itself, but not to this one.
    options += ["--ro-bind", SETTINGS[0], SETTINGS[0]]
    if all(mount.path != SHARED_MEMORY for mount in mounts):
        options += ["--perms", "1777", "--tmpfs", str(SHARED_MEMORY)]
    for mount in mounts:
        if mount.path != _ROOT:
            options += _options(mount, descriptors)
        if isinstance(mount, Hide) and mount.kind == Kind.DIRECTORY:
            read_only.append(str(mount.path))
    for name, target in links.items():
        options += ["--symlink", target, name]
    # Last, since bwrap makes what it mounts upon.
    for path in reversed(read_only):
        options += ["--remount-ro", path]
    return options


def _options(mount: Mount, descriptors: Mapping[PurePath, int]) -> list[str]:
    path = str(mount.path)
    if isinstance(mount, Show):
        if mount.device:
            return ["--dev-bind", path, path]
        return ["--bind-fd" if mount.writable else "--ro-bind-fd", str(descriptors[mount.path]), path]
    if mount.kind == Kind.DIRECTORY:
        return ["--perms", "0111" if mount.passable else "0000", "--tmpfs", path]
    # It is mounted without devices, so that it cannot be opened.
    return ["--ro-bind", "/dev/null", path]

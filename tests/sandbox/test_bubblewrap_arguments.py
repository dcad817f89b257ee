"""Which mounts a policy takes; nothing is mounted here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath

import pytest

if sys.platform == "win32":
    pytest.skip("paths of POSIX systems", allow_module_level=True)

from executors.sandbox.mounts_linux import Gone, Hide, Kind, Mount, Show, Unenforceable, arguments, plan
from executors.sandbox.policy import Access, Rule, make_policy

NONE, READ, WRITE = Access.NONE, Access.READ, Access.WRITE
DIRECTORIES = "/ /ws /ws/.git /ws/a /ws/a/b /ws/a/b/keys /ws/a/b/keys/mine /home /home/me /home/me/ws /dev"
FILES = "/ws/a/.env /ws/a/b/secret /dev/kvm"


def kind(path: PurePath) -> Kind:
    if str(path) in DIRECTORIES.split():
        return Kind.DIRECTORY
    return Kind.FILE if str(path) in FILES.split() else Kind.NOTHING


def mounts(rules: Mapping[str, Access], *matches: str) -> list[Mount]:
    policy = make_policy(Rule(PurePosixPath(path), access) for path, access in rules.items())
    return plan(policy, kind, {PurePosixPath(path): kind(PurePosixPath(path)) for path in matches})


def show(path: str, *, writable: bool) -> Show:
    return Show(PurePosixPath(path), writable)


def hide(path: str, *, passable: bool = False) -> Hide:
    return Hide(PurePosixPath(path), kind(PurePosixPath(path)), passable)


def options(rules: Mapping[str, Access], *matches: str) -> list[str]:
    made = mounts(rules, *matches)
    numbers = {mount.path: number for number, mount in enumerate(made, 10)}
    return arguments(made, numbers, {"/bin": "usr/bin"} if "/" not in rules else {})


def test_places_are_mounted_from_the_outside_in() -> None:
    made = mounts({"/ws/a/b": WRITE, "/ws": WRITE, "/": READ, "/ws/a": READ})
    assert made == [
        show("/", writable=False),
        show("/ws", writable=True),
        show("/ws/a", writable=False),
        show("/ws/a/b", writable=True),
    ]


def test_what_is_denied_in_a_readable_place_is_hidden() -> None:
    assert mounts({"/": READ, "/home": NONE}) == [show("/", writable=False), hide("/home")]


def test_a_denied_place_can_be_passed_where_something_in_it_is_allowed() -> None:
    made = mounts({"/": READ, "/home": NONE, "/home/me/ws": WRITE})
    assert made == [
        show("/", writable=False),
        hide("/home", passable=True),
        show("/home/me/ws", writable=True),
    ]
    text = " ".join(options({"/": READ, "/home": NONE, "/home/me/ws": WRITE}))
    assert "--perms 0111 --tmpfs /home --bind-fd 12 /home/me/ws" in text
    assert text.endswith("--remount-ro /home --remount-ro /dev"), "the mount point is made before"


@pytest.mark.parametrize("access", [NONE, READ])
def test_directories_around_a_kept_place_are_held(access: Access) -> None:
    made = mounts({"/": READ, "/ws": WRITE, "/ws/a/b/secret": access})
    inner = hide("/ws/a/b/secret") if access == NONE else show("/ws/a/b/secret", writable=False)
    assert made[1:] == [
        show("/ws", writable=True),
        show("/ws/a", writable=True),
        show("/ws/a/b", writable=True),
        inner,
    ]


def test_a_place_right_in_a_writable_one_needs_nothing_else() -> None:
    assert mounts({"/ws": WRITE, "/ws/.git": READ}) == [
        show("/ws", writable=True),
        show("/ws/.git", writable=False),
    ]


def test_matches_are_hidden_with_all_that_rules_say_of_what_is_inside() -> None:
    made = mounts({"/": READ, "/ws": WRITE, "/ws/a/b/keys/mine": READ}, "/ws/a/b/keys", "/ws/a/.env")
    assert made == [
        show("/", writable=False),
        show("/ws", writable=True),
        show("/ws/a", writable=True),
        hide("/ws/a/.env"),
        show("/ws/a/b", writable=True),
        hide("/ws/a/b/keys"),
    ]


def test_a_match_is_hidden_where_a_rule_names_it() -> None:
    assert mounts({"/ws": READ, "/ws/a": WRITE}, "/ws/a") == [show("/ws", writable=False), hide("/ws/a")]


def test_what_is_not_there_and_may_only_be_read_needs_nothing() -> None:
    assert mounts({"/ws": READ, "/nothing": READ}) == [show("/ws", writable=False)]


@pytest.mark.parametrize("access", [NONE, READ])
def test_what_is_not_there_cannot_be_kept_from_being_made(access: Access) -> None:
    with pytest.raises(Unenforceable, match=r"/ws/\.hg from being made"):
        mounts({"/ws": WRITE, "/ws/.hg": access})


def test_a_writable_place_that_is_not_there_is_gone() -> None:
    with pytest.raises(Gone, match="/nothing may be written, and is not there"):
        mounts({"/": READ, "/nothing": WRITE})


@pytest.mark.parametrize("path", ["/proc", "/proc/sys", "/dev", "/dev/null"])
def test_what_programs_need_cannot_be_denied(path: str) -> None:
    with pytest.raises(Unenforceable, match=path):
        mounts({"/": READ, path: NONE})


def test_what_is_there_anyway_needs_no_mount() -> None:
    assert mounts({"/proc": READ, "/dev": WRITE, "/dev/null": READ}) == []


def test_a_device_is_shown_as_one_where_it_may_be_written() -> None:
    assert mounts({"/": READ, "/dev/kvm": WRITE, "/dev/zero": WRITE}) == [
        show("/", writable=False),
        Show(PurePosixPath("/dev/kvm"), writable=True, device=True),
    ]
    assert "--dev-bind /dev/kvm /dev/kvm" in " ".join(options({"/": READ, "/dev/kvm": WRITE}))


def test_devices_and_processes_come_after_the_root_and_before_what_is_in_them() -> None:
    assert options({"/": READ, "/ws": WRITE}) == [
        *["--ro-bind-fd", "10", "/"],
        *["--dev", "/dev", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"],
        *["--perms", "1777", "--tmpfs", "/dev/shm"],
        *["--bind-fd", "11", "/ws"],
        *["--remount-ro", "/dev"],
    ]


def test_a_root_that_nothing_is_said_of_is_empty_but_for_links_and_cannot_be_written() -> None:
    assert options({"/ws": READ}) == [
        *["--dev", "/dev", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"],
        *["--perms", "1777", "--tmpfs", "/dev/shm"],
        *["--ro-bind-fd", "10", "/ws"],
        *["--symlink", "usr/bin", "/bin"],
        *["--remount-ro", "/dev", "--remount-ro", "/"],
    ]


def test_hidden_places_can_be_neither_read_nor_written() -> None:
    text = " ".join(options({"/ws": READ, "/ws/a": NONE, "/home": READ}, "/ws/a/.env", "/ws/.git"))
    assert "--perms 0000 --tmpfs /ws/a " in text
    assert "--remount-ro /ws/a" in text
    assert "--remount-ro /ws/.git" in text
    assert "--ro-bind /dev/null /ws/a/b/secret" in " ".join(options({"/ws": READ, "/ws/a/b/secret": NONE}))

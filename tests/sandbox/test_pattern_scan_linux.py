"""What patterns match in a tree of files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("it serves the sandbox of Linux", allow_module_level=True)

from executors.sandbox import pattern_scan_linux as pattern_scan
from executors.sandbox.mounts_linux import Kind
from executors.sandbox.pattern_scan_linux import find_matches
from executors.sandbox.policy import Access, Rule, make_policy


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path.resolve()
    for name in (".env", "a/.env", "a/b/.env", "a/b/x.key", "a/keys/one", "c/keys"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


def matches(
    tree: Path, *patterns: str, depth: int | None = None, rules: tuple[Rule, ...] = ()
) -> dict[str, Kind]:
    policy = make_policy(
        [Rule(Path("/"), Access.READ), *rules],
        denied_patterns=[f"{tree}/{pattern}" for pattern in patterns],
        pattern_depth=depth,
    )
    found = find_matches(policy)
    return {os.path.relpath(path, tree): kind for path, kind in found.items()}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/.env", {".env", "a/.env", "a/b/.env"}),
        ("*/.env", {"a/.env"}),
        ("a/**/*.key", {"a/b/x.key"}),
        ("**/b/**/x.*", {"a/b/x.key"}),
        ("**/keys", {"a/keys", "c/keys"}),
        (".env", {".env"}),
        ("?/keys/one", {"a/keys/one"}),
        ("a/**", {"a"}),
        ("nothing/**/x", set()),
        ("[!a]/k*", {"c/keys"}),
    ],
)
def test_patterns_match(tree: Path, pattern: str, names: set[str]) -> None:
    assert matches(tree, pattern).keys() == names


def test_kinds_are_told(tree: Path) -> None:
    assert matches(tree, "**/keys") == {"a/keys": Kind.DIRECTORY, "c/keys": Kind.FILE}


def test_all_that_matches_is_what_the_policy_says_matches(tree: Path) -> None:
    texts = ["**/.env", "a/**/*.key", "c/*", "**/k[a-f]ys"]
    policy = make_policy([Rule(Path("/"), Access.READ)], denied_patterns=[f"{tree}/{text}" for text in texts])
    found = find_matches(policy)
    for path in tree.rglob("*"):
        covered = any(one in found for one in (path, *path.parents))
        assert covered == policy.matches_pattern(path), path


@pytest.mark.parametrize(("depth", "names"), [(0, set()), (1, {".env"}), (2, {".env", "a/.env"})])
def test_no_deeper_than_is_said(tree: Path, depth: int, names: set[str]) -> None:
    assert matches(tree, "**/.env", depth=depth).keys() == names


def test_links_are_not_followed_to_look_but_what_they_lead_to_is_denied(tree: Path) -> None:
    (tree / "plain").write_text("")
    (tree / "link.key").symlink_to("plain")
    (tree / "nowhere.key").symlink_to("nothing")
    (tree / "d").symlink_to("a")
    assert matches(tree, "*.key", "d/**/.env", "*/b").keys() == {"plain", "a/.env", "a/b/.env", "a/b"}


def test_a_link_to_what_holds_a_place_is_refused(tree: Path) -> None:
    (tree / "link.key").symlink_to("/")
    with pytest.raises(ValueError, match="leads to /, which holds"):
        matches(tree, "*.key")


def test_what_is_denied_anyway_is_left_out(tree: Path) -> None:
    assert matches(tree, "**/.env", rules=(Rule(tree / "a", Access.NONE),)).keys() == {".env"}


def test_too_many_are_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_scan, "MOST_MATCHES", 2)
    with pytest.raises(ValueError, match="more than 2 files match"):
        matches(tree, "**/.env")
    monkeypatch.setattr(pattern_scan, "MOST_FILES", 3)
    with pytest.raises(ValueError, match="more than 3 files would have to be looked at"):
        matches(tree, "**/nothing")


@pytest.mark.skipif(os.geteuid() == 0, reason="a super-user may list all")
def test_a_directory_that_cannot_be_listed_is_an_error(tree: Path) -> None:
    (tree / "a").chmod(0o100)
    with pytest.raises(ValueError, match="can be opened, but not listed"):
        matches(tree, "**/.env")
    (tree / "a").chmod(0)
    assert matches(tree, "**/.env").keys() == {".env"}
    (tree / "a").chmod(0o700)

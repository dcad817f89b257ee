"""What the released client asks for, and what other callers may, as a policy over real files."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from executors.sandbox.intent import MOST_ENTRIES, read_intent
from executors.sandbox.places import Places
from executors.sandbox.policy import Access
from tests.support.intents import Binding, at, intent, make_places, pattern, refused, special

if sys.platform == "win32":
    pytest.skip("binds to files by POSIX rules", allow_module_level=True)

NONE, READ, WRITE = Access


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory that no entry of a test gives access to, without links in its path."""
    return tmp_path.resolve()


@pytest.fixture
def places(base: Path) -> Places:
    return make_places(base)


@pytest.fixture
def ws(base: Path) -> Path:
    """The workspace root."""
    (base / "ws").mkdir()
    return base / "ws"


@pytest.fixture
def bound(ws: Path, places: Places) -> Binding:
    return Binding(ws, places)


# What the released client sends.


def skip(subpath: str) -> dict[str, Any]:
    return special("project_roots", "read", subpath=subpath) | {"missing_path_behavior": "skip"}


CLIENT_PROTECTS = [skip(name) for name in (".git", ".agents", ".codex", ".aws")]


def test_the_clients_read_only_mode(bound: Binding, ws: Path) -> None:
    policy = bound(
        special("root", "read"), windowsSandboxProxySettingsMode="reconcile", useLegacyLandlock=False
    )
    assert (policy.access(ws), policy.access(Path("/etc/passwd")), policy.network) == (READ, READ, False)
    assert list(policy.carved()) == []
    assert not policy.is_unrestricted


def test_the_clients_workspace_mode(bound: Binding, ws: Path, places: Places, base: Path) -> None:
    entries = [
        special("root", "read"),
        special("project_roots", "write"),
        special("slash_tmp", "write"),
        special("tmpdir", "write"),
        *CLIENT_PROTECTS,
    ]
    (ws / ".codex").mkdir()
    policy = bound(*entries)
    assert policy.access(ws / "file") == WRITE
    assert policy.access(Path("/tmp/file")) == WRITE
    assert policy.access(places.temporary / "file") == WRITE
    assert policy.access(Path("/etc")) == READ
    # What is not there keeps nobody from making it, and asks no backend for more than it can do.
    assert [rule.path for rule in policy.carved()] == [ws / ".codex"]
    assert policy.access(ws / ".codex/config.toml") == READ
    assert policy.access(ws / ".aws/credentials") == WRITE


def test_the_clients_profile_with_patterns(bound: Binding, ws: Path, base: Path) -> None:
    policy = bound(
        at("file:///etc/shadow", "deny"),
        special("minimal", "read"),
        pattern("codex-project-roots://**/*.env"),
        special("project_roots", "write"),
        special("project_roots", "read", subpath="docs"),
        # A folder of the client's own machine.
        at((base / "home/.codex/tmp/arg0").as_uri(), "read"),
        network="enabled",
        glob_scan_max_depth=3,
    )
    assert policy.denied_patterns == (f"{ws}/**/*.env",)
    assert policy.pattern_depth == 3
    assert policy.network
    assert policy.matches_pattern(ws / "a/.env")
    assert policy.access(Path("/usr/bin")) == READ
    assert policy.access(Path("/etc")) == NONE
    assert policy.access(ws / "docs/x") == READ


def test_a_permission_granted_later_wins_over_a_symbolic_entry(bound: Binding, ws: Path) -> None:
    (ws / "docs").mkdir()
    docs = at((ws / "docs").as_uri(), "write")
    entries = [special("project_roots", "write"), special("project_roots", "read", subpath="docs"), docs]
    assert bound(*entries).access(ws / "docs") == WRITE
    assert bound(*reversed(entries)).access(ws / "docs") == WRITE


# The shape.


@pytest.mark.parametrize("sandbox", [None, intent(permissions={"type": "disabled"})])
def test_nothing_is_asked_for(sandbox: Any) -> None:
    assert read_intent(sandbox) is None


def test_external_permissions_leave_the_network_to_the_executor(bound: Binding) -> None:
    assert read_intent(intent(permissions={"type": "external", "network": "enabled"})) is None
    policy = bound(permissions={"type": "external", "network": "restricted"})
    assert (policy.access(Path("/etc")), policy.network) == (WRITE, False)
    assert not policy.is_unrestricted


@pytest.mark.parametrize(("network", "nothing"), [("enabled", True), ("restricted", False)])
def test_unrestricted_files(bound: Binding, network: str, nothing: bool) -> None:
    policy = bound(file_system={"type": "unrestricted"}, network=network)
    assert policy.access(Path("/etc")) == WRITE
    assert policy.is_unrestricted == nothing


PASSED_OVER = [
    {"windowsSandboxLevel": "restricted-token"},
    {"windowsSandboxLevel": "elevated"},
    {"windowsSandboxLevel": "mxc"},
    {"windowsSandboxPrivateDesktop": True},
    {"windowsSandboxProxySettingsMode": "preserve"},
    {"useLegacyLandlock": True},
    {"userHomeDir": "file:///root"},
    {"userHomeDir": "file:///C:/Users/x"},
    {"temporaryDirectories": ["file:///etc"]},
    {"somethingNew": {"x": 1}},
]


@pytest.mark.parametrize("more", PASSED_OVER, ids=str)
def test_what_is_for_other_executors_changes_nothing(bound: Binding, more: dict[str, Any]) -> None:
    entries = [special("root", "read"), special("tmpdir", "write")]
    assert bound(*entries, **more) == bound(*entries)


MALFORMED = {
    "no permissions": ({"windowsSandboxLevel": "disabled"}, "permissions"),
    "no object": ("managed", "sandbox"),
    "permissions of no type": (intent(permissions={}), "sandbox.permissions"),
    "permissions of another type": (intent(permissions={"type": "x"}), "`managed`, `disabled`, `external`"),
    "external without network": (intent(permissions={"type": "external"}), "network"),
    "no level": ({"permissions": {"type": "disabled"}}, "windowsSandboxLevel"),
    "another level": (intent(windowsSandboxLevel="mandatory"), "`restricted-token`"),
    "another network": (intent(network="none"), "known are `restricted`, `enabled`"),
    "network as a flag": (intent(network=True), "sandbox.permissions.network"),
    "another access": (intent(at("file:///", "execute")), "`read`, `write`, `deny`, `none`"),
    "another kind": (intent(special("home", "read")), "`current_working_directory`"),
    "another place": (intent({"path": {"type": "x"}, "access": "read"}), "`glob_pattern`"),
    "a place without path": (intent({"path": {"type": "path"}, "access": "read"}), "`path`"),
    "no entries": (intent(file_system={"type": "restricted"}), "entries"),
    "another file system": (intent(file_system={"type": "external_sandbox"}), "`unrestricted`"),
    "depth of nothing": (intent(glob_scan_max_depth=0), "glob_scan_max_depth"),
    "negative depth": (intent(glob_scan_max_depth=-1), "glob_scan_max_depth"),
    "when missing, else": (intent(at("file:///", "read") | {"missing_path_behavior": "x"}), "`skip`"),
    "unknown restriction": (intent(file_system={"type": "restricted", "entries": [], "x": 1}), "`x`"),
    "unknown restriction of an entry": (intent(at("file:///", "read") | {"times": 1}), "`times`"),
    "roots that are none": (intent(workspaceRoots="file:///"), "workspaceRoots"),
}


@pytest.mark.parametrize(("sandbox", "word"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_intents(sandbox: Any, word: str) -> None:
    refused(lambda: read_intent(sandbox), word)


def test_a_long_value_makes_no_long_message() -> None:
    assert len(refused(lambda: read_intent(intent(network="x" * 100_000)))) < 1000


# Symbolic entries.


def test_each_root_is_bound(bound: Binding, ws: Path, base: Path) -> None:
    other = base / "other"
    (other / "sub").mkdir(parents=True)
    (ws / "sub").mkdir()
    policy = bound(
        special("project_roots", "read"),
        special("project_roots", "write", subpath="sub"),
        workspaceRoots=[ws.as_uri(), other.as_uri(), ws.as_uri()],
    )
    for root in (ws, other):
        assert (policy.access(root), policy.access(root / "sub/x")) == (READ, WRITE)
    assert policy.access(base) == NONE


@pytest.mark.parametrize("subpath", ["", ".", "./"])
def test_a_subpath_may_be_the_root_itself(bound: Binding, ws: Path, subpath: str) -> None:
    assert bound(special("project_roots", "write", subpath=subpath)).access(ws / "x") == WRITE


@pytest.mark.parametrize("subpath", ["..", "a/../../b", "/etc", "a\\..\\b", "a\\b", "\0", "a/../a"])
def test_a_subpath_leads_nowhere_else(bound: Binding, subpath: str) -> None:
    refused(lambda: bound(special("project_roots", "read", subpath=subpath)), "subpath")


def test_the_working_directory(bound: Binding, ws: Path, base: Path) -> None:
    entry = special("current_working_directory", "write")
    assert bound(entry, cwd=ws.as_uri(), workspaceRoots=[]).access(ws) == WRITE
    refused(lambda: bound(entry, cwd=None), "`cwd` is missing")


def test_minimal_is_what_is_there(bound: Binding, base: Path) -> None:
    policy = bound(special("minimal", "read"))
    assert [(rule.path, rule.access) for rule in policy.rules] == [(Path("/usr"), READ)]


def test_a_temporary_directory_that_is_not_there_does_no_harm(
    bound: Binding, places: Places, base: Path
) -> None:
    places.temporary.rmdir()
    assert bound(special("tmpdir", "write")).rules == ()


def test_temporary_files_are_where_the_program_has_them(places: Places, base: Path) -> None:
    assert places.for_program({"TMPDIR": str(base)}).temporary == base
    for text in ("", "relative", "/a/../b", "/a\0"):
        assert places.for_program({"TMPDIR": text}) == places
    assert places.for_program({"TEMP": str(base)}) == places


def test_entries_about_nothing(bound: Binding) -> None:
    nothing: list[list[str] | None] = [[], None]
    for roots in nothing:
        root = special("project_roots", "write")
        refused(partial(bound, root, workspaceRoots=roots), "`workspaceRoots`")
        refused(partial(bound, pattern("*.env"), workspaceRoots=roots), "`workspaceRoots`")
    unknown = {"type": "special", "value": {"kind": "unknown", "path": ":future"}}
    refused(lambda: bound({"path": unknown, "access": "read"}), ":future")
    refused(lambda: bound(special("root", "read", subpath="etc")), "`root` takes no subpath")


# Paths.

NO_PATHS = {
    "relative": "ws",
    "native": "/ws",
    "of Windows": "file:///C:/x",
    "of a share": "file://host/share",
    "of another scheme": "http://host/x",
    "climbing": "file:///ws/../etc",
    "climbing at the end": "file:///ws/..",
    "climbing, encoded": "file:///ws/%2e%2E/etc",
    "climbing, half encoded": "file:///ws/.%2e/etc",
    "climbing by backslashes": "file:///ws\\..\\etc",
    "climbing past a tab": "file:///ws/.\t./etc",
    "climbing past blanks": "file:///ws/.. \x01",
    "climbing in a fallback": "file:///%00/bad/path/L3dzLy4uL2V0Yw",
    "NUL": "file:///ws/%00",
    "encoded slash": "file:///ws/a%2Fb",
    "query": "file:///ws?x",
    "empty": "",
}


@pytest.mark.parametrize("uri", NO_PATHS.values(), ids=NO_PATHS)
def test_paths_of_no_file_here(bound: Binding, uri: str) -> None:
    read = special("root", "read")
    message = refused(lambda: bound(at(uri, "read")))
    assert len(message) < 1500
    # Even where no entry makes use of them.
    refused(lambda: bound(read, cwd=uri))
    refused(lambda: bound(read, workspaceRoots=[uri]))


def test_a_name_of_no_file_system(bound: Binding, ws: Path) -> None:
    message = refused(lambda: bound(at(f"{ws.as_uri()}/{'x' * 70_000}", "deny")), "too long")
    assert len(message) < 1500


def test_two_dots_within_a_name_are_a_name(bound: Binding, ws: Path) -> None:
    for name in ("a..b", "..a", "a..", "..."):
        (ws / name).mkdir()
        assert bound(at(f"{ws.as_uri()}/{name}", "write")).access(ws / name / "x") == WRITE


def test_names_that_are_no_text(bound: Binding, ws: Path) -> None:
    name = os.fsdecode(b"\xff \xe4")
    (ws / name).mkdir()
    policy = bound(special("project_roots", "write"), at(f"{ws.as_uri()}/%FF%20%E4", "deny"))
    assert policy.access(ws / name / "x") == NONE
    both = [at(f"{ws.as_uri()}/%FF%20%E4", access) for access in ("read", "write")]
    refused(lambda: bound(*both), r"\udcff")


def test_of_nested_rules_the_innermost_counts(bound: Binding, ws: Path) -> None:
    (ws / "a/b/c/d").mkdir(parents=True)
    accesses = {"": "write", "/a": "read", "/a/b": "deny", "/a/b/c": "write", "/a/b/c/d": "none"}
    policy = bound(*(at(f"{ws.as_uri()}{path}", access) for path, access in accesses.items()))
    found = [policy.access(Path(f"{ws}{path}/x")) for path in accesses]
    assert found == [WRITE, READ, NONE, WRITE, NONE]


def test_duplicates_are_one(bound: Binding, ws: Path) -> None:
    entry = at(ws.as_uri(), "write")
    slash = at(ws.as_uri() + "/", "write")
    spelt = at(ws.as_uri().replace("ws", "%77s"), "write")
    policy = bound(entry, entry, slash, spelt, special("project_roots", "write"))
    assert [(rule.path, rule.access) for rule in policy.rules] == [(ws, WRITE)]


def test_contradictions_name_both_sides(bound: Binding, ws: Path, base: Path) -> None:
    (base / "link").symlink_to(ws)
    one, two = at(ws.as_uri(), "write"), at((base / "link").as_uri(), "read")
    between = special("project_roots", "write")
    for entries in ([one, two], [two, one], [one, between, two]):
        message = refused(partial(bound, *entries), ws.as_uri(), "link", "`write`", "`read`")
        assert message.endswith("say one")
    symbols = [special("project_roots", access) for access in ("read", "deny")]
    refused(lambda: bound(*symbols), "project_roots", "`read`", "`none`")


@pytest.mark.parametrize(
    ("entries", "access"),
    [
        ([("root", "read"), ("project_roots", "write")], WRITE),
        ([("root", "write"), ("project_roots", "deny")], NONE),
        ([("root", "read"), ("path", "write")], WRITE),
        ([("root", "write"), ("path", "read")], READ),
        ([("root", "deny"), ("path", "write")], NONE),
    ],
)
def test_entries_that_happen_to_meet(bound: Binding, entries: Any, access: Access) -> None:
    made = [at("file:///", access) if kind == "path" else special(kind, access) for kind, access in entries]
    for order in (made, made[::-1]):
        assert bound(*order, workspaceRoots=["file:///"]).access(Path("/etc")) == access


def test_a_place_to_write_to_has_to_be_there(bound: Binding, ws: Path) -> None:
    missing = at(f"{ws.as_uri()}/missing", "write")
    refused(lambda: bound(missing), "missing", "make it")
    assert bound(missing | {"missing_path_behavior": "skip"}).rules == ()
    (ws / "dangling").symlink_to("nowhere")
    refused(lambda: bound(at(f"{ws.as_uri()}/dangling", "write")), "nowhere")
    (ws / "file").touch()
    refused(lambda: bound(at(f"{ws.as_uri()}/file/below", "write")), "below")
    root = (ws / "gone").as_uri()
    refused(lambda: bound(special("project_roots", "write"), workspaceRoots=[root]), "gone")


def test_a_place_to_keep_from_need_not_be_there(bound: Binding, ws: Path) -> None:
    policy = bound(
        special("project_roots", "write"),
        special("project_roots", "deny", subpath="secret"),
        special("project_roots", "read", subpath="kept"),
    )
    assert (policy.access(ws / "secret"), policy.access(ws / "kept/x")) == (NONE, READ)


# Patterns.


def test_patterns_below_roots_with_names_like_patterns(bound: Binding, base: Path) -> None:
    root = base / "a[b]*?"
    root.mkdir()
    policy = bound(pattern("*.env"), workspaceRoots=[root.as_uri()])
    assert policy.matches_pattern(root / "x.env")
    assert not policy.matches_pattern(base / "abc/x.env")


def test_patterns_begin_at_real_directories(bound: Binding, ws: Path, base: Path) -> None:
    (base / "link[1]").symlink_to(ws)
    policy = bound(pattern(f"{base}/link[[]1]/**/[^a].env"), pattern("x"), workspaceRoots=[ws.as_uri()])
    assert policy.matches_pattern(ws / "x")
    # Only the part before the first sign of a pattern is looked up.
    assert policy.denied_patterns[0].startswith(f"{base}/link[[]1]/")
    plain = bound(pattern(f"{base}/link/*.env"))
    (base / "link").symlink_to(ws)
    assert bound(pattern(f"{base}/link/*.env")).denied_patterns == (f"{ws}/*.env",) != plain.denied_patterns


NO_PATTERNS = {
    "": "empty",
    "codex-project-roots://": "empty",
    "codex-project-roots:///etc/*": "neither absolute",
    "file:///etc/*": "begins with",
    "C:\\x\\*": "one of Windows",
    "C:/x/*": "one of Windows",
    "../*": "`..`",
    "a/../b*": "`..`",
    "a\\*": "backslash",
    "*.{a,b}": "braces",
    "[a": "not closed",
    "a**": "stand alone",
    "[[:alpha:]]": "classes",
    "a\0*": "NUL",
    "x" * 5000: "5000 characters",
}


@pytest.mark.parametrize(("text", "word"), NO_PATTERNS.items())
def test_what_is_no_pattern(bound: Binding, text: str, word: str) -> None:
    refused(lambda: bound(special("root", "read"), pattern(text)), "pattern '", word)


def test_patterns_only_deny(bound: Binding) -> None:
    for access in ("read", "write"):
        refused(partial(bound, pattern("*.md") | {"access": access}), "can only deny")


# Size.


@pytest.mark.parametrize("existing", [False, True])
def test_ten_thousand_entries_are_quick_and_more_are_refused(
    bound: Binding, ws: Path, existing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "/a/b/c/d/e"
    if existing:
        for number in range(100):
            Path(f"{ws}{deep}/{number}").mkdir(parents=True)
    accesses = ["read", "deny", "read"]
    entries = [
        at(f"{ws.as_uri()}{deep}/{number % 100}/{number}", accesses[number % 3])
        for number in range(MOST_ENTRIES - 1)
    ]
    looks: list[str] = []
    lstat = os.lstat

    def seen(path: str) -> os.stat_result:
        looks.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", seen)
    policy = bound(special("project_roots", "write"), *entries)
    assert len(policy.rules) == MOST_ENTRIES
    # Each file is looked at once, and directories that many share once for all.
    assert len(looks) == len(set(looks)) < MOST_ENTRIES + 200
    refused(
        lambda: bound(*entries, *(at(f"file:///{n}", "read") for n in range(2))), "10001 entries", "outer"
    )


def test_few_words_make_no_endless_work(bound: Binding, base: Path) -> None:
    roots = [f"file:///none{number}" for number in range(5000)]
    entries = [special("project_roots", "deny", subpath=str(number)) for number in range(5000)]
    refused(lambda: bound(*entries, workspaceRoots=roots), "too many places")
    patterns = [pattern(f"*{number}") for number in range(5000)]
    refused(lambda: bound(*patterns, workspaceRoots=roots), "too many places")
    deep = [at("file:///" + "a/" * 2000 + str(number), "deny") for number in range(1000)]
    refused(lambda: bound(*deep), "too deep")

"""Links, directories that are closed, and ``.git`` in the places of an intent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from executors.sandbox.places import Places
from executors.sandbox.policy import Access
from tests.support.intents import Binding, at, make_places, pattern, refused, special

if sys.platform == "win32":
    pytest.skip("makes links and FIFOs of POSIX", allow_module_level=True)

NONE, READ, WRITE = Access
ROOT_WRITE = special("project_roots", "write")
ALL_READ = special("root", "read")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory that no entry of a test gives access to, without links in its path."""
    return tmp_path.resolve()


@pytest.fixture
def ws(base: Path) -> Path:
    """The workspace root."""
    (base / "ws").mkdir()
    return base / "ws"


@pytest.fixture
def places(base: Path) -> Places:
    return make_places(base)


@pytest.fixture
def bound(ws: Path, places: Places) -> Binding:
    return Binding(ws, places)


def test_a_root_that_is_a_link(bound: Binding, ws: Path, base: Path) -> None:
    (base / "link").symlink_to("ws")
    (base / "chain").symlink_to(base / "link")
    (ws / "sub").mkdir()
    policy = bound(
        ROOT_WRITE,
        special("project_roots", "read", subpath="sub"),
        workspaceRoots=[(base / "chain").as_uri()],
    )
    assert (policy.access(ws), policy.access(ws / "sub")) == (WRITE, READ)
    assert policy.access(base / "chain") == NONE


def test_a_link_to_above(bound: Binding, ws: Path, base: Path) -> None:
    (base / "real/inner").mkdir(parents=True)
    (ws / "link").symlink_to(base / "real/inner")
    (base / "real/up").symlink_to("../ws/link/..")
    assert bound(at((base / "real/up/inner").as_uri(), "read")).access(base / "real/inner/x") == READ
    assert bound(at((base / "real/up").as_uri(), "read")).access(base / "real/x") == READ


def test_links_in_circles(bound: Binding, ws: Path, base: Path) -> None:
    (base / "loop").symlink_to("loop")
    (base / "to").symlink_to("fro")
    (base / "fro").symlink_to("to")
    for name in ("loop", "loop/below", "to", "fro/x/y"):
        for access in ("read", "write", "deny"):
            uri = f"{base.as_uri()}/{name}"
            refused(partial(bound, at(uri, access)), uri, "Too many levels")
    refused(lambda: bound(ROOT_WRITE, workspaceRoots=[(base / "to").as_uri()]), "Too many levels")


def test_a_wood_of_links_takes_no_endless_time(bound: Binding, base: Path) -> None:
    (base / "0").mkdir()
    for number in range(1, 36):
        # Each leads twice through the one before it.
        (base / str(number)).symlink_to(f"{number - 1}/../{number - 1}")
    assert bound(at(f"{base.as_uri()}/35", "write")).access(base / "0/x") == WRITE


def test_a_place_that_is_another_for_each_process(bound: Binding) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc")
    for uri in ("file:///proc/self", "file:///proc/self/cwd", "file:///dev/stdin"):
        refused(partial(bound, at(uri, "write")), "each process")


def test_a_link_that_the_program_could_replace_gives_nothing(bound: Binding, ws: Path, base: Path) -> None:
    outer = base / "outer"
    outer.mkdir()
    (ws / "planted").symlink_to(outer)
    (ws / "sub").mkdir()
    (ws / "sub/deep").symlink_to("../planted")
    planted = special("project_roots", "write", subpath="planted")
    for entry in (
        planted,
        at(f"{ws.as_uri()}/planted", "write"),
        at(f"{ws.as_uri()}/planted/x", "read"),
        special("project_roots", "write", subpath="sub/deep"),
        special("project_roots", "read", subpath="planted"),
    ):
        refused(partial(bound, ROOT_WRITE, entry), f"link '{ws}/", str(outer), "replace it")
    # One that may have been planted before gives nothing either, but where the caller spells the path.
    refused(lambda: bound(special("project_roots", "read"), planted), f"{ws}/planted")
    assert (
        bound(special("project_roots", "read"), at(f"{ws.as_uri()}/planted", "write")).access(outer) == WRITE
    )
    # It changes nothing where all may be written.
    assert bound(ROOT_WRITE, planted, at(base.as_uri(), "write")).access(outer) == WRITE
    both = bound(ROOT_WRITE, planted, at(outer.as_uri(), "write"))
    assert both == bound(ROOT_WRITE, at(outer.as_uri(), "write"))


def test_a_link_that_the_program_could_replace_keeps_nothing(bound: Binding, ws: Path) -> None:
    (ws / "real").mkdir()
    (ws / "kept").symlink_to("real")
    for access in ("read", "deny"):
        kept = special("project_roots", access, subpath="kept")
        refused(partial(bound, ROOT_WRITE, kept), f"{ws}/kept", f"{ws}/real")
        # It changes nothing where that is said of what it leads to.
        real = special("project_roots", access, subpath="real")
        assert bound(ROOT_WRITE, kept, real) == bound(ROOT_WRITE, real)


def test_a_pattern_by_way_of_a_link_that_the_program_could_replace(bound: Binding, ws: Path) -> None:
    (ws / "real").mkdir()
    (ws / "link").symlink_to("real")
    through = pattern(f"{ws}/link/*.env")
    refused(lambda: bound(ROOT_WRITE, through), f"{ws}/link", f"{ws}/real")
    assert bound(ALL_READ, through).denied_patterns == (f"{ws}/real/*.env",)


def test_links_of_the_system_are_trusted_where_all_may_be_written(bound: Binding, base: Path) -> None:
    (base / "usr").mkdir()
    (base / "bin").symlink_to("usr")
    own = Places("linux", (base,), (base / "bin",), base / "temporary", ())
    policy = Binding(bound.root, own)(special("root", "write"), special("minimal", "read"))
    assert (policy.access(base), policy.access(base / "usr")) == (WRITE, READ)


UNREADABLE = """
import sys
import tempfile
from pathlib import Path
from tests.support.intents import *
base, ws = Path(sys.argv[1]), Path(sys.argv[1]) / "ws"
import os
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
binding = Binding(ws, make_places(base))
secret = (base / "closed/secret").as_uri()
root = special("project_roots", "write")
for access in ("read", "deny"):
    print(int(binding(root, at(secret, access)).access(base / "closed/secret/x")))
refused(lambda: binding(root, at(secret, "write")), "closed", "may not look into")
(ws / "own").mkdir(mode=0)
print(int(binding(root).access(ws / "own/x")))
inside = special("project_roots", "deny", subpath="own/secret")
refused(lambda: binding(root, inside), "own", "which may be written")
print(int(binding(at((ws / "own").as_uri(), "write")).access(ws / "own/.git/config")))
"""


def test_directories_that_the_executor_may_not_look_into() -> None:
    # Below tmp_path no other user gets anywhere.
    with tempfile.TemporaryDirectory() as name:
        base = Path(name).resolve()
        for path in (base, base / "ws"):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        (base / "closed").mkdir(mode=0)
        done = subprocess.run(
            [sys.executable, "-c", UNREADABLE, base],
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    # What cannot be looked at is what its name says; so is a ``.git`` that may be there.
    assert done.stdout.split() == ["1", "0", "2", "1"]


# .git


def test_a_git_directory_may_only_be_read(bound: Binding, ws: Path) -> None:
    (ws / ".git/hooks").mkdir(parents=True)
    for entries in ([ROOT_WRITE], [ALL_READ, at(ws.as_uri(), "write")]):
        policy = bound(*entries)
        assert (policy.access(ws / ".git/hooks/x"), policy.access(ws / ".gitignore")) == (READ, WRITE)
        assert [rule.path for rule in policy.carved()] == [ws / ".git"]


def test_without_git_nothing_is_carved(bound: Binding, ws: Path) -> None:
    (ws / "sub/.git").mkdir(parents=True)
    (ws / "file").touch()
    policy = bound(ROOT_WRITE, at(f"{ws.as_uri()}/file", "write"))
    assert list(policy.carved()) == []


def test_an_entry_for_git_wins(bound: Binding, ws: Path) -> None:
    (ws / ".git/hooks").mkdir(parents=True)
    for access, found in (("write", WRITE), ("deny", NONE), ("read", READ)):
        assert (
            bound(ROOT_WRITE, special("project_roots", access, subpath=".git")).access(ws / ".git/x") == found
        )
    hooks = at(f"{ws.as_uri()}/.git/hooks", "write")
    policy = bound(ROOT_WRITE, hooks)
    assert (policy.access(ws / ".git/config"), policy.access(ws / ".git/hooks/x")) == (READ, WRITE)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n", b"\0junk"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_pointer_file_and_what_it_points_to(
    bound: Binding, ws: Path, base: Path, end: bytes, relative: bool
) -> None:
    main = base / "main/.git"
    (main / "worktrees/w").mkdir(parents=True)
    (main / "worktrees/w/commondir").write_text("../..\n")
    target = os.path.relpath(main / "worktrees/w", ws) if relative else str(main / "worktrees/w")
    (ws / ".git").write_bytes(b"gitdir: " + os.fsencode(target) + end)
    policy = bound(ROOT_WRITE, at(base.as_uri(), "write"))
    assert policy.access(ws / ".git") == READ
    assert policy.access(main / "worktrees/w/HEAD") == READ
    assert policy.access(main / "hooks/x") == READ
    assert policy.access(base / "main/file") == WRITE


def test_two_roots_may_share_a_repository(bound: Binding, ws: Path, base: Path) -> None:
    shared, other = base / "shared", base / "other"
    for path in (shared, other):
        path.mkdir()
    for root in (ws, other):
        (root / ".git").write_text(f"gitdir: {shared}\n")
    policy = bound(ROOT_WRITE, workspaceRoots=[path.as_uri() for path in (ws, other, shared)])
    assert [policy.access(path) for path in (ws / ".git", other / ".git", shared)] == [READ, READ, WRITE]
    policy = bound(ROOT_WRITE, at(base.as_uri(), "write"), workspaceRoots=[ws.as_uri(), other.as_uri()])
    assert [policy.access(path) for path in (ws / ".git", other / ".git", shared)] == [READ, READ, READ]


def test_a_pointer_file_never_gives_access(bound: Binding, ws: Path, base: Path) -> None:
    (base / "secret").mkdir()
    (ws / ".git").write_text(f"gitdir: {base}/secret\n")
    (base / "secret/commondir").write_text("/root")
    policy = bound(ROOT_WRITE)
    assert [policy.access(Path(path)) for path in (base / "secret", "/root")] == [NONE, NONE]
    assert policy.access(ws / ".git") == READ


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", b"gitdir:", b"gitdir: ", b"gitdir: \0", b"gitdir: " + b"x/" * 50_000, bytes(range(256))],
    ids=range(7),
)
def test_a_git_file_that_points_nowhere(bound: Binding, ws: Path, content: bytes) -> None:
    (ws / ".git").write_bytes(content)
    policy = bound(ROOT_WRITE)
    assert policy.access(ws / ".git") == READ
    # An empty path is the directory of the pointer itself.
    assert policy.access(ws / "x") == WRITE


def test_a_git_file_with_a_name_that_is_too_long(bound: Binding, ws: Path) -> None:
    (ws / ".git").write_text("gitdir: " + "x" * 300)
    refused(lambda: bound(ROOT_WRITE), f"{ws}/.git", "too long")


def test_a_git_that_would_keep_a_reader_waiting(bound: Binding, ws: Path) -> None:
    os.mkfifo(ws / ".git")
    assert bound(ROOT_WRITE).access(ws / ".git") == READ
    (ws / ".git").unlink()
    (ws / ".git").mkdir()
    os.mkfifo(ws / ".git/commondir")
    assert bound(ROOT_WRITE).access(ws / ".git/commondir") == READ


def test_a_git_that_is_a_link(bound: Binding, ws: Path, base: Path) -> None:
    (ws / "repository").mkdir()
    (ws / ".git").symlink_to("repository")
    named = special("project_roots", "read", subpath=".git")
    both = special("project_roots", "read", subpath="repository")
    for entries in ([ROOT_WRITE], [ROOT_WRITE, named], [ROOT_WRITE, named, both]):
        refused(partial(bound, *entries), f"{ws}/.git", f"{ws}/repository", "replace")
    # The caller may leave it to the program, or give no access to it at all.
    own = special("project_roots", "write", subpath=".git")
    assert bound(ROOT_WRITE, own).access(ws / "repository/x") == WRITE
    assert bound(special("project_roots", "read"), named).access(ws / "repository") == READ
    (ws / ".git").unlink()
    (ws / ".git").symlink_to(".git")
    refused(lambda: bound(ROOT_WRITE), f"{ws}/.git")


def test_a_pointer_file_to_a_link(bound: Binding, ws: Path) -> None:
    (ws / "repository").mkdir()
    (ws / "link").symlink_to("repository")
    (ws / ".git").write_text("gitdir: link\n")
    refused(lambda: bound(ROOT_WRITE), f"{ws}/link", "replace it")


def test_git_itself_agrees(bound: Binding, ws: Path, base: Path) -> None:
    def git(*arguments: str, cwd: Path) -> str:
        environ = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True, env=environ
        ).stdout.strip()

    main, tree = base / "main", ws / "tree"
    main.mkdir()
    git("init", "-q", cwd=main)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=main)
    git("worktree", "add", "-q", str(tree), cwd=main)
    policy = bound(at(base.as_uri(), "write"), at(tree.as_uri(), "write"))
    for question in ("--git-dir", "--git-common-dir"):
        found = Path(git("rev-parse", "--path-format=absolute", question, cwd=tree))
        assert policy.access(found / "config") == READ
    hooks = Path(git("rev-parse", "--path-format=absolute", "--git-path", "hooks", cwd=tree))
    assert policy.access(hooks / "x") == READ
    assert policy.access(tree / "file") == WRITE

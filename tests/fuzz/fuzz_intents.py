"""Fuzzes what becomes of a sandbox intent: its shape, its paths and patterns, and links laid out for it.

Nothing is started and nothing is written but a small tree in a temporary directory. Run it with atheris,
which is no dependency of this project::

    pip install atheris
    python tests/fuzz/fuzz_intents.py -max_total_time=60 [CORPUS_DIRECTORY]

An input is the JSON of an intent, in which ``@`` stands for the URI of the tree and ``~`` for its path. What
counts as a crash: anything but a policy or a refusal of invalid params whose text names the field and can be
sent; and a policy of an intent that names only ``@/ws``, made writable, that gives access to anything else
of the tree. The test suite runs :func:`target` over :data:`SEEDS`.
"""

from __future__ import annotations

import atexit
import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.sandbox import Entry, Managed, Restricted, SandboxIntent, SpecialPlace
from executors.sandbox.intent import bind, read_intent
from executors.sandbox.places import Places
from executors.sandbox.policy import Access, Policy
from tests.support.intents import at, intent, pattern, special

ROOT_WRITE = special("project_roots", "write")
ROOT: dict[str, Any] = {"cwd": "@/ws", "workspaceRoots": ["@/ws"]}
NAMES = ["", ".git", "a", "a/b", "out", "out/x", "loop", "up", "up/secret", "git", "a/out", "missing/x"]
"""Paths in the tree's workspace."""

_INTENTS: list[Any] = [
    None,
    [],
    intent(permissions={"type": "disabled"}),
    intent(permissions={"type": "external", "network": "restricted"}),
    intent(file_system={"type": "unrestricted"}),
    intent(special("root", "read"), ROOT_WRITE, special("tmpdir", "write"), **ROOT),
    intent(special("minimal", "read"), special("slash_tmp", "write"), glob_scan_max_depth=3, **ROOT),
    intent(special("current_working_directory", "write"), **ROOT),
    intent(
        ROOT_WRITE,
        special("project_roots", "read", subpath=".git") | {"missing_path_behavior": "skip"},
        **ROOT,
    ),
    intent(at("@/ws/a", "write"), at("@/ws/a/b", "deny"), at("@/ws/a", "read")),
    intent(at("@/ws/%2e%2e/secret", "write"), at("file:///C:/x", "none"), at("relative", "read")),
    intent(pattern("codex-project-roots://**/*.env"), pattern("~/ws/[!a]*/?"), **ROOT),
    *(intent(ROOT_WRITE, special("project_roots", "write", subpath=name), **ROOT) for name in NAMES),
]
SEEDS = [json.dumps(one).encode() for one in _INTENTS]


@cache
def tree() -> Path:
    """A directory with a workspace whose links lead out of it in every way; removed at the end."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz-intents-")
    atexit.register(folder.cleanup)
    base = Path(folder.name).resolve()
    ws = base / "ws"
    for path in (base / "secret", base / "temporary", ws / "a/b"):
        path.mkdir(parents=True)
    links = {"out": "../secret", "loop": "loop", "up": "..", "git": ".git", "a/out": "../out"}
    for name, leads_to in links.items():
        (ws / name).symlink_to(leads_to)
    (ws / ".git").write_text("gitdir: ../secret\n")
    (base / "secret/commondir").write_text("..")
    return base


def policy_of(sandbox: object) -> Policy | None:
    """Returns what an intent comes to.

    :raises RpcError: it is refused.
    """
    base = tree()
    places = Places("linux", (Path("/"),), (Path("/usr"),), base / "temporary", (Path("/nowhere/tmp"),))
    found = read_intent(sandbox)
    return None if found is None else bind(found, places)


def target(data: bytes) -> None:
    """Takes one input.

    :raises Exception: the executor has a fault.
    """
    base = tree()
    text = data.replace(b"@", base.as_uri().encode()).replace(b"~", str(base).encode())
    try:
        sandbox = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    try:
        policy = policy_of(sandbox)
    except RpcError as error:
        assert error.code == ErrorCode.INVALID_PARAMS, error
        assert error.message.startswith("field `sandbox`: "), error
        assert len(error.message) < 3000, error
        msgspec.json.encode(error.message)
        return
    if policy is not None:
        check(policy, base, of_workspace=_is_of_workspace(msgspec.convert(sandbox, SandboxIntent)))


def check(policy: Policy, base: Path, *, of_workspace: bool) -> None:
    """:param of_workspace: whether the intent is about nothing but the workspace, and lets it be written."""
    for rule in policy.rules:
        assert policy.access(rule.path) == rule.access, rule
    policy.matches_pattern(base / "ws/a")
    if of_workspace:
        for path in (base, base / "secret", base / "secret/x", Path("/etc")):
            assert policy.access(path) == Access.NONE, path


def _is_of_workspace(sandbox: SandboxIntent) -> bool:
    permissions = sandbox.permissions
    if not isinstance(permissions, Managed) or not isinstance(permissions.file_system, Restricted):
        return False
    entries = permissions.file_system.entries
    return (
        sandbox.workspace_roots == (f"{tree().as_uri()}/ws",)
        and msgspec.convert(ROOT_WRITE, Entry) in entries
        and all(
            isinstance(one.path, SpecialPlace) and one.path.value.kind == "project_roots" for one in entries
        )
    )


def main() -> None:
    import atheris

    atheris.instrument_all()
    corpus = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus[0]) / f"seed-{number:02}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

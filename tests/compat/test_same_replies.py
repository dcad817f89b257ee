"""Our executor and the released one answer the same calls alike, but for what is listed as different."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.compat.differences import BETTER, LENIENT, STRICTER, Difference
from tests.compat.peer import skip_without_peer
from tests.support.launch import Executor
from tests.support.wire import Client, ReplyError, WebSocket

skip_without_peer()

Json = dict[str, Any]

ABSENT: Any = object()
YQ = "YQ=="
THREAD = "01a20291-74f1-7493-bb7b-fd316b33048e"


@dataclass(frozen=True)
class Ask:
    """A call to both executors.

    :ivar differs: why the replies may not be the same; then they must not be.
    """

    method: str
    params: Any
    differs: Difference | None = None


@dataclass(frozen=True)
class Wait:
    """Goes on once a process is over in both."""

    process_id: str


Step = Ask | Wait


def start(process_id: str, differs: Difference | None = None, **params: Any) -> Ask:
    defaults: Json = {
        "argv": ["/bin/true"],
        "cwd": "file:///",
        "env": {"PATH": "/usr/bin:/bin"},
        "tty": False,
    }
    every: Json = {"processId": process_id, **defaults, **params}
    return Ask("process/start", {key: value for key, value in every.items() if value is not ABSENT}, differs)


def handshake(_: str) -> Iterator[Step]:
    yield Ask("environment/status", None)
    yield Ask("environment/status", {})
    yield Ask("environment/status", [])
    yield Ask("environment/status", {"unknown": 1}, LENIENT)
    yield Ask("nope/nope", {})
    yield Ask("initialize", {"clientName": "again"})
    yield Ask("initialized", {})


def starts(root: str) -> Iterator[Step]:
    for number, cwd in enumerate((
        "", "relative", "/", "~", r"C:\windows", r"\\server\share", "http://host/", "file:///tmp?x", "file:///tmp#x",
        "file:///%00", "file:///C:/windows", "file://server/share", f"{root}/none", f"{root}/file", None, 5,
        "FILE:///", "file:/", " file:/// ", "file://localhost/", f"{root}/dir/../dir", f"{root}//dir/",
    )):  # fmt: skip
        yield start(f"cwd{number}", cwd=cwd)
    yield start("cwd-separator", STRICTER, cwd=f"{root}%2Fdir")
    yield start("cwd-terminal", BETTER, cwd=f"{root}/none", tty=True)
    for number, argv in enumerate((
        [], [""], ["/none"], [f"{root[7:]}/file"], ["/"], ["true"], ["none"], ["x" * 200_000],
        "true", [1], None,
    )):  # fmt: skip
        yield start(f"argv{number}", argv=argv)
    yield start("argv-nul", STRICTER, argv=["/bin/true", "a\0b"])
    for name in ("processId", "argv", "cwd", "env", "tty"):
        yield start("missing", **{name: ABSENT})
    policies = [{"envPolicy": policy(each)} for each in ("ALL", "all", "core", "none")]
    alike: list[Json] = [{"env": None}, {"env": {"A": 1}}, {"tty": None}, {"tty": "yes"}]
    alike += [{"arg0": "name"}, {"arg0": None}]
    alike += [{"sandbox": {}}, {"sandbox": None}, {"managedNetwork": None}, {"enforceManagedNetwork": False}]
    alike += [{"metadata": {"threadId": THREAD, "toolCallId": "c"}}, {"pipeStdin": False}, {"unknown": 1}]
    alike += [{"envPolicy": None}, *policies]
    for number, params in enumerate(alike):
        yield start(f"alike{number}", **params)
    lenient: list[Json] = [{"pipeStdin": None}, {"enforceManagedNetwork": None}, {"envPolicy": {}}]
    lenient += [{"metadata": {"threadId": "t"}}]
    for number, params in enumerate(lenient):
        yield start(f"lenient{number}", LENIENT, **params)
    yield start("env-equals", STRICTER, env={"A=B": "x"})
    yield start("env-nul", STRICTER, env={"A": "x\0"})
    yield start("arg0-terminal", BETTER, arg0="name", tty=True)
    yield start("no-path", argv=["true"], env={})
    yield start("no-path-terminal", BETTER, argv=["true"], env={}, tty=True)
    yield start("")
    yield start("twice")
    yield start("twice")
    yield Wait("twice")
    yield start("twice")


def policy(inherit: str) -> dict[str, Any]:
    return {"inherit": inherit, "ignoreDefaultExcludes": False, "exclude": [], "set": {}, "includeOnly": []}


def processes(_: str) -> Iterator[Step]:
    yield start("over")
    yield Wait("over")
    yield start("live", argv=["/bin/sleep", "600"])
    yield start("cat", argv=["/bin/cat"], pipeStdin=True)
    for params in (
        [{"processId": each} for each in ("none", "over", "live")]
        + [{"processId": "live", name: -1} for name in ("afterSeq", "maxBytes", "waitMs")]
        + [{"processId": "live", "afterSeq": each} for each in (1.5, "1", None, 0, 99)]
        + [{"processId": "over", "afterSeq": each, "waitMs": 10_000} for each in (0, 1, 2)]
        + [{"processId": "live", "waitMs": each} for each in (0, 1, None)]
    ):
        yield Ask("process/read", params)
    for write_id in ("1", "1", "", None, 5):
        yield Ask("process/write", {"processId": "cat", "chunk": YQ, "writeId": write_id})
    yield Ask("process/write", {"processId": "cat", "chunk": YQ})
    for chunk in ("", "!", "YQ", "_-8=", "YQ==\n", None):
        yield Ask("process/write", {"processId": "cat", "chunk": chunk, "writeId": f"chunk{chunk}"})
    for process_id in ("none", "over", "live"):
        yield Ask("process/write", {"processId": process_id, "chunk": YQ, "writeId": "other"})
        yield Ask("process/signal", {"processId": process_id, "signal": "interrupt"})
    for name in ("INT", "terminate", None, ABSENT):
        params = {"processId": "cat"} if name is ABSENT else {"processId": "cat", "signal": name}
        yield Ask("process/signal", params)
    yield Wait("live")
    for process_id in ("cat", "live", "over", "none"):
        yield Ask("process/terminate", {"processId": process_id})
    yield Wait("cat")
    yield Ask("process/write", {"processId": "cat", "chunk": YQ, "writeId": "late"}, BETTER)


PLACES = [
    "file",
    "dir",
    "none",
    "none/x",
    "file/x",
    "to-dir",
    "to-file",
    "dangling",
    "loop",
    "fifo",
    "a" * 300,
]
PLACES += ["dir/../file", "file/", "sp%20ace", "%C3%BC%2541%3F%23", ".", "C%3A/x"]
NO_PLACES: list[Any] = [
    "file:///dev/null",
    "relative",
    "/native",
    "",
    "http://host/",
    "file:///C:/x",
    "file:///%00",
]
NO_PLACES += ["file:///x?y", "file:///x#y", "file://server/share/x", r"C:\x", None, 5]


def reading(root: str) -> Iterator[Step]:
    for method in ("readFile", "getMetadata", "readDirectory", "canonicalize"):
        for path in [f"{root}/{place}" for place in PLACES] + NO_PLACES:
            lists_a_dangling_link = method == "readDirectory" and path == f"{root}/."
            yield Ask(f"fs/{method}", {"path": path}, BETTER if lists_a_dangling_link else None)
        yield Ask(f"fs/{method}", {"path": f"{root}/file", "sandbox": None})
        yield Ask(f"fs/{method}", {})
    limits = {"maxDepth": 5, "maxDirectories": 99, "maxEntries": 99, "followDirectorySymlinks": False}
    for change in (
        [{}, {"unknown": 1}]
        + [{"maxDepth": each} for each in (-1, 0, 64, 65)]
        + [{"maxDirectories": each} for each in (-1, 0, 1, 2, 10_000, 10_001)]
        + [{"maxEntries": each} for each in (-1, 0, 1, 50_000, 50_001)]
    ):
        yield Ask("fs/walk", {"path": root, "options": limits | change})
    # The second is the dangling link: the released executor does not see it, and here it counts.
    yield Ask("fs/walk", {"path": root, "options": limits | {"maxEntries": 2}}, BETTER)
    # Likewise the link to itself, of which ours tells as an error.
    yield Ask("fs/walk", {"path": root, "options": limits | {"followDirectorySymlinks": True}}, BETTER)
    yield Ask("fs/walk", {"path": root, "options": limits | {"pruneHiddenDirectories": True}})
    yield Ask("fs/walk", {"path": f"{root}/dir", "options": limits | {"followDirectorySymlinks": True}})
    for place in ("none", "file", "to-dir", "dangling", "loop", "fifo"):
        yield Ask("fs/walk", {"path": f"{root}/{place}", "options": limits})
    yield Ask("fs/walk", {"path": root}, LENIENT)
    yield Ask("fs/walk", {"path": root, "options": limits | {"maxDepth": None}}, LENIENT)


def writing(root: str) -> Iterator[Step]:
    def put(place: str, data: Any, differs: Difference | None = None) -> Ask:
        return Ask("fs/writeFile", {"path": f"{root}/{place}", "dataBase64": data}, differs)

    for place in ("new", "file", "dir", "none/x", "to-file", "dangling", "loop", "file/x"):
        yield put(place, YQ)
    yield Ask("fs/readFile", {"path": f"{root}/file"})
    yield put("new", "")
    yield put("new", None)
    yield put("new", "!", Difference.CODE)
    yield put("new", "YQ", Difference.CODE)
    for place in ("made", "made", "made/a/b", "file", "file/x", "to-dir", "loop"):
        for recursive in (False, True, None):
            yield Ask("fs/createDirectory", {"path": f"{root}/{place}", "recursive": recursive})
    for source, target, recursive in (
        ("file", "file2", False), ("file", "dir", False), ("none", "x", False), ("file", "none/x", False),
        ("dir", "dir2", False), ("dir", "dir2", True), ("dir", "dir2", True), ("dir", "file2", True),
        ("dir", "dir", True), ("dir", "dir/in", True), ("to-dir", "dir/in", True), ("dir", "deep/er", True),
        ("to-file", "link", False), ("to-file", "file2", False), ("fifo", "fifo2", False),
        ("loop", "loop2", False), ("dir", "null", None),
    ):  # fmt: skip
        paths = {"sourcePath": f"{root}/{source}", "destinationPath": f"{root}/{target}"}
        yield Ask("fs/copy", paths | {"recursive": recursive})
    yield Ask("fs/copy", {"sourcePath": f"{root}/file", "destinationPath": f"{root}/x"})
    for place in ("none", "file/x", "dir", "loop", "to-dir", "fifo", "file2", "none/x"):
        yield Ask("fs/remove", {"path": f"{root}/{place}", "recursive": False, "force": False})
    for params in ({}, {"recursive": None, "force": None}, {"recursive": True}, {"force": True}):
        yield Ask("fs/remove", {"path": f"{root}/made", **params})
    # Last, for the released executor empties the file.
    onto_itself = {"sourcePath": f"{root}/file", "destinationPath": f"{root}/file", "recursive": False}
    yield Ask("fs/copy", onto_itself, BETTER)
    yield Ask("fs/readFile", {"path": f"{root}/file"}, BETTER)


def handles(root: str) -> Iterator[Step]:
    def block(handle: Any, offset: Any, length: Any, differs: Difference | None = None) -> Ask:
        return Ask("fs/readBlock", {"handleId": handle, "offset": offset, "len": length}, differs)

    def write(handle: str, offset: int, chunk: Any, differs: Difference | None = None) -> Ask:
        return Ask("fs/writeBlock", {"handleId": handle, "offset": offset, "chunk": chunk}, differs)

    for handle, place, mode in (
        ("r", "file", "read"), ("r", "file", "read"), ("d", "dir", "read"), ("n", "none", "read"),
        ("n", "file", "read"), ("f", "fifo", "read"), ("", "file", "read"), ("x" * 33, "file", "read"),
        ("ü" * 17, "file", "read"), ("ü" * 16, "file", "read"), ("m", "file", "write"),
        ("dw", "dir", "replace"), ("fw", "fifo", "replace"), ("nw", "none/x", "replace"),
        ("w", "new", "replace"), (5, "file", "read"),
    ):  # fmt: skip
        yield Ask("fs/open", {"handleId": handle, "path": f"{root}/{place}", "mode": mode})
    yield Ask("fs/open", {"handleId": "no mode", "path": f"{root}/file"})
    yield Ask("fs/open", {"handleId": "null mode", "path": f"{root}/file", "mode": None}, LENIENT)
    for offset, length in [
        (0, 4),
        (0, 5),
        (0, 6),
        (4, 1),
        (5, 1),
        (99, 1),
        (0, 0),
        (0, 2**20),
        (0, 2**20 + 1),
        (0, -1),
    ]:
        yield block("r", offset, length)
    yield block("none", 0, 1)
    yield block("none", 0, 0)
    yield block(None, 0, 1)
    for offset, chunk in [(0, "YWJj"), (5, YQ), (1, YQ), (0, ""), (0, "!"), (0, "YQ"), (-1, YQ), (0, None)]:
        yield write("w", offset, chunk)
    yield write("none", 0, YQ)
    yield Ask("fs/readFile", {"path": f"{root}/new"}, BETTER)
    yield Ask("fs/close", {"handleId": "w"})
    yield Ask("fs/readFile", {"path": f"{root}/new"})
    for handle in ("r", "r", "none"):
        yield Ask("fs/close", {"handleId": handle})
    yield block("r", 0, 1)
    yield write("no mode", 0, YQ, Difference.CODE)


def make_tree(root: Path) -> None:
    (root / "dir/inner").mkdir(parents=True)
    (root / "dir/leaf").write_text("leaf")
    (root / "file").write_text("hello")
    (root / "sp ace").write_text("")
    (root / "ü%41?#").write_text("odd")
    (root / ".hidden").mkdir()
    (root / ".hidden/x").write_text("")
    os.mkfifo(root / "fifo")
    for name, target in {"to-dir": "dir", "to-file": "file", "dangling": "gone", "loop": "loop"}.items():
        (root / name).symlink_to(target)


def replies(url: str, root: Path, script: Callable[[str], Iterator[Step]]) -> list[tuple[Ask, Any]]:
    """Asks everything over one connection; returns results, and codes of errors."""
    make_tree(root)
    found: list[tuple[Ask, Any]] = []
    with Client(WebSocket(url)) as client:
        client.handshake()
        for step in script(f"file://{root}"):
            if isinstance(step, Wait):
                client.wait_for("process/closed", step.process_id)
                continue
            # Far from the numbers that the client itself gives to calls.
            number = 1_000_000 + len(found)
            client.send({"id": number, "method": step.method, "params": step.params})
            try:
                found.append((step, comparable(step.method, client.result(number), str(root))))
            except ReplyError as error:
                found.append((step, error.code))
    return found


def comparable(method: str, result: Any, root: str) -> Any:
    """Returns a result without times, paths of the test, and what ours leaves out."""
    result.pop("sandboxType", None)
    if method == "fs/getMetadata":
        # The released executor knows no creation times.
        del result["createdAtMs"], result["modifiedAtMs"]
        if result["isDirectory"]:
            del result["size"]
    if method == "fs/readDirectory":
        result["entries"].sort(key=lambda entry: entry["fileName"])
    return json.loads(json.dumps(result).replace(root, "ROOT"))


@pytest.mark.parametrize(
    "script", [handshake, starts, processes, reading, writing, handles], ids=lambda s: s.__name__
)
def test_both_executors_reply_alike(
    script: Callable[[str], Iterator[Step]], released_url: str, executor: Executor, tmp_path: Path
) -> None:
    ours = replies(executor.url, tmp_path / "ours", script)
    released = replies(released_url, tmp_path / "released", script)
    wrong = {
        json.dumps([ask.method, ask.params]).replace(str(tmp_path), ""): (mine, theirs)
        for (ask, mine), (_, theirs) in zip(ours, released, strict=True)
        if (mine != theirs) != (ask.differs is not None)
    }
    assert wrong == {}


def test_both_tell_of_the_same_machine(released_url: str, executor: Executor) -> None:
    with executor.client() as client, Client(WebSocket(released_url)) as other:
        ours = client.call("environment/info")
        released = other.handshake()["environmentInfo"]
    assert ours.keys() <= released.keys()
    for name in ("shell", "platformOs", "userHomeDir", "tempDir"):
        assert ours[name] == released[name]
    # Those it has not, it must not claim.
    extensions = {"processCloseStdin", "processResize", "processAcknowledge", "sessionResume", "sandbox"}
    assert {name for name, value in ours["capabilities"].items() if value} <= released[
        "capabilities"
    ].keys() | extensions

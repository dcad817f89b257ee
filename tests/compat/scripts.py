"""The calls that are recorded of an executor on Linux; each script begins a session of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.compat.differences import BETTER, LENIENT, STRICTER, Difference
from tests.compat.steps import LONG, SESSION, Ask, Cut, Json, Say, Step, Tell, Wait

Script = Callable[[str], Iterator[Step]]
"""Given the URI of a folder with files."""

ABSENT: Any = object()
YQ = "YQ=="
THREAD = "01234567-89ab-7cde-8f01-23456789abcd"


def start(process_id: str, differs: Difference | None = None, **params: Any) -> Ask:
    defaults: Json = {
        "argv": ["/bin/true"],
        "cwd": "file:///",
        "env": {"PATH": "/usr/bin:/bin"},
        "tty": False,
    }
    every: Json = {"processId": process_id, **defaults, **params}
    return Ask("process/start", {key: value for key, value in every.items() if value is not ABSENT}, differs)


def begin() -> Iterator[Step]:
    yield Ask("initialize", {"clientName": "recorder"})
    yield Tell("initialized")


def handshake(_: str) -> Iterator[Step]:
    yield Ask("environment/status", None)
    yield Ask("fs/readFile", {"path": "file:///"})
    yield Ask("process/start", {}, Difference.CODE)
    yield Ask("nope/nope", {})
    wrong: list[Any] = [None, {}, {"clientName": None}, {"clientName": "x", "resumeSessionId": 1}]
    for params in wrong:
        yield Ask("initialize", params)
    for session_id in ("nope", ""):
        yield Ask("initialize", {"clientName": "recorder", "resumeSessionId": session_id})
    yield Ask("initialize", {"clientName": "", "resumeSessionId": None})
    yield Ask("environment/status", None)
    yield Ask("fs/readFile", {"path": "file:///"})
    yield Tell("initialized")
    yield Tell("initialized")
    none: list[Any] = [None, {}, []]
    for params in none:
        yield Ask("environment/status", params)
        yield Ask("environment/info", params)
    yield Ask("environment/status", {"unknown": 1}, LENIENT)
    yield Ask("nope/nope", {})
    yield Ask("initialize", {"clientName": "again"})
    yield Ask("initialized", {})


def frames(_: str) -> Iterator[Step]:
    call = {"id": 1, "method": "environment/status"}
    yield from begin()
    for text in (
        "{bad",
        "",
        "   ",
        "42",
        "null",
        '"x"',
        "[]",
        "{}",
        '{"id":1}',
        '{"id":1,"params":{}}',
        "\ufeff{}",
    ):
        yield Say(text)
    for told in (
        [call],
        call | {"method": 5},
        {"error": {"code": 1, "message": "x"}},
        {"id": 1, "error": "x"},
    ):
        yield Say(json.dumps(told))
    refused: list[Any] = [None, 1.5, True, {}, []]
    for call_id in refused:
        yield Say(json.dumps(call | {"id": call_id}))
    yield Say(json.dumps(call | {"id": 2**63}), LENIENT)
    yield Say(json.dumps(call) * 2)
    for call_id in ("s", "", 0, -5, 2**63 - 1):
        yield Say(json.dumps(call | {"id": call_id}))
    yield Say(json.dumps(call | {"jsonrpc": "1.0", "unknown": 1, "result": 5}))
    for number, ending in enumerate((
        {"method": "nope/nope"}, {"method": "environment/status"},
        {"id": 1, "result": {}}, {"id": 1, "error": {"code": 1, "message": "x"}},
    )):  # fmt: skip
        yield Say(json.dumps(ending), BETTER, on=f"ended {number}")


def sessions(_: str) -> Iterator[Step]:
    yield from begin()
    yield from resumed(start("cat", argv=["/bin/cat"], pipeStdin=True), YQ, "Yg==")


def resumed(cat: Ask, *lines: str) -> Iterator[Step]:
    """A session goes from a connection to another.

    :param cat: starts a process that writes something for each thing that it reads.
    :param lines: two of those, encoded.
    """
    first, second = lines
    resume = {"clientName": "recorder", "resumeSessionId": SESSION}
    process = {"processId": "cat"}
    yield cat
    yield Ask("process/write", process | {"chunk": first, "writeId": "1"})
    yield Wait("cat", "process/output")
    yield Ask("initialize", resume, on="second")
    yield Cut()
    yield Ask("initialize", resume, on="second", again=True)
    yield Ask("process/read", process, on="second")
    yield Tell("initialized", on="second")
    yield Ask("process/read", process | {"afterSeq": 0}, on="second")
    yield Ask("process/write", process | {"chunk": first, "writeId": "1"}, on="second")
    yield Ask("process/write", process | {"chunk": second, "writeId": "2"}, on="second")
    yield Wait("cat", "process/output", on="second")
    yield Ask("process/read", process | {"afterSeq": 1}, on="second")
    yield Ask("process/terminate", process, on="second")


def sh(process_id: str, text: str, differs: Difference | None = None, **params: Any) -> Ask:
    return start(process_id, differs, argv=["/bin/sh", "-c", text], **params)


def outputs(root: str) -> Iterator[Step]:
    yield from begin()
    yield sh("streams", "echo out; echo err >&2; exit 7")
    yield sh("large", "seq 1 2000")
    yield sh("bytes", r"printf 'a\377\000b'")
    yield sh("no input", "cat; echo $?")
    yield sh("terminal", "stty size; exit 7", tty=True)
    yield sh("signal", "kill -KILL $$")
    yield sh("signal at a terminal", "kill -KILL $$", BETTER, tty=True)
    yield sh("no streams", "exec >&- 2>&-; exit 3")
    yield sh("child", "sleep 0.1 & echo started")
    yield sh("named", "echo $0", arg0="name")
    yield sh("directory", "pwd", cwd=f"{root}/dir")
    variables = policy("none") | {"set": {"A": "1", "B": "2"}, "includeOnly": ["A"]}
    yield sh("variables", "echo $A-$B-$C", envPolicy=variables, env={"C": "3"})
    yield sh("slow", "printf out; read x; exit 4", pipeStdin=True)
    yield Wait("slow", "process/output")
    for after in (None, 0, 1):
        yield Ask("process/read", {"processId": "slow", "afterSeq": after})
    yield Ask("process/write", {"processId": "slow", "chunk": "Cg==", "writeId": "1"})
    yield Wait("slow")
    for params in ({}, {"afterSeq": 1}, {"afterSeq": 3, "waitMs": 10_000}):
        yield Ask("process/read", {"processId": "slow"} | params)
    # All was given, and the next call would give nothing.
    yield Ask("process/read", {"processId": "slow", "afterSeq": 0, "maxBytes": 1}, BETTER)


def starts(root: str) -> Iterator[Step]:
    yield from begin()
    for number, cwd in enumerate((
        "", "relative", "/", "~", r"C:\windows", r"\\server\share", "http://host/", "file:///tmp?x", "file:///tmp#x",
        "file:///%00", "file:///C:/windows", "file://server/share", f"{root}/none", f"{root}/file", None, 5,
        "FILE:///", "file:/", " file:/// ", "file://localhost/", f"{root}/dir/../dir", f"{root}//dir/",
    )):  # fmt: skip
        yield start(f"cwd{number}", cwd=cwd)
    yield start("cwd-separator", STRICTER, cwd=f"{root}%2Fdir")
    yield start("cwd-terminal", BETTER, cwd=f"{root}/none", tty=True)
    for number, argv in enumerate((
        [], [""], ["/none"], [f"{root[7:]}/file"], ["/"], ["true"], ["none"], [LONG],
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
    yield from begin()
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
    # What it has yet to write is lost with it.
    yield Wait("cat", "process/output")
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
    yield from begin()
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
    yield from begin()

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
    yield from begin()

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


SCRIPTS: tuple[Script, ...] = (
    handshake, frames, sessions, outputs, starts, processes, reading, writing, handles,
)  # fmt: skip

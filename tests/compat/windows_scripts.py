"""The calls that are recorded of an executor on Windows, beside those that mean the same on every system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.compat.differences import LENIENT, Difference
from tests.compat.scripts import YQ, Script, begin, handshake, resumed
from tests.compat.steps import NATIVE, Ask, Json, Step, Wait

LINE = "DQo="
_SYSTEM = r"C:\windows\system32"


def start(process_id: str, *argv: str, differs: Difference | None = None, **params: Any) -> Ask:
    env = {"PATH": _SYSTEM, "SYSTEMROOT": r"C:\windows"}
    defaults: Json = {"argv": list(argv), "cwd": "file:///C:/", "env": env, "tty": False}
    return Ask("process/start", {"processId": process_id, **defaults, **params}, differs)


def cmd(process_id: str, text: str, differs: Difference | None = None, **params: Any) -> Ask:
    return start(process_id, rf"{_SYSTEM}\cmd.exe", "/c", text, differs=differs, **params)


def sessions(_: str) -> Iterator[Step]:
    yield from begin()
    # Each answer is one write, and so one piece of output.
    answers = "set /p x=& set /p =one<nul& set /p y=& set /p =two<nul& set /p z="
    yield from resumed(cmd("cat", answers, pipeStdin=True), LINE, LINE)


def outputs(root: str) -> Iterator[Step]:
    yield from begin()
    yield cmd("streams", "echo out& echo err>&2& exit 7")
    yield cmd("large", "for /l %i in (1,1,2000) do @echo %i")
    yield cmd("directory", "cd", cwd=f"{root}/dir")
    yield cmd("variables", "echo %A%-%B%", env={"A": "1", "SYSTEMROOT": r"C:\windows"})
    yield cmd("negative", "exit -1")
    yield cmd("slow", "echo out& set /p x=& exit 4", pipeStdin=True)
    yield Wait("slow", "process/output")
    yield Ask("process/write", {"processId": "slow", "chunk": LINE, "writeId": "1"})
    yield Wait("slow")
    yield Ask("process/write", {"processId": "none", "chunk": YQ, "writeId": "1"})
    yield Ask("process/terminate", {"processId": "slow"})
    yield Ask("process/terminate", {"processId": "none"})
    yield Ask("process/read", {"processId": "none"})


def starts(root: str) -> Iterator[Step]:
    yield from begin()
    for number, cwd in enumerate((
        "", "relative", r"C:\windows", "http://host/", "file:///C:/?x", "file:///C:/#x", "file:///C:/%00",
        "file:///tmp", f"{root}/none", f"{root}/file", f"{root}/DIR", "file:///c:/",
    )):  # fmt: skip
        yield cmd(f"cwd{number}", "exit 0", cwd=cwd)
    yield cmd("cwd-drive", "exit 0", LENIENT, cwd="file:///C:")
    for number, program in enumerate((
        rf"{NATIVE}\none.exe", rf"{NATIVE}\file", rf"{NATIVE}\dir", "cmd", "cmd.exe", "none", "",
    )):  # fmt: skip
        yield start(f"argv{number}", program, "/c", "exit 0")
    yield start("argv")
    yield cmd("twice", "exit 0")
    yield Wait("twice")
    yield cmd("twice", "exit 0")


def files(root: str) -> Iterator[Step]:
    yield from begin()
    places = ["file", "FILE", "dir", "none", "none/x", "file/x", "sp%20ace", "%C3%BC", "dir/../file"]
    wrong = ["file:///tmp", "relative", r"C:\x", "", "file:///C:/%00", "file:///C:/x?y"]
    for method in ("readFile", "getMetadata", "readDirectory", "canonicalize"):
        for path in [f"{root}/{place}" for place in places] + wrong:
            yield Ask(f"fs/{method}", {"path": path})
    limits = {"maxDepth": 5, "maxDirectories": 99, "maxEntries": 99, "followDirectorySymlinks": False}
    yield Ask("fs/walk", {"path": root, "options": limits})
    for place in ("new", "dir", "none/x"):
        yield Ask("fs/writeFile", {"path": f"{root}/{place}", "dataBase64": YQ})
    for place in ("made/a", "dir", "file"):
        for recursive in (False, True):
            yield Ask("fs/createDirectory", {"path": f"{root}/{place}", "recursive": recursive})
    for source, target in (
        ("file", "copy"),
        ("dir", "copied"),
        ("none", "x"),
        ("file", "none/x"),
        ("dir", "dir/in"),
    ):
        paths = {"sourcePath": f"{root}/{source}", "destinationPath": f"{root}/{target}"}
        yield Ask("fs/copy", paths | {"recursive": True})
        yield Ask("fs/copy", paths | {"recursive": False})
    for place in ("none", "dir", "copy"):
        yield Ask("fs/remove", {"path": f"{root}/{place}", "recursive": False, "force": False})
    yield Ask("fs/remove", {"path": f"{root}/made"})


def handles(root: str) -> Iterator[Step]:
    yield from begin()
    for handle, place, mode in (
        ("r", "file", "read"), ("r", "file", "read"), ("d", "dir", "read"), ("n", "none", "read"),
        ("w", "new", "replace"), ("nw", "none/x", "replace"),
    ):  # fmt: skip
        yield Ask("fs/open", {"handleId": handle, "path": f"{root}/{place}", "mode": mode})
    for offset, length in ((0, 5), (0, 6), (4, 1), (99, 1), (0, 0)):
        yield Ask("fs/readBlock", {"handleId": "r", "offset": offset, "len": length})
    for offset, chunk in ((0, "YWJj"), (5, YQ), (0, "")):
        yield Ask("fs/writeBlock", {"handleId": "w", "offset": offset, "chunk": chunk})
    for handle in ("w", "r", "r", "none"):
        yield Ask("fs/close", {"handleId": handle})
    yield Ask("fs/readBlock", {"handleId": "r", "offset": 0, "len": 1})
    yield Ask("fs/readFile", {"path": f"{root}/new"})


def make_tree(root: Path) -> None:
    (root / "dir").mkdir(parents=True)
    (root / "dir/leaf").write_text("leaf")
    (root / "file").write_text("hello")
    (root / "sp ace").write_text("")
    (root / "ü").write_text("odd")


SCRIPTS: tuple[Script, ...] = (handshake, sessions, outputs, starts, files, handles)

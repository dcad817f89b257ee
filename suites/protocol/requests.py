"""A valid request of every method, to be made invalid field by field."""

from __future__ import annotations

from typing import Any

from executors.protocol import methods
from executors.protocol.path_uri import PathUri
from suites.process.conversation import INHERIT

JsonObject = dict[str, Any]

FIELDS: dict[str, JsonObject] = {
    "initialize": {"clientName": "suite"},
    "environment/info": {},
    "environment/status": {},
    "process/start": {
        "processId": "p",
        "argv": ["no such program"],
        "cwd": "{root}",
        "env": {},
        "tty": False,
    },
    "process/read": {"processId": "p"},
    "process/write": {"processId": "p", "chunk": "", "writeId": "w"},
    "process/closeStdin": {"processId": "p"},
    "process/signal": {"processId": "p", "signal": "interrupt"},
    "process/resize": {"processId": "p", "rows": 24, "cols": 80},
    "process/terminate": {"processId": "p"},
    "fs/readFile": {"path": "{file}"},
    "fs/writeFile": {"path": "{file}", "dataBase64": ""},
    "fs/createDirectory": {"path": "{file}"},
    "fs/remove": {"path": "{file}"},
    "fs/copy": {"sourcePath": "{file}", "destinationPath": "{file}2", "recursive": False},
    "fs/canonicalize": {"path": "{file}"},
    "fs/getMetadata": {"path": "{file}"},
    "fs/readDirectory": {"path": "{root}"},
    "fs/walk": {
        "path": "{root}",
        "options": {
            "maxDepth": 1,
            "maxDirectories": 10,
            "maxEntries": 10,
            "followDirectorySymlinks": False,
        },
    },
    "fs/open": {"handleId": "h", "path": "{file}"},
    "fs/readBlock": {"handleId": "h", "offset": 0, "len": 1},
    "fs/writeBlock": {"handleId": "h", "offset": 0, "chunk": "eA=="},
    "fs/close": {"handleId": "h"},
}
"""The fields of each method; all of them are mandatory but ``options`` of fs/walk."""

OPTIONAL = {("fs/walk", "options")}

MANDATORY = [
    (method, field)
    for method, fields in FIELDS.items()
    for field in fields
    if (method, field) not in OPTIONAL
]

PATHS = [
    (method, field)
    for method, fields in FIELDS.items()
    for field, value in fields.items()
    if isinstance(value, str) and value.startswith("{")
]

WRONG_TYPES: list[tuple[str, str, Any]] = [
    (method, field, wrong)
    for method, field in MANDATORY
    for wrong in ([7, None] if isinstance(FIELDS[method][field], str) else ["7", None])
]

OPTIONAL_OF_WRONG_TYPE: list[tuple[str, str, Any]] = [
    ("initialize", "resumeSessionId", 7),
    ("process/start", "pipeStdin", "yes"),
    ("process/start", "arg0", 7),
    ("process/start", "envPolicy", "all"),
    ("process/start", "envPolicy", INHERIT | {"inherit": "some"}),
    ("process/start", "envPolicy", INHERIT | {"exclude": "PATH"}),
    ("process/start", "argv", ["a", 7]),
    ("process/start", "env", {"A": 7}),
    ("process/read", "afterSeq", "1"),
    ("process/read", "maxBytes", "1"),
    ("process/read", "waitMs", "1"),
    ("fs/createDirectory", "recursive", "yes"),
    ("fs/remove", "recursive", 1),
    ("fs/remove", "force", 1),
    ("fs/open", "mode", "write"),
    ("fs/walk", "options", []),
]


def params_of(method: str, root: PathUri) -> JsonObject:
    """Valid parameters for a call that does no harm; *root* is the directory they name."""
    places = {"{root}": str(root), "{file}": str(root.join("f")), "{file}2": str(root.join("f2"))}
    return {
        field: places.get(value, value) if isinstance(value, str) else value
        for field, value in FIELDS[method].items()
    }


assert FIELDS.keys() == methods.METHODS.keys(), "a method has no request here"


def known_at_once(info: JsonObject) -> JsonObject:
    """Returns an environment info without the sandboxes: which ones hold may be found out when asked."""
    capabilities = {name: value for name, value in info["capabilities"].items() if name != "sandbox"}
    return info | {"capabilities": capabilities}

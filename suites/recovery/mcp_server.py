"""An MCP server in nothing but Python's own library, for environments without the SDK.

Tests run its source there, so it must run by itself. It knows the handshake of the protocol, tools and
notifications, and says on its standard error what it was asked for.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

LATEST = "2025-11-25"
TOOLS = {
    "add": {"a": "integer", "b": "integer"},
    "count": {},
    "echo": {"text": "string"},
    "report": {"steps": "integer"},
    "where": {},
    "print": {"hex": "string"},
    "leave": {"code": "integer"},
}


class Server:
    """
    :ivar calls: of the tool ``count``.
    """

    def __init__(self) -> None:
        self.calls = 0

    def add(self, a: int, b: int) -> str:
        return str(a + b)

    def count(self) -> str:
        """Tells how many of these calls there have been."""
        self.calls += 1
        log(f"count {self.calls}")
        return str(self.calls)

    def echo(self, text: str) -> str:
        return text

    def report(self, steps: int) -> str:
        """Sends so many log messages, numbered from 1, before it answers."""
        for step in range(1, steps + 1):
            params = {"level": "info", "logger": "report", "data": step}
            send({"method": "notifications/message", "params": params})
        return str(steps)

    def where(self) -> str:
        """Tells the process id, and the names of the variables."""
        return json.dumps({"pid": os.getpid(), "variables": sorted(os.environ)})

    def print(self, hex: str) -> str:
        """Writes bytes to the standard output that need be no message."""
        write(bytes.fromhex(hex))
        return "printed"

    def leave(self, code: int) -> str:
        """Ends the server without an answer."""
        os._exit(code)

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """Returns the result of a request, or None for a method that there is not."""
        if method == "initialize":
            return {
                "protocolVersion": LATEST,
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "plain", "version": "1"},
            }
        if method == "tools/list":
            return {"tools": [tool(name, fields) for name, fields in TOOLS.items()]}
        if method == "tools/call" and params["name"] in TOOLS:
            text = getattr(self, params["name"])(**params.get("arguments") or {})
            return {"content": [{"type": "text", "text": text}], "isError": False}
        return {} if method in ("ping", "logging/setLevel") else None


def tool(name: str, fields: dict[str, str]) -> dict[str, Any]:
    properties = {field: {"type": kind} for field, kind in fields.items()}
    schema = {"type": "object", "properties": properties, "required": list(fields)}
    return {"name": name, "inputSchema": schema}


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def log(text: str) -> None:
    sys.stderr.buffer.write(f"{text}\n".encode())
    sys.stderr.buffer.flush()


def main() -> None:
    server = Server()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        result = server.answer(message["method"], message.get("params") or {})
        if result is None:
            error = {"code": -32601, "message": f"no method {message['method']}"}
            send({"id": message["id"], "error": error})
        else:
            send({"id": message["id"], "result": result})
    log("bye")


if __name__ == "__main__":
    main()

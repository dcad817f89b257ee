"""A model that is no model: it calls the tools that a test names, one after the other."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]

_USAGE = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)


@dataclass(frozen=True)
class ToolCall:
    """What the model asks its client to do.

    :ivar arguments: or a function that makes them of the output of the call before; a text is for a tool that
        takes any text.
    """

    name: str
    arguments: Json | str | Callable[[str], Json]


def run(cmd: str, **arguments: Any) -> ToolCall:
    """A command line for the environment's shell."""
    return ToolCall("exec_command", {"cmd": cmd, **arguments})


def patch(text: str) -> ToolCall:
    """Changes to files."""
    return ToolCall("apply_patch", text)


def ended(output: str) -> tuple[int, str]:
    """Returns exit code and output of a command, out of what the model is told."""
    found = re.search(r"^Process exited with code (-?\d+)$.*?^Output:\n(.*)", output, re.M | re.S)
    assert found, output
    return int(found[1]), found[2].replace("\r\n", "\n")


def session(output: str) -> int:
    """Returns the number under which the client keeps a command that runs on."""
    found = re.search(r"^Process running with session ID (\d+)$", output, re.M)
    assert found, output
    return int(found[1])


def write(chars: str, after: Callable[[], object] = lambda: None, yield_time_ms: int = 250) -> ToolCall:
    """Writes to the command that the call before has started or written to; Ctrl-C interrupts it.

    :param after: returns once the command is ready for that.
    :param yield_time_ms: how long the client waits for the command's end.
    """

    def arguments(output: str) -> Json:
        after()
        return {"session_id": session(output), "chars": chars, "yield_time_ms": yield_time_ms}

    return ToolCall("write_stdin", arguments)


class StubModel:
    """Serves the Responses API on loopback: a tool call a request, and at last a message.

    :ivar requests: the bodies of the requests so far.
    """

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self.requests: list[Json] = []
        self._calls = calls
        self._lock = threading.Lock()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = model.reply(body)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="stub-model")
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reply(self, body: Json) -> bytes:
        """Returns the server-sent events that answer one request."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
        response = {"id": f"response-{number}"}
        events: list[Json] = [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.done", "item": self._item(number)},
            {"type": "response.completed", "response": response | {"usage": _USAGE}},
        ]
        return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()

    def outputs(self) -> list[str]:
        """Returns what came back of each tool call, as text."""
        return [] if not self.requests else _outputs(self.requests[-1])

    def _item(self, number: int) -> Json:
        if number >= len(self._calls):
            content = [{"type": "output_text", "text": "Done."}]
            return {"type": "message", "role": "assistant", "id": "message", "content": content}
        call = self._calls[number]
        arguments = call.arguments
        if callable(arguments):
            arguments = arguments(_outputs(self.requests[number])[-1])
        item = {"id": f"item-{number}", "call_id": f"call-{number}", "name": call.name}
        if isinstance(arguments, str):
            return item | {"type": "custom_tool_call", "input": arguments}
        return item | {"type": "function_call", "arguments": json.dumps(arguments)}


def _outputs(body: Json) -> list[str]:
    found = [item["output"] for item in body["input"] if item["type"].endswith("_call_output")]
    return [output if isinstance(output, str) else json.dumps(output) for output in found]

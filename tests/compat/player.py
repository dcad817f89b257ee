"""Takes recorded steps with an executor."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

from executors.protocol.errors import ErrorCode
from tests.compat.shapes import kinds
from tests.compat.steps import (
    LONG,
    NATIVE,
    ROOT,
    SESSION,
    Ask,
    Came,
    Cut,
    Json,
    Recording,
    Say,
    Step,
    Tell,
    Wait,
)
from tests.support.watch import until
from tests.support.wire import Client, WebSocket


class Player:
    """Takes the steps with an executor.

    :param url: where it listens.
    :param root: see :data:`ROOT`.
    :param native: see :data:`NATIVE`.
    """

    def __init__(self, url: str, root: str, native: str) -> None:
        self._url = url
        self._values = {ROOT: root, NATIVE: native, LONG: "x" * 200_000}
        self._clients: dict[str, Client] = {}
        self._number = 1_000_000
        self._started: dict[str, str] = {}
        self._told_before: list[Json] = []

    def play(self, steps: Iterable[Step]) -> Recording:
        """
        :raises EOFError: the executor has ended a connection that is still used.
        """
        recording = Recording()
        try:
            for step in steps:
                recording.steps.append(Came(step, self._take(step)))
            for process_id, name in self._started.items():
                client = self._client(name)
                # The released one tells of an exit and of the end that follows by tasks that race each other.
                client.wait_for("process/exited", process_id)
                client.wait_for("process/closed", process_id)
                while self._is_owed(client, process_id):
                    client.step()
            for client in self._clients.values():
                for process_id, told in _told(client).items():
                    recording.told.setdefault(process_id, []).extend(self._without_machine(told))
        finally:
            for client in self._clients.values():
                client.channel.close()
        return recording

    def _take(self, step: Step) -> Json | None:
        client = self._client(step.on)
        match step:
            case Tell():
                client.notify(step.method)
            case Wait():
                client.wait_for(step.method, step.process_id)
            case Cut():
                assert isinstance(client.channel, WebSocket)
                client.channel.cut()
                self._told_before += self._clients.pop(step.on).events
            case Say():
                return self._say(client, step)
            case Ask():
                return self._ask(client, step)
        return None

    def _client(self, name: str) -> Client:
        if name not in self._clients:
            self._clients[name] = Client(WebSocket(self._url))
        return self._clients[name]

    def _is_owed(self, client: Client, process_id: str) -> bool:
        """Whether a notification of the process has yet to come, to this connection or to one before."""
        told = [*_events_of(self._told_before, process_id), *_events_of(client.events, process_id)]
        numbers = {event["seq"] for event in told}
        return numbers != set(range(1, max(numbers) + 1))

    def _say(self, client: Client, step: Say) -> Json | None:
        try:
            reply = client.answer(step.text.encode())
        except EOFError:
            self._clients.pop(step.on).channel.close()
            return None
        return self._reply(reply)

    def _ask(self, client: Client, step: Ask) -> Json:
        replies: list[Json] = []

        def is_answered() -> bool:
            # Far from the numbers that the client itself gives to calls.
            self._number += 1
            client.send({"id": self._number, "method": step.method, "params": self._filled(step.params)})
            replies.append(client.reply(self._number))
            error = replies[-1].get("error", {})
            return not step.again or error.get("code") != ErrorCode.SESSION_ATTACHED

        until(is_answered, lambda: f"{step.method} is answered by {replies[-1]}")
        reply = {key: value for key, value in replies[-1].items() if key != "id"}
        if "result" in reply and step.method == "process/start":
            self._started[step.params["processId"]] = step.on
        if "result" in reply and step.method == "initialize":
            self._values.setdefault(SESSION, reply["result"]["sessionId"])
            if step.params.get("resumeSessionId"):
                # What is told of a session's processes goes to whoever has it.
                self._started = dict.fromkeys(self._started, step.on)
        return self._reply(reply, step.method)

    def _reply(self, reply: Json, method: str = "") -> Json:
        found: Json = self._without_machine(reply, method)
        return found

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(key): self._filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if isinstance(value, str):
            for name, text in self._values.items():
                value = value.replace(name, text)
        return value

    def _without_machine(self, value: Any, method: str = "") -> Any:
        """Returns what came with placeholders for what another machine or another run has otherwise."""
        if isinstance(value, list):
            return [self._without_machine(each, method) for each in value]
        if isinstance(value, str):
            return value.replace(self._values[ROOT], ROOT).replace(self._values[NATIVE], NATIVE)
        if not isinstance(value, dict):
            return value
        found = {key: self._without_machine(each, method) for key, each in value.items()}
        if method == "fs/getMetadata" and "size" in found:
            changing = ["createdAtMs", "modifiedAtMs", *(["size"] if found["isDirectory"] else [])]
            found |= {key: kinds(found[key]) for key in changing}
        if method == "fs/readDirectory" and "entries" in found:
            found["entries"].sort(key=lambda entry: entry["fileName"])
        if "environmentInfo" in found:
            found |= {key: kinds(found[key]) for key in ("sessionId", "environmentInfo")}
        if method == "environment/info" and "result" in found:
            found["result"] = kinds(found["result"])
        if {"code", "message"} <= found.keys():
            # A client looks for this text; all others are for people.
            foreign = re.search(r"'[^'%]*' is invalid on '\w+'", found["message"])
            found["message"] = foreign[0] if foreign else kinds(found["message"])
        return found


def _events_of(events: list[Json], process_id: str) -> list[Json]:
    """Returns what was notified of a process, by its numbers, which are what a client orders it by."""
    return sorted(
        (event for event in events if event["processId"] == process_id), key=lambda event: event["seq"]
    )


def _told(client: Client) -> dict[str, list[Json]]:
    """Returns what was notified of each process: the output of a stream in one piece, for its pieces are by
    chance, and first, for it is by chance too whether some of it comes after the exit.

    :raises AssertionError: a number is left out.
    """
    found: dict[str, list[Json]] = {}
    for process_id in sorted({event["processId"] for event in client.events}):
        own = _events_of(client.events, process_id)
        first = own[0]["seq"]
        assert [event["seq"] for event in own] == list(range(first, first + len(own))), own
        outputs: dict[str, Json] = {}
        others = []
        for event in (event | {"seq": kinds(event["seq"])} for event in own):
            if event["method"] != "process/output":
                others.append(event)
                continue
            data = base64.b64decode(event.pop("chunk"), validate=True)
            outputs.setdefault(event["stream"], event | {"chunks": b""})["chunks"] += data
        for output in outputs.values():
            output["chunks"] = output["chunks"].decode(errors="backslashreplace")
        found[process_id] = [*(outputs[stream] for stream in sorted(outputs)), *others]
    return found

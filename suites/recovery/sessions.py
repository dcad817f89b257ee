"""Sessions below the typed client: opened, lost and resumed over single connections."""

from __future__ import annotations

import time
from typing import Any

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from fixtures.faults_fixture import Faults
from fixtures.wire import JsonObject, Wire
from suites.process.conversation import Conversation

RESUME_SECONDS = 60.0


def initialize(wire: Wire, **params: Any) -> JsonObject:
    """Calls ``initialize`` and returns the result.

    :raises RpcError: it was refused.
    """
    reply = wire.request("initialize", {"clientName": "recovery", **params})
    if "error" in reply:
        raise RpcError(reply["error"]["code"], reply["error"]["message"])
    wire.notify("initialized", {})
    result: JsonObject = reply["result"]
    return result


def refusal(wire: Wire, session_id: object) -> int:
    """The code by which a resume is refused.

    :raises AssertionError: it is not.
    """
    try:
        resumed = initialize(wire, resumeSessionId=session_id)
    except RpcError as error:
        return error.code
    raise AssertionError(f"{session_id!r} was resumed: {resumed}")


class Sessions:
    """Opens and resumes sessions through the proxy of a test.

    :ivar cwd: where processes run.
    """

    def __init__(self, faults: Faults, cwd: PathUri) -> None:
        self.faults = faults
        self.cwd = cwd

    def open(self, **params: Any) -> tuple[Conversation, str]:
        """A new session and its id; *params* are further fields of ``initialize``."""
        wire = self.faults.open_wire()
        session_id: str = initialize(wire, **params)["sessionId"]
        return Conversation(wire, self.cwd), session_id

    def resume(self, session_id: str, **params: Any) -> Conversation:
        """Resumes a session, as soon as the executor has noticed that its last connection has ended.

        :raises RpcError: it was refused for another reason, or is still attached after 60 seconds.
        """
        wire = self.faults.open_wire()
        deadline = time.monotonic() + RESUME_SECONDS
        while True:
            try:
                result = initialize(wire, resumeSessionId=session_id, **params)
            except RpcError as error:
                if error.code != ErrorCode.SESSION_ATTACHED or time.monotonic() > deadline:
                    raise
                # Nobody tells when it is free.
                time.sleep(0.01)
            else:
                assert result["sessionId"] == session_id
                return Conversation(wire, self.cwd)

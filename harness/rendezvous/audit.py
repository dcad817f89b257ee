"""Who did what, when: lines of JSON that hold no secret."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from pathlib import Path
from typing import TextIO

from harness.client.errors import ClientError

_log = logging.getLogger(__name__)


class AuditFailed(ClientError):
    """The audit log cannot be written; the text says which and why."""


class Audit:
    """Writes one line for each event, at once. A line that cannot be written is lost and counted; the service
    goes on.

    What is noted are ids, addresses, outcomes and reasons; never a token, a URL with a signature, an
    authorization, a key or what a frame carries.

    :param stream: where they go.
    :ivar lost: how many lines could not be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def note(self, event: str, **fields: str | int | None) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        told = {"time": now, "event": event} | {
            name: value for name, value in fields.items() if value is not None
        }
        try:
            self._stream.write(json.dumps(told) + "\n")
            self._stream.flush()
        except OSError as error:
            if not self.lost:
                _log.error("the audit log cannot be written: %s", error)
            self.lost += 1


def open_log(path: Path | None) -> TextIO:
    """Returns what to write to: the file, for its owner alone, else the standard error.

    :raises AuditFailed: the file cannot be written.
    """
    if path is None:
        return sys.stderr
    try:
        path.touch(mode=0o600)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise AuditFailed(f"the audit log {path} cannot be written: {error}") from error

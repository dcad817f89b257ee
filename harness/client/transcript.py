"""The last messages of all connections of this program, kept so that a failure can be explained by them.

While nobody asks, a message costs its place in a queue: it is decoded and cleaned of secrets only for
:meth:`Transcript.text`.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from harness.client.redact import message_line, text_line

MAX_MESSAGES: Final = 200
"""So many are kept at most, and the oldest go first."""
MAX_TEXT_BYTES: Final = 32 * 1024
"""Size of the text, in UTF-8, at most."""
MAX_MESSAGE_BYTES: Final = 16 * 1024
"""Of a larger message, such as a block of a file, the head alone is kept: all hold a few MiB at most."""

_HEAD_BYTES = 256
# All that is told of a message that is not whole. What comes after the name of a variable is not looked at.
_TOLD = re.compile(
    r'"(?:id|method|processId|seq|stream|handleId|offset|path)"\s*:\s*(?:"[^"\\]{0,200}"|-?\d{1,20}\b)'
)

_SENT, _RECEIVED, _NOTED = "->", "<-", "--"

# Which one since the beginning, when, connection, direction, the message or its head, its size. A bare tuple:
# there is one for each message.
_Entry = tuple[int, float, int, str, bytes | str, int]


class _Kept:
    """The entries of one test. Threads feed it without a lock, for each step is atomic."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.entries: deque[_Entry] = deque(maxlen=MAX_MESSAGES)
        self.numbers = itertools.count()


class Transcript:
    """What has gone over the wire since :meth:`begin`; may be fed from any thread."""

    def __init__(self) -> None:
        self._sessions = itertools.count(1)
        self._kept = _Kept()

    def begin(self) -> None:
        """Forgets everything; seconds count from now on."""
        self._kept = _Kept()

    def tap(self) -> Tap:
        """For one more connection."""
        return Tap(self, next(self._sessions))

    def add(self, session: int, direction: str, message: bytes | str) -> None:
        size = len(message)
        if size > MAX_MESSAGE_BYTES:
            message = message[:_HEAD_BYTES]
        kept = self._kept
        kept.entries.append((next(kept.numbers), time.monotonic(), session, direction, message, size))

    def text(self) -> str:
        """Returns one message a line, oldest first; empty if there was none.

        A line: seconds, the connection's number if there are several, ``->`` for what went to the executor,
        ``<-`` for what came from it (``--`` for what befell the connection), the message as
        :func:`harness.client.redact.message_line` shows it.
        """
        kept = self._kept
        entries = sorted(kept.entries.copy())
        if not entries:
            return ""
        sessions = list(dict.fromkeys(entry[2] for entry in entries))
        count = entries[-1][0] + 1
        lines: list[str] = []
        room = MAX_TEXT_BYTES - len(_dropped_line(count)) - 1
        for _, at, session, direction, message, size in reversed(entries):
            number = f"{sessions.index(session) + 1} " if len(sessions) > 1 else ""
            shown = text_line(str(message)) if direction == _NOTED else _shown(message, size)
            line = f"{at - kept.began:8.3f} {number}{direction} {shown}"
            room -= len(line.encode()) + 1
            if room < 0:
                break
            lines.append(line)
        if count > len(lines):
            lines.append(_dropped_line(count - len(lines)))
        return "\n".join(reversed(lines))


class Tap:
    """Feeds a transcript with what one connection carries."""

    __slots__ = ("_add", "_session")

    def __init__(self, transcript: Transcript, session: int) -> None:
        self._add = transcript.add
        self._session = session

    def sent(self, message: bytes | str) -> None:
        self._add(self._session, _SENT, message)

    def received(self, message: bytes | str) -> None:
        self._add(self._session, _RECEIVED, message)

    def noted(self, text: str) -> None:
        """Something befell the connection, such as its end."""
        self._add(self._session, _NOTED, text)


_recording: Transcript | None = None


@contextmanager
def recording(transcript: Transcript) -> Iterator[None]:
    """Feeds *transcript* with all connections that this program makes meanwhile."""
    global _recording
    before, _recording = _recording, transcript
    try:
        yield
    finally:
        _recording = before


def new_tap() -> Tap | None:
    """For a new connection; None if nobody records."""
    return None if _recording is None else _recording.tap()


def _shown(message: bytes | str, size: int) -> str:
    if size == len(message):
        return message_line(message)
    head = message if isinstance(message, str) else message.decode("utf-8", "replace")
    told = ",".join(_TOLD.findall(head.partition('"env')[0]))
    unit = "characters" if isinstance(message, str) else "bytes"
    return text_line(f"({told or 'a message'} of {size:,} {unit}, too large to keep)")


def _dropped_line(count: int) -> str:
    return f"({count:,} earlier {'message' if count == 1 else 'messages'} dropped)"

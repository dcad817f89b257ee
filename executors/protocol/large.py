"""Large binary fields of a message, kept out of the JSON parser's way.

A block of 1 MiB is 1.4 MB of base64, which the parser would scan once for the envelope and once
more for the params, before it is decoded: measured, half of the time that a block takes here.
"""

from __future__ import annotations

import io
from typing import Final

import msgspec

from executors.protocol.binary import Base64, encode_text

_LARGE_BYTES = 16 * 1024
# The fields before the binary one are short in all that is not meant to be hostile.
_HEAD_BYTES = 1024
_FIELDS = {b'"chunk":"': "chunk", b'"dataBase64":"': "data_base64"}
_BACKSLASH = 0x5C
# No base64, so that no other field is taken for the one that was set aside.
_ABSENT = b"@set aside@"
_PLACEHOLDER = Base64(b'"%b"' % _ABSENT)
_ROOM_BYTES: Final = 64
# Of three bytes each, so that no piece is padded but the last; small enough for memory that is used again.
_PIECE_BYTES: Final = 3 * 256 * 1024


def set_aside(message: bytes) -> tuple[bytes, Base64 | None]:
    """Takes the text of a large base64 field out of *message*, as far as one is found quickly.

    In well-formed JSON the marks that are looked for can only be a key and the begin of its value,
    since inside of a string their quotes would be escaped; what is malformed stays malformed.

    :returns: the message with a placeholder in its place, and the field; or *message* and None.
    """
    if len(message) > _LARGE_BYTES:
        for mark in _FIELDS:
            at = message.find(mark, 1, _HEAD_BYTES)
            if at < 0 or message[at - 1] not in b"{,":
                continue
            begin = at + len(mark)
            end = message.find(b'"', begin)
            short = message[:begin] + _ABSENT + message[end:]
            # An escaped quote is no end, and of two fields the second would be meant.
            if end > begin and message[end - 1] != _BACKSLASH and short.find(mark, begin) < 0:
                return short, Base64(memoryview(message)[begin - 1 : end + 1])
    return message, None


def put_back(params: object, field: Base64) -> bool:
    """Gives decoded *params* what was set aside.

    :returns: False if they have no such field: it belongs to something else in the message, such as
        an environment variable of that name, and the message must be decoded whole.
    """
    for name in _FIELDS.values():
        if getattr(params, name, None) == _PLACEHOLDER:
            setattr(params, name, field)
            return True
    return False


class Prepared:
    """A result with large binary data in its only field, whose reply is all but made.

    What is left is the id of the call. The memory of a reply of many megabytes is most of what it costs, so
    the data is coded to where it stays, and no other copy is made; it may be done on any thread.

    :param data: coded as base64.
    """

    def __init__(self, field: str, data: bytes) -> None:
        head, tail = b" " * _ROOM_BYTES + b'{"%b":"' % field.encode(), b'"}}'
        self._reply = io.BytesIO()
        # All of its memory at once: four times as quick where it cannot grow in place, as under Wine.
        self._reply.seek(len(head) + (len(data) + 2) // 3 * 4)
        self._reply.write(tail)
        self._reply.seek(0)
        self._reply.write(head)
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            self._reply.write(encode_text(view[start : start + _PIECE_BYTES]))

    def reply(self, id: int | str) -> bytes:
        """Returns the message; to be called once."""
        head = b'{"id":%b,"result":' % msgspec.json.encode(id)
        if len(head) > _ROOM_BYTES:
            return head + self._reply.getvalue()[_ROOM_BYTES:]
        # The rest of the room stays: white space between two tokens.
        self._reply.seek(0)
        self._reply.write(head)
        return self._reply.getvalue()

"""Large binary fields of a message, kept out of the JSON parser's way.

A block of 1 MiB is 1.4 MB of base64, which the parser would scan once for the envelope and once
more for the params, before it is decoded: measured, half of the time that a block takes here.
"""

from __future__ import annotations

from executors.protocol.binary import Base64

_LARGE_BYTES = 16 * 1024
# The fields before the binary one are short in all that is not meant to be hostile.
_HEAD_BYTES = 1024
_FIELDS = {b'"chunk":"': "chunk", b'"dataBase64":"': "data_base64"}
_BACKSLASH = 0x5C
# No base64, so that no other field is taken for the one that was set aside.
_ABSENT = b"@set aside@"
_PLACEHOLDER = Base64(b'"%b"' % _ABSENT)


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

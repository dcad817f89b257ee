"""What a text is in the bytes that the environment's shell prints."""

from __future__ import annotations

import pytest

from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from suites.asking import ask

_CONVERT = """
    import ctypes
    page, text = question
    convert = ctypes.WinDLL("kernel32").WideCharToMultiByte
    length = len(text.encode("utf-16-le")) // 2
    buffer = ctypes.create_string_buffer(4 * length)
    size = convert(page, 0, ctypes.c_wchar_p(text), length, buffer, len(buffer), None, None)
    assert size, ctypes.GetLastError()
    answer = buffer.raw[:size].hex()
"""


def printed(env: RunningEnvironment, python: BoundPython, text: str) -> bytes:
    """Returns *text* as the shell prints it: in UTF-8, on Windows in the code page that the executor tells.

    What the code page lacks is what Windows makes of it: something alike, or a question mark.
    """
    if env.platform != "windows" or text.isascii():
        return text.encode()
    page = env.info.console_code_page
    if page is None:
        pytest.skip("the executor does not tell the code page of what programs print")
    return bytes.fromhex(ask(python, _CONVERT, [page, text]))

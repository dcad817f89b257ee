"""Pseudo consoles: the terminals of Windows (10 1809 and later).

Source: Microsoft's "Creating a Pseudoconsole session" and the pages of its functions.
"""

from __future__ import annotations

import ctypes
import io
import sys
import threading
from ctypes import wintypes

from executors.process import windows_api as api
from executors.process import windows_pipes

assert sys.platform == "win32"

_HRESULT = ctypes.c_long
# A COORD, columns below rows, fits a register: passed as the number that it is.
_create = api.declare(
    api.kernel32,
    "CreatePseudoConsole",
    _HRESULT,
    wintypes.DWORD,
    wintypes.HANDLE,
    wintypes.HANDLE,
    wintypes.DWORD,
    ctypes.POINTER(ctypes.c_void_p),
)
_resize = api.declare(api.kernel32, "ResizePseudoConsole", _HRESULT, ctypes.c_void_p, wintypes.DWORD)
_close = api.declare(api.kernel32, "ClosePseudoConsole", None, ctypes.c_void_p)


class PseudoConsole:
    """A console without a window: what its programs print comes out of a pipe, as escape sequences.

    :ivar value: the HPCON, which is no kernel handle.
    :ivar input: our end, to write what is typed; to be taken over and closed by the caller.
    :ivar output: our end, to read what is shown; likewise.
    :raises OSError: the system has none or no room for another.
    """

    def __init__(self, rows: int, cols: int) -> None:
        self.input, their_input = windows_pipes.input_pipe()
        try:
            self.output, their_output = windows_pipes.output_pipe()
            try:
                console = ctypes.c_void_p()
                result = _create(_size(rows, cols), their_input, their_output, 0, ctypes.byref(console))
                if result or console.value is None:
                    api.close_handle(self.output)
                    raise OSError(f"CreatePseudoConsole failed: {_words(result)}")
            finally:
                api.close_handle(their_output)
        except BaseException:
            api.close_handle(self.input)
            raise
        finally:
            api.close_handle(their_input)
        self.value: int = console.value
        self._closing: threading.Thread | None = None

    def resize(self, rows: int, cols: int) -> None:
        """
        :raises io.UnsupportedOperation: the system cannot; under Wine 8.0 E_NOTIMPL.
        """
        if self._closing is None:
            result = _resize(self.value, _size(rows, cols))
            if result:
                raise io.UnsupportedOperation(f"ResizePseudoConsole failed: {_words(result)}")

    def close(self) -> None:
        """Begins to end the console and the programs still at it; its output ends after the last piece.

        On its own thread: before Windows 11 24H2 the call waits until all output has been read.
        """
        if self._closing is None:
            self._closing = threading.Thread(
                target=_close, args=(self.value,), name="conpty-close", daemon=True
            )
            self._closing.start()

    def join(self) -> None:
        """Waits for the end of what :meth:`close` began; the output must be read or closed."""
        if self._closing is not None:
            self._closing.join()


def _size(rows: int, cols: int) -> int:
    """Returns a COORD as a number; sizes beyond a SHORT become the largest one."""
    return min(rows, 0x7FFF) << 16 | min(cols, 0x7FFF)


def _words(result: int) -> str:
    return f"{ctypes.FormatError(result).strip()} (0x{result & 0xFFFFFFFF:08x})"

"""Which directories a program can start in."""

from __future__ import annotations

from executors.protocol.path_uri import Convention, PathUri

_MOST_UNITS_ON_WINDOWS = 258
"""Of a process's current directory: MAX_PATH (260) less the backslash and the NUL that are kept after it.

For CreateProcess this holds whether or not a program is aware of long paths.
"""


def is_too_long_to_start_in(path: PathUri) -> bool:
    units = len(path.render().encode("utf-16-le", "surrogatepass")) // 2
    return path.convention is Convention.WINDOWS and units > _MOST_UNITS_ON_WINDOWS

"""Resolves links in paths in this system's own way."""

import sys

if sys.platform == "win32":
    from executors.sandbox.real_paths_windows import Resolver as Resolver
else:
    from executors.sandbox.real_paths_posix import Resolver as Resolver

"""Packs the executor and all that it imports into one file, which :mod:`.start` reads.

Run as ``python pack.py FILE PATH;PATH MODULE...``, with the folders that hold the executor and its packages,
and with the modules that it imports at its start. The file maps names of modules to: whether it is a package,
its file, and its code (none if that is a DLL).
"""

from __future__ import annotations

import importlib
import marshal
import sys
from importlib.machinery import ExtensionFileLoader

_NO_FILE = ("built-in", "frozen", None)


def _modules() -> dict[str, tuple[bool, str, bytes | None]]:
    found: dict[str, tuple[bool, str, bytes | None]] = {}
    for name, module in list(sys.modules.items()):
        spec = module.__spec__
        if spec is None or spec.name != name or spec.origin in _NO_FILE or spec.loader is None:
            continue
        assert spec.origin is not None
        if isinstance(spec.loader, ExtensionFileLoader):
            found[name] = (False, spec.origin, None)
        else:
            code = spec.loader.get_code(name)  # type: ignore[attr-defined]
            found[name] = (spec.submodule_search_locations is not None, spec.origin, marshal.dumps(code))
    return found


if __name__ == "__main__":
    target, paths, *names = sys.argv[1:]
    sys.path[:0] = paths.split(";")
    for name in names:
        importlib.import_module(name)
    with open(target, "wb") as file:
        marshal.dump(_modules(), file)

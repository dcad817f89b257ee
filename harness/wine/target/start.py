"""Runs the executor from the file that :mod:`.pack` made.

Run as ``python start.py FILE VARIABLES PATH;PATH OPTION...``. Under Wine 8.0 every file that Python looks for
costs dozens of calls to the server, and an executor imports 300 modules: from one file it starts in a
third of the calls.
"""

from __future__ import annotations

import gc

gc.disable()  # the executor turns it on again

import marshal  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from importlib.machinery import ExtensionFileLoader, ModuleSpec  # noqa: E402

TYPE_CHECKING = False  # typing itself is to come from the file
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType


class Packed:
    """Finds and loads the modules of the file; it has no others."""

    def __init__(self, file: str) -> None:
        with open(file, "rb") as stream:
            self._modules: dict[str, tuple[bool, str, bytes | None]] = marshal.load(stream)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self._modules.get(name)
        if found is None:
            return None
        is_package, origin, code = found
        # It has all that the import system asks of a Loader, without the cost of deriving from it.
        loader: Loader = self if code is not None else ExtensionFileLoader(name, origin)  # type: ignore[assignment]
        spec = ModuleSpec(name, loader, origin=origin, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(origin)]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        code = self._modules[module.__name__][2]
        assert code is not None
        exec(marshal.loads(code), module.__dict__)


if __name__ == "__main__":
    del sys.argv[0]
    sys.meta_path.insert(0, Packed(sys.argv.pop(0)))
    # Variables of the host, which no Windows program expects.
    for variable in sys.argv.pop(0).split():
        os.environ.pop(variable, None)
    sys.path[:0] = sys.argv.pop(0).split(";")
    sys.argv.insert(0, "executors")
    from executors.command import main

    sys.exit(main())

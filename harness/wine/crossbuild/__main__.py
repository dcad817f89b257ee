"""``python -m harness.wine.crossbuild DEST`` builds a Windows Python in the folder DEST."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from filelock import FileLock

from harness.cache import cache_folder
from harness.progress import show_progress
from harness.shared import LOCK
from harness.wine.crossbuild import BuildFailed, build_windows_python
from harness.wine.windows_python import BUILDING


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.wine.crossbuild", description=__doc__)
    parser.add_argument("destination", type=Path, metavar="DEST", help="a folder that does not exist yet")
    parser.add_argument("--keep", action="store_true", help="keep what was compiled, for work on the build")
    options = parser.parse_args()
    destination = options.destination.absolute()
    if destination.exists():
        parser.error(f"{destination} exists")
    try:
        cache = cache_folder() / "wine"
        cache.mkdir(parents=True, exist_ok=True)
        # Nobody else builds in the same place meanwhile, or removes it.
        with FileLock(cache / f"{BUILDING}{LOCK}"), show_progress(sys.stderr, "Windows Python") as progress:
            build_windows_python(destination, progress, keep=options.keep)
    except BuildFailed as error:
        print(f"Windows Python: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the executor: ``python -m executors --listen ws://127.0.0.1:0``."""

import gc
import sys

if __name__ == "__main__":
    # Imports leave next to no garbage: looking for it takes a tenth of the start.
    gc.disable()

    from executors.command import main

    sys.exit(main())

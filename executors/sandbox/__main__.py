"""Puts every sandbox of this machine to the test: ``python -m executors.sandbox [--json]``.

Prints what came of each, in words or as a JSON list; ends with 1 if none holds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from executors.process import SystemBackend
from executors.sandbox import make_sandboxes
from executors.sandbox.backend import Proof


async def _prove() -> list[Proof]:
    processes = SystemBackend(asyncio.get_running_loop())
    try:
        return await make_sandboxes(processes).proofs()
    finally:
        await processes.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m executors.sandbox",
        description="Put every sandbox of this machine to the test. Ends with 1 if none holds.",
    )
    parser.add_argument("--json", action="store_true", help="print all attempts, as a JSON list")
    options = parser.parse_args()
    proofs = asyncio.run(_prove())
    if options.json:
        print(msgspec.json.encode(proofs).decode())
    else:
        for proof in proofs:
            print(proof)
    return 0 if any(proof.holds for proof in proofs) else 1


if __name__ == "__main__":
    sys.exit(main())

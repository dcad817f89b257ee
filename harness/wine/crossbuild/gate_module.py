"""Runs one of CPython's own test modules: ``python gate_module.py MODULE [PATTERN ...]``.

Tests whose name fits a PATTERN are left out. The exit code is 0 when there were tests and all passed.
A program of its own, run by the Windows Python that was built; it uses the standard library only.
"""

from __future__ import annotations

import faulthandler
import fnmatch
import importlib
import os
import sys
import tempfile
import unittest
from collections.abc import Sequence


def _without(patterns: Sequence[str], suite: unittest.TestSuite) -> unittest.TestSuite:
    """The suite without tests that fit a pattern, in its structure: fixtures go by class and module."""
    kept = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(_without(patterns, test))
        elif not any(fnmatch.fnmatchcase(test.id(), pattern) for pattern in patterns):
            kept.addTest(test)
    return kept


def main(module: str, *patterns: str) -> int:
    faulthandler.enable()
    # The folder of this file.
    del sys.path[0]
    # A path of the host's.
    os.environ.pop("TMPDIR", None)
    # No network, nothing that takes long or much memory.
    vars(importlib.import_module("test.support"))["use_resources"] = []
    # Under Wine 8.0 a symbolic link is made without an error and is not there.
    vars(importlib.import_module("test.support.os_helper"))["_can_symlink"] = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
        result = unittest.TextTestRunner(sys.stdout, verbosity=0).run(_without(patterns, suite))
        os.chdir("/")
    if result.testsRun == len(result.skipped):
        print(f"{module}: no test was run")
        return 1
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

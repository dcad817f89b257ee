"""The gate's program, run by this Python on small modules: it passes only what ran and passed."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.wine.crossbuild import gate, gate_module

MODULE = """
import os, unittest
from test import support

class Basics(unittest.TestCase):
    def test_one(self):
        assert support.use_resources == []
        assert "TMPDIR" not in os.environ

    def test_two(self):
        {two}
"""


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    folder = tmp_path / "test" / "support"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "os_helper.py"):
        (folder / name).touch()
    (folder.parent / "__init__.py").touch()
    return tmp_path


def run(tests: Path, text: str, *patterns: str) -> subprocess.CompletedProcess[str]:
    (tests / "test/test_it.py").write_text(text)
    command = [sys.executable, gate_module.__file__, "test_it", *patterns]
    variables = {"PYTHONPATH": str(tests), "TMPDIR": str(tests)}
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)


def test_what_passes_passes(tests: Path) -> None:
    ended = run(tests, MODULE.format(two="pass"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Ran 2 tests" in ended.stdout


def test_a_failure_fails_with_its_traceback(tests: Path) -> None:
    ended = run(tests, MODULE.format(two="self.assertEqual(6 * 9, 42)"))
    assert ended.returncode == 1
    assert "AssertionError: 54 != 42" in ended.stdout


def test_a_gap_is_left_out(tests: Path) -> None:
    ended = run(tests, MODULE.format(two="self.fail()"), "*.Basics.test_two")
    assert ended.returncode == 0, ended.stdout
    assert "Ran 1 test" in ended.stdout


@pytest.mark.parametrize(
    "text",
    [
        "import unittest\nraise unittest.SkipTest('no _ssl')\n",
        "import no_such_module\n",
        "",
        "import os\nos._exit(3)\n",
    ],
)
def test_a_module_that_runs_nothing_fails(tests: Path, text: str) -> None:
    assert run(tests, text).returncode != 0


def test_every_gap_has_a_reason_and_leaves_something_to_test() -> None:
    for module in gate.MODULES:
        assert all(gap.reason and gap.pattern.strip("*") for gap in module.gaps)
    assert len({module.name for module in gate.MODULES}) == len(gate.MODULES)

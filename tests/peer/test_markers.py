"""What a test may say of the executor that runs it."""

from __future__ import annotations

from pathlib import Path

from harness.matrix.ledger import read_gaps
from harness.matrix.model import Outcome
from tests.support.cell import run_cell

_SOURCE = """
    import time
    import pytest

    @pytest.mark.needs_feature("resize")
    def test_asks(): pass

    @pytest.mark.known_gap("slow", executor="python", seconds=0.5)
    def test_hangs(): time.sleep(600)

    @pytest.fixture
    def slow_end():
        yield
        time.sleep(0.6)

    @pytest.mark.known_gap("slow", executor="python", seconds=0.5)
    def test_ends_slowly(slow_end): assert False

    @pytest.mark.known_gap("now and then", executor="python", sometimes=True)
    @pytest.mark.parametrize("holds", [True, False])
    def test_races(holds): assert holds

    def test_features(features): assert {"resize", "close-stdin", "lossless-names"} <= features
"""


def test_features_and_gaps_that_hang_or_show_only_sometimes(tmp_path: Path) -> None:
    told = run_cell(tmp_path, _SOURCE, "-n0")
    outcomes = {name: case.outcome for name, case in told.cases.items()}
    assert outcomes == {
        "test_asks": Outcome.PASSED,
        "test_hangs": Outcome.GAP,
        "test_ends_slowly": Outcome.GAP,
        "test_races[True]": Outcome.PASSED,
        "test_races[False]": Outcome.GAP,
        "test_features": Outcome.PASSED,
    }, told.log


def test_a_gap_of_one_executor_is_its_matter(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.known_gap('r', executor='codex', version='0.169.0')\n"
        "def test_a(): pass\n"
    )
    (found,) = read_gaps([tmp_path])
    assert (found.owner, found.problems, found.warnings) == ("codex", (), ())

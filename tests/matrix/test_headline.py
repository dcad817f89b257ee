"""The sentence that a report begins with."""

import pytest

from harness.matrix.model import Case, CellKey, CellStatus, Outcome, Results
from harness.matrix.report.headline import headline
from tests.matrix.samples import case, cell, key, results, sample_results


def gaps(number: int, owner: str) -> list[Case]:
    return [
        case(f"test_gap[{owner}-{part}]", Outcome.GAP, reason="known", owner=owner) for part in range(number)
    ]


FAILED = case("test_a", Outcome.FAILED)
ERROR = case("test_b", Outcome.ERROR)
FINE = case("test_c")
OTHER = CellKey("local", "codex", "3.11", "path")
AWAY = cell(key("docker"), status=CellStatus.UNAVAILABLE)


@pytest.mark.parametrize(
    ("run", "tone", "text"),
    [
        pytest.param(results(cell(cases=[FINE])), "good", "Everything holds.", id="all-passed"),
        pytest.param(
            results(cell(key("wine-exec"), [*gaps(3, "wine"), FINE])),
            "good",
            "Everything holds; 3 known gaps, all of them wine's.",
            id="gaps-of-one-owner",
        ),
        pytest.param(
            results(cell(cases=[*gaps(2, "wine"), *gaps(1, "windows"), *gaps(1, "")])),
            "good",
            "Everything holds; 4 known gaps, of them 2 wine's, 1 windows' and 1 nobody's.",
            id="gaps-of-several",
        ),
        pytest.param(
            results(cell(cases=gaps(1, ""))), "good", "Everything holds; 1 known gap.", id="gap-of-nobody"
        ),
        pytest.param(
            results(cell(cases=[FINE]), cell(key("wine-exec"), [FAILED, FINE])),
            "bad",
            "1 failed in wine-exec; everything else holds.",
            id="failed-in-one-place",
        ),
        pytest.param(
            results(cell(cases=[FAILED]), cell(key("docker"), [FAILED, ERROR])),
            "bad",
            "2 failed and 1 ended in error (1 in local and 2 in docker); everything else holds.",
            id="failed-in-two-places",
        ),
        pytest.param(
            results(cell(cases=[FINE]), cell(key(python="3.13"), [ERROR])),
            "bad",
            "1 ended in error in local py3.13; everything else holds.",
            id="places-differ-by-python",
        ),
        pytest.param(
            results(cell(cases=[FINE], status=CellStatus.BROKEN)),
            "bad",
            "Path in local could not be run to the end; everything else holds.",
            id="broken",
        ),
        pytest.param(
            results(cell(cases=[FINE]), AWAY),
            "warn",
            "Everything holds, but docker is unavailable.",
            id="away",
        ),
        pytest.param(results(AWAY), "warn", "Nothing was run: docker is unavailable.", id="all-away"),
        pytest.param(results(), "warn", "Nothing was run.", id="nothing"),
        pytest.param(
            results(cell(cases=[FINE]), failures=("docker was named, and is unavailable.",)),
            "bad",
            "Every case that was run holds, yet the run fails: docker was named, and is unavailable.",
            id="other-failure",
        ),
        pytest.param(
            results(cell(cases=[FINE, case("test_d", Outcome.FLAKY)])),
            "warn",
            "Everything holds, but 1 case was flaky.",
            id="flaky",
        ),
        pytest.param(
            results(cell(cases=[FINE], status=CellStatus.INTERRUPTED), interrupted=True),
            "warn",
            "Interrupted after 1 case, none of which failed.",
            id="interrupted",
        ),
        pytest.param(
            results(cell(cases=[FAILED], status=CellStatus.INTERRUPTED), interrupted=True),
            "bad",
            "1 failed in local; interrupted before the end.",
            id="interrupted-with-a-failure",
        ),
        pytest.param(
            results(cell(cases=[FINE, *gaps(1, "wine")]), cell(OTHER, required=False, cases=[FAILED, ERROR])),
            "warn",
            "Everything that is required holds; beside that, 1 failed and 1 ended in error in local codex; "
            "1 known gap, wine's.",
            id="beside-what-is-required",
        ),
        pytest.param(
            results(
                cell(cases=[ERROR]), cell(OTHER, required=False, cases=[FAILED], status=CellStatus.BROKEN)
            ),
            "bad",
            "1 ended in error in local python; beside what is required, 1 failed in local codex; path in "
            "local codex could not be run to the end; everything else holds.",
            id="both",
        ),
        pytest.param(
            results(
                cell(OTHER, required=False, cases=[FAILED]),
                failures=("docker was named, and is unavailable.",),
            ),
            "bad",
            "Every case that is required holds, yet the run fails: docker was named, and is unavailable.",
            id="beside-another-failure",
        ),
        pytest.param(
            results(
                cell(OTHER, required=False, cases=[FAILED], status=CellStatus.INTERRUPTED), interrupted=True
            ),
            "warn",
            "Interrupted after 1 case; beside what is required, 1 failed in local.",
            id="interrupted-beside-what-is-required",
        ),
    ],
)
def test_the_sentence_answers(run: Results, tone: str, text: str) -> None:
    assert headline(run) == (tone, text)


def test_a_run_with_everything_wrong_is_told_in_the_order_of_weight() -> None:
    assert headline(sample_results()).text == (
        "1 failed and 1 ended in error in wine-exec; process in wine-exec could not be run to the end; "
        "everything else holds, but docker is unavailable."
    )

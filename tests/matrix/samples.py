"""Results as a run of the matrix might have come to them, for tests of what is made of results."""

from __future__ import annotations

from collections.abc import Sequence

from harness.matrix.model import Case, Cell, CellKey, CellStatus, Details, Outcome, Results

HOSTILE = (
    'a </script><img src=x onerror=alert(1)> & "quotes" \x00 \x1b[31mred\x1b[0m \u202edlrow\u202c '
    "\ufffe 😀 `a|b`"
)
"""Text that each format of a report has to take as text."""

TRANSCRIPT = """\
0.001 -> {"jsonrpc":"2.0","id":1,"method":"process/start","params":{"argv":["printf","a<b"]}}
0.004 <- {"jsonrpc":"2.0","id":1,"result":{"processId":"p1"}}
0.009 <- {"jsonrpc":"2.0","method":"process/exited","params":{"processId":"p1","exitCode":1}}"""

FAILURE = """\
    def test_a_name(name: str) -> None:
>       assert written == name
E       AssertionError: assert 'a b' == 'a  b'
E         - a  b
E         ?  -
E         + a b

suites/path/test_names.py:31: AssertionError"""

VERSIONS = {
    "local": {
        "executor": "crossexec 0.1.0",
        "python": "3.11.2",
        "kernel": "Linux 6.1.0",
        "shell": "bash 5.2.15",
    },
    "docker": {
        "executor": "crossexec 0.1.0",
        "python": "3.13.1",
        "kernel": "Linux 6.1.0",
        "image": "sha256:0f3c",
    },
    "wine-exec": {
        "executor": "crossexec 0.1.0",
        "python": "3.13.1",
        "wine": "wine-8.0 (Debian 8.0~repack-4)",
    },
}


def key(environment: str = "local", suite: str = "path", *, python: str = "3.11", shard: str = "") -> CellKey:
    return CellKey(environment, "python", python, suite, shard)


def case(name: str, outcome: Outcome = Outcome.PASSED, *, suite: str = "path", **more: object) -> Case:
    """One case; *name* is that of its function, with its parameters or without."""
    values: dict[str, object] = {"test": f"suites/{suite}/test_names.py::{name}", "seconds": 0.01, **more}
    if outcome.is_bad and "reason" not in values:
        values["reason"] = "AssertionError: assert 'a b' == 'a  b'"
    if outcome.is_bad or outcome == Outcome.FLAKY:
        values.setdefault("details", Details(FAILURE, TRANSCRIPT, {"Captured stdout call": "written\n"}))
    if outcome == Outcome.FLAKY:
        values.setdefault("tries", 2)
    return Case(outcome=outcome, **values)  # type: ignore[arg-type]


def cell(
    where: CellKey | None = None,
    cases: Sequence[Case] = (),
    status: CellStatus = CellStatus.FINISHED,
    **more: object,
) -> Cell:
    where = where or key()
    ran = status in (CellStatus.FINISHED, CellStatus.INTERRUPTED)
    values: dict[str, object] = {
        "seconds": 1.5 if ran else 0.0,
        "workers": 2 if ran else 0,
        "rerun": ("pytest", f"--env={where.environment}", f"suites/{where.suite}"),
        "versions": VERSIONS.get(where.environment, {}) if ran else {},
        **more,
    }
    return Cell(where, status, tuple(cases), **values)  # type: ignore[arg-type]


def results(*cells: Cell, **more: object) -> Results:
    values: dict[str, object] = {
        "started": "2026-03-01T12:00:00Z",
        "seconds": 75.0,
        "command": ("--env=local,docker,wine-exec",),
        "commit": "c255279d4b1a",
        "machine": {"kernel": "Linux 6.1.0", "distribution": "Debian 12", "python": "3.11.2", "cores": "2"},
        **more,
    }
    return Results(cells=cells, **values)  # type: ignore[arg-type]


def sample_results() -> Results:
    """A small run with every outcome and every status in it, and with hostile texts."""
    gap = {"reason": "a trailing space of a file's name is lost", "owner": "wine"}
    linked = {**gap, "issue": "https://bugs.winehq.org/show_bug.cgi?id=12345"}
    return results(
        cell(
            key("local"),
            [
                case("test_a_name[blank]"),
                case("test_a_name[dots]"),
                case("test_drives", Outcome.SKIPPED, reason="the environment is not Windows"),
            ],
        ),
        cell(
            key("local", "process"),
            [case("test_exit_code[3]", suite="process"), case("test_output", Outcome.FLAKY, suite="process")],
        ),
        cell(
            key("docker"),
            status=CellStatus.UNAVAILABLE,
            reason="no Docker daemon answers",
            remedy="start dockerd",
        ),
        cell(
            key("docker", "process"),
            status=CellStatus.UNAVAILABLE,
            reason="no Docker daemon answers",
            remedy="start dockerd",
        ),
        cell(
            key("wine-exec"),
            [
                case("test_a_name[blank]", Outcome.FAILED),
                case("test_a_name[dots]", Outcome.GAP, **gap),
                case("test_a_name[" + HOSTILE.replace("\x00", "\\x00") + "]", Outcome.GAP, **linked),
                case("test_drives", Outcome.ERROR, reason=HOSTILE, details=Details(HOSTILE, HOSTILE)),
            ],
            variables={"WINEDEBUG": "-all"},
            rerun=("pytest", "--env=wine-exec", "--wine=/opt/my wine/bin/wine", "suites/path"),
        ),
        cell(
            key("wine-exec", "process"),
            [case("test_exit_code[3]", suite="process")],
            CellStatus.BROKEN,
            reason="pytest ended with exit status 3 after 1 of 2 cases; the log ends: killed",
        ),
        failures=("environment docker was named, and this machine cannot give it",),
    )


def large_results(environments: int = 3, tests: int = 2000) -> Results:
    """As many environments with as many cases each, four suites, functions of 20 parameters; a few fail."""
    suites = ("filesystem", "path", "process", "shell")
    names = (
        "local",
        "docker",
        "wine-exec",
        *(f"wss://host{n}:9000/" for n in range(max(0, environments - 3))),
    )
    cells = []
    for place, environment in enumerate(names[:environments]):
        for part, suite in enumerate(suites):
            cases = [
                _numbered(number, place, environment, suite) for number in range(part, tests, len(suites))
            ]
            seconds = sum(entry.seconds for entry in cases)
            cells.append(cell(key(environment, suite), cases, seconds=round(seconds / 2 + 3, 3)))
    return results(*cells, seconds=240.0)


def _numbered(number: int, place: int, environment: str, suite: str) -> Case:
    function = number // 80
    test = (
        f"suites/{suite}/test_part_{function % 5}.py"
        f"::test_what_must_be_true_number_{function}[parameters-{number}]"
    )
    # Spread as in life, and the same each time: most of it in few functions.
    seconds = round(0.004 * (1 + place) * (1 + (function * 7) % 31), 4)
    if place and number % 997 == place:
        details = Details(FAILURE, "\n".join([TRANSCRIPT] * 20), {"Captured log call": "WARNING late\n" * 5})
        return Case(test, Outcome.FAILED, seconds, "AssertionError: assert 'a b' == 'a  b'", details=details)
    if environment == "wine-exec" and number % 19 == 0:
        reason = f"way {function % 12} in which a program sees its console differs"
        return Case(test, Outcome.GAP, seconds, reason, owner="wine", details=Details(FAILURE))
    if number % 41 == 0:
        return Case(test, Outcome.SKIPPED, 0.0, "the environment is not Windows")
    if number % 883 == 1:
        return Case(
            test, Outcome.FLAKY, seconds, "TimeoutError", tries=2, details=Details(FAILURE, TRANSCRIPT)
        )
    return Case(test, Outcome.PASSED, seconds)

"""Our executor replies as the released one did when it was recorded, but for what is listed as different."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from harness.executor_kinds import OWN, PEER
from tests.compat.peer import LIMIT_SECONDS
from tests.compat.record import PLATFORMS, Platform, Recorder, recorder
from tests.compat.scripts import THREAD, Script
from tests.compat.shapes import mismatches
from tests.compat.steps import Ask, Came, Json, Recording, Say

# Of the recorded fields, those that a client can do without.
OPTIONAL = {"providerId", "prependPathDirs", "temporaryDirectories"}
# Fields of ours besides.
OWN_FIELDS = {"sandboxBackend", "sessionRetentionMs", "consoleCodePage", "speedUps"}
# Capabilities of ours that the released executor has not.
EXTENSIONS = {"processCloseStdin", "processResize", "processAcknowledge", "sessionResume", "sandbox"}


def differences(recorded: Came, found: Came) -> list[str]:
    """Tells how the reply to a step is not as recorded."""
    capabilities = {key for each in _dicts(recorded.reply) for key in each.get("capabilities", {})}
    return mismatches(recorded.reply, found.reply, OPTIONAL | capabilities, OWN_FIELDS | EXTENSIONS)


def _dicts(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _dicts(each)


def compare(recorded: Recording, found: Recording) -> dict[str, list[str]]:
    """Returns what differs and should not, and what does not and should, by the step."""
    wrong: dict[str, list[str]] = {}
    excused: set[str] = set()
    for was, now in zip(recorded.steps, found.steps, strict=True):
        if not isinstance(was.step, Ask | Say):
            continue
        differing = differences(was, now)
        name = json.dumps(was.to_json(), ensure_ascii=False)
        process_id = _process_id(was.step)
        if was.step.differs is None:
            if differing:
                wrong[name] = differing
        else:
            if process_id is not None:
                excused.add(process_id)
                differing += _told_differences(recorded, found, process_id)
            if not differing:
                wrong[name] = ["listed as different, and is not"]
    for process_id in (recorded.told.keys() | found.told.keys()) - excused:
        if differing := _told_differences(recorded, found, process_id):
            wrong[f"told of {process_id!r}"] = differing
    return wrong


def _process_id(step: Ask | Say) -> str | None:
    """Of a process that the step may have started."""
    return step.params.get("processId") if isinstance(step, Ask) and step.method == "process/start" else None


def _told_differences(recorded: Recording, found: Recording, process_id: str) -> list[str]:
    return mismatches(recorded.told.get(process_id), found.told.get(process_id), set(), set())


@pytest.fixture(scope="module")
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


@pytest.fixture(scope="module")
def ours(platform: Platform) -> Iterator[Recorder]:
    available = platform.place(OWN).available()
    if not available:
        pytest.skip(f"{platform.environment}: {available}")
    with recorder(platform, OWN) as found:
        yield found


@pytest.fixture(scope="module")
def released(platform: Platform) -> Iterator[Recorder]:
    available = platform.released()
    if not available:
        pytest.skip(str(available))
    with recorder(platform, PEER) as found:
        yield found


def each_script(*platforms: str) -> pytest.MarkDecorator:
    found = [
        pytest.param(
            platform,
            script,
            id=f"{platform.name}-{script.__name__}",
            marks=pytest.mark.timeout(platform.seconds + LIMIT_SECONDS),
        )
        for platform in map(PLATFORMS.__getitem__, platforms)
        for script in platform.scripts
    ]
    return pytest.mark.parametrize(("platform", "script"), found, scope="module", indirect=["platform"])


@each_script("linux", "windows")
def test_our_executor_replies_as_recorded(ours: Recorder, platform: Platform, script: Script) -> None:
    recorded = platform.recorded(script.__name__)
    found = compare(recorded, ours.play(script.__name__, [came.step for came in recorded.steps]))
    assert not found, "\n".join(f"{step}\n    {difference}" for step, difference in found.items())


# Under Wine it would take too long, for what changes with the version alone.
@each_script("linux")
def test_the_released_one_still_replies_as_recorded(
    released: Recorder, platform: Platform, script: Script
) -> None:
    found = "".join(f"{line}\n" for line in released.record(script).to_lines())
    assert found == platform.file(script.__name__).read_text("utf-8"), "see python -m tests.compat.record"


@pytest.mark.parametrize("name", PLATFORMS)
def test_recordings_tell_nothing_of_a_machine(name: str) -> None:
    platform = PLATFORMS[name]
    text = "".join(platform.file(script.__name__).read_text("utf-8") for script in platform.scripts)
    assert re.findall(
        r"crossexec-[0-9a-f]+|/home/|/root|C:.{1,2}users|sha256|/codex|[0-9a-f]{8}-[0-9a-f]{4}", text
    ) == [THREAD[:13]] * text.count(THREAD)


def test_a_recording_is_read_as_it_was_written() -> None:
    platform = PLATFORMS["linux"]
    for script in platform.scripts:
        lines = platform.file(script.__name__).read_text("utf-8").splitlines()
        assert list(Recording.from_lines(lines).to_lines()) == lines

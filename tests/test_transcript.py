"""What is kept of the messages of a test, and how it is shown: short, without secrets, only when it fails."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from fixtures.wire import Wire
from harness.client import connect_stdio
from harness.client.redact import LINE_LENGTH, message_line
from harness.client.sync import blocking_context, sync_client
from harness.client.transcript import MAX_MESSAGE_BYTES, MAX_MESSAGES, MAX_TEXT_BYTES, Transcript, recording
from harness.environments import Running
from harness.environments.local import LocalEnvironment

pytest_plugins = ["pytester"]

_ROOT = Path(__file__).resolve().parent.parent
_LOAD = [] if entry_points(group="pytest11", name="crossexec") else ["-p", "fixtures.plugin"]
SECRET = "hunter2-of-the-test"


def shown(message: Any) -> str:
    return message_line(json.dumps(message).encode())


def request(id: int, **params: Any) -> bytes:
    return json.dumps({"id": id, "method": "x/y", "params": params}).encode()


@pytest.mark.parametrize(
    "params",
    [
        {"env": {"HARMLESS": SECRET}},
        {"env": [f"HARMLESS={SECRET}"]},
        {"envPolicy": {"inherit": "core", "set": {"HARMLESS": SECRET}}},
        {"apiKey": SECRET},
        {"nested": [{"Client-Secret": SECRET}]},
        {"access_token": [SECRET]},
        {"argv": ["tool", "--token", SECRET]},
        {"argv": ["sh", "-c", f"export AWS_SECRET_ID={SECRET}; run"]},
        {"argv": ["sh", "-c", f"API_KEY='a {SECRET}' run"]},
        {"url": f"https://user:{SECRET}@example.org/x"},
        {"url": f"https://example.org/x?token={SECRET}&y=1"},
        {"text": "x" * 1000 + f" TOKEN={SECRET}"},
    ],
    ids=json.dumps,
)
def test_secrets_are_left_out(params: dict[str, Any]) -> None:
    line = shown({"id": 1, "method": "process/start", "params": params})
    assert "hunter2" not in line
    assert re.search(r"<\d+ characters>|<hidden>", line)
    assert line.startswith('{"id":1,"method":"process/start"')


def test_names_of_variables_and_lengths_of_values_stay() -> None:
    assert (
        shown({"env": {"A": "xyz", "B_KEY": ""}}) == '{"env":{"A":"<3 characters>","B_KEY":"<0 characters>"}}'
    )


@pytest.mark.parametrize("text", [f'{{"env":{{"A":"{SECRET}"', f"{{'API_TOKEN': '{SECRET}'"])
def test_a_broken_message_that_may_hold_secrets_is_not_shown(text: str) -> None:
    for message in (text, text.encode(), text.encode() + b"\xff"):
        assert "hunter2" not in message_line(message)


def test_what_is_no_json_is_shown_as_it_is() -> None:
    assert message_line(b"{nonsense\n\x1b[31m") == "(not JSON, 15 bytes) {nonsense\\u000a\\u001b[31m"
    assert message_line("[" * 100_000).startswith("(nested too deeply, 100000 characters) [[[")


def test_a_long_string_keeps_its_ends_and_a_path_is_whole() -> None:
    data, path = "A" * 500 + "B" * 500, "file:///" + "d/" * 100
    line = shown({"dataBase64": data, "path": path})
    assert re.fullmatch(r'\{"dataBase64":"A+…<1000 characters>…B+","path":"(.*)"\}', line)
    assert path in line
    assert shown({"cwd": "C:\\" + "d\\" * 80}) == json.dumps(
        {"cwd": "C:\\" + "d\\" * 80}, separators=(",", ":")
    )


def test_a_line_is_one_short_printable_line() -> None:
    line = shown({"names": ["é\u2028\u202e🚀\x9b\x00\ud83d"] * 200})
    assert len(line) <= LINE_LENGTH
    assert line.startswith('{"names":["é\\u2028\\u202e🚀\\u009b\\u0000\\ud83d",') and line.endswith('"]}')
    assert line.isprintable() and line.encode()


def test_the_newest_messages_stay_and_the_rest_is_counted() -> None:
    transcript = Transcript()
    tap = transcript.tap()
    for number in range(1000):
        tap.sent(request(number))
    first, *lines = transcript.text().splitlines()
    assert first == f"({1000 - len(lines)} earlier messages dropped)"
    assert len(lines) == MAX_MESSAGES
    assert [json.loads(line.partition("-> ")[2])["id"] for line in lines] == list(range(800, 1000))


def test_the_text_has_its_size_at_most() -> None:
    transcript = Transcript()
    tap = transcript.tap()
    for number in range(MAX_MESSAGES):
        tap.received(request(number, text=["é" * 100] * 3))
    text = transcript.text()
    first, *lines = text.splitlines()
    assert MAX_TEXT_BYTES - 1000 < len(text.encode()) <= MAX_TEXT_BYTES
    assert first == f"({MAX_MESSAGES - len(lines)} earlier messages dropped)"
    assert '"id":199' in lines[-1]
    assert max(map(len, lines)) <= 400


def test_of_a_large_message_only_what_it_is_about_is_kept() -> None:
    transcript = Transcript()
    tap = transcript.tap()
    data = "A" * 1_000_000
    env = {"path": SECRET, "seq": SECRET}
    tap.sent(json.dumps({"id": 7, "method": "process/start", "params": {"env": env, "x": data}}).encode())
    tap.received(json.dumps({"id": "seven", "result": {"text": f'"path":"{SECRET}"', "chunk": data}}))
    output = {"processId": "p1", "seq": 12, "stream": "stdout", "chunk": data}
    tap.received(json.dumps({"method": "process/output", "params": output}, separators=(",", ":")).encode())
    tap.received(b"[" + data.encode())
    assert re.sub(r"(?m)^ +[\d.]+ | of 1,0\d\d,\d\d\d", "", transcript.text()).splitlines() == [
        '-> ("id": 7,"method": "process/start" bytes, too large to keep)',
        '<- ("id": "seven" characters, too large to keep)',
        '<- ("method":"process/output","processId":"p1","seq":12,"stream":"stdout" bytes, too large to keep)',
        "<- (a message bytes, too large to keep)",
    ]


def test_a_stream_is_not_held() -> None:
    transcript = Transcript()
    tap = transcript.tap()
    for size in (MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1):
        chunks = [os.urandom(size) for _ in range(2 * MAX_MESSAGES)]
        before = list(map(sys.getrefcount, chunks))
        deque(map(tap.received, chunks), maxlen=0)
        held = [now > then for now, then in zip(map(sys.getrefcount, chunks), before, strict=True)]
        assert sum(held) == (MAX_MESSAGES if size == MAX_MESSAGE_BYTES else 0)


def test_a_test_has_its_own_messages_only() -> None:
    transcript = Transcript()
    old, new = transcript.tap(), transcript.tap()
    old.sent(request(1))
    transcript.begin()
    assert transcript.text() == ""
    old.sent(request(2))
    assert re.fullmatch(r' +0\.\d{3} -> \{"id":2,.*', transcript.text())
    new.noted("lost")
    assert [line.split()[1:3] for line in transcript.text().splitlines()] == [["1", "->"], ["2", "--"]]


def test_threads_may_feed_it_at_once() -> None:
    transcript = Transcript()

    def feed(_: int) -> None:
        tap = transcript.tap()
        for number in range(500):
            tap.sent(request(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(feed, range(8)))
    assert transcript.text().startswith(f"({8 * 500 - MAX_MESSAGES:,} earlier messages dropped)\n")


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    with blocking_context(LocalEnvironment().start()) as running:
        yield running


def directions(transcript: Transcript) -> list[str]:
    return re.findall(r"^ +[\d.]+ (\d (?:->|<-|--)) ", transcript.text(), re.MULTILINE)


def test_every_kind_of_client_is_recorded(up: Running) -> None:
    transcript = Transcript()
    serve = [sys.executable, "-m", "executors", "--listen", "stdio"]
    with recording(transcript):
        with sync_client(up.connect()) as client:
            client.call(ENVIRONMENT_STATUS, Empty())
        with Wire(up.url) as wire:
            wire.send_fragments('{"id":1,"method":', '"initialize","params":{"clientName":"w"}}')
            wire.receive()
        with sync_client(connect_stdio(serve)):
            pass
    with sync_client(up.connect()):
        pass
    first, second, third = (
        [way[2:] for way in directions(transcript) if way[0] == number] for number in "123"
    )
    assert first == ["->", "<-", "->", "->", "<-", "--"]
    assert second == ["->", "<-"]
    assert third == ["->", "<-", "->", "--"]
    assert '2 -> {"id":1,"method":"initialize","params":{"clientName":"w"}}' in transcript.text()


def test_the_end_of_a_connection_is_told(up: Running) -> None:
    transcript = Transcript()
    with recording(transcript), Wire(up.url) as wire:
        wire.send(b"\x00" * (65 * 1024 * 1024))
        assert wire.closed()[0] == 1009
    assert "(a message of 68,157,440 bytes, too large to keep)" in transcript.text()
    assert re.search(r" -- closed: .*1009", transcript.text())


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("CROSSEXEC_ENV", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)

    def run(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*_LOAD, "-p", "no:cacheprovider", *args)

    return run


_OUTCOMES = """
    import pytest

    def test_passes(shell):
        shell.run(shell.echo("of the one that passes"))

    def test_fails(shell, wire):
        shell.run(shell.echo("of the one that fails"), env={"PASS": "hunter2"})
        wire.request("environment/status", {})
        assert False

    @pytest.mark.known_gap(reason="r")
    def test_gap(client):
        client.run(["sh", "-c", "of the gap"])
        assert False

    def test_skips(client):
        client.run(["sh", "-c", "of the one that skips"])
        pytest.skip("r")

    @pytest.fixture
    def broken(client):
        client.run(["sh", "-c", "of the set-up"])
        yield
        client.run(["sh", "-c", "of the tear-down"])
        raise RuntimeError

    def test_of_the_fixture(broken):
        pass

    def test_without_a_client():
        assert False
"""


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["alone", "xdist"])
def test_a_failure_comes_with_its_messages(run: Run, workers: list[str]) -> None:
    result = run(_OUTCOMES, "--xfail-tb", "--env=local", *workers)
    result.assert_outcomes(passed=2, failed=2, xfailed=1, skipped=1, errors=1)
    text = result.stdout.str()
    told = [part.partition("\n_")[0] for part in re.split(r"-+ wire transcript -+\n", text)[1:]]
    assert len(told) == 3
    (failed,) = (part for part in told if "of the one that fails" in part)
    (gap,) = (part for part in told if "of the gap" in part)
    (broken,) = (part for part in told if "of the tear-down" in part)
    assert '"env":{"PASS":"<7 characters>"}' in failed and "hunter2" not in failed
    assert '2 -> {"id":2,"method":"environment/status","params":{}}' in failed
    assert "of the set-up" in broken and "of the" not in gap.replace("of the gap", "")
    assert "of the one that passes" not in text and "of the one that skips" not in text

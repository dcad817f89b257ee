"""What a speed-up does is done alike without it, and it is told which are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors import speedups
from executors.protocol import base64_plain
from executors.speedups import PICOWS, PYBASE64, Use
from tests.support.launch import ROOT, Executor

ALPHABET = "QRAz019+/"


def outcome(decode: object, text: bytes | str) -> object:
    try:
        return decode(text)  # type: ignore[operator]
    except ValueError as error:
        return str(error)


@given(st.binary(max_size=200))
def test_base64_is_encoded_alike(data: bytes) -> None:
    simd = pytest.importorskip("executors.protocol.base64_simd")
    assert base64_plain.encode(data) == simd.encode(data)
    assert base64_plain.decode(simd.encode(data)) == data
    assert base64_plain.decode(memoryview(simd.encode(data))) == data


@given(
    st.text(ALPHABET, max_size=12),
    st.sampled_from(["", "=", "==", "===", "====", "\n", " ", "-", "=A", "==QQ==", "\u00e9", "\0"]),
    st.text(ALPHABET, max_size=4),
)
def test_the_same_base64_is_refused_in_the_same_words(start: str, middle: str, end: str) -> None:
    simd = pytest.importorskip("executors.protocol.base64_simd")
    text = start + middle + end
    assert outcome(base64_plain.decode, text) == outcome(simd.decode, text)
    assert outcome(base64_plain.decode, text.encode()) == outcome(simd.decode, text.encode())


def told(*, environ: dict[str, str], missing: str = "") -> list[str]:
    """Returns what a process tells of the speed-ups, in which *missing* cannot be found."""
    code = (
        f"import sys; sys.modules.update({{name: None for name in {missing.split()!r}}})\n"
        "from executors import speedups\n"
        "from executors.protocol import base64\n"
        "from executors.transport.websocket import implementation\n"
        "from harness.client import links\n"
        "print(*map(speedups.use_of, speedups.SPEED_UPS), sep='; ')\n"
        "print(base64.encode.__module__, implementation().__name__, links.implementation().__name__)\n"
        "print(*sorted({'picows', 'pybase64', 'websockets'} & {n for n, m in sys.modules.items() if m}))\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != speedups.VARIABLE}
    kept["PYTHONPATH"] = str(ROOT)
    ended = subprocess.run(
        [sys.executable, "-c", code], env=kept | environ, capture_output=True, text=True, check=True
    )
    return ended.stdout.splitlines()


PLAIN = [
    "executors.protocol.base64_plain executors.transport.websocket_plain harness.client.links_plain",
    "websockets",
]


@pytest.mark.parametrize("value", ["", "0"])
def test_what_is_installed_is_used(value: str) -> None:
    pytest.importorskip("picows")
    pytest.importorskip("pybase64")
    assert told(environ={speedups.VARIABLE: value}) == [
        "in use; in use",
        "executors.protocol.base64_simd executors.transport.websocket_picows harness.client.links_picows",
        "picows pybase64",
    ]


def test_what_is_switched_off_is_not_even_loaded() -> None:
    assert told(environ={speedups.VARIABLE: "1"}) == ["switched off; switched off", *PLAIN]


def test_what_is_not_installed_is_done_without() -> None:
    # None in sys.modules is how Python itself says that a module is not there.
    assert told(environ={}, missing="picows pybase64") == ["not installed; not installed", *PLAIN]


def test_what_cannot_be_loaded_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_speedup.py").write_text("raise ImportError('for another machine')\n")
    (tmp_path / "needy_speedup.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(speedups.VARIABLE, raising=False)
    for name in ("broken_speedup", "needy_speedup"):
        assert speedups.use_of(speedups.SpeedUp(name, "", "")) is Use.BROKEN
    assert speedups.use_of(speedups.SpeedUp("nowhere_speedup", "", "")) is Use.MISSING


@pytest.mark.parametrize("plain", [False, True])
def test_an_executor_tells_which_it_uses(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(speedups.VARIABLE, "1" if plain else "")
    with Executor() as executor, executor.client() as client:
        expected = [] if plain else [each.name for each in (PICOWS, PYBASE64) if speedups.is_used(each)]
        assert client.call("environment/info")["speedUps"] == expected

"""Intents at random, over a workspace whose links lead out of it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.sandbox import repository
from executors.sandbox.binder import Binder
from tests.fuzz.fuzz_intents import NAMES, ROOT, ROOT_WRITE, SEEDS, target
from tests.support.intents import at, intent, pattern, special

if sys.platform == "win32":
    pytest.skip("lays out links of POSIX", allow_module_level=True)

accesses = st.sampled_from(["read", "write", "deny", "none"])
in_workspace = st.builds(
    lambda name, access, skips: (
        special("project_roots", access, subpath=name) | ({"missing_path_behavior": "skip"} if skips else {})
    ),
    st.sampled_from(NAMES),
    accesses,
    st.booleans(),
)
anywhere = st.one_of(
    in_workspace,
    st.builds(at, st.sampled_from([f"@/ws/{name}" for name in (*NAMES, "../secret")]), accesses),
    st.builds(at, st.text(max_size=12).map(lambda text: f"file:///{text}"), accesses),
    st.builds(
        special,
        st.sampled_from(["root", "minimal", "current_working_directory", "tmpdir", "slash_tmp", "unknown"]),
        accesses,
        subpath=st.none() | st.text(max_size=5),
    ),
    st.builds(pattern, st.text(alphabet="~@/*?[]!{}a.\\\0\u00e9", max_size=12)),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def encoded(sandbox: Any) -> bytes:
    return json.dumps(sandbox).encode()


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_seeds(seed: bytes) -> None:
    target(seed)
    for end in range(0, len(seed), 7):
        target(seed[:end] + seed[end + 1 :])


@given(st.lists(in_workspace, max_size=5))
def test_no_entry_in_a_workspace_gives_access_outside(entries: list[Any]) -> None:
    target(encoded(intent(ROOT_WRITE, *entries, **ROOT)))


@given(st.lists(anywhere, max_size=5), st.booleans())
def test_entries_of_every_kind(entries: list[Any], with_root: bool) -> None:
    target(encoded(intent(*entries, **(ROOT if with_root else {}))))


@given(st.data())
def test_a_field_of_another_value(data: st.DataObject) -> None:
    asked = intent(ROOT_WRITE, special("project_roots", "read", subpath=".git"), pattern("*"), **ROOT)
    asked = json.loads(json.dumps(asked))
    holder: Any = asked
    while True:
        key = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        if not isinstance(holder[key], dict | list) or data.draw(st.booleans()):
            break
        holder = holder[key]
    holder[key] = data.draw(values)
    target(encoded(asked))


@given(st.binary(max_size=30))
def test_bytes(data: bytes) -> None:
    target(data)


def test_the_target_sees_access_that_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Binder, "_check_unsure", lambda self: None)
    with pytest.raises(AssertionError, match="secret"):
        target(encoded(intent(ROOT_WRITE, special("project_roots", "write", subpath="out"), **ROOT)))


def test_the_target_sees_an_error_that_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("a fault")

    monkeypatch.setattr(repository, "kind", broken)
    with pytest.raises(OSError, match="a fault"):
        target(encoded(intent(ROOT_WRITE, **ROOT)))

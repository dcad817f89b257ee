"""Lines of the stdio transport, and their limits."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.transport.stdio import LineSplitter

texts = st.lists(
    st.sampled_from([b"{}", b"\n", b"\r\n", b" ", b"\t", b"abc", b"\n\n", b"\xff"]), max_size=30
).map(b"".join)


@given(texts, st.lists(st.integers(0, 80), max_size=10))
def test_any_chunking_gives_the_same_lines(text: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter(1000)
    edges = sorted(min(cut, len(text)) for cut in [0, *cuts, len(text)])
    found: list[bytes] = []
    for start, end in itertools.pairwise(edges):
        found += splitter.feed(text[start:end])
    assert found == [line for line in text.split(b"\n")[:-1] if line.strip()]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=10), st.integers(1, 40))
def test_the_limit_counts_each_line_alone(sizes: list[int], chunk: int) -> None:
    text = b"".join(b"x" * size + b"\n" for size in sizes)
    splitter = LineSplitter(max(sizes))
    found: list[bytes] = []
    for at in range(0, len(text), chunk):
        found += splitter.feed(text[at : at + chunk])
    assert [len(line) for line in found] == sizes


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("text", [b"x" * 11, b"x" * 11 + b"\n", b"ok\n" + b"x" * 11 + b"\nok\n"])
def test_a_line_over_the_limit_is_refused(text: bytes, chunk: int) -> None:
    splitter = LineSplitter(10)
    with pytest.raises(ValueError, match="line of more than 10 bytes"):
        for at in range(0, len(text), chunk):
            splitter.feed(text[at : at + chunk])

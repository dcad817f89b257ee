"""The record of a process: numbering, retention, reading in pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from executors.process.output_log import Chunk, OutputLog
from executors.protocol.processes import Stream
from executors.server.managed_process import ManagedProcess

STREAMS: list[Stream] = ["stdout", "stderr", "pty"]
outputs = st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=40)), max_size=40)
limits = st.integers(1, 200)


def filled(pieces: list[tuple[Stream, bytes]], limit: int) -> tuple[OutputLog, list[Chunk]]:
    log = OutputLog(limit)
    return log, [Chunk(log.append(stream, data), stream, data) for stream, data in pieces]


@given(outputs, limits)
def test_numbers_are_contiguous_from_1_over_output_exit_and_close(
    pieces: list[tuple[Stream, bytes]], limit: int
) -> None:
    log, chunks = filled(pieces, limit)
    numbers = [chunk.seq for chunk in chunks] + [log.mark_exited(3), log.mark_closed()]
    assert numbers == list(range(1, len(pieces) + 3))
    assert log.next_seq == len(pieces) + 3
    assert (log.exit_code, log.closed) == (3, True)


@given(outputs, limits)
def test_retains_the_newest_whole_chunks_up_to_the_limit(
    pieces: list[tuple[Stream, bytes]], limit: int
) -> None:
    log, chunks = filled(pieces, limit)
    kept = log.read(0, None)
    assert kept == chunks[len(chunks) - len(kept) :]
    size = sum(len(chunk.data) for chunk in kept)
    assert log.retained == size
    assert size >= min(limit, sum(len(data) for _, data in pieces))
    # Not one chunk more than the limit needs.
    assert not kept or size - len(kept[0].data) < limit


@given(outputs, limits, st.integers(0, 45), st.integers(0, 120))
def test_a_page_holds_at_least_one_chunk_and_no_more_than_asked(
    pieces: list[tuple[Stream, bytes]], limit: int, after: int, max_bytes: int
) -> None:
    log, _ = filled(pieces, limit)
    left = [chunk for chunk in log.read(0, None) if chunk.seq > after]
    page = log.read(after, max_bytes)
    assert page == left[: len(page)]
    assert bool(page) == bool(left) == log.has_output_after(after)
    size = sum(len(chunk.data) for chunk in page)
    assert size <= max_bytes or len(page) == 1
    if len(page) < len(left):
        assert size + len(left[len(page)].data) > max_bytes


@given(outputs, limits, st.integers(0, 120), st.booleans())
def test_paging_by_next_seq_loses_nothing(
    pieces: list[tuple[Stream, bytes]], limit: int, max_bytes: int, over: bool
) -> None:
    process = ManagedProcess("p", lambda _: None, lambda _: None)
    process.log, _ = log, _ = filled(pieces, limit)
    if over:
        log.mark_exited(0)
        log.mark_closed()
    found: list[int] = []
    after = 0
    while after < log.next_seq - 1:
        result = process.read_now(after, max_bytes)
        found += [chunk.seq for chunk in result.chunks]
        assert result.next_seq > after + 1, "no progress"
        after = result.next_seq - 1
    assert found == [chunk.seq for chunk in log.read(0, None)]


@given(outputs, st.integers(0, 45))
def test_every_event_counts_as_happened(pieces: list[tuple[Stream, bytes]], after: int) -> None:
    log, _ = filled(pieces, 50)
    assert log.happened_after(after) == (len(pieces) > after)
    log.mark_exited(0)
    assert log.happened_after(len(pieces))
    assert not log.happened_after(len(pieces) + 1)

"""The record of a process: numbering, retention, reading in pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from executors.process.output_log import Chunk, OutputLog
from executors.protocol.processes import Stream
from executors.server.managed_process import ManagedProcess
from executors.server.outlet import Outlet

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
    process = ManagedProcess("p", Outlet(), lambda _: None)
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


numbers = st.integers(-5, 60)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("output"), st.integers(1, 40)),
        st.tuples(st.just("acknowledge"), numbers),
        st.tuples(st.just("hold"), st.none()),
        st.tuples(st.just("let go"), st.none()),
    ),
    max_size=60,
)


@given(steps, limits)
def test_drops_nothing_that_the_client_may_not_know(steps: list[tuple[str, int | None]], limit: int) -> None:
    log = OutputLog(limit)
    every: list[Chunk] = []
    known: int | None = None
    for step, number in steps:
        if number is None:
            if step == "hold":
                log.hold()
                known = len(every) if known is None else known
            else:
                log.let_go()
                known = None
        elif step == "output":
            data = bytes(number)
            every.append(Chunk(log.append("stdout", data), "stdout", data))
        else:
            log.acknowledge(number)
            known = None if known is None else max(known, min(number, len(every)))
        kept = log.read(0, None)
        assert kept == every[len(every) - len(kept) :]
        held = [] if known is None else every[known:]
        assert len(kept) >= len(held)
        assert log.all_known == (not held)
        assert (log.held_memory > 0) == bool(held)
        # Besides, the newest up to the limit, and not one chunk more.
        size = sum(len(chunk.data) for chunk in kept)
        assert log.retained == size >= min(limit, sum(len(chunk.data) for chunk in every))
        assert len(kept) == len(held) or size - len(kept[0].data) < limit
        assert log.memory >= log.held_memory


def test_held_output_counts_with_what_its_pieces_cost() -> None:
    log = OutputLog()
    log.append("stdout", b"known")
    log.hold()
    assert (log.held_memory, log.all_known) == (0, True)
    for _ in range(1000):
        log.append("stdout", b"x")
    assert log.held_memory > 100_000
    assert log.tails(3) == [b"xxx"]
    log.acknowledge(501)
    assert 50_000 < log.held_memory < 100_000
    log.acknowledge(400)
    log.acknowledge(10**12)
    assert (log.held_memory, log.all_known) == (0, True)
    log.append("stdout", b"yet to come")
    assert not log.all_known, "an acknowledgement says nothing of what has not happened"


def test_exit_and_close_are_events_to_acknowledge() -> None:
    log = OutputLog()
    log.hold()
    log.append("stdout", b"x")
    log.mark_exited(0)
    log.acknowledge(2)
    assert log.all_known
    log.mark_closed()
    assert not log.all_known
    log.acknowledge(3)
    assert log.all_known

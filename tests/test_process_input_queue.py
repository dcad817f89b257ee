"""The queue before a process's stdin: order, room, end."""

from __future__ import annotations

import asyncio

import pytest

from executors.process.input_queue import HIGH_WATER_BYTES, InputQueue


@pytest.fixture
def queue() -> InputQueue:
    loop = asyncio.new_event_loop()
    try:
        return InputQueue(loop)
    finally:
        loop.close()


def test_order_is_kept_and_parts_may_be_taken(queue: InputQueue) -> None:
    assert not queue
    queue.put(memoryview(b"abc"))
    queue.put(memoryview(b"de"))
    queue.taken(2)
    assert bytes(queue.head) == b"c"
    queue.taken(1)
    assert bytes(queue.head) == b"de"
    queue.taken(2)
    assert not queue


def test_those_who_write_more_than_fits_wait_for_the_same_room(queue: InputQueue) -> None:
    assert queue.put(memoryview(bytes(HIGH_WATER_BYTES))) is None
    room = queue.put(memoryview(b"x"))
    assert room is not None
    assert queue.put(memoryview(b"y")) is room
    queue.taken(1)
    assert not room.done()
    queue.taken(1)
    assert room.done()
    again = queue.put(memoryview(b"zz"))
    assert again is not None and again is not room


def test_nobody_waits_for_what_is_dropped(queue: InputQueue) -> None:
    room = queue.put(memoryview(bytes(HIGH_WATER_BYTES + 1)))
    assert room is not None
    queue.clear()
    assert room.done() and queue.closing and not queue


def test_one_that_no_longer_waits_is_left_alone(queue: InputQueue) -> None:
    room = queue.put(memoryview(bytes(HIGH_WATER_BYTES + 1)))
    assert room is not None
    room.cancel()
    queue.clear()

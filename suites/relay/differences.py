"""What other executors do differently in the tests of the relay."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.needs_feature("close-stdin"),
        [
            "test_eavesdropper.py::test_nothing_that_was_said_can_be_found",
            "test_eavesdropper.py::test_the_same_said_twice_looks_different",
        ],
    ),
    (
        # More than 1 MiB is on its way when the stream ends.
        pytest.mark.needs_feature("acknowledge"),
        [
            "test_cuts.py::test_a_harness_s_line_is_cut_at_one_boundary_after_another[*-down]",
            "test_frames.py::test_an_altered_field_makes_a_frame_missed[*-harness]",
            "test_frames.py::test_a_flipped_bit_anywhere_changes_no_byte[*-harness]",
            "test_frames.py::test_a_frame_that_does_not_come_is_missed[*-harness]",
            "test_frames.py::test_a_frame_comes_late[65-2-harness]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a frame whose version or whose segments are none is dropped, and its stream waits for it",
            executor="codex",
            version="0.169.0",
            seconds=10,
            # Where enough comes after it, it is missed.
            sometimes=True,
        ),
        [
            f"test_frames.py::test_an_altered_field_ends_the_stream_and_no_more[{field}-executor]"
            for field in (
                *("version", "no version", "segment index", "segment count", "no segments"),
                "payload empty",
            )
        ],
    ),
    (
        pytest.mark.known_gap(
            "a stream ends when 64 records have come before one that is missing, not when 65 have",
            executor="codex",
            version="0.169.0",
        ),
        ["test_frames.py::test_a_frame_comes_late[64-1-executor]"],
    ),
    (
        pytest.mark.known_gap(
            "a first message without content is not answered at all", executor="codex", version="0.169.0"
        ),
        ["test_handshakes.py::test_an_altered_handshake_fails[UP-payload empty]"],
    ),
    (
        pytest.mark.known_gap(
            "a first message that comes again is not known: the registry is asked about it once more",
            executor="codex",
            version="0.169.0",
        ),
        ["test_handshakes.py::test_a_first_message_is_taken_once"],
    ),
    (
        pytest.mark.known_gap(
            "a handshake that the registry refuses with 401 counts as failed, of which eight shut the door",
            executor="codex",
            version="0.169.0",
            # Whether there have been eight is a matter of what ran before.
            sometimes=True,
        ),
        ["test_registry.py::*"],
    ),
)

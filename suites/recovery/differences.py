"""What other executors do differently in the tests of recovery."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.known_gap(
            "an interrupt ends the program, and no handler of it hears of that",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
            seconds=10,
        ),
        [
            "test_cuts.py::test_a_conversation_cut_at_any_frame[*",
            "test_streams.py::test_a_conversation[*",
        ],
    ),
    (
        pytest.mark.needs_feature("close-stdin"),
        [
            "test_cuts_beside.py::test_a_conversation_beside_others_cut_all_over[chatter-*",
            "test_mcp.py::test_tools_are_listed_and_called",
            "test_mcp.py::test_calls_go_on_through_random_cuts[*",
            "test_mcp.py::test_a_server_leaves_in_order_when_its_session_ends_without_a_connection",
            "test_states.py::test_an_executor_that_ends[asked to end]",
            "test_streams.py::test_a_stream_of_input[*",
            "test_streams.py::test_fifty_processes_chatter[*",
        ],
    ),
    (
        pytest.mark.needs_feature("acknowledge"),
        [
            "test_cuts_beside.py::test_a_conversation_beside_others_cut_all_over[stream-*",
            "test_streams.py::test_a_stream_of_output[*",
            "test_streams.py::test_a_consumer_that_is_slow[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "calls are served one after the other: a read that waits holds up all behind it",
            executor="codex",
            version="0.169.0",
            seconds=5,
        ),
        ["test_sessions.py::test_a_call_that_waited_has_no_part_in_the_next_connection"],
    ),
    (
        pytest.mark.known_gap(
            "a session and its processes outlive their connection by 80 s",
            executor="codex",
            version="0.169.0",
            seconds=5,
        ),
        ["test_sessions.py::test_a_client_that_closes_in_order_ends_its_session"],
    ),
    (
        pytest.mark.known_gap(
            "what a client asks for right before its connection ends is not done",
            executor="codex",
            version="0.169.0",
            seconds=5,
            # A relay on the way, as that of a container, may tell of the end late enough.
            sometimes=True,
        ),
        ["test_states.py::test_a_process_of_which_nobody_knows_is_ended"],
    ),
    (
        pytest.mark.known_gap(
            "a connection whose client is gone without a word is held for good, and its session with it",
            executor="codex",
            version="0.169.0",
            # The client itself needs 20 s to notice.
            seconds=30,
            # A rendezvous that notices tells the executor, and then it lets go.
            sometimes=True,
        ),
        ["test_states.py::test_a_half_open_connection_is_noticed"],
    ),
)

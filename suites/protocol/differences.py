"""What other executors do differently in the tests of the protocol."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.known_gap(
            "through a relay a malformed message ends its stream",
            executor="codex",
            version="0.169.0",
            env=["remote-local", "remote-docker", "remote-wine-exec"],
            sometimes=True,
        ),
        [
            "test_envelope.py::test_a_malformed_message_gets_an_error_without_id[*",
            "test_handshake.py::test_a_malformed_message_does_not_end_the_handshake",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a connection that is reset before it is accepted holds up all others by a second, and many of "
            "them end the executor",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
            seconds=10,
            sometimes=True,
        ),
        [
            "test_resets.py::test_others_are_served_after_connections_that_were_reset[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a connection gives no further answer once some 250 to 1,000 requests are unanswered",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
            seconds=10,
            sometimes=True,
        ),
        [
            "test_load.py::test_thousands_of_requests_are_answered_*",
            "test_order.py::test_writes_arrive_in_the_order_sent",
            "test_order.py::test_replies_belong_to_their_requests",
        ],
    ),
    (pytest.mark.needs_feature("close-stdin"), ["*[process/closeStdin*"]),
    (pytest.mark.needs_feature("resize"), ["*[process/resize*"]),
    (
        pytest.mark.known_gap(
            "an unknown notification, a call without id and a reply that nobody asked for end the connection",
            executor="codex",
            version="0.169.0",
        ),
        [
            "test_envelope.py::test_what_nobody_asked_for_gets_an_error_without_id[*",
            "test_envelope.py::test_a_start_without_id_starts_nothing",
            "test_envelope.py::test_many_errors_do_not_wear_a_connection_out",
            "test_handshake.py::test_initialized_before_initialize_is_refused",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a connection gives no further answer once some 250 to 1,000 requests are unanswered",
            executor="codex",
            version="0.169.0",
            seconds=15,
            sometimes=True,
        ),
        [
            "test_load.py::test_thousands_of_requests_are_answered_though_no_reply_is_read_before_all_are_sent[fs/*",
            "test_load.py::test_thousands_of_requests_are_answered_while_they_are_sent[fs/*",
            "test_load.py::test_thousands_of_requests_are_answered_while_they_are_sent[environment/status]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a frame over 16 MiB or a message over 64 MiB ends the connection without a close frame",
            executor="codex",
            version="0.169.0",
        ),
        ["test_load.py::test_a_*_over_the_limit_ends_the_connection_with_a_reason"],
    ),
    (
        pytest.mark.known_gap(
            "a close frame is not answered: the connection ends at once", executor="codex", version="0.169.0"
        ),
        ["test_load.py::test_a_close_is_answered"],
    ),
    (
        pytest.mark.known_gap(
            "calls are served one after the other: a read that waits holds up all behind it",
            executor="codex",
            version="0.169.0",
            seconds=5,
        ),
        [
            "test_order.py::test_a_read_that_waits_delays_nothing[*",
            "test_order.py::test_terminate_is_not_held_up_by_a_read_that_waits",
            "test_order.py::test_many_reads_may_wait_at_once",
        ],
    ),
    (
        pytest.mark.known_gap(
            "the message of an error does not name the field", executor="codex", version="0.169.0"
        ),
        ["test_params.py::test_a_field_of_the_wrong_type_is_named[*"],
    ),
    (
        pytest.mark.known_gap(
            "an array as params is taken for the fields in their order", executor="codex", version="0.169.0"
        ),
        [
            "test_params.py::test_params_must_be_an_object[initialize-['p']]",
            "test_params.py::test_params_must_be_an_object[process/terminate-['p']]",
            "test_params.py::test_params_must_be_an_object[fs/close-['p']]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "small messages wait until the one before is acknowledged: 40 ms a process for a plain client",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            # What passes it on in a container, and a program that comes late, acknowledge before it matters.
            sometimes=True,
        ),
        ["test_latency.py::test_the_end_of_a_process_is_told_before_the_start_is_acknowledged"],
    ),
    (
        pytest.mark.known_gap(
            "a connection gives no further answer once some 250 to 1,000 requests are unanswered",
            executor="codex",
            version="0.169.0",
            seconds=15,
            sometimes=True,
        ),
        ["test_load.py::test_thousands_of_requests_are_answered_*"],
    ),
    (
        pytest.mark.known_gap(
            "a connection gives no further answer once some 250 to 1,000 requests are unanswered",
            executor="codex",
            version="0.169.0",
            seconds=15,
            sometimes=True,
        ),
        [
            "test_load.py::test_connections_come_and_go",
            "test_order.py::test_writes_arrive_in_the_order_sent",
            "test_order.py::test_replies_belong_to_their_requests",
        ],
    ),
)

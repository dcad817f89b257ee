"""What other executors do differently in the tests of processes."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.known_gap(
            "once the process itself has ended, terminate does nothing to what it left behind",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
            seconds=6,
        ),
        ["test_terminate.py::test_what_it_left_behind_can_be_killed_after_its_exit[*"],
    ),
    (
        pytest.mark.known_gap(
            "calls are served one after the other: what would end a read that waits comes behind it",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
            seconds=5,
        ),
        [
            "test_read.py::test_output_wakes_every_reader[*",
            "test_read.py::test_the_end_of_the_output_alone_wakes_nobody",
            "test_read.py::test_the_death_of_the_process_wakes_a_reader",
        ],
    ),
    (
        pytest.mark.needs_feature("resize"),
        [
            "test_resize.py::test_the_program_sees_the_new_size*",
            "test_resize.py::test_a_size_that*",
            "test_resize.py::test_a_process_without*",
            "test_resize.py::test_an_unknown*",
        ],
    ),
    (
        pytest.mark.needs_feature("close-stdin"),
        [
            "test_write.py::test_*_stdin_to_close",
            "test_write.py::test_after_close_stdin*",
            "test_write.py::test_stdin_can_be_closed*",
            "test_write.py::test_close_stdin*",
            "test_write.py::test_a_repeated_write_id_is_accepted*",
        ],
    ),
    (
        pytest.mark.needs_feature("session-retention"),
        ["test_terminate.py::test_the_end_of_the_session_ends_its_processes[*-dropped]"],
    ),
    (
        pytest.mark.known_gap(
            "a death by signal at a terminal is exit code 1",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_interrupt.py::test_a_program_without_handler_dies_of_it[tty]",
            "test_terminate.py::test_a_running_process_is_killed[tty]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "the message of an error does not name the field", executor="codex", version="0.169.0"
        ),
        ["test_read.py::test_a_limit_that_is_no_count_is_refused[*"],
    ),
    (
        pytest.mark.known_gap(
            "calls are served one after the other: what would end a read that waits comes behind it",
            executor="codex",
            version="0.169.0",
            seconds=5,
        ),
        [
            "test_read.py::test_output_wakes_every_reader[*",
            "test_read.py::test_the_end_of_the_output_alone_wakes_nobody",
            "test_read.py::test_the_death_of_the_process_wakes_a_reader",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a terminal in a directory that is missing or none starts in another one, without a word",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_spawn_failures.py::test_the_error_holds_the_systems_words[*directory to run in-tty]"],
    ),
    (
        pytest.mark.known_gap(
            "at a terminal, arg0 is looked up as the program",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_start.py::test_arg0_is_what_the_program_sees_and_not_what_is_started[*-tty]"],
    ),
    (
        pytest.mark.known_gap(
            "terminate leaves what has left the process group: children in sessions of their own",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            seconds=5,
        ),
        [
            "test_terminate.py::test_its_descendants_die_with_it[apart]",
            "test_terminate.py::test_its_descendants_die_with_it[daemon]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "terminate leaves what has left the process group: children in sessions of their own",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            seconds=5,
        ),
        ["test_terminate.py::test_many_descendants_die"],
    ),
    (
        pytest.mark.known_gap(
            "once the process itself has ended, terminate does nothing to what it left behind",
            executor="codex",
            version="0.169.0",
            seconds=5,
        ),
        ["test_terminate.py::test_what_it_left_behind_can_be_killed_after_its_exit[*"],
    ),
    (
        pytest.mark.known_gap(
            "a session and its processes outlive their connection by 80 s",
            executor="codex",
            version="0.169.0",
            seconds=5,
        ),
        [
            "test_terminate.py::test_the_end_of_the_session_ends_its_processes[*-closed]",
            "test_terminate.py::test_a_dropped_connection_ends_no_process[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "what is written to an exited process is accepted, and so after it has closed its input",
            executor="codex",
            version="0.169.0",
        ),
        [
            "test_write.py::test_an_exited_process_takes_nothing[stdin]",
            "test_write.py::test_an_exited_process_takes_nothing_though*",
            "test_write.py::test_a_process_that_closed_its_own_stdin_takes_nothing",
        ],
    ),
    (
        pytest.mark.known_gap(
            "an interrupt ends the program, and no handler of it hears of that",
            executor="codex",
            version="0.169.0",
            env="wine-exec",
            seconds=10,
        ),
        [
            "test_interrupt.py::test_a_programs_own_handler_says_what_happens[pipes]",
            "test_interrupt.py::test_a_program_may_ignore_it",
            "test_interrupt.py::test_it_reaches_the_children_too",
            "test_interrupt.py::test_a_program_can_be_interrupted_again",
        ],
    ),
    (
        pytest.mark.known_gap(
            "what a program prints at a terminal is lost, and the end of a terminal is never told",
            executor="codex",
            version="0.169.0",
            env="wine-exec",
            seconds=5,
        ),
        [
            "test_interrupt.py::*[tty]",
            "test_start.py::*[tty]",
            "test_terminate.py::test_a_running_process_is_killed[tty]",
            "test_resize.py::test_a_terminal_starts_with_24_rows_of_80_columns",
        ],
    ),
    (
        pytest.mark.known_gap(
            "of a program or a directory that is missing the executor tells in words of its own",
            executor="codex",
            version="0.169.0",
            env="wine-exec",
        ),
        [
            "test_spawn_failures.py::*[missing program in a missing directory-*",
            "test_spawn_failures.py::*[missing directory to run in-*",
            "test_spawn_failures.py::*[a file as directory to run in-tty]",
        ],
    ),
    (
        pytest.mark.known_gap("a NUL in arg0 is taken", executor="codex", version="0.169.0", env="wine-exec"),
        ["test_spawn_failures.py::test_what_no_process_can_be_given_is_refused[NUL in arg0]"],
    ),
    (
        pytest.mark.known_gap(
            "notifications come now and then in another order than they are numbered in",
            executor="codex",
            version="0.169.0",
            sometimes=True,
        ),
        ["test_many.py::*", "test_output.py::*", "test_back_pressure.py::*", "test_read.py::*"],
    ),
)

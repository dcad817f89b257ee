"""What other executors do differently in the tests of shells."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.needs_feature("close-stdin"),
        [
            "test_bytes.py::test_shell_passes_utf_8_through",
            "test_input.py::test_writing_after_the_end_of_input*",
            "test_input.py::test_ending_the_input_twice*",
            "test_input.py::test_end_of_input_comes*",
            "test_input.py::test_closing_the_input_of_nobody",
            "test_terminal.py::test_end_of_input_cannot_be_closed",
            "test_input.py::test_shell_copies_its_input",
            "test_input.py::test_empty_input_ends_at_once",
            "test_input.py::test_thousands_of_lines*",
            "test_input.py::test_four_mebibytes*",
            "test_input.py::test_input_of_every_size*",
            "test_input.py::test_shell_answers_a_line*",
            "test_input.py::test_program_that_reads_*",
        ],
    ),
    (
        pytest.mark.needs_feature("resize"),
        [
            "test_terminal.py::test_new_size_is_seen[*",
            "test_terminal.py::test_program_is_told_of_its_new_size",
            "test_terminal.py::test_impossible_size_is_refused[*",
            "test_terminal.py::test_without_a_terminal_there_is_no_size",
        ],
    ),
    (
        pytest.mark.known_gap(
            "at a terminal, arg0 is looked up as the program",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_arguments.py::test_arg0_is_what_the_program_sees[*-terminal]",
            "test_arguments.py::test_empty_arg0_is_seen_or_refused[terminal]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a terminal in a directory that is missing or none starts in another one, without a word",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_directory.py::test_what_is_no_directory_is_refused[*-terminal]"],
    ),
    (
        pytest.mark.known_gap(
            "at a terminal, a relative program is looked for in PATH",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_directory.py::test_relative_program_is_found_from_there[terminal]"],
    ),
    (
        pytest.mark.known_gap(
            "what is written to an exited process is accepted or fails as an internal error",
            executor="codex",
            version="0.169.0",
        ),
        [
            "test_input.py::test_write_status_tells_why_not",
            "test_input.py::test_terminated_program_takes_no_more_input",
            "test_input.py::test_writing_after_the_exit_is_refused",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a death by signal at a terminal is exit code 1",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_terminal.py::test_death_by_a_key_is_a_death_by_signal[*",
            "test_exit_codes.py::test_death_by_signal_is_128_and_its_number[*-terminal]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a terminal adds SHELL to a complete environment",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_variables.py::test_environment_is_complete_at_a_terminal"],
    ),
    (
        pytest.mark.known_gap(
            "a variable with an empty name, or with = in it, is passed on",
            executor="codex",
            version="0.169.0",
        ),
        [
            "test_variables.py::test_what_no_variable_can_be_is_refused[equals-in-name]",
            "test_variables.py::test_what_no_variable_can_be_is_refused[empty-name]",
        ],
    ),
)

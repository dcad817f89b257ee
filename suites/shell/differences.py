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
    (
        pytest.mark.known_gap(
            "an interrupt reaches the process group that was started, not the one in the foreground",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            seconds=10,
        ),
        ["test_terminal.py::test_interrupt_ends_the_command_and_not_the_shell"],
    ),
    (
        pytest.mark.known_gap(
            "a death by signal at a terminal is exit code 1",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_terminal.py::test_terminated_terminal_is_gone"],
    ),
    (
        pytest.mark.known_gap(
            'text after cmd\'s /c is quoted by a rule that cmd does not know: echo "a b" prints \\"a b\\"',
            executor="codex",
            version="0.169.0",
            env="wine-exec",
        ),
        [
            "test_arguments.py::test_argument_arrives_through_the_shell[*",
            "test_arguments.py::test_all_arguments_arrive_through_shells_in_shells",
            "test_arguments.py::test_shell_echoes_the_text[double-quotes]",
            "test_arguments.py::test_shell_echoes_the_text[both-quotes]",
            "test_arguments.py::test_shell_echoes_the_text[backslash]",
            "test_arguments.py::test_shell_echoes_the_text[backslash-at-end]",
            "test_arguments.py::test_shell_echoes_the_text[everything]",
            "test_detection.py::test_shell_is_an_executable_of_that_name",
            "test_detection.py::test_shell_s_exit_code_is_that_of_its_last_command",
            "test_detection.py::test_shells_nest",
            "test_directory.py::test_shell_goes_there[*",
            "test_directory.py::test_going_elsewhere_concerns_one_shell",
            "test_variables.py::test_shell_sees_the_value[*",
            "test_variables.py::test_shell_sees_an_unset_variable_as_empty",
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
            "test_terminal.py::test_every_stream_is_the_terminal[*",
            "test_terminal.py::test_stream_is_a_terminal_only_if_asked_for[terminal-stdin]",
            "test_terminal.py::test_stream_is_a_terminal_only_if_asked_for[terminal-stderr]",
            "test_terminal.py::test_stream_is_a_terminal_only_if_asked_for[terminal-stdout]",
            "test_terminal.py::test_all_output_is_the_terminal_s",
            "test_terminal.py::test_shell_at_a_terminal_sees_its_size",
            "test_terminal.py::test_what_is_typed_is_echoed",
            "test_terminal.py::test_typed_characters_may_be_any",
            "test_terminal.py::test_output_characters_may_be_any[\\xe9\\u65e5\\u672c]",
            "test_terminal.py::test_ctrl_c_reaches_the_program_s_handler",
            "test_terminal.py::test_interrupt_reaches_the_program_s_handler",
            "test_terminal.py::test_end_of_input_is_typed",
            "test_terminal.py::test_five_hundred_lines_are_typed",
            "test_terminal.py::test_end_of_input_cannot_be_closed",
            "test_terminal.py::test_shell_answers_at_its_terminal",
            "test_terminal.py::test_a_flood_of_output_is_whole",
            "test_terminal.py::test_terminated_terminal_is_gone",
            "test_directory.py::test_program_sees_it[terminal]",
            "test_exit_codes.py::test_exit_code_of_the_shell[*-terminal]",
            "test_exit_codes.py::test_exit_code_is_told_alike_by_event_and_by_read[terminal]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "arg0 is ignored, and looked up as the program at a terminal",
            executor="codex",
            version="0.169.0",
            env="wine-exec",
        ),
        [
            "test_arguments.py::test_arg0_is_what_the_program_sees[*",
            "test_arguments.py::test_empty_arg0_is_seen_or_refused[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a command line that is too long is cut", executor="codex", version="0.169.0", env="wine-exec"
        ),
        ["test_arguments.py::test_too_long_argument_is_refused_with_the_system_s_words"],
    ),
    (
        pytest.mark.known_gap(
            "of a program that is missing the executor tells in its own words",
            executor="codex",
            version="0.169.0",
            env="wine-exec",
        ),
        ["test_arguments.py::test_missing_program_is_refused_with_the_system_s_words"],
    ),
    (
        pytest.mark.known_gap(
            "a working directory that is missing is told as an invalid name, and at a terminal not at all",
            executor="codex",
            version="0.169.0",
            env="wine-exec",
        ),
        [
            "test_directory.py::test_what_is_no_directory_is_refused[missing-pipes]",
            "test_directory.py::test_what_is_no_directory_is_refused[missing/below-pipes]",
            "test_directory.py::test_what_is_no_directory_is_refused[missing-terminal]",
            "test_directory.py::test_what_is_no_directory_is_refused[file/below-pipes]",
            "test_directory.py::test_what_is_no_directory_is_refused[missing/below-terminal]",
            "test_directory.py::test_what_is_no_directory_is_refused[file/below-terminal]",
            "test_directory.py::test_what_is_no_directory_is_refused[file-terminal]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "an environment without PATHEXT gets one", executor="codex", version="0.169.0", env="wine-exec"
        ),
        [
            "test_env_policy.py::test_policy[none]",
            "test_env_policy.py::test_policy[exclude-by-stars]",
            "test_env_policy.py::test_policy[exclude-by-star]",
            "test_env_policy.py::test_policy[exclude-everything]",
            "test_env_policy.py::test_policy[include-only-a-name]",
            "test_env_policy.py::test_policy[include-only-several]",
            "test_env_policy.py::test_policy[include-only-nothing-there]",
            "test_env_policy.py::test_policy[include-only-of-the-rest]",
            "test_env_policy.py::test_policy[set-over-nothing]",
            "test_env_policy.py::test_policy[set-after-default-excludes]",
            "test_env_policy.py::test_policy[set-before-include-only]",
            "test_env_policy.py::test_policy[set-and-include-only]",
            "test_env_policy.py::test_policy[set-empty]",
            "test_env_policy.py::test_policy[set-hostile]",
        ],
    ),
)

"""What other executors do differently in the tests of sandboxes."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.known_gap(
            "an intent that restricts nothing is refused",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_denied.py::test_never_without_a_sandbox[*-disabled]",
            "test_denied.py::test_never_without_a_sandbox[*-external]",
            "test_refused.py::test_what_restricts_nothing_takes_no_sandbox[disabled]",
            "test_refused.py::test_what_restricts_nothing_takes_no_sandbox[external]",
            "test_refused.py::test_what_restricts_nothing_takes_no_sandbox[unrestricted]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a program is started with a restricted token, as is told, and writes where it must not",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_refused.py::test_what_restricts_is_enforced_or_refused[of restricted tokens]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "an intent of the elevated level fails as an internal error: its helper does not start",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_refused.py::test_what_restricts_is_enforced_or_refused[of the elevated level]",
        ],
    ),
    (
        pytest.mark.needs_feature("close-stdin"),
        [
            "test_as_without.py::test_input[*",
            "test_as_without.py::test_input[*",
            "test_network.py::test_nobody_outside_is_reached[*",
            "test_network.py::test_a_program_may_talk_to_itself[*",
            "test_network.py::test_with_the_network_others_are_reached[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "the message of a refusal does not name the field", executor="codex", version="0.169.0"
        ),
        [
            "test_refused.py::test_what_cannot_be_meant_is_refused[no object]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[empty]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[permissions null]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[permissions of an unknown type]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[permissions without file_system]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[network missing]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[network unknown]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[network null]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[entries missing]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[file_system of an unknown type]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[windowsSandboxLevel missing]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[windowsSandboxLevel unknown]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[an access nobody knows]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[access missing]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a place of an unknown type]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a place without type]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a special place nobody knows]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a relative path]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a native path]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[an empty path]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[another scheme]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[ssh]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a query]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a NUL]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a list]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a depth of nothing]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a relative cwd]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a relative root]",
            "test_refused.py::test_a_refusal_says_where_and_leaves_the_id_free",
        ],
    ),
    (
        pytest.mark.known_gap(
            "what no sandbox can mean is accepted, or fails as the program is started",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            seconds=8,
        ),
        [
            "test_refused.py::test_what_cannot_be_meant_is_refused[a field nobody knows]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[unknown]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[current_working_directory without cwd]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a subpath of root]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a subpath that climbs]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[an absolute subpath]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[project_roots without roots]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[dots]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[encoded dots]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[half encoded dots]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a place to write that is not there]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a place below a file]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a pattern that allows]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a pattern that lets read]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a pattern that climbs]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[an empty pattern]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a pattern that is not closed]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a pattern with braces]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a pattern of another scheme]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[a relative pattern without roots]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[two accesses of a path]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[allowed and denied]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[too many entries]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[dots at the end]",
            "test_refused.py::test_what_cannot_be_meant_is_refused[an encoded slash]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "whether a sandbox denied something is guessed from the words that a program prints",
            executor="codex",
            version="0.169.0",
        ),
        [
            "test_denied.py::test_what_failed_or_succeeded_by_itself[*mere words*",
            "test_denied.py::test_what_the_sandbox_made_fail[simple-pipes-rename out]",
            "test_denied.py::test_what_the_sandbox_made_fail[simple-pipes-rename in]",
            "test_denied.py::test_what_the_sandbox_made_fail[simple-tty-rename out]",
            "test_denied.py::test_what_the_sandbox_made_fail[simple-tty-rename in]",
            "test_denied.py::test_a_denial_that_the_program_does_not_tell_of[*",
            "test_denied.py::test_never_without_a_sandbox[mere words-external]",
            "test_denied.py::test_never_without_a_sandbox[mere words-disabled]",
            "test_denied.py::test_never_without_a_sandbox[mere words of a path-disabled]",
            "test_denied.py::test_never_without_a_sandbox[mere words of a path-external]",
            "test_denied.py::test_events_and_reading_say_the_same[swallowed]",
            "test_denied.py::test_events_and_reading_say_the_same[mere words]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "an intent that names what is missing is not refused; the program starts, and its denial is told",
            executor="codex",
            version="0.169.0",
        ),
        ["test_approval.py::test_nobody_is_asked_about_what_is_refused"],
    ),
    (
        pytest.mark.known_gap(
            "what runs in a sandbox gets variables that nobody gave it",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_as_without.py::test_what_a_program_is_given[simple-pipes-environment]",
            "test_as_without.py::test_what_a_program_is_given[simple-tty-environment]",
            "test_as_without.py::test_what_a_program_is_given[carved-pipes-environment]",
            "test_as_without.py::test_what_a_program_is_given[carved-tty-environment]",
            "test_as_without.py::test_variables_of_its_own[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "an interrupt ends what runs in a sandbox, whatever its handler says",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_as_without.py::test_interrupt[*"],
    ),
    (
        pytest.mark.known_gap(
            "a death by signal at a terminal is exit code 1",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_as_without.py::test_terminate[simple-tty]", "test_as_without.py::test_terminate[carved-tty]"],
    ),
    (
        pytest.mark.known_gap(
            "what runs in a sandbox at a terminal has no controlling terminal",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_as_without.py::test_a_terminal[*"],
    ),
    (
        pytest.mark.known_gap(
            "in a sandbox a program that is missing is started, and ends with an exit code",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_as_without.py::test_a_program_that_is_not_there[*"],
    ),
    (
        pytest.mark.known_gap(
            "fs/* calls go beyond what their sandbox allows", executor="codex", version="0.169.0"
        ),
        [
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[unsaid-make a directory]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[unsaid-remove]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[unsaid-remove all]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[unsaid-copy a tree in]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[unsaid-remove by a link]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[denied-walk]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[pattern-write new]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[pattern-make a directory]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[pattern-copy in]",
            "test_file_calls.py::test_what_is_not_allowed_does_not_happen[pattern-copy a tree in]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a socket cannot be bound where files can be written",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_files.py::test_what_may_be_written_can_be[bind_socket]"],
    ),
    (
        pytest.mark.known_gap(
            "places of a sandbox are other ones than the intent names",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_places.py::test_what_holds_a_place_cannot_be_moved_away",
            "test_places.py::test_a_writable_file_among_others",
            "test_places.py::test_a_relative_pattern_is_one_of_each_project_root",
            "test_places.py::test_the_working_directory_of_the_intent",
            "test_places.py::test_temporary_directories[write-tmpdir]",
            "test_places.py::test_what_programs_need_at_least",
            "test_places.py::test_a_place_replaced_by_a_link_of_the_program_opens_nothing",
            "test_places.py::test_a_root_that_vanishes_is_refused",
            "test_places.py::test_ten_thousand_entries",
        ],
    ),
    (
        pytest.mark.known_gap(
            "the system gives ways out that a sandbox leaves open: namespaces, keys, kernel settings",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_processes.py::test_the_system_gives_no_way_out[simple-new_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[simple-clone_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[simple-clone_user_namespace_anew]",
            "test_processes.py::test_the_system_gives_no_way_out[simple-add_key]",
            "test_processes.py::test_the_system_gives_no_way_out[simple-write_kernel_setting]",
            "test_processes.py::test_the_system_gives_no_way_out[simple_with_network-new_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[simple_with_network-clone_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[simple_with_network-clone_user_namespace_anew]",
            "test_processes.py::test_the_system_gives_no_way_out[simple_with_network-add_key]",
            "test_processes.py::test_the_system_gives_no_way_out[simple_with_network-write_kernel_setting]",
            "test_processes.py::test_the_system_gives_no_way_out[simple_with_network-trace_own_child]",
            "test_processes.py::test_the_system_gives_no_way_out[named-new_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[named-clone_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[named-clone_user_namespace_anew]",
            "test_processes.py::test_the_system_gives_no_way_out[named-add_key]",
            "test_processes.py::test_the_system_gives_no_way_out[named-write_kernel_setting]",
            "test_processes.py::test_the_system_gives_no_way_out[carved-new_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[carved-clone_user_namespace]",
            "test_processes.py::test_the_system_gives_no_way_out[carved-clone_user_namespace_anew]",
            "test_processes.py::test_the_system_gives_no_way_out[carved-add_key]",
            "test_processes.py::test_the_system_gives_no_way_out[carved-write_kernel_setting]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a file call in a sandbox can be raced, or hangs",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            seconds=8,
            sometimes=True,
        ),
        ["test_races.py::test_a_file_call_cannot_be_raced[*"],
    ),
    (
        pytest.mark.known_gap(
            "what restricts is neither enforced nor refused",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_refused.py::test_what_restricts_is_enforced_or_refused[a pattern]"],
    ),
    (
        pytest.mark.known_gap(
            "where no sandbox can be made, a program is not refused: a helper is started, and fails",
            executor="codex",
            version="0.169.0",
            env="docker",
        ),
        ["test_refused.py::test_what_restricts_is_enforced_or_refused[*"],
    ),
    (
        pytest.mark.known_gap(
            "what restricts the network alone is started where no sandbox is told of",
            executor="codex",
            version="0.169.0",
            env="docker",
        ),
        ["test_refused.py::test_what_restricts_the_network_is_enforced_or_refused[*"],
    ),
)

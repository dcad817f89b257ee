"""What other executors do differently in the tests of paths."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.known_gap(
            "a stream of a file whose name is one letter is not found",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        ["test_windows_streams.py::test_stream_of_a_file_with_a_name_of_one_letter"],
    ),
    (pytest.mark.needs_feature("close-stdin"), ["test_windows_devices.py::test_pipe_is_never_read"]),
    (
        pytest.mark.known_gap(
            "a device is made a directory, or copied to, as if its name were one of a file",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[AUX]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[NUL]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[COM1]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[NUL.txt]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[aux.h]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[COM1.txt]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[NUL ]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[COM1 .txt]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[nul.]",
            "test_windows_devices.py::test_device_is_never_read_listed_or_made_a_directory[NUL:]",
            "test_windows_long_paths.py::test_device_is_one_at_any_length[200]",
            "test_windows_long_paths.py::test_device_is_one_at_any_length[300]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a verbatim path is refused",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_devices.py::test_verbatim_path_is_taken_literally[device]",
            "test_windows_devices.py::test_verbatim_path_is_taken_literally[dot-at-end]",
            "test_windows_devices.py::test_verbatim_path_is_taken_literally[blank-at-end]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a variable does not always replace one whose name has another case",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
            # It depends on the order in which a hash table has them.
            sometimes=True,
        ),
        [
            "test_windows_environment.py::test_variable_replaces_that_of_another_case[path]",
            "test_windows_environment.py::test_variable_replaces_that_of_another_case[pAtH]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "the code page of the console is not told",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_environment.py::test_output_of_the_console_s_programs_is_in_its_code_page[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a drive that is written with a bar for its colon is refused",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_environment.py::test_spelling_of_the_drive[bar]",
            "test_windows_environment.py::test_spelling_of_the_drive[bar-small]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a drive without a slash behind it is refused",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_environment.py::test_spelling_of_the_drive[no-slash-at-end]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "an encoded colon makes a drive",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_environment.py::test_what_is_no_drive_is_refused[encoded-colon]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a name of nothing but dots and blanks is not refused: it is the directory that it is in",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_full_paths.py::test_file_calls_go_where_the_system_goes_or_nowhere[four-dots]",
            "test_windows_full_paths.py::test_file_calls_go_where_the_system_goes_or_nowhere[blank]",
            "test_windows_full_paths.py::test_file_calls_go_where_the_system_goes_or_nowhere[dot-and-blank]",
            "test_windows_full_paths.py::test_file_calls_go_where_the_system_goes_or_nowhere[blank-and-dots]",
            "test_windows_full_paths.py::test_file_calls_go_where_the_system_goes_or_nowhere[three-dots]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[... ...-*",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[...-tree]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[...-directory]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[....-tree]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[....-directory]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[ -tree]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[ -directory]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[. -tree]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[. -directory]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[ .-tree]",
            "test_windows_names.py::test_removing_a_name_of_dots_and_blanks_removes_nothing[ .-directory]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "what a listing tells of cannot be walked, read, copied or removed if Win32 would change "
            "its name, such as x. or NUL",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_names.py::test_tree_of_a_name_with_an_end_that_counts_for_nothing[dots]",
            "test_windows_names.py::test_tree_of_a_name_with_an_end_that_counts_for_nothing[blank]",
            "test_windows_names.py::test_tree_of_a_name_with_an_end_that_counts_for_nothing[blanks]",
            "test_windows_names.py::test_tree_of_a_name_with_an_end_that_counts_for_nothing[dot-and-blank]",
            "test_windows_names.py::test_tree_of_a_name_with_an_end_that_counts_for_nothing[blank-and-dot]",
            "test_windows_names.py::test_tree_of_a_name_with_an_end_that_counts_for_nothing[dots-before-too]",
            "test_windows_names.py::test_what_a_listing_tells_of_can_be_read[x.]",
            "test_windows_names.py::test_what_a_listing_tells_of_can_be_read[x ]",
            "test_windows_names.py::test_what_a_listing_tells_of_can_be_read[NUL]",
            "test_windows_names.py::test_what_a_listing_tells_of_can_be_read[con.txt]",
            "test_windows_names.py::test_what_a_listing_tells_of_can_be_read[COM1]",
            "test_windows_names.py::test_tree_with_a_name_that_win32_would_change_is_copied_and_removed[x.]",
            "test_windows_names.py::test_tree_with_a_name_that_win32_would_change_is_copied_and_removed[x ]",
            "test_windows_names.py::test_tree_with_a_name_that_win32_would_change_is_copied_and_removed[NUL]",
            "test_windows_names.py::test_tree_with_a_name_that_win32_would_change_is_copied_and_removed[con.txt]",
            "test_windows_names.py::test_tree_with_a_name_that_win32_would_change_is_copied_and_removed[COM1]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "GetFinalPathNameByHandleW fails with ERROR_MORE_DATA where the path has more than 260 "
            "characters, and so does what needs a canonical path",
            executor="codex",
            owner="wine",
            version="8.0",
            env=["wine-exec"],
        ),
        [
            "test_windows_long_paths.py::test_deep_directory_is_seen_from_both_sides[1000]",
            "test_windows_long_paths.py::test_deep_directory_is_seen_from_both_sides[3800]",
            "test_windows_long_paths.py::test_file_of_that_length[300]",
            "test_windows_long_paths.py::test_end_that_counts_for_nothing_does_so_at_any_length[dot-300]",
            "test_windows_long_paths.py::test_end_that_counts_for_nothing_does_so_at_any_length[dot-900]",
            "test_windows_long_paths.py::test_end_that_counts_for_nothing_does_so_at_any_length[blank-300]",
            "test_windows_long_paths.py::test_end_that_counts_for_nothing_does_so_at_any_length[blank-900]",
            "test_windows_long_paths.py::test_end_that_counts_for_nothing_does_so_at_any_length[dots-300]",
            "test_windows_long_paths.py::test_end_that_counts_for_nothing_does_so_at_any_length[dots-900]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "paths of 4,096 bytes and more are too long",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_long_paths.py::*[4096]", "test_long_paths.py::*[6000]"],
    ),
    (
        pytest.mark.known_gap(
            "names with control characters in them are left out of listings",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_names.py::test_directory_lists_the_name_as_the_system_does[tab]",
            "test_names.py::test_directory_lists_the_name_as_the_system_does[newline*",
            "test_names.py::test_directory_lists_the_name_as_the_system_does[carriage-return]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "names that are not UTF-8 are left out of listings, or told so that nobody can open them",
            executor="codex",
            version="0.169.0",
        ),
        [
            "test_names_not_unicode.py::test_directory_tells_an_exact_name[*",
            "test_names_not_unicode.py::test_walk_tells_an_exact_path[*",
        ],
    ),
    (
        pytest.mark.known_gap(
            "%2F in a path URI separates names", executor="codex", version="0.169.0", env=["local", "docker"]
        ),
        ["test_refused_uris.py::test_bad_uri_is_no_*[slash-encoded*"],
    ),
    (
        pytest.mark.known_gap(
            "%00 in the URI of a file or of a working directory is no wrong parameter",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_refused_uris.py::test_bad_uri_is_no_*[nul]",
            "test_refused_uris.py::test_fallback_uri_of_what_cannot_be_there[*nul-on-posix]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a host in the URI of a file is an invalid request, not a wrong parameter",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_refused_uris.py::test_bad_uri_is_no_file[ipv6-host]"],
    ),
    (
        pytest.mark.known_gap(
            "a path whose first name looks like a drive is taken for one of Windows",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_refused_uris.py::test_working_directory_of_another_system[posix-name-like-a-drive-pipes]",
            "test_refused_uris.py::test_file_of_another_system[posix-name-like-a-drive]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a terminal in a directory that is missing or none starts in another one, without a word",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_refused_uris.py::test_working_directory_of_another_system[posix-terminal]",
            "test_refused_uris.py::test_working_directory_of_another_system[posix-name-like-a-drive-terminal]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "CreateProcessW overruns its memory where the working directory has more than 258 characters and "
            "nobody refused it before: the executor dies, or answers nobody any more",
            executor="codex",
            owner="wine",
            version="8.0",
            env=["wine-exec"],
            run=False,
        ),
        [
            "test_long_paths.py::test_program_starts_there_or_is_refused[260]",
            "test_long_paths.py::test_program_starts_there_or_is_refused[400]",
            "test_long_paths.py::test_program_starts_there_or_is_refused[1100]",
            "test_long_paths.py::test_program_starts_there_or_is_refused[2500]",
            "test_names.py::test_program_runs_in_a_directory_of_that_name[255-ascii]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "GetFinalPathNameByHandleW fails with ERROR_MORE_DATA where the path has more than 260 "
            "characters, and so does what needs a canonical path",
            executor="codex",
            owner="wine",
            version="8.0",
            env=["wine-exec"],
        ),
        [
            "test_long_paths.py::test_canonical_path_is_the_path[260]",
            "test_long_paths.py::test_canonical_path_is_the_path[400]",
            "test_long_paths.py::test_canonical_path_is_the_path[1100]",
            "test_long_paths.py::test_canonical_path_is_the_path[2500]",
            "test_long_paths.py::test_client_copies_and_removes[260]",
            "test_long_paths.py::test_client_copies_and_removes[400]",
            "test_long_paths.py::test_client_copies_and_removes[1100]",
            "test_long_paths.py::test_client_copies_and_removes[2500]",
            "test_host_view.py::test_name_is_the_same_on_the_disk[long]",
            "test_names.py::test_uri_and_native_path_are_the_same_path[255-ascii]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "%00 in the URI of a file or of a working directory is no wrong parameter",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        ["test_refused_uris.py::test_fallback_uri_of_what_cannot_be_there[nul-on-windows]"],
    ),
    (
        pytest.mark.known_gap(
            "a NUL at the end of a URI is left out of account",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        ["test_refused_uris.py::test_bad_uri_is_no_*[nul]"],
    ),
    (
        pytest.mark.known_gap(
            "an IPv6 host in the URI of a file or of a working directory is left out of account",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        ["test_refused_uris.py::test_bad_uri_is_no_*[ipv6-host]"],
    ),
    (
        pytest.mark.known_gap(
            "an encoded slash or backslash in the URI of a file is an invalid request, not a wrong parameter",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_refused_uris.py::test_bad_uri_is_no_file[slash-encoded*",
            "test_refused_uris.py::test_encoded_backslash_never_separates",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a terminal in a directory that is missing or none starts in another one, without a word",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_refused_uris.py::test_working_directory_of_another_system[drive-terminal]",
            "test_refused_uris.py::test_working_directory_of_another_system[drive-root-name-terminal]",
            "test_refused_uris.py::test_working_directory_of_another_system[share-terminal]",
            "test_refused_uris.py::test_working_directory_of_another_system[posix-name-like-a-drive-terminal]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a path whose first name looks like a drive is taken for one of Windows",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        [
            "test_refused_uris.py::test_working_directory_of_another_system[posix-name-like-a-drive-pipes]",
            "test_refused_uris.py::test_file_of_another_system[posix-name-like-a-drive]",
        ],
    ),
    (
        pytest.mark.known_gap(
            "a drive that is written with a bar for its colon is refused",
            executor="codex",
            version="0.169.0",
            env=["wine-exec"],
        ),
        ["test_uri_forms.py::test_spelling_of_windows_names_the_workspace[drive-with-a-bar]"],
    ),
)

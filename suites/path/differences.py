"""What other executors do differently in the tests of paths."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
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

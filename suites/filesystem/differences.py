"""What other executors do differently in the tests of files."""

from __future__ import annotations

from typing import Final

import pytest

from suites.expected import Table

DIFFERENCES: Final[Table] = (
    (
        pytest.mark.known_gap(
            "a file that is copied onto itself is emptied, and that is called a success",
            executor="codex",
            version="0.169.0",
        ),
        ["test_copy.py::test_a_file_copied_onto_itself_keeps_its_content[*"],
    ),
    (
        pytest.mark.known_gap(
            "links that lead nowhere are left out of listings",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        ["test_directories.py::test_links_tell_what_they_lead_to"],
    ),
    (
        pytest.mark.known_gap(
            "names that are not UTF-8 are left out of listings, or told so that nobody can open them",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
        ),
        [
            "test_directories.py::test_a_name_that_is_no_utf8_is_listed_without_loss[*",
            "test_walk.py::test_a_name_that_is_no_utf8_leads_back_to_its_file",
        ],
    ),
    (
        pytest.mark.known_gap(
            "the message of an error does not name the field", executor="codex", version="0.169.0"
        ),
        ["test_handles.py::test_an_offset_that_is_no_place_is_refused[*"],
    ),
    (
        pytest.mark.known_gap(
            "a file that is opened to be replaced is emptied at once, and written in place",
            executor="codex",
            version="0.169.0",
        ),
        ["test_handles.py::test_a_reader_keeps_the_old_content_while_another_handle_replaces_it"],
    ),
    (
        pytest.mark.known_gap(
            "writing to a FIFO without a reader never ends",
            executor="codex",
            version="0.169.0",
            env=["local", "docker"],
            seconds=10,
        ),
        ["test_whole_files.py::test_a_fifo_is_refused_at_once[write]"],
    ),
)

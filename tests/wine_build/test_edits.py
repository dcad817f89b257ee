"""Edits to the sources: each applies as often as it says, or the build stops."""

import re
from pathlib import Path

import pytest

from harness.wine.crossbuild.edits import EDITS, Edit, apply_edits
from harness.wine.crossbuild.failure import BuildFailed

REASON = "because of the test"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "a.c").write_text("#ifdef _MSC_VER\nint a;\n#ifdef _MSC_VER\n")
    return tmp_path


def test_all_places_are_edited(source: Path) -> None:
    apply_edits([Edit("a.c", "_MSC_VER", "MS_WINDOWS", REASON, count=2)], source)
    assert (source / "a.c").read_text() == "#ifdef MS_WINDOWS\nint a;\n#ifdef MS_WINDOWS\n"


def test_a_pattern_fills_its_template(source: Path) -> None:
    apply_edits([Edit("a.c", r"int (\w);", r"long \1;", REASON, pattern=True)], source)
    assert "long a;" in (source / "a.c").read_text()


def test_what_is_no_pattern_is_taken_as_it_stands(source: Path) -> None:
    apply_edits([Edit("a.c", "int a;", r"\1\\", REASON)], source)
    assert r"\1\\" in (source / "a.c").read_text()


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (Edit("a.c", "_MSC_VER", "MS_WINDOWS", REASON), 2),
        (Edit("a.c", "_MSC_VER", "MS_WINDOWS", REASON, count=3), 2),
        (Edit("a.c", "not there", "", REASON), 0),
        (Edit("no-such-file.c", "int", "", REASON), 0),
    ],
)
def test_an_edit_that_does_not_apply_stops_the_build(source: Path, edit: Edit, found: int) -> None:
    before = (source / "a.c").read_text()
    with pytest.raises(BuildFailed) as caught:
        apply_edits([edit], source)
    assert (source / "a.c").read_text() == before
    text = str(caught.value)
    for part in (edit.file, repr(edit.old), f"found {found} times", f"there {edit.count} times", REASON):
        assert part in text


def test_edits_do_something_and_say_why() -> None:
    for edit in EDITS:
        assert edit.old != edit.new
        assert edit.reason
        if edit.pattern:
            re.compile(edit.old)


def test_those_for_wine_only_are_marked() -> None:
    # Each of them names what it is in Wine that real Windows has not got.
    assert [edit.file for edit in EDITS if edit.wine_only] == [
        "Python/fileutils.c",
        "Modules/posixmodule.c",
        "Modules/_winapi.c",
    ]

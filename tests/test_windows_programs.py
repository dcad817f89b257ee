"""Where a program is looked for on Windows, and what its environment is; pure text on any system."""

from __future__ import annotations

import pytest

from executors.process.windows_programs import Environment, candidates

CWD = r"C:\work"


def found(program: str, **variables: str) -> list[str]:
    return list(candidates(program, Environment(variables), CWD))


def test_a_name_is_looked_for_in_the_path_and_not_in_the_working_directory() -> None:
    assert found("tool", PATH=r"C:\a;C:\b", PATHEXT=".EXE;.CMD") == [
        r"C:\a\tool.exe",
        r"C:\a\tool.cmd",
        r"C:\b\tool.exe",
        r"C:\b\tool.cmd",
    ]
    assert found("tool.exe") == []


def test_names_of_variables_have_no_case() -> None:
    assert found("x.exe", Path=r"C:\a", pathext=".exe")[0] == r"C:\a\x.exe"


def test_a_given_extension_comes_before_others() -> None:
    assert found("x.bat", PATH=r"C:\a", PATHEXT=".EXE") == [r"C:\a\x.bat", r"C:\a\x.bat.exe"]
    assert found("python3.13", PATH=r"C:\a", PATHEXT=".EXE") == [r"C:\a\python3.13", r"C:\a\python3.13.exe"]


@pytest.mark.parametrize("extensions", ["", ".JS;.PY", ";;"])
def test_without_an_extension_that_can_be_started_there_are_the_usual_ones(extensions: str) -> None:
    assert found("x", PATH=r"C:\a", PATHEXT=extensions) == [
        r"C:\a\x.com",
        r"C:\a\x.exe",
        r"C:\a\x.bat",
        r"C:\a\x.cmd",
    ]


def test_only_what_can_be_started_is_looked_for() -> None:
    assert found("x", PATH=r"C:\a", PATHEXT=".VBS;.EXE;.MSC") == [r"C:\a\x.exe"]


@pytest.mark.parametrize(
    ("program", "path"),
    [
        (r"sub\x.exe", r"C:\work\sub\x.exe"),
        ("sub/x.exe", r"C:\work\sub\x.exe"),
        (r".\x.exe", r"C:\work\x.exe"),
        (r"..\x.exe", r"C:\x.exe"),
        (r"D:\a\x.exe", r"D:\a\x.exe"),
        ("D:/a/x.exe", r"D:\a\x.exe"),
        (r"\a\x.exe", r"C:\a\x.exe"),
        (r"\\server\share\x.exe", r"\\server\share\x.exe"),
        ("C:x.exe", r"C:\work\x.exe"),
    ],
)
def test_a_path_is_relative_to_the_working_directory(program: str, path: str) -> None:
    assert found(program, PATH=r"C:\a")[0] == path


def test_a_path_without_extension_may_be_a_program_after_all() -> None:
    assert found(r"D:\npm", PATHEXT=".EXE;.CMD") == [r"D:\npm.exe", r"D:\npm.cmd", r"D:\npm"]


def test_odd_entries_of_the_path() -> None:
    path = r';"C:\a b"; ;relative;C:\c\;'
    assert found("x.exe", PATH=path, PATHEXT=".EXE")[::2] == [
        r"C:\a b\x.exe",
        r"C:\work\relative\x.exe",
        r"C:\c\x.exe",
    ]


def test_an_empty_name_is_nothing() -> None:
    assert found("", PATH=r"C:\a") == []


def entries(block: bytes) -> list[str]:
    text = block.decode("utf-16-le", "surrogatepass")
    assert text.endswith("\0\0")
    return [entry for entry in text.split("\0") if entry]


def test_a_block_is_sorted_without_case() -> None:
    block = Environment({"b": "2", "A": "1", "_": "4", "C": "3", "=C:": r"C:\x"}).block()
    assert entries(block) == [r"=C:=C:\x", "A=1", "b=2", "C=3", "_=4"]


def test_an_empty_block_ends_twice() -> None:
    assert Environment({}).block() == b"\0\0\0\0"


def test_of_names_that_differ_in_case_the_last_counts() -> None:
    env = Environment({"Path": "first", "PATH": "second"})
    assert entries(env.block()) == ["PATH=second"]
    assert env.get("PATH", "") == "second"


def test_no_letter_is_compared_as_two() -> None:
    assert entries(Environment({"\xdf": "1", "SS": "2", "\xe9": "3", "\xc9": "4"}).block()) == [
        "SS=2",
        "\xc9=4",
        "\xdf=1",
    ]


def test_any_utf_16_is_a_value() -> None:
    values = {"A": "\U0001f680", "B": "\ud800", "C": "", "D": "a=b", "E": "x\ny"}
    assert entries(Environment(values).block()) == [f"{name}={value}" for name, value in values.items()]


@pytest.mark.parametrize("name", ["", "=", "A=B", "=A=", "A\0B"], ids=repr)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="variable"):
        Environment({name: "x"})


def test_nul_in_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="variable 'A' holds NUL"):
        Environment({"A": "b\0c"})

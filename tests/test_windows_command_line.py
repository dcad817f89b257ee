"""Command lines of Windows against an independent reading of Microsoft's rules; pure text on any system."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executors.process.command_line import (
    LONGEST,
    batch_line,
    cmd_line,
    command_line,
    is_batch_file,
    is_cmd,
    quote,
    quote_name,
)
from suites.shell.hostile import HOSTILE

CMD = r"C:\Windows\System32\cmd.exe"

words = st.text(st.characters(exclude_characters="\0"), max_size=20)
# Where quoting goes wrong: mostly characters that mean something.
hostile_words = st.text(st.sampled_from(list('\\\\"" \t%^&|<>()!a,;=')), max_size=12)


def parse(line: str) -> list[str]:
    """Takes a command line apart as Microsoft's "Parsing C command-line arguments" says.

    Written as a state machine from that page, not from the code under test.
    """
    found: list[str] = []
    # The program's name: up to a blank outside of quotation marks, which go; backslashes mean nothing.
    name, at, quoted = "", 0, False
    while at < len(line) and (quoted or line[at] not in " \t"):
        if line[at] == '"':
            quoted = not quoted
        else:
            name += line[at]
        at += 1
    found.append(name)
    while True:
        while at < len(line) and line[at] in " \t":
            at += 1
        if at >= len(line):
            return found
        word, quoted = "", False
        while at < len(line) and (quoted or line[at] not in " \t"):
            slashes = 0
            while at < len(line) and line[at] == "\\":
                slashes, at = slashes + 1, at + 1
            if at < len(line) and line[at] == '"':
                word += "\\" * (slashes // 2)
                if slashes % 2:
                    word += '"'
                elif quoted and line[at + 1 : at + 2] == '"':
                    word += '"'
                    at += 1
                else:
                    quoted = not quoted
                at += 1
                continue
            word += "\\" * slashes
            if at < len(line) and (quoted or line[at] not in " \t"):
                word += line[at]
                at += 1
        found.append(word)


def test_the_reading_of_the_rules_agrees_with_microsofts_own_examples() -> None:
    examples = {
        r'"abc" d e': ["abc", "d", "e"],
        r'a\\b d"e f"g h': [r"a\\b", "de fg", "h"],
        r"a\\\"b c d": [r"a\"b", "c", "d"],
        r'a\\\\"b c" d e': [r"a\\b c", "d", "e"],
        r'a"b"" c d': ['ab" c d'],
    }
    for line, expected in examples.items():
        assert parse(f"program {line}") == ["program", *expected]


@given(st.lists(words | hostile_words, max_size=5))
@example(["", "\\", '"', '\\"', "a b\\", "a\\\\", '\\\\" '])
def test_a_program_reads_back_what_was_quoted(arguments: list[str]) -> None:
    program, line = command_line(r"C:\a b\x.exe", r"C:\a b\x.exe", arguments, CMD)
    assert program == r"C:\a b\x.exe"
    assert parse(line) == [r"C:\a b\x.exe", *arguments]


@given(words | hostile_words)
def test_quoting_agrees_with_pythons_where_that_quotes(argument: str) -> None:
    theirs = subprocess.list2cmdline([argument])
    assert parse(f"x {quote(argument)}") == parse(f"x {theirs}")


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_arguments_are_read_back(case: str) -> None:
    _, line = command_line("x.exe", "x", ["first", HOSTILE[case], "last"], CMD)
    assert parse(line) == ["x", "first", HOSTILE[case], "last"]


def test_plain_arguments_stay_as_they_are() -> None:
    _, line = command_line(r"C:\x.exe", "x", ["a", r"b\c\\", "/d", "--e=f"], CMD)
    assert line == r"x a b\c\\ /d --e=f"


def test_a_name_ends_with_its_quotation_mark() -> None:
    assert quote_name("C:\\a b\\") == '"C:\\a b\\"'
    assert quote_name("") == '""'
    assert quote_name("plain") == "plain"
    with pytest.raises(ValueError, match="quotation mark"):
        quote_name('a"b')


@pytest.mark.parametrize("place", ["program", "name", "argument"])
def test_nul_is_refused(place: str) -> None:
    given = {"program": "x.exe", "name": "x", "argument": "a"}
    given[place] += "\0"
    with pytest.raises(ValueError, match="NUL"):
        command_line(given["program"], given["name"], [given["argument"]], CMD)


def test_the_longest_command_line() -> None:
    room = LONGEST - 1 - len("x ")
    _, line = command_line("x.exe", "x", ["y" * room], CMD)
    assert len(line) == LONGEST - 1
    with pytest.raises(OSError, match="too long: 32767 characters"):
        command_line("x.exe", "x", ["y" * (room + 1)], CMD)
    # Windows counts UTF-16 units.
    with pytest.raises(OSError, match="too long"):
        command_line("x.exe", "x", ["\U0001f680" * (room // 2 + 1)], CMD)


def test_a_lone_surrogate_passes() -> None:
    assert command_line("x.exe", "x", ["\ud800"], CMD)[1] == "x \ud800"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "cmd"),
        (["/d", "/k"], "cmd /d /k"),
        (["/c", "echo hi"], 'cmd /c "echo hi"'),
        (["/D", "/S", "/C", 'echo "a b" & dir'], 'cmd /D /S /C "echo "a b" & dir"'),
        (["/c", r'"C:\a b\c.exe" x'], r'cmd /c ""C:\a b\c.exe" x"'),
        (["/c", "a\\"], 'cmd /c "a\\"'),
        (["/c", ""], 'cmd /c ""'),
        (["/cecho hi"], 'cmd /c "echo hi"'),
        (["/cecho", "a b"], 'cmd /c "echo "a b""'),
        (["/d/c", "dir"], 'cmd /d/c "dir"'),
        (["/e:on", "/k", "title x"], 'cmd /e:on /k "title x"'),
        (["/c", "echo", "%PATH%", ">", "out file"], 'cmd /c "echo %PATH% > "out file""'),
        (["/c", "dir", ""], 'cmd /c "dir """'),
        (["/c", "/c"], 'cmd /c "/c"'),
    ],
)
def test_text_for_cmd_reaches_it_as_it_is(arguments: list[str], line: str) -> None:
    assert cmd_line("cmd", arguments) == line
    assert command_line(r"C:\Windows\System32\CMD.EXE", "cmd", arguments, "other")[1] == line


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=repr)
def test_a_second_line_for_cmd_is_refused(end: str) -> None:
    with pytest.raises(ValueError, match="line end: join commands"):
        cmd_line("cmd", ["/c", f"echo a{end}echo b"])


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (r"C:\x.bat", True),
        (r"C:\x.CMD", True),
        (r"C:\x.bat. .", True),
        (r"C:\x.bat\y.exe", False),
        (r"C:\bat", False),
    ],
)
def test_batch_files_are_known_by_their_names(program: str, expected: bool) -> None:
    assert is_batch_file(program) is expected


def test_cmd_is_known_by_its_name() -> None:
    assert is_cmd("cmd") and is_cmd(r"C:\Windows\System32\Cmd.Exe") and is_cmd("C:/Windows/system32/cmd.exe")
    assert not is_cmd("cmd2.exe") and not is_cmd(r"C:\cmd.exe\other.exe")


def parse_for_cmd(line: str) -> tuple[str, list[str]]:
    """What cmd makes of ``/c "..."``: the text inside, and its words as the program they end at reads them.

    Of the rules of cmd: the outer marks go; nothing inside a pair of marks is syntax; outside of
    them no special character may be; ``%%cd:~,%`` becomes a percent sign.
    """
    before, _, text = line.partition(' /c "')
    assert before == rf"{CMD} /d /e:on /v:off"
    assert text.endswith('"')
    text = text[:-1]
    outside = "".join(text.split('"')[::2])
    assert not set("&|<>()^!,;=\n\r") & set(outside), f"syntax outside of quotation marks: {outside!r}"
    assert text.count('"') % 2 == 0
    disarmed = text.replace("%%cd:~,%", "\0")
    assert "%" not in disarmed
    return text, [word.replace("\0", "%") for word in parse(disarmed)]


@given(st.lists(words | hostile_words, max_size=4))
@example(['"&calc&"', "%PATH%", "a\\", '\\"', "^", "100%"])
def test_no_argument_of_a_batch_file_is_syntax(arguments: list[str]) -> None:
    arguments = [argument.replace("\n", " ").replace("\r", " ") for argument in arguments]
    program, line = command_line(r"C:\a b\x.bat", "ignored", arguments, CMD)
    assert program == CMD
    assert parse_for_cmd(line)[1] == [r"C:\a b\x.bat", *arguments]


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_arguments_of_a_batch_file_arrive_or_are_refused(case: str) -> None:
    text = HOSTILE[case]
    if "\n" in text or "\r" in text:
        with pytest.raises(ValueError, match="line end: pass it by"):
            batch_line(CMD, r"C:\x.cmd", [text])
    else:
        assert parse_for_cmd(batch_line(CMD, r"C:\x.cmd", ["first", text, "last"]))[1][1:] == [
            "first",
            text,
            "last",
        ]


def test_plain_arguments_of_a_batch_file_stay_as_they_are() -> None:
    line = batch_line(CMD, r"C:\x.bat", ["install", "--save-dev", r"a\b", "left-pad@1.0"])
    assert line == rf'{CMD} /d /e:on /v:off /c ""C:\x.bat" install --save-dev a\b left-pad@1.0"'


def test_a_backslash_at_the_end_is_safe_before_a_mark_that_the_batch_file_adds() -> None:
    assert batch_line(CMD, r"C:\x.bat", ["a\\"]).endswith(' "a\\\\""')


def test_a_batch_file_of_a_hostile_name() -> None:
    assert '"C:\\%%cd:~,%PATH%%cd:~,%\\a&b.bat"' in batch_line(CMD, r"C:\%PATH%\a&b.bat", [])
    with pytest.raises(ValueError, match="quotation mark"):
        batch_line(CMD, 'C:\\a".bat', [])

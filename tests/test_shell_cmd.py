"""What the language of cmd.exe writes; that it is right, the suites show in an environment that has one."""

from __future__ import annotations

import pytest

from fixtures.shells.cmd import CmdLanguage

CMD = CmdLanguage(r"C:\Windows\System32\cmd.exe")
ELSEWHERE = CmdLanguage(r"C:\My Windows\cmd.exe")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", '^"^"'),
        ("word", "word"),
        ("two words", '^"two words^"'),
        ('say "hi"', r'^"say \^"hi\^"^"'),
        ("a\\", "a\\"),
        ("a b\\", '^"a b\\\\^"'),
        ("a&b|c", "a^&b^|c"),
        ("%PATH%", '%^"P^"ATH%'),
        ("100%", "100%"),
        ("!x!", "^!x^!"),
    ],
)
def test_word(text: str, written: str) -> None:
    assert CMD.quote(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", "echo."),
        ("\u2028", "echo.\u2028"),
        ("  two   blanks", "echo   two   blanks"),
        ("on", "echo(on"),
        (" OFF ", "echo( OFF "),
        ("help /?", "echo(help /?"),
        ("%PATH% & (more)", "echo %^PATH% ^& ^(more^)"),
    ],
)
def test_echo(text: str, written: str) -> None:
    assert CMD.echo(text) == written


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_line_ends_cannot_be_written(text: str) -> None:
    for write in (CMD.quote, CMD.echo, CMD.change_directory):
        with pytest.raises(ValueError, match="no way to write"):
            write(text)


@pytest.mark.parametrize("path", [r"C:\%TEMP%\x", 'C:\\a"b'])
def test_path_that_would_be_something_else_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no way to write the path"):
        CMD.change_directory(path)
    with pytest.raises(ValueError, match="no way to write the path"):
        CMD.command([path])


def test_program_with_blanks_is_in_quotes_that_count() -> None:
    # A caret before them would make two words of it.
    assert CMD.command([r"C:\Program Files\x.exe", "a b"]) == r'"C:\Program Files\x.exe" ^"a b^"'


def test_script_of_a_shell_in_a_shell_is_escaped_for_the_outer_one_only() -> None:
    inner = ELSEWHERE.argv(CMD.echo("a & %b%"))
    assert inner[1:-1] == ["/d", "/e:on", "/v:off", "/s", "/c"]
    assert CMD.command(inner) == (r'"C:\My Windows\cmd.exe" /d /e:on /v:off /s /c ^"echo a ^^^& %^^b%^"')


def test_sequence_leaves_no_blank_behind_a_text() -> None:
    assert CMD.sequence(CMD.echo("a"), CMD.exit(3)) == "echo a& exit 3"


@pytest.mark.parametrize("name", ["A B", "A)", "", "A%"])
def test_variable_without_a_safe_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no safe way to name"):
        CMD.print_env(name)

r"""Command lines of Windows: one text that each program takes apart by rules of its own. Pure text.

Sources: Microsoft's pages "Parsing C command-line arguments" (what programs of the C runtime
do), "CreateProcessW" and "cmd", and CVE-2024-24576 (what cmd makes of the arguments of a
batch file).
"""

from __future__ import annotations

import errno
import ntpath
import re
from collections.abc import Sequence

LONGEST = 32_767
"""Characters of a command line, with the NUL at its end (CreateProcessW, lpCommandLine)."""

_BATCH_EXTENSIONS = (".bat", ".cmd")
_NEEDS_QUOTES = re.compile(r'[ \t\n\v\f\r"]')
_BACKSLASHES_THAT_COUNT = re.compile(r'(\\*)("|\Z)')
_SWITCHES_UNTIL_COMMAND = re.compile(r"((?:/[^/\s]*)*?/[ckr])(.*)", re.IGNORECASE | re.DOTALL)
# Of the printable characters, those that neither cmd nor a `for` or `call` in a batch file sees as syntax.
_PLAIN_FOR_BATCH = re.compile(r"[\w#$*+\-./:?@\\]+")
# An empty piece of the variable `cd`, which there always is: its percent signs leave no other a partner.
_PERCENT = "%%cd:~,%"


def is_batch_file(program: str) -> bool:
    """Whether cmd runs the file at the path *program*.

    Trailing dots and blanks are not part of a file's name (CVE-2024-43402).
    """
    return program.rstrip(". ").lower().endswith(_BATCH_EXTENSIONS)


def is_cmd(program: str) -> bool:
    """Whether *program*, a path or a name, is cmd.exe by its name."""
    return ntpath.basename(program).rstrip(". ").lower() in ("cmd", "cmd.exe")


def command_line(program: str, argv0: str, arguments: Sequence[str], cmd: str) -> tuple[str, str]:
    """Returns the program to start and its command line.

    :param program: path of what is to run.
    :param argv0: what it sees as its name; batch files see their path instead.
    :param cmd: path of cmd.exe, which runs batch files.
    :raises ValueError: an argument cannot be passed to such a program.
    :raises OSError: ENAMETOOLONG.
    """
    for text in (program, argv0, *arguments):
        if "\0" in text:
            raise ValueError(
                f"{_shown(text)} holds NUL, which ends a command line: pass it by a file or stdin"
            )
    if is_batch_file(program):
        program, line = cmd, batch_line(cmd, program, arguments)
    elif is_cmd(program):
        line = cmd_line(argv0, arguments)
    else:
        line = " ".join((quote_name(argv0), *map(quote, arguments)))
    length = len(line.encode("utf-16-le", "surrogatepass")) // 2
    if length >= LONGEST:
        raise OSError(
            errno.ENAMETOOLONG,
            f"the command line is too long: {length} characters, and Windows takes {LONGEST - 1}; "
            "pass what is long by a file or stdin",
        )
    return program, line


def quote(argument: str) -> str:
    """Returns *argument* as programs of the C runtime read it back."""
    if argument and not _NEEDS_QUOTES.search(argument):
        return argument
    return f'"{_escape_quotes(argument)}"'


def quote_name(name: str) -> str:
    """Returns the first word of a command line, in which backslashes escape nothing.

    :raises ValueError: it holds a quotation mark, which would end it.
    """
    if '"' in name:
        raise ValueError(
            f"the program's name {_shown(name)} holds a quotation mark, which no command line can say"
        )
    return f'"{name}"' if not name or _NEEDS_QUOTES.search(name) else name


def cmd_line(argv0: str, arguments: Sequence[str]) -> str:
    """Returns the command line of cmd.exe itself.

    What follows ``/c`` or ``/k`` is text of its language. A single argument reaches it as it is:
    of more than a plain name in quotes cmd strips the first and the last quotation mark. Several are
    joined as for any program, so that ``>`` and ``%PATH%`` mean what they mean at a prompt.

    :raises ValueError: the text has more than one line, of which cmd would read the first only.
    """
    for place, argument in enumerate(arguments):
        found = _SWITCHES_UNTIL_COMMAND.fullmatch(argument)
        if found is None:
            continue
        glued, rest = found[2], arguments[place + 1 :]
        before = " ".join((quote_name(argv0), *map(quote, arguments[:place]), found[1]))
        if not glued and not rest:
            return before
        if not glued and len(rest) == 1:
            script = rest[0]
        else:
            script = " ".join([*([glued] if glued else []), *map(quote, rest)])
        _refuse_lines(script, "join commands by `&`, or run a batch file")
        return f'{before} "{script}"'
    return " ".join((quote_name(argv0), *map(quote, arguments)))


def batch_line(cmd: str, script: str, arguments: Sequence[str]) -> str:
    """Returns the command line that lets cmd run a batch file with exactly these arguments.

    Without AutoRun commands (``/d``), with extensions and without delayed expansion, whatever the
    registry says. The batch file must still quote what it expands: ``%1`` is text to cmd, not a value.

    :raises ValueError: an argument holds a line end, at which cmd stops reading.
    """
    if '"' in script:
        raise ValueError(f"the path {_shown(script)} holds a quotation mark, which no file's name can")
    words = [f'"{script.replace("%", _PERCENT)}"']
    for argument in arguments:
        _refuse_lines(argument, "pass it by a file, stdin or a variable")
        words.append(_quote_for_batch(argument))
    return f'{quote_name(cmd)} /d /e:on /v:off /c "{" ".join(words)}"'


def _quote_for_batch(argument: str) -> str:
    # Quoted are also characters that a code page may make others of, and a backslash at the end: batch
    # files write "%~1", where a single one would escape their own mark.
    if argument.isascii() and _PLAIN_FOR_BATCH.fullmatch(argument) and not argument.endswith("\\"):
        return argument
    # A quotation mark is doubled: a backslash before it would mean nothing to cmd, which counts only
    # marks. Backslashes before a mark are doubled for the program that the batch file may hand it to.
    inner = _BACKSLASHES_THAT_COUNT.sub(lambda found: found[1] * 2 + found[2] * 2, argument)
    return f'"{inner.replace("%", _PERCENT)}"'


def _escape_quotes(argument: str) -> str:
    """Backslashes count only before a quotation mark, where two mean one; the closing one is such a mark."""
    return _BACKSLASHES_THAT_COUNT.sub(lambda found: found[1] * 2 + ('\\"' if found[2] else ""), argument)


def _refuse_lines(text: str, remedy: str) -> None:
    if "\n" in text or "\r" in text:
        raise ValueError(f"cmd reads one line, and {_shown(text)} holds a line end: {remedy}")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 100 else f"{text[:100]!r}..."

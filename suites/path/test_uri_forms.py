"""Every accepted spelling of a URI names the same directory, for programs and for files."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import ask


def respelt(uri: str, spell: Callable[[str], str]) -> str:
    """Writes each character of the last segment in another way."""
    parent, _, name = uri.rpartition("/")
    return f"{parent}/{''.join(map(spell, name))}"


FORMS: dict[str, Callable[[str], str]] = {
    "canonical": lambda uri: uri,
    "slash-at-end": lambda uri: f"{uri}/",
    "two-slashes-at-end": lambda uri: f"{uri}//",
    "two-slashes-inside": lambda uri: uri[:8] + uri[8:].replace("/", "//"),
    "scheme-in-capitals": lambda uri: f"FILE{uri[4:]}",
    "scheme-mixed": lambda uri: f"fIlE{uri[4:]}",
    "without-authority": lambda uri: f"file:{uri[7:]}",
    "localhost": lambda uri: f"file://localhost{uri[7:]}",
    "localhost-in-capitals": lambda uri: f"file://LOCALHOST{uri[7:]}",
    "localhost-encoded": lambda uri: f"file://%6Cocal%68ost{uri[7:]}",
    "dot-inside": lambda uri: "/./".join(uri.rsplit("/", 1)),
    "dot-at-end": lambda uri: f"{uri}/.",
    "dot-encoded": lambda uri: f"{uri}/%2e/",
    "dots-over-a-missing-name": lambda uri: f"{uri}/no-such-name/..",
    "dots-encoded": lambda uri: f"{uri}/a/%2E%2e",
    "dots-half-encoded": lambda uri: f"{uri}/a/b/.%2E/%2e.",
    "dots-at-the-root": lambda uri: f"file:///../..{uri[7:]}",
    "letters-encoded": lambda uri: respelt(uri, lambda char: f"%{ord(char):02X}"),
    "letters-encoded-in-small-hex": lambda uri: respelt(uri, lambda char: f"%{ord(char):02x}"),
    "every-second-letter-encoded": lambda uri: re.sub("([a-z])([a-z])", _encode_second, uri[7:]).join(
        ("file://", "")
    ),
    "blanks-around": lambda uri: f" \t{uri}\n ",
    "tab-inside": lambda uri: f"{uri[:12]}\t{uri[12:]}",
    "line-end-inside": lambda uri: f"{uri[:12]}\r\n{uri[12:]}",
    "backslashes": lambda uri: uri.replace("/", "\\"),
    "backslash-at-end": lambda uri: f"{uri}\\",
}


def _encode_second(found: re.Match[str]) -> str:
    return f"{found[1]}%{ord(found[2]):02X}"


WINDOWS_FORMS: dict[str, Callable[[str], str]] = {
    "drive-in-small": lambda uri: uri[:8] + uri[8].lower() + uri[9:],
    "drive-with-a-bar": lambda uri: uri[:9] + "|" + uri[10:],
    "drive-as-host": lambda uri: f"file://{uri[8:]}",
    "no-slash": lambda uri: f"file:{uri[8:]}",
    "other-case": lambda uri: uri[:8] + uri[8:].swapcase(),
}


def directory_of_shell(spelling: str, client: SyncClient, shell: BoundShell) -> str:
    """What a shell prints that was started in *spelling*."""
    completed = client.run(shell.argv(shell.print_directory()), cwd=spelling)
    return completed.stdout.decode().rstrip("\r\n")


def check_files(spelling: str, client: SyncClient, workspace: Workspace) -> None:
    """The directory *spelling* is the workspace, for file calls and for what lies below."""
    workspace.write("leaf", b"text")
    assert client.files.metadata(spelling).is_directory
    assert [entry.file_name for entry in client.files.read_directory(spelling)] == ["leaf"]
    assert client.files.canonicalize(spelling) == workspace.uri
    assert client.files.read_file(f"{spelling.strip()}/leaf") == b"text"


@pytest.mark.parametrize("form", FORMS)
def test_spelling_names_the_workspace(
    form: str, client: SyncClient, shell: BoundShell, workspace: Workspace
) -> None:
    spelling = FORMS[form](str(workspace.uri))
    check_files(spelling, client, workspace)
    assert directory_of_shell(spelling, client, shell) == workspace.path


@pytest.mark.parametrize("form", WINDOWS_FORMS)
def test_spelling_of_windows_names_the_workspace(
    form: str, env: RunningEnvironment, client: SyncClient, shell: BoundShell, workspace: Workspace
) -> None:
    if env.platform != "windows":
        pytest.skip("only Windows has drives and names without case by rule")
    spelling = WINDOWS_FORMS[form](str(workspace.uri))
    check_files(spelling, client, workspace)
    # The current directory there keeps the case in which it was given.
    assert directory_of_shell(spelling, client, shell).lower() == workspace.path.lower()


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("100%", "100%"),
        ("100%25", "100%"),
        ("%", "%"),
        ("%zz", "%zz"),
        ("%2541", "%41"),
        ("%41", "A"),
        ("two words", "two words"),
        ("two%20words", "two words"),
        ("a+b", "a+b"),
        ("caf\u00e9", "caf\u00e9"),
        ("caf%C3%A9", "caf\u00e9"),
        ("caf%c3%a9", "caf\u00e9"),
        ("cafe%CC%81", "cafe\u0301"),
        ("\U0001f680", "\U0001f680"),
        ("%F0%9F%9A%80", "\U0001f680"),
        ("{a}^`b`", "{a}^`b`"),
        ("%7Ea", "~a"),
        ("%2Ehidden", ".hidden"),
        ("a%3Bb%26c", "a;b&c"),
        ("%EF%BB%BFbom", "\ufeffbom"),
    ],
)
def test_name_may_be_spelt_so(spelt: str, name: str, client: SyncClient, workspace: Workspace) -> None:
    workspace.write(name, b"text")
    assert client.files.read_file(f"{workspace.uri}/{spelt}") == b"text"


@pytest.mark.skip_if_target_windows("no file there can have such a name")
@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("a%3Fb%23c%25d", "a?b#c%d"),
        ("%5C", "\\"),
        ("a%5Cb", "a\\b"),
        ("%3Ca%3E", "<a>"),
        ("a|b", "a|b"),
        ('"a"', '"a"'),
        ("%0A", "\n"),
        ("a%0D%0Ab", "a\r\nb"),
        ("%20", " "),
        ("%FF", "\udcff"),
        ("%ff%FE", "\udcff\udcfe"),
        ("C:", "C:"),
        ("C%3A", "C:"),
        ("C|", "C|"),
        ("...", "..."),
        ("%2e%2E%2e", "..."),
    ],
)
def test_name_of_posix_may_be_spelt_so(
    spelt: str, name: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    make = """
        with open(os.fsencode(question), "xb") as file:
            file.write(b"text")
        answer = None
    """
    ask(python, make, name)
    assert client.files.read_file(f"{workspace.uri}/{spelt}") == b"text"


def test_workspace_reads_natively_as_the_system_prints_it(
    env: RunningEnvironment, python: BoundPython, shell: BoundShell, workspace: Workspace
) -> None:
    native = workspace.uri.to_native(env.platform)
    assert workspace.uri.render() == native
    assert ask(python, "answer = os.getcwd()") == native
    assert shell.run(shell.print_directory()).stdout == (native + shell.newline).encode()


def test_uri_by_the_system_s_own_library_names_the_workspace(
    env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.mkdir("a b %41 ü ~")
    code = "import pathlib; answer = pathlib.Path('a b %41 ü ~').resolve().as_uri()"
    text = ask(python, code)
    assert PathUri.parse(text).to_native(env.platform) == workspace.native("a b %41 ü ~")
    assert client.files.metadata(text).is_directory


@pytest.mark.parametrize("field", ["cwd", "user_home_dir", "temp_dir"])
def test_directories_that_the_executor_tells_are_there(
    field: str, env: RunningEnvironment, client: SyncClient, python: BoundPython
) -> None:
    told = getattr(client.info, field)
    assert told is not None
    native = PathUri.parse(told).to_native(env.platform)
    assert ask(python, "answer = [os.path.isabs(question), os.path.isdir(question)]", native) == [True, True]
    assert client.files.metadata(told).is_directory

"""What Windows has besides paths: variables without case, code pages, drives in URIs."""

from __future__ import annotations

import pytest

from executors.protocol.environment import EnvironmentInfo
from executors.protocol.errors import RpcError
from executors.protocol.path_uri import PathUri
from executors.protocol.processes import EnvPolicy
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import Once
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("the rules of Windows")

_GET = r"""
def get(name):
    return text_of(lambda buffer, size: kernel32.GetEnvironmentVariableW(name, buffer, size))
answer = [attempt(get, name) for name in question]
"""


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("CrossExec", "CROSSEXEC"),
        ("CROSSEXEC", "crossexec"),
        ("Größe", "GRÖßE"),
        ("Ωμ", "ωΜ"),
        ("a(b)", "A(B)"),
    ],
)
def test_variable_is_found_in_any_case(given: str, asked: str, python: BoundPython) -> None:
    policy = EnvPolicy("core")
    found = ask_win32(python, _GET, [given, asked], env={given: "value"}, env_policy=policy)
    assert found == ["value", "value"]


@pytest.mark.parametrize("name", ["PATH", "path", "pAtH"])
def test_variable_replaces_that_of_another_case(name: str, python: BoundPython) -> None:
    code = _GET + "answer.append([key for key in os.environ if key.upper() == 'PATH'])"
    found = ask_win32(
        python,
        code,
        ["Path", "PATH"],
        env={name: "C:\\windows\\system32;C:\\given"},
        env_policy=EnvPolicy("all"),
    )
    assert found == ["C:\\windows\\system32;C:\\given"] * 2 + [["PATH"]]


def code_page(info: EnvironmentInfo) -> int:
    assert info.console_code_page is not None
    return info.console_code_page


TEXTS = ("é", "äöüß", "ñ£¥", "░▒▓", "αβ", "plain")

_ENCODE = r"""
def encoded(text):
    buffer = ctypes.create_string_buffer(100)
    size = kernel32.WideCharToMultiByte(question["page"], 0, text, len(text), buffer, 100, None, None)
    return buffer.raw[:size].hex()
answer = [encoded(text) for text in question["texts"]]
"""


def all_encoded(env: RunningEnvironment, python: BoundPython) -> dict[str, bytes]:
    question = {"page": code_page(env.info), "texts": [*TEXTS]}
    return dict(zip(TEXTS, map(bytes.fromhex, ask_win32(python, _ENCODE, question)), strict=True))


@pytest.mark.parametrize("text", TEXTS)
def test_output_of_the_console_s_programs_is_in_its_code_page(
    text: str, once: Once, client: SyncClient, env: RunningEnvironment, python: BoundPython
) -> None:
    comspec = ask_win32(python, "answer = os.environ['COMSPEC']")
    completed = client.run([comspec, "/d", "/c", "echo", text])
    assert completed.stdout == once(all_encoded)[text] + b"\r\n"


# Spellings of drive C, and what is none.
SPELLINGS = {
    "small": "file:///c:/",
    "capital": "file:///C:/",
    "bar": "file:///C|/",
    "bar-small": "file:///c|/",
    "no-slash-at-end": "file:///C:",
    "one-slash": "file:/c:/",
    "as-host": "file://c:/",
    "dots": "file:///C:/..",
    "dots-encoded": "file:///c:/a/%2e%2e/",
    "slashes": "file:///C://",
}
NO_DRIVES = {
    "encoded-colon": "file:///C%3A/",
    "encoded-bar": "file:///C%7C/",
    "two-letters": "file:///CC:/",
    "digit": "file:///1:/",
    "letter-that-is-not-latin": "file:///%C3%84:/",
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_spelling_of_the_drive(
    case: str, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    native = PathUri.parse(SPELLINGS[case]).to_native(env.platform)
    assert ask_win32(python, "answer = final_path(question)", native) == "C:\\"
    assert client.files.canonicalize(SPELLINGS[case]).to_native(env.platform) == "C:\\"
    found = {entry.file_name for entry in client.files.read_directory(SPELLINGS[case])}
    assert found == set(ask_win32(python, "answer = os.listdir('C:\\\\')"))


@pytest.mark.parametrize("case", NO_DRIVES)
def test_what_is_no_drive_is_refused(
    case: str, env: RunningEnvironment, client: SyncClient, shell: BoundShell
) -> None:
    with pytest.raises(RpcError, match=f"is invalid on '{env.platform}'"):
        client.files.read_directory(NO_DRIVES[case])
    with pytest.raises(RpcError, match=f"is invalid on '{env.platform}'"):
        client.start(shell.argv(shell.exit(0)), cwd=NO_DRIVES[case])

"""On Windows a name is found in any case, and stays in the case it was made in."""

from __future__ import annotations

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("names have a case elsewhere")

# As the name is made, and as it is asked for.
NAMES = {
    "ascii": ("CaseProbe.TXT", "caseprobe.txt"),
    "umlaut": ("Ärger", "äRGER"),
    "greek": ("Ωmega", "ωMEGA"),
    "full-width": ("\uff21b", "\uff41B"),
}


@pytest.fixture(params=NAMES)
def twin(request: pytest.FixtureRequest) -> tuple[str, str]:
    return NAMES[request.param]


def names(client: SyncClient, workspace: Workspace) -> list[str]:
    return [entry.file_name for entry in client.files.read_directory(workspace.uri)]


def test_file_is_found_in_another_case(
    twin: tuple[str, str],
    env: RunningEnvironment,
    client: SyncClient,
    python: BoundPython,
    workspace: Workspace,
) -> None:
    made, asked = twin
    workspace.write(made, b"text")
    other = workspace / asked
    assert client.files.read_file(other) == b"text"
    assert client.files.metadata(other).size == 4
    with client.files.open_read(other) as handle:
        assert handle.read_block(0, 4).data == b"text"
    system = ask_win32(python, "answer = [final_path(question), found_name(question)]", asked)
    assert system == [workspace.native(made), made]
    assert client.files.canonicalize(other).to_native(env.platform) == system[0]


def test_directory_is_entered_in_another_case(
    twin: tuple[str, str], client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    made, asked = twin
    leaf = workspace.write(f"{made}/Inside/leaf", b"text")
    assert client.files.read_file(workspace / f"{asked}/iNSIDE/LEAF") == b"text"
    assert [entry.file_name for entry in client.files.read_directory(workspace / asked)] == ["Inside"]
    assert client.files.canonicalize(workspace / f"{asked}/inside/Leaf") == leaf
    # What is found below has the case of the directory, the root the one it was asked for in.
    walked = client.files.walk(workspace / asked)
    assert [entry.path for entry in walked.entries] == [
        str(workspace / f"{asked}/Inside"),
        str(workspace / f"{asked}/Inside/leaf"),
    ]
    place = ask_win32(python, "answer = final_path('.')", cwd=workspace / asked)
    assert place == workspace.native(made)


def test_writing_in_another_case_replaces_the_content_and_keeps_the_name(
    twin: tuple[str, str], client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    made, asked = twin
    workspace.write(made, b"longer than before")
    workspace.write(asked, b"whole")
    assert ask_win32(python, "answer = tree(os.getcwd())") == {made: "whole"}
    with client.files.open_replace(workspace / asked) as handle:
        handle.write_block(0, b"blocks")
    assert ask_win32(python, "answer = tree(os.getcwd())") == {made: "blocks"}


def test_directory_is_not_made_twice(twin: tuple[str, str], client: SyncClient, workspace: Workspace) -> None:
    made, asked = twin
    workspace.write(f"{made}/leaf", b"text")
    client.files.create_directory(workspace / asked)
    with pytest.raises(RpcError):
        client.files.create_directory(workspace / asked, recursive=False)
    workspace.mkdir(f"{asked}/sub")
    assert names(client, workspace) == [made]
    assert workspace.read(f"{made}/leaf") == b"text"


def test_copy_to_another_case_of_itself_loses_nothing(
    twin: tuple[str, str], client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    made, asked = twin
    workspace.write(made, b"precious")
    try:
        client.files.copy(workspace / made, workspace / asked)
    except RpcError as refused:
        assert refused.code != ErrorCode.NOT_FOUND
    assert ask_win32(python, "answer = tree(os.getcwd())") == {made: "precious"}


def test_copy_of_a_directory_into_another_case_of_itself_is_refused(
    twin: tuple[str, str], client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    made, asked = twin
    workspace.write(f"{made}/leaf", b"text")
    for target in (asked, f"{asked}/below"):
        with pytest.raises(RpcError):
            client.files.copy(workspace / made, workspace / target, recursive=True)
    assert ask_win32(python, "answer = tree(os.getcwd())") == {f"{made}\\leaf": "text"}


def test_copy_over_another_case_replaces_it(
    twin: tuple[str, str], client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    made, asked = twin
    workspace.write("source", b"new")
    workspace.write(made, b"old, and longer")
    client.files.copy(workspace / "source", workspace / asked)
    assert ask_win32(python, "answer = tree(os.getcwd())") == {made: "new", "source": "new"}


def test_file_is_removed_in_another_case(
    twin: tuple[str, str], client: SyncClient, workspace: Workspace
) -> None:
    made, asked = twin
    workspace.write(f"{made}/sub/leaf", b"text")
    client.files.remove(workspace / f"{asked}/SUB/Leaf", force=False)
    assert client.files.read_directory(workspace / f"{made}/sub") == []
    client.files.remove(workspace / asked, force=False)
    assert names(client, workspace) == []


def test_renaming_by_case_is_seen_as_the_system_sees_it(
    twin: tuple[str, str],
    env: RunningEnvironment,
    client: SyncClient,
    python: BoundPython,
    workspace: Workspace,
) -> None:
    made, asked = twin
    workspace.write(made, b"text")
    # Through a third name: Wine 8.0 takes a rename that changes the case only for none.
    code = """
        os.rename(question[0], "third")
        os.rename("third", question[1])
        answer = [os.listdir("."), final_path(question[0])]
    """
    listing, final = ask_win32(python, code, [made, asked])
    assert names(client, workspace) == listing == [asked]
    assert client.files.canonicalize(workspace / made).to_native(env.platform) == final

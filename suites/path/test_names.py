"""Every file name means the same to the client and to the operating system there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from executors.protocol.errors import RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import Once, ask
from suites.path.directories import is_too_long_to_start_in
from suites.path.names import DIRECTORIES, NAMES, RESERVED

# Without the prefix a path of 260 and more is no path to most programs on Windows.
_NATIVE = r"""
def native(*parts):
    path = os.path.join(*parts)
    return "\\\\?\\" + path if os.name == "nt" and len(path) > 240 else path
"""

_MAKE = f"""
{_NATIVE}
answer = {{}}
for folder, name in question["names"].items():
    found = answer[folder] = {{"path": os.path.join(question["base"], folder, name)}}
    os.mkdir(native(question["base"], folder))
    try:
        with open(native(question["base"], folder, name), "xb") as file:
            file.write(b"made as " + folder.encode())
    except OSError as error:
        found["error"] = repr(error)
    found["listing"] = os.listdir(native(question["base"], folder))
    if "error" not in found:
        try:
            found["canonical"] = os.path.realpath(found["path"])
        except OSError:
            # Wine 8.0 tells no final name of over 260 characters. It is no link: its directory has one.
            above = os.path.dirname(found["path"])
            found["canonical"] = os.path.join(os.path.realpath(above), *found["listing"])
"""

_LOOK = f"""
{_NATIVE}
answer = {{}}
for folder, name in question["names"].items():
    found = answer[folder] = {{"listing": os.listdir(native(question["base"], folder))}}
    try:
        with open(native(question["base"], folder, name), "rb") as file:
            found["content"] = file.read().decode()
    except OSError as error:
        found["content"] = repr(error)
"""


def attempt(call: Any, *args: Any) -> Any:
    """Returns the result, or the executor's refusal."""
    try:
        return call(*args)
    except RpcError as error:
        return error


CASES = [
    pytest.param(case, marks=pytest.mark.skip_if_target_windows("it ends in a separator there"))
    if case == "backslash-trailing"
    else case
    for case in NAMES
]


@dataclass
class Found:
    """What became of one name.

    :ivar system: what the operating system made of it: its path, error, canonical path, and what
        is then in the directory.
    :ivar seen: what the operating system sees where the client wrote.
    """

    uri: PathUri
    system: dict[str, Any]
    content: bytes | RpcError
    canonical: PathUri | RpcError
    listing: list[str]
    walked: list[str]
    written: RpcError | None
    seen: dict[str, Any]

    @property
    def is_possible(self) -> bool:
        return "error" not in self.system


def survey(client: SyncClient, python: BoundPython, workspace: Workspace) -> dict[str, Found]:
    """Lets the system make a file of each name, and the client another; each looks at the other's."""
    theirs, ours = workspace.mkdir("theirs"), workspace.mkdir("ours")
    made = ask(python, _MAKE, {"base": workspace.native("theirs"), "names": NAMES})
    written = {}
    for folder, name in NAMES.items():
        client.files.create_directory(ours.join(folder))
        uri = ours.join(folder).join(name)
        written[folder] = attempt(client.files.write_file, uri, f"written as {folder}".encode())
    seen = ask(python, _LOOK, {"base": workspace.native("ours"), "names": NAMES})
    found = {}
    for folder, name in NAMES.items():
        place = theirs.join(folder)
        uri = place.join(name)
        found[folder] = Found(
            uri=uri,
            system=made[folder],
            content=attempt(client.files.read_file, uri),
            canonical=attempt(client.files.canonicalize, uri),
            listing=[entry.file_name for entry in client.files.read_directory(place)],
            walked=[entry.path for entry in client.files.walk(place).entries],
            written=written[folder],
            seen=seen[folder],
        )
    return found


@pytest.fixture
def found(request: pytest.FixtureRequest, once: Once) -> Found:
    """What became of the name that the test asks for."""
    case: str = request.getfixturevalue("case")
    return once(survey)[case]


@pytest.mark.parametrize("case", CASES)
def test_file_written_by_the_client_is_there_for_the_system(case: str, found: Found) -> None:
    if found.is_possible:
        assert found.written is None
        assert found.seen == {"listing": found.system["listing"], "content": f"written as {case}"}
    else:
        assert isinstance(found.written, RpcError), f"the system says {found.system['error']}"
        assert found.seen["listing"] == []


@pytest.mark.parametrize("case", CASES)
def test_file_made_by_the_system_is_read_by_the_client(case: str, found: Found) -> None:
    if found.is_possible:
        assert found.content == f"made as {case}".encode()
    else:
        assert isinstance(found.content, RpcError), f"the system says {found.system['error']}"


@pytest.mark.parametrize("case", CASES)
def test_directory_lists_the_name_as_the_system_does(case: str, found: Found) -> None:
    assert found.listing == found.system["listing"]
    assert [PathUri.parse(uri).basename for uri in found.walked] == found.system["listing"]


@pytest.mark.parametrize("case", CASES)
def test_uri_and_native_path_are_the_same_path(case: str, found: Found, env: RunningEnvironment) -> None:
    assert found.uri.to_native(env.platform) == found.system["path"]
    assert PathUri.parse(str(found.uri)) == found.uri
    if found.is_possible:
        assert isinstance(found.canonical, PathUri), found.canonical
        assert found.canonical.to_native(env.platform) == found.system["canonical"]


@pytest.mark.parametrize("case", DIRECTORIES)
def test_program_runs_in_a_directory_of_that_name(
    case: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    name = NAMES[case]
    tell = "answer = [os.listdir('.'), os.path.basename(os.getcwd())]"
    make = f"""
        {tell.replace("answer", "in_workspace")}
        try:
            if not os.path.isdir(question):  # As the name of nothing but dots is on Windows.
                os.mkdir(question)
            os.chdir(question)
            open("here", "xb").close()
            {tell}
        except OSError as error:
            answer = None
    """
    expected = ask(python, make, name)
    if expected is None or is_too_long_to_start_in(workspace / name):
        with pytest.raises(RpcError):
            client.start(python.argv(""), cwd=workspace / name)
    else:
        assert ask(python, tell, cwd=workspace / name) == expected


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_name_is_what_the_system_makes_of_it(
    name: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    # Never read: a console or a serial line may keep a reader waiting for good.
    ours, theirs = workspace.mkdir("ours"), workspace.mkdir("theirs")
    attempt(client.files.write_file, ours.join(name), b"text")
    make = """
        try:
            with open(os.path.join(question["theirs"], question["name"]), "wb") as file:
                file.write(b"text")
        except (OSError, ValueError):  # Python's own refusal: it knows the names of consoles.
            pass
        answer = {place: [[entry.name, entry.stat().st_size] for entry in os.scandir(question[place])]
                  for place in ("ours", "theirs")}
    """
    question = {"name": name, "ours": workspace.native("ours"), "theirs": workspace.native("theirs")}
    listing = ask(python, make, question)
    assert listing["ours"] == listing["theirs"]
    assert [entry.file_name for entry in client.files.read_directory(theirs)] == [
        entry[0] for entry in listing["theirs"]
    ]


@pytest.mark.skip_if_target_windows("a colon there ends a drive or starts a stream")
@pytest.mark.parametrize("name", ["C:", "c:x", "C|", "a:b", ":", "file:", "nul:"])
def test_name_like_a_drive_is_a_name(name: str, python: BoundPython, workspace: Workspace) -> None:
    workspace.write(f"below/{name}/leaf", name.encode())
    read = """
        with open(os.path.join("below", question, "leaf")) as file:
            answer = file.read()
    """
    assert ask(python, read, name) == name
    assert workspace.read(f"below/{name}/leaf") == name.encode()

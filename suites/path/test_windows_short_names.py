"""Names of eight and three characters, which many volumes of Windows give to every file besides its own."""

from __future__ import annotations

import pytest

from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("only Windows gives short names")

NAMES = {
    "long": "a name of many characters.text",
    "long-extension": "name.extension",
    "blank": "two words",
    "dots": "many.dots.in.it",
    "accents": "épée à deux.txt",
    "punctuation": "a+b=[c],d;e.txt",
    "hidden": ".hidden-by-a-dot",
}


class Short:
    """A file that goes by two paths.

    :ivar path: with short names throughout, as the system tells it.
    """

    def __init__(self, name: str, python: BoundPython, workspace: Workspace) -> None:
        self.name = name
        self.long = workspace.write(f"{name}.d/{name}", b"by its long name")
        answer = ask_win32(
            python, "answer = [short_path(question), long_path(short_path(question))]", self.long.render()
        )
        self.path, self.long_again = answer
        if self.path.endswith(name):
            pytest.skip(f"the volume there gives no short name to {name!r}")
        assert len(self.path.rpartition("\\")[2]) <= len("12345678.123")
        self.uri = workspace.uri.join(self.path)


@pytest.fixture(params=NAMES)
def short(request: pytest.FixtureRequest, python: BoundPython, workspace: Workspace) -> Short:
    return Short(NAMES[request.param], python, workspace)


def test_short_path_leads_to_the_file(short: Short, client: SyncClient) -> None:
    assert client.files.read_file(short.uri) == b"by its long name"
    assert client.files.metadata(short.uri) == client.files.metadata(short.long)


def test_canonical_path_has_the_long_names(
    short: Short, env: RunningEnvironment, client: SyncClient, python: BoundPython
) -> None:
    canonical = client.files.canonicalize(short.uri)
    assert canonical == short.long
    assert canonical.to_native(env.platform) == short.long_again
    assert ask_win32(python, "answer = final_path(question)", short.path) == short.long_again


def test_directory_by_its_short_path(short: Short, client: SyncClient, python: BoundPython) -> None:
    place = short.uri.parent
    assert place is not None
    assert [entry.file_name for entry in client.files.read_directory(place)] == [short.name]
    assert [entry.path for entry in client.files.walk(place).entries] == [str(place.join(short.name))]
    assert (
        ask_win32(python, "answer = long_path(os.getcwd())", cwd=place)
        == short.long_again.rpartition("\\")[0]
    )


def test_writing_and_removing_by_the_short_path(
    short: Short, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    client.files.write_file(short.uri, b"by its short name")
    where = f"{short.name}.d\\{short.name}"
    assert ask_win32(python, "answer = tree(os.getcwd())") == {where: "by its short name"}
    client.files.remove(short.uri, force=False)
    assert ask_win32(python, "answer = tree(os.getcwd())") == {}
    place = short.uri.parent
    assert place is not None
    client.files.remove(place, force=False)
    assert client.files.read_directory(workspace.uri) == []

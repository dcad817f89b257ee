"""Records what the released exec-server replies: ``python -m tests.compat.record [linux] [windows]``.

What it writes is data of the tests; see docs/compatibility.md. Windows means the Windows build under Wine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from executors.protocol.path_uri import PathUri
from harness.client.errors import ClientError
from harness.client.sync import blocking_context
from harness.environments.base import Availability, Environment, Running
from harness.executor_kinds import EXECUTORS, PEER
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.program import PeerFailed
from harness.executor_kinds.codex.release import LINUX, VERSION, WINDOWS, Package
from harness.settings import read_settings
from tests.compat import scripts, windows_scripts
from tests.compat.player import Player
from tests.compat.scripts import Script
from tests.compat.steps import ROOT, Recording, Step

_FOLDER = Path(__file__).parent / "recorded" / VERSION
_FETCH = (
    "crossexec prepare --executor=codex{} fetches it; CROSSEXEC_CODEX_BINARY names one that is here already"
)


@dataclass(frozen=True)
class Platform:
    """Of an executor, with recordings of its own.

    :ivar environment: where such an executor runs.
    :ivar seconds: how long it may take to bring that up; the first time what it needs may have to be built.
    :ivar package: with the released one.
    :ivar make_tree: makes the files that the scripts speak of.
    """

    name: str
    environment: str
    seconds: float
    package: Package
    scripts: tuple[Script, ...]
    make_tree: Callable[[Path], None]

    def place(self, executor: str) -> Environment:
        """Where an executor of this kind runs."""
        return EXECUTORS[executor].environments[self.environment](read_settings())

    def released(self) -> Availability:
        """Tells whether the released one is here and runs, without fetching it."""
        there = self.place(PEER).available()
        try:
            if there and program.find(read_settings().codex_binary, self.package) is None:
                option = "" if self.environment == "local" else f" --env={self.environment}"
                return Availability(False, f"{self.package.spec} is not here", _FETCH.format(option))
        except PeerFailed as error:
            return Availability(False, error.reason, error.remedy)
        return there

    def file(self, script: str) -> Path:
        """With the recording of a script."""
        return _FOLDER / self.name / f"{script}.jsonl"

    def recorded(self, script: str) -> Recording:
        return Recording.from_lines(self.file(script).read_text("utf-8").splitlines())


PLATFORMS = {
    "linux": Platform("linux", "local", 60, LINUX, scripts.SCRIPTS, scripts.make_tree),
    "windows": Platform(
        "windows", "wine-exec", 1800, WINDOWS, windows_scripts.SCRIPTS, windows_scripts.make_tree
    ),
}


class Recorder:
    """Takes steps with an executor that runs.

    :param up: the executor.
    """

    def __init__(self, platform: Platform, up: Running) -> None:
        self._platform = platform
        self._up = up

    def record(self, script: Script) -> Recording:
        """Takes those of a script."""
        return self.play(script.__name__, script(f"file://{ROOT}"))

    def play(self, name: str, steps: Iterable[Step]) -> Recording:
        """
        :param name: of a folder that is made for them.
        """
        root = self._up.workspace_root.join(name)
        self._platform.make_tree(self._seen_from_here(root))
        return Player(self._up.url, str(root).removeprefix("file://"), root.render()).play(steps)

    def _seen_from_here(self, uri: PathUri) -> Path:
        return Path(uri.render()) if self._up.host_view is None else self._up.host_view.host_path(uri)


@contextmanager
def recorder(platform: Platform, executor: str) -> Iterator[Recorder]:
    """Brings up an executor of a kind, by the names of :data:`harness.executor_kinds.EXECUTORS`."""
    with blocking_context(platform.place(executor).start()) as up:
        yield Recorder(platform, up)


def main(names: list[str]) -> int:
    if unknown := sorted(set(names) - PLATFORMS.keys()):
        print(f"no platform {', '.join(unknown)}; there are {', '.join(PLATFORMS)}", file=sys.stderr)
        return 2
    for platform in (PLATFORMS[name] for name in names or PLATFORMS):
        released = platform.released()
        if not released:
            print(f"{platform.name}: {released}", file=sys.stderr)
            return 1
        try:
            with recorder(platform, PEER) as recording:
                for script in platform.scripts:
                    _write(platform.file(script.__name__), recording.record(script))
        except ClientError as error:
            print(f"{platform.name}: {error}", file=sys.stderr)
            return 1
    return 0


def _write(file: Path, recording: Recording) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = list(recording.to_lines())
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    print(f"{file}: {len(lines)} lines")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

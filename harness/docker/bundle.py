"""What is brought into a container: the executor, and the packages that fit its Python."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from executors.speedups import SPEED_UPS
from harness.docker.containers import Plan, run
from harness.docker.daemon import Daemon
from harness.docker.errors import DockerFailed
from harness.docker.options import DockerOptions
from harness.docker.target import INSIDE, TargetPython
from harness.packages import PackagesFailed, install_packages
from harness.progress import Progress
from harness.shared import using
from harness.sources import ExecutorSources

PACKAGES: Final = "/opt/crossexec/packages"
EXECUTOR: Final = "/opt/crossexec/executor"
_ROOTS: Final = ("msgspec", "websockets")
# Of the extra "relay".
_RELAY: Final = ("cryptography", "protobuf")
_FAST: Final = tuple(speed_up.name for speed_up in SPEED_UPS)
_COMPILE_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Bundle:
    """Two folders of the cache, read only from now on.

    :ivar packages: to be at :data:`PACKAGES`.
    :ivar executor: to be at :data:`EXECUTOR`.
    """

    packages: Path
    executor: Path

    def archive(self) -> bytes:
        """Returns a tar file of the folders ``packages`` and ``executor`` and of what works beside them; 8
        bytes with its size come first."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.add(self.packages, "packages", filter=_anonymous)
            tar.add(self.executor, "executor", filter=_anonymous)
            tar.add(INSIDE, INSIDE.name, filter=_anonymous)
        content = data.getvalue()
        return len(content).to_bytes(8, "big") + content


def names_of_bundles(pythons: Iterable[tuple[TargetPython, str]]) -> set[str]:
    """Returns the names in the cache of what fits each Python, compiled in the image beside it or nowhere,
    with and without the relay.

    :raises DockerFailed: the executor's packages are not installed here.
    """
    sets, sources = [_pins()], ExecutorSources()
    with suppress(DockerFailed):  # The relay's packages are not installed here: nobody makes such a bundle.
        sets.append(_pins(relay=True))
    return {
        name
        for pins in sets
        for python, image in pythons
        for compiled in (image, "")
        for name in _names(python, compiled, pins, sources)
    }


def _names(python: TargetPython, compiled: str, pins: _Pins, sources: ExecutorSources) -> tuple[str, str]:
    key = hashlib.sha256("\0".join((*pins.needed, *pins.fast, repr(python), compiled)).encode()).hexdigest()[
        :16
    ]
    return f"packages-{key}", f"executor-{sources.key(repr(python), compiled)}"


@contextmanager
def bundle_of(
    python: TargetPython,
    cache: Path,
    progress: Progress,
    workshop: Workshop | None,
    *,
    relay: bool = False,
) -> Iterator[Bundle]:
    """What fits *python*, which stays as long as the context lasts; makes in the *cache* what is not there.

    :param workshop: compiles it; without, the target does at each start.
    :param relay: with what an executor needs that dials out.
    :raises DockerFailed: the packages cannot be had.
    """
    pins = _pins(relay=relay)
    sources = ExecutorSources()
    names = _names(python, "" if workshop is None else workshop.image, pins, sources)

    def add_packages(folder: Path) -> None:
        with progress.stage("fetching the packages of the executor"):
            folder.mkdir()
            _install(folder, python, pins)
            _finish(folder, PACKAGES)

    def add_executor(folder: Path) -> None:
        with progress.stage("compiling the executor"):
            folder.mkdir()
            sources.write(folder)
            _finish(folder, EXECUTOR)

    def _finish(folder: Path, where: str) -> None:
        if workshop is not None:
            workshop.compile(python, folder, where)
        # Any user of the container may read it, whatever the umask here.
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    with (
        using(cache / names[0], add_packages) as packages,
        using(cache / names[1], add_executor) as executor,
    ):
        yield Bundle(packages, executor)


@dataclass(frozen=True)
class Workshop:
    """Compiles by the target's own Python, so that the byte code fits and names the paths there."""

    daemon: Daemon
    image: str

    def compile(self, python: TargetPython, folder: Path, where: str) -> None:
        plan = Plan(
            self.image,
            python.command("compile_all", where),
            f"{os.getuid()}:{os.getgid()}",
            DockerOptions(tmp="16m"),
            {where: folder},
            frozenset({where}),
        )
        status, out, err = run(self.daemon, plan, _COMPILE_SECONDS)
        if status != 0:
            said = (err or out).decode(errors="replace").strip()
            raise DockerFailed(f"compiling the executor in {self.image[:19]} ended with {status}: {said}")


@dataclass(frozen=True)
class _Pins:
    """Packages with all that they need, each in the version that is installed here.

    :ivar needed: the executor's.
    :ivar fast: what makes it quicker, as far as that is installed here.
    """

    needed: list[str]
    fast: list[str]


def _pins(*, relay: bool = False) -> _Pins:
    """:raises DockerFailed: a package that the executor needs is not installed here."""
    try:
        needed = _with_requirements((*_ROOTS, *_RELAY) if relay else _ROOTS)
    except PackageNotFoundError as error:
        raise DockerFailed(f"a package of the executor is not installed here: {error}") from error
    fast: list[str] = []
    for name in _FAST:
        with suppress(PackageNotFoundError):
            fast += _with_requirements([name])
    return _Pins(needed, sorted({*fast} - {*needed}))


def _with_requirements(roots: Iterable[str]) -> list[str]:
    """:raises PackageNotFoundError: one of them is not installed here."""
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found[name] = version(name)
        for text in requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return [f"{name}=={found[name]}" for name in sorted(found)]


def _install(folder: Path, python: TargetPython, pins: _Pins) -> None:
    version = ".".join(map(str, python.version))
    what = f"the executor's packages for CPython {version}, {python.libc}, {python.machine}"

    def install(packages: list[str]) -> None:
        install_packages(folder, what, python.version, python.platforms(), ["--no-deps", *packages])

    try:
        install(pins.needed)
    except PackagesFailed as error:
        raise DockerFailed(str(error)) from error
    if not pins.fast:
        return
    try:
        install(pins.fast)
    except PackagesFailed:
        # The index has just given the others: it has no wheels of these for that system. What the executor
        # then tells of itself shows it.
        return


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry

"""The Python of an image or a container, and what fits it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from harness.docker.containers import Plan, run
from harness.docker.daemon import Daemon
from harness.docker.errors import DockerFailed, NotStarted
from harness.docker.options import DockerOptions
from harness.shared import using

INSIDE: Final = Path(__file__).with_name("inside.py")
OLDEST: Final = (3, 11)
_CANDIDATES: Final = (
    "python3",
    "python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
    "/opt/venv/bin/python",
)
_SERVE: Final = (
    "import gc, sys; gc.disable(); sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)];"
    "from executors.command import main; sys.exit(main())"
)
_PROBE_SECONDS: Final = 60.0
_MANYLINUX_OLDEST: Final = 5


@dataclass(frozen=True)
class TargetPython:
    """A Python that can run the executor.

    :ivar program: its path there.
    :ivar version: such as ``(3, 13)``.
    :ivar machine: such as ``x86_64``.
    :ivar libc: such as ``glibc 2.36``, or ``musl``.
    """

    program: str
    version: tuple[int, int]
    machine: str
    libc: str

    def command(self, function: str, *arguments: str) -> list[str]:
        """Returns what runs a function of :mod:`harness.docker.inside` there."""
        return [self.program, *_FLAGS, "-c", INSIDE.read_text("utf-8"), function, *arguments]

    def serve_command(self, packages: str, executor: str, way: Iterable[str]) -> list[str]:
        """Returns what runs the executor from folders that are there; it ends with its standard input.

        :param way: the options that say how it is reached.
        """
        return [
            *(self.program, *_FLAGS, "-c", _SERVE, executor, packages),
            *(*way, "--exit-with-parent"),
        ]

    def relay_command(self, folder: str, socket: str) -> list[str]:
        """Returns what joins its standard streams to a socket, where a bundle's archive is unpacked."""
        return [self.program, *_FLAGS, f"{folder}/{INSIDE.name}", "relay", socket]

    def platforms(self) -> list[str]:
        """Returns the platform tags of the wheels that fit, PEP 600 and PEP 656, newest first."""
        if self.libc == "musl":
            # The oldest musl that any image with Python 3.11 has is 1.2.
            return [f"musllinux_1_{minor}_{self.machine}" for minor in (2, 1)]
        found = re.search(r"2\.(\d+)", self.libc)
        newest = int(found[1]) if found else 17
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, _MANYLINUX_OLDEST - 1, -1)]
        if newest >= 17:
            tags.append(f"manylinux2014_{self.machine}")
        return tags


# No variable and no site-packages of the image has a say.
_FLAGS: Final = ("-I", "-S", "-B", "-X", "utf8")


def probe_command(program: str) -> list[str]:
    """Returns what asks a program whether it is a Python that can serve."""
    return [program, *_FLAGS, "-c", INSIDE.read_text("utf-8"), "probe"]


def probe_image(daemon: Daemon, image: str, user: str, cache: Path) -> TargetPython:
    """Returns the Python of an image; asked once for each image.

    :param image: its id.
    :raises DockerFailed: there is none that can serve.
    """

    def ask(program: str) -> tuple[int, bytes, bytes]:
        return run(daemon, Plan(image, probe_command(program), user, DockerOptions(tmp="1m")), _PROBE_SECONDS)

    def create(path: Path) -> None:
        path.write_text(json.dumps(asdict(find_python(f"the image {image[:19]}", ask))))

    with using(cache / name_of_probe(image), create) as path:
        return _read_probe(path)


def known_pythons(images: Iterable[str], cache: Path) -> list[tuple[TargetPython, str]]:
    """Returns the Pythons of those of the *images* that were asked before, each with its image."""
    probes = [(cache / name_of_probe(image), image) for image in images]
    return [(_read_probe(path), image) for path, image in probes if path.exists()]


def name_of_probe(image: str) -> str:
    """Returns the name of the file in the cache with what the image of that id has answered."""
    return f"python-{image.rpartition(':')[2][:24]}.json"


def _read_probe(path: Path) -> TargetPython:
    known: dict[str, Any] = json.loads(path.read_text())
    return TargetPython(**{**known, "version": (known["version"][0], known["version"][1])})


def find_python(where: str, ask: Callable[[str], tuple[int, bytes, bytes]]) -> TargetPython:
    """Returns the first Python that answers.

    :param where: for people.
    :param ask: runs the probe by a program there; returns exit status and outputs.
    :raises DockerFailed: there is none that can serve.
    """
    tried = []
    for program in _CANDIDATES:
        try:
            status, out, err = ask(program)
        except NotStarted as error:
            tried.append(f"{program}: {str(error).splitlines()[0]}")
            continue
        if status == 0:
            return _check(where, json.loads(out))
        tried.append(
            f"{program}: exit status {status}: {(err or out).decode(errors='replace').strip()[-200:]}"
        )
    raise DockerFailed(
        f"{where} has no Python that starts; choose one that has Python {OLDEST[0]}.{OLDEST[1]} or newer. "
        f"Tried: {'; '.join(tried)}"
    )


def _check(where: str, found: dict[str, Any]) -> TargetPython:
    version = (found["version"][0], found["version"][1])
    if found["implementation"] != "cpython" or version < OLDEST or found["free_threaded"]:
        kind = f"{found['implementation']} {version[0]}.{version[1]}"
        raise DockerFailed(
            f"{where} has {kind}{', free-threaded' if found['free_threaded'] else ''}; the executor needs "
            f"CPython {OLDEST[0]}.{OLDEST[1]} or newer with its lock: choose another image"
        )
    return TargetPython(found["executable"], version, found["machine"], found["libc"])


def host_user() -> str:
    """Returns who runs executors by default: this user, but not root."""
    return "1000:1000" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"

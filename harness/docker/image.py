"""The image that containers are made of: the one that was chosen, or one that is built without a registry."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from harness.docker.daemon import Daemon
from harness.docker.errors import DockerFailed
from harness.progress import Progress
from harness.shared import LOCK

if TYPE_CHECKING:
    from harness.progress import Stage

REPOSITORY: Final = "crossexec-debian"
LOCKED: Final = "image"
"""Whoever makes images has the lock of this name in the cache, see :mod:`harness.shared`."""
TEMPORARY: Final = "image-"
"""What the names of folders begin with in which images are made."""
_SUITE: Final = "bookworm"
_PACKAGES: Final = ("procps", "python3")
# The byte code stays: without it the interpreter takes five times as long to start.
_LEFT_OUT: Final = ("doc", "man", "info", "locale", "lintian")
BUILDER: Final = "mmdebstrap"
_BUILD: Final = (
    BUILDER,
    "--variant=minbase",
    f"--include={','.join(_PACKAGES)}",
    '--aptopt=Acquire::Languages "none"',
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT),
    # An account for the usual user id, so that it has a name.
    '--customize-hook=chroot "$1" useradd --uid 1000 --home-dir /tmp --shell /bin/bash crossexec',
    '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
    _SUITE,
)
_CHANGES: Final = ("ENV LANG=C.UTF-8", 'CMD ["python3"]')
_BUILD_SECONDS: Final = 1800.0
_STEPS: Final = re.compile(rb"^I: ", re.MULTILINE)
_REMEDY: Final = (
    "install mmdebstrap (Debian, Ubuntu), or choose an image with Python, such as python:3.13-slim"
)


def default_tag() -> str:
    """Returns the name of the built image; another recipe has another name."""
    told = hashlib.sha256("\0".join((*_BUILD, *_CHANGES)).encode()).hexdigest()
    return f"{REPOSITORY}:{told[:16]}"


def ensure_image(daemon: Daemon, chosen: str | None, cache: Path, progress: Progress) -> str:
    """Returns the id of the image; pulls or builds it if it is not there.

    :param chosen: its name; None for the one that is built.
    :raises DockerFailed: it can neither be found nor made.
    """
    name = chosen or default_tag()
    found = _find(daemon, name)
    if found is None:
        # One of all processes does it; the others wait.
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{LOCKED}{LOCK}"):
            found = _find(daemon, name)
            if found is None:
                if chosen:
                    _pull(daemon, chosen, progress)
                else:
                    _build(daemon, name, cache, progress)
                found = _find(daemon, name)
    if found is None:
        raise DockerFailed(f"the image {name} was made, and the daemon does not have it")
    return found


def _find(daemon: Daemon, name: str) -> str | None:
    from docker.errors import APIError, ImageNotFound

    try:
        found: dict[str, Any] = daemon.api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None
    except APIError as error:
        raise DockerFailed(f"the image {name!r} cannot be looked up: {error.explanation}") from error
    id: str = found["Id"]
    return id


def _pull(daemon: Daemon, name: str, progress: Progress) -> None:
    from docker.errors import DockerException

    try:
        with progress.stage(f"pulling the image {name}") as stage:
            # Without a tag, docker-py would fetch all that there are.
            tagged = name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
            for told in daemon.api.pull(tagged, stream=True, decode=True):
                if "error" in told:
                    raise DockerFailed(_not_pulled(name, told["error"]))
                if told.get("status") == "Pull complete":
                    stage.advance()
    except DockerException as error:
        raise DockerFailed(_not_pulled(name, str(error))) from error


def _not_pulled(name: str, reason: str) -> str:
    return (
        f"the image {name} is not on this daemon and cannot be pulled: {reason}; load it there by hand "
        "(docker load, docker import), or choose none to have one built by mmdebstrap"
    )


def _build(daemon: Daemon, name: str, cache: Path, progress: Progress) -> None:
    from docker.errors import APIError

    if shutil.which(_BUILD[0]) is None:
        raise DockerFailed(f"the default image is built by mmdebstrap, which is not installed: {_REMEDY}")
    repository, _, tag = name.partition(":")
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=cache) as folder:
        archive = Path(folder, "image.tar")
        with progress.stage("building a Debian image with Python") as stage:
            _bootstrap(archive, Path(folder, "log"), stage)
        with progress.stage("importing the image"):
            try:
                with archive.open("rb") as data:
                    daemon.api.import_image_from_data(data, repository, tag, changes=list(_CHANGES))
            except APIError as error:
                raise DockerFailed(f"the image {name} cannot be imported: {error.explanation}") from error


def _bootstrap(archive: Path, log: Path, stage: Stage) -> None:
    with archive.open("wb") as out, log.open("wb") as said:
        child = subprocess.Popen(_BUILD, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)
        assert child.stderr is not None
        try:
            for line in child.stderr:
                said.write(line)
                if _STEPS.match(line):
                    stage.advance()
            status = child.wait(_BUILD_SECONDS)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        finally:
            child.stderr.close()
    if status != 0:
        text = log.read_text(errors="replace")[-2000:].strip()
        raise DockerFailed(
            f"{' '.join(_BUILD[:3])} … ended with {status}:\n{text}\nIt needs a Debian mirror that answers, "
            "and root or user namespaces"
        )

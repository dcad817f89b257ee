"""What the environment ``docker`` needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from typing import Any, Final

from harness.docker.daemon import INSTALL, START, Daemon, open_daemon
from harness.docker.errors import DockerFailed
from harness.docker.image import BUILDER, default_tag
from harness.docker.options import DockerOptions
from harness.doctor.model import Fact, State

_NEEDED_BY: Final = ("docker",)
_SECONDS: Final = 10.0
_PREPARE: Final = "now: crossexec prepare --env=docker"


def facts(options: DockerOptions) -> list[Fact]:
    if importlib.util.find_spec("docker") is None:
        return [_fact("docker-py", State.MISSING, "this Python has no module docker", INSTALL)]
    library = _fact("docker-py", State.OK, importlib.metadata.version("docker"))
    try:
        with open_daemon(_SECONDS) as daemon:
            return [library, _daemon(daemon), *_image(daemon, options)]
    except DockerFailed as error:
        found = str(error).removesuffix(START).rstrip("; ")
        remedy = START
        if "Permission denied" in found or "EACCES" in found:
            remedy = "as root: adduser YOU docker, then log in anew; its members can do what root can"
        return [library, _fact("daemon", State.MISSING, found, remedy)]


def _fact(name: str, state: State, found: str, remedy: str = "") -> Fact:
    return Fact("docker", name, state, found, remedy, _NEEDED_BY)


def _daemon(daemon: Daemon) -> Fact:
    about: dict[str, Any] = daemon.api.info()
    words = [
        f"{'podman' if daemon.is_podman else 'Docker'} {daemon.version} at {daemon.host}",
        f"storage {about.get('Driver') or 'unknown'}",
        f"cgroup v{about.get('CgroupVersion') or '?'}",
    ]
    if not daemon.shares_files:
        words.append("it does not share this machine's files")
    if daemon.maps_users:
        words.append("its users are mapped to others here")
    return _fact("daemon", State.OK, ", ".join(words))


def _image(daemon: Daemon, options: DockerOptions) -> list[Fact]:
    from docker.errors import APIError, ImageNotFound

    if options.container is not None:
        return [
            _fact(
                "image", State.NOT_NEEDED, f"the container {options.container} is chosen, which runs already"
            )
        ]
    name = options.image or default_tag()
    try:
        image: dict[str, Any] = daemon.api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        if options.image:
            return [_fact("image", State.LATER, f"{name} is pulled at the first start", _PREPARE)]
        later = f"{name} is built at the first start, in 2 to 4 minutes"
        return [_fact("image", State.LATER, later, _PREPARE), _builder()]
    except APIError as error:
        return [_fact("image", State.BROKEN, f"{name}: {error.explanation}", "docker images")]
    found = _fact("image", State.OK, f"{name}, {int(image['Size']) >> 20} MiB")
    return [found, _fact(BUILDER, State.NOT_NEEDED, "it builds an image, and there is one")]


def _builder() -> Fact:
    program = shutil.which(BUILDER)
    if program is None:
        remedy = f"apt-get install {BUILDER}; or choose an image with Python by --docker-image"
        return _fact(BUILDER, State.MISSING, f"no {BUILDER} in PATH, which builds the image", remedy)
    return _fact(BUILDER, State.OK, program)

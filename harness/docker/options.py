"""What a user chooses about containers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from harness.choices import Option

PROTECTIONS: Final = ("read-only", "capabilities", "no-new-privileges", "init")
"""What can be lifted by name; the limits are lifted by 0, the user by another, the network by its name."""

_option = partial(Option, "docker")

OPTIONS: Final = (
    _option(
        "image",
        "IMAGE",
        "an image with Python 3.11 or newer, pulled if it is not there (default: one made here)",
    ),
    _option("container", "NAME", "run in this container, which runs already, and leave it as it was"),
    _option("network", "NAME", "none, bridge, host or a network that there is (default: none)"),
    _option("user", "UID[:GID]", "who runs the executor (default: the user of this command; 1000 for root)"),
    _option("memory", "SIZE", "limit such as 512m; 0 for none (default: 2g)"),
    _option("pids", "N", "limit of processes and threads; 0 for none (default: 4096)"),
    _option("tmp", "SIZE", "size of /tmp, which lies in memory (default: 1g)"),
    _option("lift", "NAMES", f"protections to lift, with commas: {', '.join(PROTECTIONS)}"),
)


@dataclass(frozen=True)
class DockerOptions:
    """The choices; None where the default depends on the machine.

    :ivar image: what the container is made of; None for the image that the project builds.
    :ivar container: name or id of a running container to attach to; nothing else matters then but *user*.
    :ivar network: ``none``, ``bridge``, ``host`` or the name of a network.
    :ivar user: ``UID`` or ``UID:GID``.
    :ivar memory: bytes, or with a unit as Docker has them (``512m``); ``0`` for no limit.
    :ivar pids: processes and threads; 0 for no limit.
    :ivar tmp: size of /tmp, as *memory*.
    :ivar lift: which of :data:`PROTECTIONS` to do without.
    :raises ValueError: a value cannot be meant so.
    """

    image: str | None = None
    container: str | None = None
    network: str = "none"
    user: str | None = None
    memory: str = "2g"
    pids: int = 4096
    tmp: str = "1g"
    lift: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if unknown := self.lift - set(PROTECTIONS):
            raise ValueError(
                f"docker lift: there is no {', '.join(sorted(unknown))}: "
                f"give some of {', '.join(PROTECTIONS)}"
            )
        if self.user is not None and not re.fullmatch(r"\d+(:\d+)?", self.user):
            raise ValueError(f"docker user: {self.user!r} is no UID or UID:GID; names differ between images")
        for name in ("memory", "tmp"):
            if not re.fullmatch(r"\d+[bkmgBKMG]?", getattr(self, name)):
                raise ValueError(f"docker {name}: {getattr(self, name)!r} is no size such as 512m")
        if self.pids < 0:
            raise ValueError(f"docker pids: {self.pids} is negative")
        if self.container and self.image:
            raise ValueError("docker: an image is for a new container, and container names one that runs")


def docker_options(
    given: Mapping[str, str | None] | None = None, environ: Mapping[str, str] = os.environ
) -> DockerOptions:
    """Returns the options: what is given, else what the environment variable says, else the default.

    :param given: texts by the names of :data:`OPTIONS`.
    :raises ValueError: a value cannot be meant so.
    """
    given = given or {}
    texts = {option.name: given.get(option.name) or environ.get(option.variable) for option in OPTIONS}
    chosen: dict[str, object] = {name: text for name, text in texts.items() if text}
    # A container that a command line names counts more than an image of the environment, and the other way.
    for name, other in (("container", "image"), ("image", "container")):
        if given.get(name) and not given.get(other):
            chosen.pop(other, None)
    if "pids" in chosen:
        text = str(chosen["pids"])
        if not text.isdigit():
            raise ValueError(f"docker pids: {text!r} is no number")
        chosen["pids"] = int(text)
    if "lift" in chosen:
        chosen["lift"] = frozenset(filter(None, str(chosen["lift"]).replace(" ", "").split(",")))
    return DockerOptions(**chosen)  # type: ignore[arg-type]

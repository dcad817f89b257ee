"""What a user chooses about environments, whichever way the choice was made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.docker.options import DockerOptions, docker_options
from harness.remote.options import RemoteOptions, remote_options
from harness.url_options import UrlOptions, url_options


@dataclass(frozen=True)
class Settings:
    """The choices that environments ask for; None where the default holds.

    :ivar windows_python: an official embeddable zip or an unpacked Windows Python, for Wine; by
        default one is built from source.
    :ivar wine: the wine program; by default the one in PATH.
    :ivar docker: about containers.
    :ivar executor: the kind of executor, by the names of :data:`harness.executor_kinds.EXECUTORS`.
    :ivar codex_binary: the released exec-server; by default the user's own or one that npm fetches.
    :ivar remote: about executors that are reached through a relay.
    :ivar url: about executors that are reached by their URL.
    """

    windows_python: Path | None = None
    wine: Path | None = None
    docker: DockerOptions = field(default_factory=DockerOptions)
    executor: str = "python"
    codex_binary: Path | None = None
    remote: RemoteOptions = field(default_factory=RemoteOptions)
    url: UrlOptions = field(default_factory=UrlOptions)


VARIABLES: Mapping[str, str] = {
    "windows_python": "CROSSEXEC_WINDOWS_PYTHON",
    "wine": "CROSSEXEC_WINE",
    "codex_binary": "CROSSEXEC_CODEX_BINARY",
}
"""The environment variable of each setting; those about containers, relays and URLs have their own tables."""


def read_settings(
    *,
    windows_python: Path | None = None,
    wine: Path | None = None,
    docker: Mapping[str, str | None] | None = None,
    executor: str | None = None,
    codex_binary: Path | None = None,
    remote: Mapping[str, str | None] | None = None,
    url: Mapping[str, str | None] | None = None,
) -> Settings:
    """Returns the settings: what is given, else what the environment variable says, else the default.

    :param docker: texts by the names of :data:`harness.docker.options.OPTIONS`.
    :param remote: the same by those of :data:`harness.remote.options.OPTIONS`.
    :param url: the same by those of :data:`harness.url_options.OPTIONS`.
    :raises ValueError: a value cannot be meant so.
    """
    return Settings(
        windows_python=windows_python or _from_environ("windows_python"),
        wine=wine or _from_environ("wine"),
        docker=docker_options(docker),
        executor=executor or "python",
        codex_binary=codex_binary or _from_environ("codex_binary"),
        remote=remote_options(remote),
        url=url_options(url),
    )


def _from_environ(name: str) -> Path | None:
    value = os.environ.get(VARIABLES[name])
    return Path(value) if value else None

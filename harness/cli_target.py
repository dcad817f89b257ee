"""What the subcommands of ``crossexec`` share: the executor they talk to, its paths, its refusals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri, PathUriError
from harness.bearer import CredentialError, refuse_login
from harness.choices import Option
from harness.client.client import Client, connect
from harness.client.errors import ClientError
from harness.docker.options import OPTIONS as DOCKER_OPTIONS
from harness.environments import EnvironmentFailed, make_environment
from harness.progress import show_progress
from harness.remote.options import OPTIONS as REMOTE_OPTIONS
from harness.settings import Settings, read_settings
from harness.url_options import OPTIONS as URL_OPTIONS


class UsageError(Exception):
    """The arguments cannot be meant so."""


EXPECTED: Final = (ClientError, EnvironmentFailed, RpcError, PathUriError, OSError)
"""What a person may meet without anything being wrong with the program; shown as one message."""


def chosen_settings(options: argparse.Namespace) -> Settings:
    """Returns what the options of environments say, else environment variables.

    :raises UsageError: a value cannot be meant so.
    """
    try:
        return read_settings(
            windows_python=options.windows_python,
            wine=options.wine,
            docker=_chosen(options, DOCKER_OPTIONS),
            executor=options.executor if isinstance(getattr(options, "executor", None), str) else None,
            codex_binary=options.codex_binary,
            remote=_chosen(options, REMOTE_OPTIONS),
            url=_chosen(options, URL_OPTIONS),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _chosen(options: argparse.Namespace, of: Sequence[Option]) -> dict[str, str | None]:
    return {option.name: getattr(options, option.destination) for option in of}


def prepare_target(options: argparse.Namespace) -> None:
    """Chooses the environment and makes what it needs once on this machine, which may take minutes.

    To be called outside of an event loop, where Ctrl-C ends it at once.

    :raises UsageError: there is no such environment.
    :raises EnvironmentFailed: this machine cannot give it.
    """
    options.environment = None
    settings = chosen_settings(options)
    try:
        if options.url is not None:
            refuse_login(options.url)
            options.bearer = settings.url.bearer()
            return
        environment = make_environment(options.env, settings)
    except (ValueError, CredentialError) as error:
        raise UsageError(str(error)) from error
    availability = environment.available()
    if not availability:
        raise EnvironmentFailed(f"environment {options.env}: {availability}")
    with show_progress(sys.stderr, "crossexec") as progress:
        environment.prepare(progress)
    options.environment = environment


@asynccontextmanager
async def open_target(options: argparse.Namespace) -> AsyncIterator[Client]:
    """A client of the executor that ``--url`` names, or of the environment that was prepared.

    :raises EnvironmentFailed: it did not come up.
    :raises ClientError: no connection came about.
    """
    if options.environment is None:
        async with connect(options.url, bearer=options.bearer) as client:
            yield client
        return
    async with options.environment.start() as running, running.connect() as client:
        yield client


def remote_path(client: Client, text: str) -> PathUri:
    """The path that a person means: a URI, or native text seen from the executor's working directory.

    :raises PathUriError: it names nothing there.
    """
    if text.lower().startswith("file:"):
        return PathUri.parse(text)
    if client.info.cwd is None:
        raise PathUriError(f"{text!r}: this executor does not tell its working directory; give a file URI")
    return PathUri.parse(client.info.cwd).join(text)


def describe(error: Exception) -> str:
    """The message for a person; codes of the protocol say nothing to one, but for unknown codes."""
    if isinstance(error, RpcError) and error.code in list(ErrorCode):
        return error.message
    return str(error)

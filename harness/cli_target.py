"""What the subcommands of ``crossexec`` share: the executor they talk to, its paths, its refusals."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri, PathUriError
from harness.client.client import Client, connect
from harness.client.errors import ClientError
from harness.environments import EnvironmentFailed, make_environment


class UsageError(Exception):
    """The arguments cannot be meant so."""


EXPECTED: Final = (ClientError, EnvironmentFailed, RpcError, PathUriError, OSError)
"""What a person may meet without anything being wrong with the program; shown as one message."""


@asynccontextmanager
async def open_target(options: argparse.Namespace) -> AsyncIterator[Client]:
    """A client of the executor that ``--url`` or ``--env`` names.

    :raises UsageError: there is no such environment.
    :raises EnvironmentFailed: this machine cannot give it.
    :raises ClientError: no connection came about.
    """
    if options.url is not None:
        async with connect(options.url) as client:
            yield client
        return
    try:
        environment = make_environment(options.env)
    except ValueError as error:
        raise UsageError(f"--env: {error}") from error
    availability = environment.available()
    if not availability:
        raise EnvironmentFailed(f"environment {options.env}: {availability}")
    async with environment.start() as running, running.connect() as client:
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

"""The options of the executor's command for an executor that dials out; imports no more than they need."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from executors.remote.credentials import (
    DEFAULT_VARIABLE,
    HOSTS_VARIABLE,
    CredentialError,
    CredentialSource,
    InFile,
    check_registry_url,
    from_descriptor,
    from_environment,
)

_MAX_ID_CHARACTERS = 256


class CannotStart(Exception):
    """The text says why."""


def add_options(parser: argparse.ArgumentParser, where: Any) -> None:
    """Adds the options to *parser*.

    :param where: the group of options of which only one can be given; gets ``--remote``.
    """
    where.add_argument(
        "--remote",
        metavar="URL",
        help="dial out instead of listening: register at the registry at https://HOST/PATH and serve what "
        "comes, end-to-end encrypted, through the rendezvous it names",
    )
    group = parser.add_argument_group("with --remote")
    group.add_argument(
        "--environment-id", metavar="ID", help="the environment to be, which harnesses ask for; mandatory"
    )
    group.add_argument("--name", metavar="N", help="a name of this machine for people")
    group.add_argument(
        "--allow-registry",
        metavar="HOST",
        action="append",
        default=[],
        help="a host that the registry's credential may be sent to, or .DOMAIN for all below it; may be "
        f"repeated, and {HOSTS_VARIABLE} holds more, with commas; this machine itself always may",
    )
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "--credential-env",
        metavar="NAME",
        default=DEFAULT_VARIABLE,
        help="the environment variable that holds the registry's credential; no process inherits it "
        "(default: %(default)s)",
    )
    source.add_argument(
        "--credential-file",
        type=Path,
        metavar="PATH",
        help="the file that holds it, read anew for each request",
    )
    source.add_argument(
        "--credential-stdin", action="store_true", help="read it from the first line of stdin"
    )


class Prepared:
    """Checked options."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Reads the credential where it is read once.

        :raises CredentialError: there is none, or it may not be sent to that registry.
        :raises ValueError: an option is missing.
        """
        if not options.environment_id:
            raise ValueError("--environment-id is missing")
        if not options.environment_id.isprintable() or len(options.environment_id) > _MAX_ID_CHARACTERS:
            raise ValueError("--environment-id is too long, or holds characters that cannot be shown")
        more = os.environ.get(HOSTS_VARIABLE, "").split(",")
        hosts = {*options.allow_registry, *(each.strip() for each in more)} - {""}
        self.base_url = check_registry_url(options.remote, hosts)
        self.credential = _credential(options)
        self._options = options

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until *stop* is set; the first line on stdout is ``remote:ID``, once it is reachable.

        :raises CannotStart: it cannot be registered, or the extra is not installed.
        """
        options = self._options
        try:
            from executors.remote.executor import RemoteSettings, serve_remote
            from executors.remote.registry import RegistryError
        except ModuleNotFoundError as error:
            raise CannotStart(
                f"--remote needs the module {error.name}: pip install 'crossexec[relay]'"
            ) from None
        settings = RemoteSettings(
            self.base_url,
            options.environment_id,
            self.credential,
            options.name,
            options.max_message_bytes,
            options.session_retention_seconds,
        )
        try:
            await serve_remote(settings, stop, lambda: print(f"remote:{options.environment_id}", flush=True))
        except RegistryError as error:
            raise CannotStart(str(error)) from None


def _credential(options: argparse.Namespace) -> CredentialSource:
    if options.credential_file is not None:
        source = InFile(options.credential_file)
        source.read()  # So that a mistake shows at once.
        return source
    if options.credential_stdin:
        return from_descriptor(sys.stdin.fileno())
    return from_environment(options.credential_env)


__all__ = ["CannotStart", "CredentialError", "Prepared", "add_options"]

"""The command ``crossexec``: its subcommands, its errors, its exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from harness.cli_parser import make_parser

FAILED: Final = 1
# As shells have it: 128 and the signal that would have ended a plain tool.
INTERRUPTED: Final = 128 + 2
UNREAD: Final = 128 + 13

# Whatever a command needs is loaded when it runs, so that help and wrong usage answer at once.
_MODULES: Final = {
    "run": "cli_run",
    "info": "cli_commands",
    "envs": "cli_commands",
    "prepare": "cli_commands",
    "clean": "cli_clean",
    "get": "cli_commands",
    "put": "cli_commands",
    "up": "cli_up",
    "doctor": "cli_doctor",
    "matrix": "cli_matrix",
    "report": "cli_results",
    "compare": "cli_results",
    "gaps": "cli_gaps",
    "peer-report": "cli_peer",
    "ci": "cli_ci",
    "rendezvous": "cli_rendezvous",
    "rendezvous-token": "cli_rendezvous",
}
"""The module of each command, which has a coroutine function of its name, with an underscore for each
hyphen."""

Command = Callable[[argparse.Namespace], Coroutine[None, None, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _open_standard_streams()
    if arguments[:1] == ["serve"]:
        from executors.command import main as serve

        return serve(list(arguments[1:]), prog="crossexec serve")
    options = make_parser().parse_args(arguments)
    if options.command == "run":
        if options.argv[:1] == ["--"]:
            del options.argv[0]
        if not options.argv:
            options.parser.error("no program given; for example: crossexec run -- uname -a")
    return _perform(options)


def _open_standard_streams() -> None:
    """Puts the null device where the caller has closed one, lest another file get its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _perform(options: argparse.Namespace) -> int:
    import asyncio

    from harness.cli_run import OWN_FAILURE
    from harness.cli_target import EXPECTED, UsageError, describe, prepare_target
    from harness.client.errors import ClientError

    try:
        if "url" in options:
            prepare_target(options)
        module = importlib.import_module(f"harness.{_MODULES[options.command]}")
        command: Command = getattr(module, options.command.replace("-", "_"))
        status = asyncio.run(command(options))
        print(end="", flush=True)
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except UsageError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(str(error))
    except EXPECTED as error:
        if isinstance(error, BrokenPipeError) and not isinstance(error, ClientError):
            # Nobody reads the output any more; what is left of it must not fail once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return UNREAD
        print(f"crossexec {options.command}: {describe(error)}", file=sys.stderr)
        return OWN_FAILURE if options.command == "run" else FAILED


if __name__ == "__main__":
    sys.exit(main())

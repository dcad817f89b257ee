"""The command ``crossexec``: its arguments, its errors, its exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final

from executors import __version__
from harness.docker.options import OPTIONS

FAILED: Final = 1
# As shells have it: 128 and the signal that would have ended a plain tool.
INTERRUPTED: Final = 128 + 2
UNREAD: Final = 128 + 13

_EPILOG = """\
examples:
  crossexec envs                               which environments this machine can give
  crossexec info                               where commands run, in the environment local
  crossexec run -- uname -a                    run a program there
  crossexec serve --listen ws://127.0.0.1:9000
  crossexec run --url ws://127.0.0.1:9000 --tty -- sh

exit status: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C; run has its own
"""

_RUN_EPILOG = """\
The standard input is handed on unless it is a terminal (for that, --tty) or -n is given.
Ctrl-C interrupts the program; a second one kills it and all that it started.

examples:
  crossexec run -- ls -l
  tar c . | crossexec run --url ws://127.0.0.1:9000 --cwd /srv/app -- tar x
  crossexec run -t -- bash
  crossexec run --env=wine-exec -- cmd /c ver

exit status: the program's; 128+N when it died by signal N; 127 when it could not be
started; 125 when crossexec itself failed
"""

_PATH_HELP = "a file URI, or a native path there; a relative one starts at the executor's directory"


# Whatever a command needs is loaded when it runs, so that help and wrong usage answer at once.


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crossexec",
        description="Run programs and reach files in other environments.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"crossexec {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, summary: str, epilog: str = "") -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(parser=command)
        return command

    # Never parsed: its arguments are those of python -m executors.
    add("serve", "run the executor on this machine, for clients elsewhere")

    run = add("run", "run a program in an environment", _RUN_EPILOG)
    run.usage = "crossexec run [-h] [--env NAME | --url URL] [--cwd PATH] [-t] [-n] -- ARGV..."
    _add_target(run)
    run.add_argument("--cwd", metavar="PATH", help=f"where it runs: {_PATH_HELP}")
    run.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    run.add_argument("-n", "--no-stdin", action="store_true", help="give it no input")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- ARGV...", help="program and arguments")

    info = add("info", "tell where commands run in an environment")
    _add_target(info)
    info.add_argument("--json", action="store_true", help="as one JSON object, in the protocol's names")

    add("envs", "list the environments, and what keeps this machine from giving one")

    prepare = add("prepare", "make what an environment needs once on this machine, which may take minutes")
    _add_target(prepare)

    add("clean", "remove what runs that were killed have left behind")

    get = add("get", "copy a file from an environment", "example: crossexec get /etc/os-release - | head -1")
    _add_target(get)
    get.add_argument("remote", metavar="REMOTE", help=_PATH_HELP)
    get.add_argument("local", metavar="LOCAL", help="a file, a directory, or - for the standard output")

    put = add("put", "copy a file to an environment", "example: date | crossexec put - now.txt")
    _add_target(put)
    put.add_argument("local", metavar="LOCAL", help="a file, or - for the standard input")
    put.add_argument("remote", metavar="REMOTE", help=f"the file to write: {_PATH_HELP}")
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--env", metavar="NAME", default="local", help="one that `crossexec envs` lists (default: local)"
    )
    target.add_argument("--url", metavar="URL", help="an executor that listens already: ws://HOST:PORT")
    wine = parser.add_argument_group("environment wine-exec")
    wine.add_argument(
        "--windows-python",
        type=Path,
        metavar="PATH",
        help="an official embeddable zip or an unpacked Windows Python, instead of one that is built "
        "(variable CROSSEXEC_WINDOWS_PYTHON)",
    )
    wine.add_argument("--wine", type=Path, metavar="PATH", help="the wine program (variable CROSSEXEC_WINE)")
    docker = parser.add_argument_group("environment docker")
    for option in OPTIONS:
        docker.add_argument(
            option.flag,
            metavar=option.metavar,
            dest=f"docker_{option.name}",
            help=f"{option.help} (variable {option.variable})",
        )


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

    from harness import cli_commands, cli_run
    from harness.cli_target import EXPECTED, UsageError, describe, prepare_target
    from harness.client.errors import ClientError

    commands: dict[str, Callable[[argparse.Namespace], Coroutine[None, None, int]]] = {
        "run": cli_run.run,
        "info": cli_commands.info,
        "envs": cli_commands.envs,
        "prepare": cli_commands.prepare,
        "clean": cli_commands.clean,
        "get": cli_commands.get,
        "put": cli_commands.put,
    }
    try:
        if "url" in options:
            prepare_target(options)
        status = asyncio.run(commands[options.command](options))
        print(end="", flush=True)
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except UsageError as error:
        command: argparse.ArgumentParser = options.parser
        command.error(str(error))
    except EXPECTED as error:
        if isinstance(error, BrokenPipeError) and not isinstance(error, ClientError):
            # Nobody reads the output any more; what is left of it must not fail once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return UNREAD
        print(f"crossexec {options.command}: {describe(error)}", file=sys.stderr)
        return cli_run.OWN_FAILURE if options.command == "run" else FAILED


if __name__ == "__main__":
    sys.exit(main())

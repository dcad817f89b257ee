"""The executor's command line."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import math
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from executors import __version__
from executors.auth import options as auth
from executors.memory import keep_freed_memory
from executors.remote import command as remote
from executors.remote.credentials import is_loopback
from executors.server.executor import serve_stdio, serve_websocket
from executors.server.sessions import DEFAULT_RETENTION_SECONDS
from executors.transport import unix
from executors.transport.event_loop import new_event_loop
from executors.transport.stdio import take_standard_streams
from executors.transport.websocket import Limits, implementation, parse_listen_url

if TYPE_CHECKING:
    from executors.auth.bearer import BearerGuard

_DESCRIPTION = """\
Run processes and touch files on this machine for a client elsewhere: JSON-RPC
over WebSocket, on TCP or on a Unix socket, or over stdin and stdout; or dial
out, and be reached through an encrypted relay.

Whoever can connect can do what the user of this command can do: on other
addresses than loopback they have to show a token (--ws-auth). Requests with an
Origin header, which browsers send, are refused.
"""

_EPILOG = """\
The first line on stdout is the URL that clients connect to, or remote:ID once
the rendezvous has been reached. SIGINT, SIGTERM and SIGHUP end the executor and
every process that it has started.

exit status: 0 ended as asked, 1 cannot start, 2 wrong usage
"""


def make_parser(prog: str = "python -m executors") -> argparse.ArgumentParser:
    defaults = Limits()
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--listen",
        metavar="URL",
        default="ws://127.0.0.1:0",
        help="ws://IP:PORT, port 0 for any free one, or unix:///PATH for a socket that only this user can "
        "connect to, or stdio (default: %(default)s)",
    )
    auth.add_options(parser)
    remote.add_options(parser, where)
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="end when stdin ends, so that the executor never outlives whoever started it",
    )
    parser.add_argument(
        "--max-frame-bytes",
        type=_positive,
        metavar="N",
        default=defaults.frame_bytes,
        help="largest WebSocket frame from a client (default: %(default)s)",
    )
    parser.add_argument(
        "--max-message-bytes",
        type=_positive,
        metavar="N",
        default=defaults.message_bytes,
        help="largest message, in one frame or line or in several frames (default: %(default)s)",
    )
    parser.add_argument(
        "--ping-seconds",
        type=float,
        metavar="S",
        default=defaults.ping_seconds,
        help="with --listen: ping a client that is silent for so long, drop it after as long again; 0 for "
        "never (default: %(default)g)",
    )
    parser.add_argument(
        "--session-retention-seconds",
        type=_seconds,
        metavar="S",
        default=DEFAULT_RETENTION_SECONDS,
        help="keep the processes of a client whose connection was cut for so long, at most, so that it can "
        "come back to them; 0 for never (default: %(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"crossexec executor {__version__}")
    return parser


def main(arguments: list[str] | None = None, prog: str = "python -m executors") -> int:
    """Runs the executor; returns its exit status."""
    parser = make_parser(prog)
    options = parser.parse_args(arguments)
    if sys.getfilesystemencoding() != "utf-8":
        # Paths on the wire are UTF-8 or raw bytes; in another locale Python would recode them.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # What a peer gets wrong is answered to the peer, not logged here as a fault.
    logging.getLogger("picows").setLevel(logging.CRITICAL)
    prepared: remote.Prepared | None = None
    guard: BearerGuard | None = None
    if options.remote is not None:
        try:
            auth.check_unused(options, "nobody connects, and a relay lets in whom its registry knows")
            prepared = remote.Prepared(options)
        except (ValueError, remote.CredentialError) as error:
            parser.error(f"--remote: {error}")
    elif options.listen in ("stdio", "stdio://"):
        if options.exit_with_parent:
            parser.error("--exit-with-parent: with --listen stdio that is always so")
        try:
            auth.check_unused(options, "with --listen stdio nobody connects")
        except ValueError as error:
            parser.error(str(error))
    else:
        try:
            is_exposed = _is_exposed(options.listen)
        except ValueError as error:
            parser.error(f"--listen: {error}; or stdio")
        try:
            guard = auth.guard_of(options, is_exposed=is_exposed)
        except ValueError as error:
            parser.error(str(error))
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(options, prepared, guard))
    except remote.CannotStart as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{prog}: cannot start on {options.listen}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(
    options: argparse.Namespace, prepared: remote.Prepared | None, guard: BearerGuard | None
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    _stop_on_signals(loop, stop)
    if not options.listen.startswith("stdio"):
        implementation()
    # What was made so far lives as long as the program: the collector need never look at it.
    gc.freeze()
    gc.enable()
    keep_freed_memory()
    if prepared is None and options.listen.startswith("stdio"):
        read_fd, write_fd = take_standard_streams()
        await serve_stdio(read_fd, write_fd, options.max_message_bytes, stop)
        return
    if options.exit_with_parent:
        threading.Thread(target=_watch_stdin, args=(loop, stop), name="parent-watch", daemon=True).start()
    if prepared is not None:
        await prepared.serve(stop)
        return
    limits = Limits(
        frame_bytes=options.max_frame_bytes,
        message_bytes=options.max_message_bytes,
        ping_seconds=options.ping_seconds,
        pong_seconds=options.ping_seconds,
    )
    retention = options.session_retention_seconds
    await serve_websocket(options.listen, limits, stop, lambda url: print(url, flush=True), retention, guard)


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not by the loop's own handlers: Windows has none, and elsewhere a signal that comes while the deaths
    # of many children fill the loop's queue of signals is dropped.
    def handle(*_: object) -> None:
        with suppress(RuntimeError):  # The loop has ended already.
            loop.call_soon_threadsafe(stop.set)

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        # What ignores a hang-up was started by nohup(1) or the like.
        if number is not None and (name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN):
            signal.signal(number, handle)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    try:
        loop.call_soon_threadsafe(stop.set)
    except RuntimeError:
        # The loop has ended already.
        return


def _is_exposed(url: str) -> bool:
    """Whether other machines may reach what listens on *url*.

    :raises ValueError: it is malformed.
    """
    if url.startswith(unix.SCHEME):
        unix.socket_path(url)
        return False
    return not is_loopback(parse_listen_url(url)[0])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return number

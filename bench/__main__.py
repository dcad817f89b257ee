"""``python -m bench``: runs the measures and prints what came out."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bench import measures, recovery, relay, sandbox
from bench.launch import LaunchError, Target, running
from bench.measures import Bench, Measure, Settings
from bench.results import Results, Series, reached, to_json, to_table
from bench.rounds import add_round, progress
from harness.client.errors import ClientError

MEASURES = [*measures.MEASURES, *sandbox.MEASURES, *recovery.MEASURES]
"""Those without the relay, which all run if none is named."""

_FULL = (5, 1.0, 100.0)
_QUICK = (2, 0.25, 22.0)

_EPILOG = """\
All executors take part in every round, one after the other. The first one is
held against the goals, and its numbers against those of the others.

The measures of the relay are apart from the others: this project's executor
dials out to the service, in the place of what --launch and --url say.

With --against the goals are other ones: of the ratios, this project's number
divided by the other's in the same round.

exit status: 0 measured, 1 --check and a goal was missed or not measured,
2 wrong usage, or an executor did not start or cannot be had
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure executors: latency, throughput and memory.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--launch",
        metavar="NAME=COMMAND",
        action="append",
        dest="targets",
        type=_launch,
        help="start COMMAND, whose first line of output is its ws:// URL; may be repeated (default: "
        "crossexec=this Python's -m executors --listen ws://127.0.0.1:0)",
    )
    parser.add_argument(
        "--url",
        metavar="[NAME=]URL",
        action="append",
        dest="targets",
        type=_url,
        help="measure an executor that listens already, without launch and memory; may be repeated",
    )
    parser.add_argument(
        "--against",
        choices=["codex"],
        help="bring up this project's executor and the released exec-server of @openai/codex, and measure "
        "both by turns, with a client as most are and with one that acknowledges at once",
    )
    parser.add_argument(
        "--env",
        metavar="NAME,...",
        type=_environments,
        help="with --against, where: local (the default), relay for executors that dial out (the default for "
        "measures of the relay), wine-exec for their Windows programs, or several",
    )
    parser.add_argument("--page", metavar="FILE", help="with --against, write a page with plots")
    parser.add_argument(
        "--codex-binary",
        metavar="PATH",
        type=Path,
        help="with --against, the program or its unpacked package (default: the user's, or fetched by npm)",
    )
    parser.add_argument(
        "--only",
        metavar="NAME,...",
        type=_only,
        default=MEASURES,
        help=f"of {', '.join(measure.key for measure in MEASURES)}, or {relay.GROUP} for all of "
        f"{', '.join(measure.key for measure in relay.MEASURES)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds of a quarter of the size")
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON; - for standard output")
    parser.add_argument("--check", action="store_true", help="exit with 1 unless all goals are reached")
    parser.add_argument("--verify", action="store_true", help="decode and compare all data; costs throughput")
    parser.add_argument(
        "--no-quickack",
        action="store_true",
        help="leave TCP acknowledgements to the kernel, as most clients do",
    )
    return parser


def main() -> int:
    parser = make_parser()
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("the measures read /proc: run them on Linux")
    if options.against:
        return _against(parser, options)
    if options.page or options.codex_binary or options.env:
        parser.error("--env, --page and --codex-binary belong to --against")
    targets: Targets
    if _are_relayed(parser, options.only):
        if options.targets or options.no_quickack:
            parser.error("the measures of the relay bring up an executor: leave out the other options")
        names, targets = ["crossexec"], _own_dialling
    else:
        own = shlex.join([sys.executable, "-m", "executors", "--listen", "ws://127.0.0.1:0"])
        given: list[Target] = options.targets or [Target("crossexec", command=own)]
        names, targets = [target.name for target in given], lambda: nullcontext(given)
    if len(set(names)) < len(names):
        parser.error(f"names must differ: {', '.join(names)}; give NAME=... to each")
    rounds, scale, seconds = _QUICK if options.quick else _FULL
    settings = Settings(scale=scale, verify=options.verify, quickack=not options.no_quickack)
    load = os.getloadavg()[0]
    begin = time.monotonic()
    try:
        results, done = asyncio.run(_run(targets, names, options.only, settings, rounds, begin + seconds))
    except (ClientError, LaunchError, OSError) as error:
        print(f"python -m bench: {error}", file=sys.stderr)
        return 2
    report = {
        **_about(load, settings),
        "rounds": done,
        "scale": scale,
        "seconds": round(time.monotonic() - begin, 1),
        "measures": to_json(options.only, results),
    }
    table = to_table(options.only, results)
    # With the JSON on standard output, the table must not get in between.
    print(table, file=sys.stderr if options.json == "-" else sys.stdout)
    if options.json:
        _write_json(options.json, report)
    missed = [
        measure.key
        for measure in options.only
        if measure.goal is not None and not reached(measure, results[measure.key][names[0]])
    ]
    return 1 if options.check and missed else 0


def _against(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    # They bring the harness with them, which the other measures have no use for.
    from bench import against
    from bench.page import render
    from harness.environments.base import EnvironmentFailed
    from harness.settings import read_settings

    if options.targets or options.no_quickack:
        parser.error("--against brings up both executors and uses both clients: leave out the other options")
    only = [] if options.only is MEASURES else [measure.key for measure in options.only]
    environments = options.env or ["relay" if _are_relayed(parser, options.only) else "local"]
    for environment in environments:
        known = {row.measure.key for row in against.ROWS[environment]}
        if only and not known.issuperset(only):
            parser.error(f"compared on {environment} are {', '.join(known)}")
    rounds, scale, seconds = (2, 0.25, 90.0) if options.quick else (5, 1.0, 300.0)
    settings = Settings(scale=scale, verify=options.verify)
    choices = read_settings(codex_binary=options.codex_binary)
    load = os.getloadavg()[0]
    made = []
    for environment in environments:
        limit = seconds * 0.7 if environment == "wine-exec" else seconds
        try:
            compared = asyncio.run(against.compare(environment, choices, only, settings, rounds, limit))
        except (EnvironmentFailed, LaunchError, OSError) as error:
            print(f"python -m bench: {environment}: {error}", file=sys.stderr)
            return 2
        print(compared.to_table(), end="\n\n", file=sys.stderr if options.json == "-" else sys.stdout)
        made.append(compared)
    report = {
        **_about(load, settings),
        "scale": scale,
        "comparisons": [compared.to_json() for compared in made],
    }
    del report["client"]["quickack"]
    if options.json:
        _write_json(options.json, report)
    if options.page:
        Path(options.page).write_text(render(report), "utf-8")
    missed = any(pair.row.has_goal and not pair.reached for each in made for pair in each.pairs)
    return 1 if options.check and missed else 0


def _about(load: float, settings: Settings) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": {
            "processors": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "loadBefore": load,
        },
        "client": {
            "python": platform.python_version(),
            "picows": version("picows"),
            "quickack": settings.quickack,
            "verify": settings.verify,
        },
    }


Targets = Callable[[], AbstractAsyncContextManager[list[Target]]]


@asynccontextmanager
async def _own_dialling() -> AsyncIterator[list[Target]]:
    from bench.places import own_dialling

    async with own_dialling() as target:
        yield [target]


def _are_relayed(parser: argparse.ArgumentParser, asked: list[Measure]) -> bool:
    """Whether what is asked for are measures of the relay; ends the program where only some are."""
    found = {measure in relay.MEASURES for measure in asked}
    if len(found) > 1:
        parser.error("the measures of the relay are run by themselves: give two runs")
    return found == {True}


async def _run(
    make_targets: Targets,
    names: list[str],
    measures: list[Measure],
    settings: Settings,
    rounds: int,
    deadline: float,
) -> tuple[Results, int]:
    """Returns the results and how many rounds there was time for."""
    results: Results = {
        measure.key: {name: Series(worst=measure.worst) for name in names} for measure in measures
    }
    with tempfile.TemporaryDirectory(prefix="crossexec-bench-") as folder:
        async with AsyncExitStack() as stack:
            targets = await stack.enter_async_context(make_targets())
            benches = [
                Bench(target, await stack.enter_async_context(running(target)), Path(folder), settings)
                for target in targets
            ]
            for number in range(rounds):
                for measure in measures:
                    if measure.fresh and number > 1:
                        continue
                    for bench in benches:
                        if number and time.monotonic() > deadline:
                            return results, number
                        progress(f"round {number + 1}/{rounds}: {measure.key}, {bench.target.name}")
                        await add_round(measure, bench, results[measure.key][bench.target.name], deadline)
    progress("")
    return results, rounds


def _write_json(name: str, report: dict[str, Any]) -> None:
    data = msgspec.json.format(msgspec.json.encode(report), indent=2)
    if name == "-":
        sys.stdout.write(data.decode() + "\n")
    else:
        Path(name).write_bytes(data + b"\n")


def _launch(text: str) -> Target:
    name, _, command = text.partition("=")
    if not name.strip() or not command.strip():
        raise argparse.ArgumentTypeError(f"expected NAME=COMMAND, found {text!r}")
    return Target(name.strip(), command=command)


def _url(text: str) -> Target:
    name, equals, url = text.rpartition("=") if not text.startswith("ws://") else ("", "", text)
    if not url.startswith("ws://"):
        raise argparse.ArgumentTypeError(f"expected ws://HOST:PORT, found {url!r}")
    return Target(name if equals else url.removeprefix("ws://"), url=url)


def _environments(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in ("local", "relay", "wine-exec"):
            raise argparse.ArgumentTypeError(f"expected local, relay or wine-exec, found {name!r}")
    return names


def _only(text: str) -> list[Measure]:
    known = {measure.key: measure for measure in [*MEASURES, *relay.MEASURES]}
    if text == relay.GROUP:
        return relay.MEASURES
    try:
        return [known[key] for key in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(
            f"unknown measure {error.args[0]!r}; known: {', '.join(known)}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())

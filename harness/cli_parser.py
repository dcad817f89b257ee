"""The arguments of the command ``crossexec``, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from executors import __version__
from harness.docker.options import OPTIONS as DOCKER_OPTIONS
from harness.remote.options import OPTIONS as REMOTE_OPTIONS
from harness.url_options import OPTIONS as URL_OPTIONS

_EPILOG = """\
examples:
  crossexec doctor                             what this machine can give, and what is missing
  crossexec matrix                             the shared suites in every environment, and a report of it
  crossexec matrix --env=wine-exec --suite=path
  crossexec info                               where commands run, in the environment local
  crossexec run -- uname -a                    run a program there
  crossexec up docker                          an executor to work with until Ctrl-C

exit status: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C; run has its own
"""

_MATRIX_EPILOG = """\
What is run where stands in ci/matrix.toml of the current directory, if there is one, else it is
every shared suite in every environment; these options narrow it.
DIR gets index.html, results.json, summary.md and a JUnit report for each environment.
An environment that this machine cannot give is reported as unavailable; that fails the run
only if --env names it.

examples:
  crossexec matrix --env=local,docker --suite=path,shell
  crossexec matrix --env=wine-exec -k unicode
  crossexec matrix --env=remote --suite=process    remote-local, remote-docker, remote-wine-exec
  crossexec matrix --shard=2/5 --out=results

exit status: 0 everything holds, 1 something failed, 2 wrong usage, 130 ended by Ctrl-C
"""

_REPORT_EPILOG = """\
Shards of which all are there become one; results that hold the same cases are refused.

exit status: 0 the report was written, whatever it says, 1 it was not, 2 wrong usage
"""

_COMPARE_EPILOG = """\
Each of BEFORE and AFTER is a results.json, or the directory of a report.

exit status: 0 nothing broke, 1 something did, 2 wrong usage
"""

_CI_EPILOG = """\
To be run in the root of the repository. Writes .github/workflows/matrix.yml and ci/gitlab.yml,
and a .gitlab-ci.yml that includes the latter if there is none. The extra ci must be installed.

exit status: 0 done, 1 a file is out of date or belongs to somebody else, 2 wrong usage
"""

_UP_EPILOG = """\
The URL is all that is printed on the standard output. Whoever can connect to it can do there
what the executor's user can; no password is asked for. A URL of the form ws://127.0.0.1:PORT
serves every user of this machine, unix:///PATH only you and root.

examples:
  crossexec up docker
  crossexec run --url ws://127.0.0.1:40123 -- uname -a    (in another terminal)
  pytest --env=ws://127.0.0.1:40123

exit status: 0 ended by Ctrl-C, SIGTERM or SIGHUP; 1 the executor did not come up, or has ended
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

_RENDEZVOUS_EPILOG = """\
Executors register here, dial out to here and are found here by the id of their environment; harnesses
reach them through it. What they say to each other is encrypted from end to end.
The URL where it listens is the first line on the standard output. /metrics and /healthz are open to
whoever reaches it.

example:
  crossexec rendezvous-token add build-7 --role executor
  crossexec rendezvous-token add build-7 --role harness --days 30
  crossexec rendezvous --listen 0.0.0.0:8443 --tls-certificate cert.pem --tls-key key.pem \\
      --public-url https://rendezvous.example.org:8443

exit status: 0 ended by Ctrl-C or SIGTERM, 1 it could not start, 2 wrong usage
"""

_PATH_HELP = "a file URI, or a native path there; a relative one starts at the executor's directory"


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

    up = add(
        "up", "start an environment, print the URL of its executor, and keep it until Ctrl-C", _UP_EPILOG
    )
    up.add_argument("env", metavar="ENV", help="one that `crossexec envs` lists")
    up.set_defaults(url=None)
    add_settings(up)

    add("envs", "list the environments, and what keeps this machine from giving one")

    doctor = add(
        "doctor",
        "tell what this machine can give, why not more, and what would help",
        "exit status: 0, or 1 if this machine cannot give an ENV that is named",
    )
    doctor.add_argument("env", nargs="*", metavar="ENV", help="an environment that is needed")
    doctor.add_argument("--json", action="store_true", help="as one JSON object")
    add_settings(doctor)

    _add_matrix_commands(add)
    _add_rendezvous_commands(add)

    prepare = add("prepare", "make what an environment needs once on this machine, which may take minutes")
    _add_target(prepare)

    clean = add(
        "clean",
        "remove what killed runs have left behind, and caches that nothing uses any more",
        "What runs use at the moment stays.\n\n"
        "exit status: 0, or 1 if --all cannot remove everything: then it tells what is in use",
    )
    clean.add_argument(
        "--all",
        action="store_true",
        help="remove everything that was made once, too; it is made again when it is needed, in minutes",
    )

    get = add("get", "copy a file from an environment", "example: crossexec get /etc/os-release - | head -1")
    _add_target(get)
    get.add_argument("remote", metavar="REMOTE", help=_PATH_HELP)
    get.add_argument("local", metavar="LOCAL", help="a file, a directory, or - for the standard output")

    put = add("put", "copy a file to an environment", "example: date | crossexec put - now.txt")
    _add_target(put)
    put.add_argument("local", metavar="LOCAL", help="a file, or - for the standard input")
    put.add_argument("remote", metavar="REMOTE", help=f"the file to write: {_PATH_HELP}")
    return parser


def _add_matrix_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    matrix = add("matrix", "run suites in many environments, and report what holds where", _MATRIX_EPILOG)
    matrix.add_argument(
        "--env", type=_names, metavar="LIST", help="environments and groups, with commas; also URLs"
    )
    matrix.add_argument("--suite", type=_names, metavar="LIST", help="suites, with commas")
    matrix.add_argument(
        "--executor",
        type=_names,
        metavar="LIST",
        help="kinds of executor, with commas, or the URL of one that runs (default: python)",
    )
    matrix.add_argument(
        "--python", type=_names, metavar="LIST", help="Pythons that run the tests, such as 3.11,3.13"
    )
    matrix.add_argument("-k", dest="keyword", metavar="EXPR", help="only tests that match, as pytest's -k")
    matrix.add_argument(
        "-n", dest="workers", type=_count, metavar="N", help="tests at once (default: as many as processors)"
    )
    matrix.add_argument("--out", type=Path, metavar="DIR", help="for the results (default: matrix-results)")
    matrix.add_argument("--shard", metavar="I/N", help="only part I of N, cut by measured time")
    matrix.add_argument(
        "--retries", type=_count, default=0, metavar="N", help="try what fails again, up to N times"
    )
    matrix.add_argument(
        "--dask", metavar="ADDRESS", help="run on the Dask cluster whose scheduler is there: tcp://HOST:PORT"
    )
    matrix.add_argument(
        "--definition", type=Path, metavar="FILE", help="what to run where (default: ci/matrix.toml)"
    )
    matrix.add_argument(
        "--update-timings", action="store_true", help="write the times that --shard cuts by into their file"
    )
    add_settings(matrix)

    report = add("report", "make one report of several results, such as those of shards", _REPORT_EPILOG)
    report.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="results.json or its folder")
    report.add_argument("--out", type=Path, metavar="DIR", help="for the report (default: matrix-results)")

    compare = add("compare", "tell what broke, what was mended and what became slower", _COMPARE_EPILOG)
    compare.add_argument("before", type=Path, metavar="BEFORE")
    compare.add_argument("after", type=Path, metavar="AFTER")
    compare.add_argument(
        "--slower", type=float, default=2.0, metavar="FACTOR", help="what counts as slower (default: 2)"
    )
    compare.add_argument("--json", action="store_true", help="as one JSON object")

    gaps = add("gaps", "list the known gaps: reason, owner, where, since which commit")
    gaps.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="tests (default: the suites)")
    gaps.add_argument("--env", metavar="NAME", help="only those of this environment")
    gaps.add_argument("--check", action="store_true", help="fail on a gap that is not told properly")
    gaps.add_argument("--json", action="store_true", help="as one JSON list")

    peer = add(
        "peer-report",
        "write a page of what another executor does differently, from results",
        "example: crossexec peer-report matrix-results --out docs/peer.md",
    )
    peer.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="results.json or its folder")
    peer.add_argument("--executor", metavar="NAME", default="codex", help="which one (default: codex)")
    peer.add_argument("--out", type=Path, metavar="FILE", help="the page (default: standard output)")

    ci = add("ci", "write the workflows of GitHub Actions and GitLab CI that run the matrix", _CI_EPILOG)
    ci.add_argument("--check", action="store_true", help="write nothing, and fail if one is out of date")
    ci.add_argument(
        "--definition", type=Path, metavar="FILE", help="what to run where (default: ci/matrix.toml)"
    )


def _add_rendezvous_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    serve = add("rendezvous", "serve executors behind firewalls and those who reach them", _RENDEZVOUS_EPILOG)
    serve.add_argument(
        "--listen", metavar="HOST:PORT", default="127.0.0.1:8443", help="where (default: 127.0.0.1:8443)"
    )
    _add_database(serve)
    serve.add_argument(
        "--public-url",
        metavar="URL",
        help="how it is reached, if that is another URL; - to read it from the first line of the standard "
        "input once it listens, and to print it when it holds",
    )
    serve.add_argument("--tls-certificate", type=Path, metavar="FILE", help="with its chain, in PEM")
    serve.add_argument("--tls-key", type=Path, metavar="FILE", help="of the certificate, in PEM")
    serve.add_argument("--plain", action="store_true", help="without TLS on other addresses than loopback")
    serve.add_argument(
        "--behind-proxies", type=_count, default=0, metavar="N", help="N of them add to X-Forwarded-For"
    )
    serve.add_argument("--exit-with-parent", action="store_true", help="end when the standard input does")
    serve.add_argument(
        "--rate",
        metavar="WHAT=N[:BURST]",
        action="append",
        default=[],
        help="how often in a second, and at once after silence: register, dial (an executor's token), "
        "connect, handshake (a harness' token; handshakes that its executor refused), validate (an "
        "environment), failure (an address that says not who it is); unlimited for a number; may be repeated",
    )
    serve.add_argument(
        "--new-signing-key",
        action="store_true",
        help="sign URLs with another key from now on: executors register again, at once",
    )
    serve.add_argument(
        "--audit-log", type=Path, metavar="FILE", help="lines of JSON (default: standard error)"
    )

    token = add("rendezvous-token", "add, list or revoke tokens of executors and harnesses")
    actions = token.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("add", help="make one, and print its text, once")
    new.add_argument("environment", metavar="ENVIRONMENT", help="id of the environment that it is for")
    new.add_argument("--role", choices=("executor", "harness"), required=True, help="who will use it")
    new.add_argument("--days", type=float, metavar="N", help="how long it counts (default: until revoked)")
    listing = actions.add_parser("list", help="list all")
    revoke = actions.add_parser("revoke", help="make one count no more, and end its connections")
    revoke.add_argument("id", metavar="TOKEN", help="its id: tok_...")
    for action in (new, listing, revoke):
        _add_database(action)


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        default=Path("crossexec-rendezvous.sqlite"),
        help="where tokens and registrations are kept (default: crossexec-rendezvous.sqlite)",
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise argparse.ArgumentTypeError(f"a name is empty in {text!r}")
    return names


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--env",
        metavar="NAME",
        default="local",
        help="one that `crossexec envs` lists, or remote:ID (default: local)",
    )
    target.add_argument("--url", metavar="URL", help="an executor that listens already: ws://HOST:PORT")
    parser.add_argument(
        "--executor", metavar="NAME", default="python", help="python, or codex (default: python)"
    )
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    wine = parser.add_argument_group("environment wine-exec")
    wine.add_argument(
        "--windows-python",
        type=Path,
        metavar="PATH",
        help="an official embeddable zip or an unpacked Windows Python, instead of one that is built "
        "(variable CROSSEXEC_WINDOWS_PYTHON)",
    )
    wine.add_argument("--wine", type=Path, metavar="PATH", help="the wine program (variable CROSSEXEC_WINE)")
    codex = parser.add_argument_group("executor codex")
    codex.add_argument(
        "--codex-binary",
        type=Path,
        metavar="PATH",
        help="the released program, in its unpacked package (variable CROSSEXEC_CODEX_BINARY; default: the "
        "user's own in npm's global folder, else npm fetches it)",
    )
    for title, choices in (
        ("environment docker", DOCKER_OPTIONS),
        ("environment remote:ID", REMOTE_OPTIONS),
        ("an executor at ws://HOST:PORT", URL_OPTIONS),
    ):
        group = parser.add_argument_group(title)
        for option in choices:
            group.add_argument(
                option.flag,
                metavar=option.metavar,
                dest=option.destination,
                help=f"{option.help} (variable {option.variable})",
            )

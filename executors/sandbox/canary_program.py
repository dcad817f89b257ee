"""Run inside of a sandbox: tries what it is told to, and says what came of each.

It stands alone: nothing of this package can be imported where it runs. Its only argument is JSON: what is to
be tried, in order, and the places, numbers and names that the attempts are about. For each it prints a line
of JSON: its name, whether it got through, and what it found.

Each attempt returns what it has got hold of, or an empty text if that is nothing; or it raises OSError.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

DONE = "done"
Facts = dict[str, Any]
Attempt = Callable[[Facts], str]


def _target(facts: Facts) -> str:
    """The file that this attempt is to change; no other attempt uses it."""
    return os.path.join(str(facts["outside"]), str(facts["attempt"]), "file")


def _beside(facts: Facts) -> str:
    return os.path.join(str(facts["outside"]), str(facts["attempt"]), "new")


def _own(facts: Facts) -> str:
    """A path inside, where nothing is."""
    return os.path.join(str(facts["inside"]), str(facts["attempt"]).replace(" ", "-"))


def _write(path: str, flags: int) -> str:
    fd = os.open(path, flags, 0o600)
    try:
        os.write(fd, b"changed")
    finally:
        os.close(fd)
    return DONE


def write(facts: Facts) -> str:
    return _write(_target(facts), os.O_WRONLY)


def append(facts: Facts) -> str:
    return _write(_target(facts), os.O_WRONLY | os.O_APPEND)


def create(facts: Facts) -> str:
    return _write(_beside(facts), os.O_WRONLY | os.O_CREAT)


def truncate(facts: Facts) -> str:
    os.truncate(_target(facts), 0)
    return DONE


def rename(facts: Facts) -> str:
    os.rename(_target(facts), _beside(facts))
    return DONE


def take(facts: Facts) -> str:
    os.rename(_target(facts), _own(facts))
    return DONE


def put(facts: Facts) -> str:
    own = _own(facts)
    _write(own, os.O_WRONLY | os.O_CREAT)
    os.replace(own, _target(facts))
    return DONE


def remove(facts: Facts) -> str:
    os.unlink(_target(facts))
    return DONE


def make_directory(facts: Facts) -> str:
    os.mkdir(_beside(facts))
    return DONE


def link(facts: Facts) -> str:
    os.link(_target(facts), _beside(facts))
    return DONE


def write_by_hard_link(facts: Facts) -> str:
    os.link(_target(facts), _own(facts))
    return _write(_own(facts), os.O_WRONLY)


def symlink(facts: Facts) -> str:
    os.symlink("file", _beside(facts))
    return DONE


def write_by_symlink(facts: Facts) -> str:
    # It is there when this is tried once more.
    if not os.path.islink(_own(facts)):
        os.symlink(_target(facts), _own(facts))
    return _write(_own(facts), os.O_WRONLY)


def change_mode(facts: Facts) -> str:
    os.chmod(_target(facts), 0o444)
    return DONE


def change_times(facts: Facts) -> str:
    os.utime(_target(facts), (1, 1))
    return DONE


def read_hidden(facts: Facts) -> str:
    return _token(facts["hidden"], facts)


def read_matching(facts: Facts) -> str:
    return _token(facts["matching"], facts)


def list_hidden(facts: Facts) -> str:
    return " ".join(os.listdir(os.path.dirname(facts["hidden"])))


def _token(path: str, facts: Facts) -> str:
    with open(path, "rb") as file:
        return DONE if facts["token"].encode() in file.read(4096) else ""


def connect_tcp(facts: Facts) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        connection.connect(("127.0.0.1", facts["tcp"]))
    return DONE


def send_udp(facts: Facts) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.sendto(b"out", ("127.0.0.1", facts["udp"]))
    return DONE


def write_inside(facts: Facts) -> str:
    path = _own(facts)
    _write(path, os.O_WRONLY | os.O_CREAT)
    os.rename(path, path + "-2")
    return DONE


def read_outside(facts: Facts) -> str:
    return _token(facts["readable"], facts)


def use_null_device(facts: Facts) -> str:
    return _write(os.devnull, os.O_WRONLY)


def run_program(facts: Facts) -> str:
    argv = facts["program"]
    code = os.spawnv(os.P_WAIT, argv[0], argv)
    if code:
        raise OSError(errno.ENOEXEC, f"it ended with {code}")
    return DONE


ATTEMPTS: dict[str, Attempt] = {
    "write": write,
    "append": append,
    "create": create,
    "truncate": truncate,
    "rename": rename,
    "take": take,
    "put": put,
    "remove": remove,
    "make directory": make_directory,
    "link": link,
    "write by hard link": write_by_hard_link,
    "symlink": symlink,
    "write by symlink": write_by_symlink,
    "change mode": change_mode,
    "change times": change_times,
    "write into what is carved out": lambda facts: _write(facts["kept"], os.O_WRONLY),
    "read a denied file": read_hidden,
    "list a denied directory": list_hidden,
    "read what a pattern denies": read_matching,
    "connect by TCP": connect_tcp,
    "send by UDP": send_udp,
    "write inside": write_inside,
    "read outside": read_outside,
    "use the null device": use_null_device,
    "run a program": run_program,
}


def _try(attempt: Attempt, facts: Facts) -> tuple[bool, str]:
    try:
        found = attempt(facts)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0)
        return False, name or str(error)
    return bool(found), found


def main() -> None:
    facts: Facts = json.loads(sys.argv[1])
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    attempts = dict(ATTEMPTS)
    for module in facts["modules"]:
        attempts |= __import__(module).ATTEMPTS
    for name in facts["attempts"]:
        done, found = _try(attempts[name], {**facts, "attempt": name})
        print(json.dumps({"name": name, "done": done, "found": found}), flush=True)


if __name__ == "__main__":
    main()

"""Containers: how they are made safe, marked, started and removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from executors import speedups
from harness.docker.daemon import Daemon
from harness.docker.errors import DockerFailed, NotStarted
from harness.docker.options import DockerOptions
from harness.docker.owner import Owner
from harness.docker.stream import Stream

LABEL: Final = "crossexec.owner"
"""The label of every container; it holds the owner's text."""
_HOME: Final = "/tmp"
_STOP_SECONDS: Final = 10.0
_REMOVE_SECONDS: Final = 30
_CONFLICT: Final = 409


@dataclass(frozen=True)
class Plan:
    """A container to be made.

    :ivar image: id or name of one that is there.
    :ivar mounts: of local folders: path inside to path here.
    :ivar writable: those of them that can be written to.
    :ivar ports: of TCP, to be reached on a free port of this machine's 127.0.0.1.
    :ivar remove_at_end: the daemon removes it when its program ends, even if nobody is left to ask.
    """

    image: str
    command: Sequence[str]
    user: str
    options: DockerOptions
    mounts: Mapping[str, Path] = field(default_factory=dict)
    writable: frozenset[str] = frozenset()
    ports: Sequence[int] = ()
    remove_at_end: bool = False


@contextmanager
def created(daemon: Daemon, plan: Plan) -> Iterator[str]:
    """Makes a container, not started, and removes it at the end, whatever has become of it; yields its id.

    :raises DockerFailed: the daemon refused.
    """
    from docker.errors import APIError

    host = daemon.api.create_host_config(**_host_config(plan, daemon))
    try:
        id: str = daemon.api.create_container(
            plan.image,
            command=list(plan.command[1:]),
            entrypoint=[plan.command[0]],
            user=plan.user,
            working_dir=_HOME,
            environment={"HOME": _HOME, "LANG": "C.UTF-8", **_speed_ups()},
            labels={LABEL: str(Owner.current())},
            # With its only client the input ends, and with it the executor, however that client died.
            stdin_open=True,
            ports=list(plan.ports) or None,
            host_config=host,
        )["Id"]
    except APIError as error:
        raise DockerFailed(f"the container of {plan.image} cannot be made: {error.explanation}") from error
    try:
        yield id
    finally:
        remove(daemon, id)


def _speed_ups() -> dict[str, str]:
    return {speedups.VARIABLE: "1"} if speedups.are_off() else {}


def attach(daemon: Daemon, id: str) -> Any:
    """Returns the streams of a container that is not started yet, for :class:`Stream`."""
    return daemon.api.attach_socket(id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})


def start(daemon: Daemon, id: str) -> None:
    """:raises NotStarted: its program cannot be started."""
    from docker.errors import APIError

    try:
        daemon.api.start(id)
    except APIError as error:
        raise NotStarted(f"the container cannot be started: {error.explanation}") from error


def remove(daemon: Daemon, id: str) -> None:
    """Removes a container, running or not; returns once it is gone.

    :raises DockerFailed: it cannot be removed.
    """
    from docker.errors import APIError

    try:
        daemon.api.remove_container(id, v=True, force=True)
    except APIError as error:
        failed: OSError = error
        under_way = error.status_code == _CONFLICT
    else:
        return
    try:
        if under_way:
            daemon.api.wait(id, timeout=_REMOVE_SECONDS, condition="removed")
    except OSError as error:
        # An answer of the daemon, or none in time.
        failed = error
    # podman has other words than 404 for what goes in the meantime.
    if any(found["Id"] == id for found in daemon.api.containers(all=True)):
        raise DockerFailed(f"container {id[:12]} cannot be removed: {failed}") from failed


def run(daemon: Daemon, plan: Plan, seconds: float) -> tuple[int, bytes, bytes]:
    """Runs a container to its end; returns its exit status and outputs.

    :raises DockerFailed: it could not be started, or has not ended in time.
    """
    out, err = bytearray(), bytearray()
    with created(daemon, plan) as id:
        stream = Stream(attach(daemon, id), out.extend, err.extend)
        try:
            start(daemon, id)
            stream.end_input()
            if not stream.wait_for_end(seconds):
                raise DockerFailed(
                    f"{list(plan.command)!r} has not ended within {seconds:g} s in {plan.image}"
                )
            status: int = daemon.api.wait(id)["StatusCode"]
        finally:
            stream.close()
    return status, bytes(out), bytes(err)


def remove_dead(daemon: Daemon) -> list[str]:
    """Removes the containers of runs of this machine that are dead; returns their ids.

    :raises DockerFailed: one cannot be removed.
    """
    removed = []
    for found in daemon.api.containers(all=True, filters={"label": LABEL}):
        owner = Owner.parse(found["Labels"][LABEL])
        if owner is not None and owner.is_known_dead():
            remove(daemon, found["Id"])
            removed.append(found["Id"])
    return removed


def _host_config(plan: Plan, daemon: Daemon) -> dict[str, Any]:
    from docker.types import Mount

    options = plan.options
    lifted = options.lift
    read_only = "read-only" not in lifted
    return {
        "auto_remove": plan.remove_at_end,
        "network_mode": options.network,
        "read_only": read_only,
        "tmpfs": {_HOME: f"rw,exec,nosuid,nodev,mode=1777,size={options.tmp}"},
        "cap_drop": [] if "capabilities" in lifted else ["ALL"],
        "security_opt": [] if "no-new-privileges" in lifted else ["no-new-privileges"],
        "init": "init" not in lifted,
        "mem_limit": None if _is_zero(options.memory) else options.memory,
        # Without swap on top of it, the limit is one.
        "memswap_limit": None if _is_zero(options.memory) else options.memory,
        "pids_limit": options.pids or -1,
        "mounts": [
            Mount(inside, str(here), type="bind", read_only=inside not in plan.writable)
            for inside, here in plan.mounts.items()
        ],
        "port_bindings": {port: ("127.0.0.1", None) for port in plan.ports},
        # Whoever keeps the same id on both sides, where podman runs without root.
        **({"userns_mode": "keep-id"} if daemon.is_podman and daemon.maps_users else {}),
    }


def _is_zero(size: str) -> bool:
    return int(size.rstrip("bkmgBKMG")) == 0

"""Clients and processes that make trouble."""

from __future__ import annotations

from tests.support.watch import Watched
from tests.support.wire import Client


def start_stubborn(client: Client) -> list[Watched]:
    """Starts process ``p``, which ignores what can be ignored, with a child in a session of its own."""
    client.start("p", "sh", "-c", "trap '' HUP TERM INT; setsid sleep 1000 & echo $!; echo $$; wait")
    while client.output("p", "stdout").count(b"\n") < 2:
        client.step()
    return [Watched(int(line)) for line in client.output("p", "stdout").split()]


def clog(client: Client) -> None:
    """Asks for 100 MB of replies and takes none of them."""
    client.start("big", "sh", "-c", "head -c 1000000 /dev/zero")
    client.wait_for("process/closed", "big")
    for _ in range(80):
        client.post("process/read", processId="big")

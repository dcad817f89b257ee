"""Sockets of the client that end at an awkward moment."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter

from harness.client.errors import ConnectFailed
from harness.client.links import Link, LinkOptions, _ConnectedSocket, open_websocket

_RESETS = 200
_NO_LINGER = struct.pack("ii", 1, 0)


class Nobody:
    """A receiver that nothing comes to."""

    def __init__(self, link: Link) -> None:
        pass

    def message_received(self, message: bytes) -> None:
        raise AssertionError(message)

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self) -> None: ...


def reset_all(listener: socket.socket) -> None:
    for _ in range(_RESETS):
        connection, _ = listener.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        connection.close()


def test_the_number_of_a_closed_socket_is_free_for_the_next() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        with other, _ConnectedSocket(fileno=one.detach()) as watched:
            number = watched.fileno()
            loop.add_reader(number, lambda: None)
            watched.close()
            with socket.socket() as following:
                assert following.fileno() == number
                loop.add_writer(number, lambda: None)
                assert loop.remove_writer(number) and not loop.remove_reader(number)

    asyncio.run(main())


def test_connections_that_are_reset_at_once_do_not_spoil_the_next() -> None:
    async def main(url: str) -> None:
        found = Counter[str]()
        for _ in range(_RESETS):
            try:
                await open_websocket(url, Nobody, LinkOptions())
            except ConnectFailed as error:
                found[str(error)] += 1
        assert found.total() == _RESETS
        assert not [text for text in found if "FileNotFoundError" in text or "no answer" in text]

    with socket.create_server(("127.0.0.1", 0), backlog=_RESETS) as listener:
        resetting = threading.Thread(target=reset_all, args=[listener])
        resetting.start()
        asyncio.run(main(f"ws://127.0.0.1:{listener.getsockname()[1]}"))
        resetting.join()

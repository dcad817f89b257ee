"""What a client's environment is made from: a URL, a program, an environment, or any maker of clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from harness.bearer import refuse_login
from harness.client import Client, LinkOptions, connect, connect_stdio
from harness.client.redact import message_line, text_line
from harness.environments.base import Environment, Running

MakeClient = Callable[[], AbstractAsyncContextManager[Client | Running]]
Source = str | Sequence[str] | Environment | MakeClient


@dataclass(frozen=True)
class Opener:
    """How clients of one environment are made.

    :ivar tried: for people: what :attr:`open` does.
    :ivar open: makes a client, each time it is called; it may be called again only when the client before
        is closed.
    :ivar is_lazy: nothing is to be done before somebody wants a client.
    """

    tried: str
    open: Callable[[], AbstractAsyncContextManager[Client]]
    is_lazy: bool


def opener(source: Source, *, client_name: str, connect_timeout: float) -> Opener:
    """Returns how to make clients from *source*.

    :param source: the URL of an executor that listens; the command line of one that speaks over its
        standard streams; an environment, whose executor then comes up and goes with its client; or
        whatever returns an asynchronous context manager of a client or of an executor that runs.
    :raises TypeError: it is none of these.
    :raises ValueError: it is empty, or a URL with a user or a password in it.
    """
    options = LinkOptions(open_seconds=connect_timeout)
    if isinstance(source, str):
        if not source:
            raise ValueError("the URL of an environment is empty: give ws://HOST:PORT or unix:///PATH")
        refuse_login(source)
        return Opener(
            text_line(f"connect to {source}"),
            lambda: connect(source, client_name=client_name, options=options),
            False,
        )
    if isinstance(source, Environment):
        return Opener(f"start {source.name}", lambda: _client_of(source.start, client_name), False)
    if callable(source):
        return Opener(f"open a client by {_name(source)}", lambda: _client_of(source, client_name), False)
    argv = _argv(source)
    return Opener(
        f"start {message_line(json.dumps(argv))}",
        lambda: connect_stdio(argv, client_name=client_name, options=options),
        True,
    )


def _argv(source: Sequence[str]) -> list[str]:
    is_argv = isinstance(source, Sequence) and not isinstance(source, bytes)
    if not is_argv or not all(isinstance(each, str) for each in source):
        raise TypeError(
            "give a URL, a command line as a list of strings, an Environment, or a callable that returns an "
            f"asynchronous context manager of a Client, not {source!r}"
        )
    if not source:
        raise ValueError("the command line of an environment is empty: give a program and its arguments")
    return list(source)


@asynccontextmanager
async def _client_of(open: MakeClient, client_name: str) -> AsyncIterator[Client]:
    async with open() as opened:
        if isinstance(opened, Client):
            yield opened
        elif isinstance(opened, Running):
            async with opened.connect(client_name=client_name) as client:
                yield client
        else:
            raise TypeError(f"{_name(open)} has made {opened!r}, which is no client")


def _name(open: MakeClient) -> str:
    return getattr(open, "__qualname__", None) or repr(open)

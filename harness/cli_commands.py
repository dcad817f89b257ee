"""The short subcommands of ``crossexec``: info, envs, get, put."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec

from executors.protocol.environment import Empty, EnvironmentInfo
from executors.protocol.errors import RpcError
from executors.protocol.methods import ENVIRONMENT_INFO
from executors.protocol.path_uri import PathUri, PathUriError
from harness.cli_streams import blocking, write_all
from harness.cli_target import open_target, remote_path
from harness.client.client import Client
from harness.environments import ENVIRONMENTS
from harness.settings import read_settings


async def info(options: argparse.Namespace) -> int:
    async with open_target(options) as client:
        told = client.info
        # An executor tries its sandboxes only when it is asked; older ones need not know the call.
        with suppress(RpcError):
            told = await client.call(ENVIRONMENT_INFO, Empty())
        if options.json:
            print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        else:
            print_table(info_rows(told))
    return 0


def info_rows(info: EnvironmentInfo) -> list[tuple[str, ...]]:
    """Name and value of all that the executor has told, paths as its own users write them."""

    def path(uri: str | None) -> str | None:
        return None if uri is None else PathUri.parse(uri).render()

    capabilities = [name for name, has in msgspec.to_builtins(info.capabilities).items() if has is True]
    sandbox = info.capabilities.sandbox
    rows = [
        ("executor", info.executor_version),
        ("platform", info.platform_os),
        ("shell", f"{info.shell.name} ({info.shell.path})"),
        ("directory", path(info.cwd)),
        ("home", path(info.user_home_dir)),
        ("temporary", path(info.temp_dir)),
        ("capabilities", ", ".join(capabilities) or None),
        ("sandbox", None if sandbox is None else ", ".join(sandbox) or "none holds here"),
    ]
    if info.console_code_page is not None:
        rows.append(("code page", str(info.console_code_page)))
    return [(name, value if value is not None else "not told") for name, value in rows]


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Prints rows as columns, the last of any width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


async def envs(options: argparse.Namespace) -> int:
    settings = read_settings()
    print_table([(name, str(make(settings).available())) for name, make in ENVIRONMENTS.items()])
    return 0


async def prepare(options: argparse.Namespace) -> int:
    """Nothing more: whatever the chosen environment needs has been made on the way here."""
    print(f"environment {options.env} is ready" if options.url is None else f"{options.url} needs nothing")
    return 0


async def get(options: argparse.Namespace) -> int:
    async with open_target(options) as client:
        remote = remote_path(client, options.remote)
        async with client.files.open_read(remote) as handle, aclosing(handle.stream()) as blocks:
            if options.local == "-":
                async for block in blocks:
                    await blocking(write_all, 1, block)
                return 0
            local = Path(options.local)
            if local.is_dir():
                local /= _file_name(remote)
            with local.open("wb") as file:
                try:
                    async for block in blocks:
                        await blocking(file.write, block)
                except BaseException:
                    print(f"crossexec get: {local} is incomplete", file=sys.stderr)
                    raise
    return 0


def _file_name(remote: PathUri) -> str:
    name = remote.basename
    if not name or Path(name).name != name:
        raise PathUriError(f"{remote.render()} ends in no name for a file here; name the local file")
    return name


async def put(options: argparse.Namespace) -> int:
    async with open_target(options) as client:
        remote = remote_path(client, options.remote)
        if options.local == "-":
            await client.files.write_stream(remote, _blocks(0))
            return 0
        with open(options.local, "rb") as file:
            if await _is_directory(client, remote):
                remote = remote.join(Path(options.local).name)
            await client.files.write_stream(remote, _blocks(file.fileno()))
    return 0


async def _is_directory(client: Client, path: PathUri) -> bool:
    try:
        return (await client.files.metadata(path)).is_directory
    except RpcError:
        # Whatever it is, writing to it will tell.
        return False


async def _blocks(fd: int) -> AsyncIterator[bytes]:
    while block := await blocking(os.read, fd, 1024 * 1024):
        yield block

"""What a sandbox costs: plain and sandboxed by turns, so that both meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import pybase64

from bench.client import CallError, Client
from bench.measures import Bench, Measure, Unmeasurable
from harness.client.sandbox import allow_read, workspace_write

T = TypeVar("T")

_BLOCK: Final = bytes(range(256)) * 16
_ENCODED: Final = pybase64.b64encode_as_string(_BLOCK)

Intent = dict[str, Any]


def _writable(bench: Bench) -> Intent:
    """Everything may be read, the folder written: Landlock expresses that."""
    return _intent(bench, bench.folder)


def _carved(bench: Bench) -> Intent:
    """The same without a part of the folder, which takes mounts, as bubblewrap makes them."""
    inner = bench.folder / "read-only"
    inner.mkdir(exist_ok=True)
    return _intent(bench, bench.folder, inner)


def _intent(bench: Bench, writable: Path, *readable: Path) -> Intent:
    rules = [allow_read(path.as_uri()) for path in readable]
    made: Intent = msgspec.to_builtins(workspace_write([writable.as_uri()], rules))
    return made


async def _one(client: Client, process_id: str, intent: Intent | None) -> float:
    """Returns the milliseconds from start to exited of /bin/true."""
    begin = time.perf_counter()
    process = client.start(process_id, ["/bin/true"], sandbox=intent)
    exit_code = await process.exited
    took = (time.perf_counter() - begin) * 1e3
    await process.closed
    if exit_code:
        raise ValueError(f"/bin/true ended with {exit_code}")
    if intent is not None and process.sandbox_type in ("", "none"):
        raise Unmeasurable("the executor says that it uses no sandbox")
    return took


async def _sandboxed(bench: Bench, amount: int) -> list[float]:
    intent = _writable(bench)
    async with bench.connected() as client:
        await _first(_one(client, "first", intent))
        return [await _one(client, f"confined-{number}", intent) for number in range(amount)]


def _added(make_intent: Callable[[Bench], Intent]) -> Callable[[Bench, int], Awaitable[list[float]]]:
    async def run(bench: Bench, amount: int) -> list[float]:
        intent = make_intent(bench)
        result = []
        async with bench.connected() as client:
            # What a session makes once for an intent is not what a command costs.
            await _first(_one(client, "first", intent))
            for number in range(amount):
                plain = await _one(client, f"plain-{number}", None)
                result.append(await _one(client, f"confined-{number}", intent) - plain)
        return result

    return run


async def _read(bench: Bench, amount: int) -> list[float]:
    path = bench.folder / "4-kib"
    path.write_bytes(_BLOCK)

    def check(result: Any) -> None:
        if result["dataBase64"] != _ENCODED:
            raise ValueError("the executor gave other data than the file's")

    return await _file_calls(bench, "fs/readFile", {"path": path.as_uri()}, amount, check)


async def _write(bench: Bench, amount: int) -> list[float]:
    path = bench.folder / "written-4-kib"

    def check(_: Any) -> None:
        if path.read_bytes() != _BLOCK:
            raise ValueError("the file has other bytes than were written")
        path.unlink()

    params = {"path": path.as_uri(), "dataBase64": _ENCODED}
    return await _file_calls(bench, "fs/writeFile", params, amount, check)


async def _file_calls(
    bench: Bench, method: str, params: dict[str, Any], amount: int, check: Callable[[Any], None]
) -> list[float]:
    params = params | {"sandbox": _writable(bench)}
    async with bench.connected() as client:
        check(await _first(client.call(method, params)))
        result = []
        for _ in range(amount):
            begin = time.perf_counter()
            answer = await client.call(method, params)
            result.append((time.perf_counter() - begin) * 1e3)
            check(answer)
    return result


async def _first(call: Awaitable[T]) -> T:
    """Makes the first call of a session, which tells whether the executor has such a sandbox at all."""
    try:
        return await call
    except CallError as error:
        raise Unmeasurable(f"refused: {error}") from None


MEASURES: Final = [
    Measure(
        "sandboxed",
        "/bin/true in a sandbox, start to exited",
        "ms",
        "lower",
        None,
        "process",
        100,
        _sandboxed,
    ),
    Measure("sandbox", "/bin/true, added by a sandbox", "ms", "lower", 0.5, "pair", 150, _added(_writable)),
    Measure(
        "sandbox-carved",
        "/bin/true, added by one with a part carved out",
        "ms",
        "lower",
        4,
        "pair",
        100,
        _added(_carved),
    ),
    Measure(
        "sandbox-read",
        "readFile of 4 KiB in a sandbox",
        "ms",
        "lower",
        5,
        "call",
        200,
        _read,
    ),
    Measure(
        "sandbox-write",
        "writeFile of 4 KiB in a sandbox",
        "ms",
        "lower",
        5,
        "call",
        200,
        _write,
    ),
]

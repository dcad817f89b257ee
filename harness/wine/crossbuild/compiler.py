"""Compiles and links for Windows, in parallel; what a killed run has compiled is not compiled again."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from harness.progress import Stage
from harness.wine.crossbuild.commands import processors, run

TARGET: Final = ("-target", "x86_64-windows-gnu")
"""Windows x86-64 with the Universal C Runtime, by mingw-w64's headers."""

_FLAGS: Final = (
    "-O2",
    "-g0",
    "-w",
    "-DNDEBUG",
    "-fno-sanitize=undefined",  # on by default in zig's driver
)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Unit:
    """One source to compile.

    :ivar folder: the directory to compile in, for flags with relative paths; None for any.
    """

    source: Path
    object: Path
    flags: tuple[str | Path, ...]
    folder: Path | None = None


@dataclass(frozen=True)
class Link:
    """One program to link, or with ``-shared`` among the inputs one DLL."""

    output: Path
    inputs: tuple[str | Path, ...]


@dataclass(frozen=True)
class Compiler:
    """The cross compiler.

    :ivar program: zig.
    :ivar environment: the environment that it runs in, its cache folders among it.
    """

    program: Path
    environment: dict[str, str]

    @property
    def _folder(self) -> Path:
        # Always the same: what the compiler finds again in its cache depends on the current directory.
        return self.program.parent

    def prepare(self, folder: Path, stage: Stage) -> None:
        """Has the compiler make its own parts, which takes it a minute or two, both at a time.

        They are start-up code and import libraries, for the first link, and its resource compiler.

        :param folder: for files that nobody needs.
        :raises BuildFailed: it can't.
        """
        source, script = folder / "nothing.c", folder / "nothing.rc"
        folder.mkdir(parents=True, exist_ok=True)
        source.write_text("int nothing;\n")
        script.write_text("1 RCDATA { 0 }\n")
        link = Link(folder / "nothing.dll", ("-shared", source))
        works: list[Callable[[], None]] = [
            lambda: self._link(link),
            lambda: self.resource(script, folder / "nothing.res", []),
        ]
        each_in_parallel(lambda work: work(), works, stage)

    def compile(self, units: Iterable[Unit], stage: Stage) -> list[Path]:
        """Compiles what has no object yet and returns the objects of all *units*, in their order.

        An object appears under its name only when it is whole. Whether it is still that of the
        source is not asked: who changes a source or a flag deletes the objects.

        :raises BuildFailed: one could not be compiled; no more are begun.
        """
        wanted = list(units)
        each_in_parallel(self._compile, wanted, stage)
        return [unit.object for unit in wanted]

    def _compile(self, unit: Unit) -> None:
        if unit.object.exists():
            return
        unit.object.parent.mkdir(parents=True, exist_ok=True)
        unfinished = unit.object.with_name(f"{unit.object.name}.unfinished")
        run(
            [self.program, "cc", *TARGET, *_FLAGS, *unit.flags, "-c", unit.source, "-o", unfinished],
            f"Compiling {unit.source}",
            folder=unit.folder or self._folder,
            environment=self.environment,
        )
        os.replace(unfinished, unit.object)

    def link(self, links: Sequence[Link], stage: Stage) -> None:
        """Links all of *links*, which must not need one another.

        :raises BuildFailed: the linker says no.
        """
        each_in_parallel(self._link, links, stage)

    def _link(self, link: Link) -> None:
        run(
            [self.program, "cc", *TARGET, "-O2", "-s", "-o", link.output, *link.inputs],
            f"Linking {link.output.name}",
            folder=self._folder,
            environment=self.environment,
        )

    def resource(self, script: Path, output: Path, options: Sequence[str | Path]) -> None:
        """Compiles a resource script: version, icons, manifest.

        :raises BuildFailed: the resource compiler says no.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        run(
            [self.program, "rc", "/:auto-includes", "gnu", *options, "/fo", output, script],
            f"Compiling {script}",
            folder=self._folder,
            environment=self.environment,
        )


def each_in_parallel(work: Callable[[Item], None], items: Sequence[Item], stage: Stage) -> None:
    """Calls *work* for each item, on as many threads as there are processors.

    :raises Exception: the first that *work* raised; what had not begun by then never does.
    """
    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
                stage.advance()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

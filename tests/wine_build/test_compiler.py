"""Compiling goes on where a killed run has stopped, and never takes half an object for a whole one."""

import os
from pathlib import Path

import pytest

from harness.cache import cache_folder
from harness.progress import SILENT
from harness.wine.crossbuild.compiler import Compiler, Unit
from harness.wine.crossbuild.failure import BuildFailed

# Writes its last argument but two, the source, in capitals into its last, and counts its calls.
STAND_IN = """#!/bin/sh
echo called >> "$COUNT"
for word; do source=$output_flag; output_flag=$object; object=$word; done
case $(cat "$source") in *broken*) echo half > "$object"; echo "$source is broken"; exit 1;; esac
tr a-z A-Z < "$source" > "$object"
"""


class Bench:
    """A folder with sources and a program that stands in for the compiler."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "compiler"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        self.count = folder / "count"
        self.compiler = Compiler(program, {"PATH": os.environ["PATH"], "COUNT": str(self.count)})

    def unit(self, name: str, text: str) -> Unit:
        source = self.folder / f"{name}.c"
        source.write_text(text)
        return Unit(source, self.folder / "objects" / f"{name}.o", ())

    def compile(self, *units: Unit) -> list[Path]:
        with SILENT.stage("") as stage:
            return self.compiler.compile(units, stage)

    @property
    def calls(self) -> int:
        return self.count.read_text().count("called") if self.count.exists() else 0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_objects_come_in_the_order_of_their_units(bench: Bench) -> None:
    units = [bench.unit(name, name) for name in "cab"]
    assert [path.read_text() for path in bench.compile(*units)] == ["C", "A", "B"]


def test_what_is_there_is_not_compiled_again(bench: Bench) -> None:
    first, second = bench.unit("first", "one"), bench.unit("second", "two")
    bench.compile(first)
    bench.compile(first, second)
    assert bench.calls == 2
    bench.compile(first, second)
    assert bench.calls == 2


def test_half_an_object_is_not_taken(bench: Bench) -> None:
    unit = bench.unit("killed", "whole")
    unit.object.parent.mkdir()
    unit.object.with_name(f"{unit.object.name}.unfinished").write_text("hal")
    (made,) = bench.compile(unit)
    assert made.read_text() == "WHOLE"
    assert os.listdir(made.parent) == [made.name]


def test_an_error_tells_what_the_compiler_said(bench: Bench) -> None:
    unit = bench.unit("bad", "broken")
    with pytest.raises(BuildFailed) as caught:
        bench.compile(unit)
    assert f"Compiling {unit.source} failed with exit code 1" in str(caught.value)
    assert f"{unit.source} is broken" in str(caught.value)
    assert not unit.object.exists()


def test_after_an_error_what_has_not_begun_never_does(bench: Bench) -> None:
    units = [bench.unit(f"bad{number}", "broken") for number in range(200)]
    with pytest.raises(BuildFailed):
        bench.compile(*units)
    assert bench.calls < len(units)


def test_a_compiler_that_cannot_be_started_is_an_error(bench: Bench) -> None:
    unit = bench.unit("a", "a")
    bench.compiler.program.unlink()
    with pytest.raises(BuildFailed, match="there is no program"):
        bench.compile(unit)


def test_a_real_object_for_windows(tmp_path: Path) -> None:
    work = cache_folder() / "windows-python-build"
    found = list(work.glob("tools/ziglang-*/ziglang/zig"))
    if not found:
        pytest.skip("no compiler in the cache: it is there only while a Windows Python is built")
    cache = {name: str(tmp_path / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    compiler = Compiler(found[0], {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cache})
    source = tmp_path / "a.c"
    source.write_text("#ifndef _WIN32\n#error not for Windows\n#endif\nint answer(void) { return ANSWER; }\n")
    with SILENT.stage("") as stage:
        (made,) = compiler.compile([Unit(source, tmp_path / "a.o", ("-DANSWER=42",))], stage)
    # COFF: the machine is AMD64.
    assert made.read_bytes()[:2] == b"\x64\x86"

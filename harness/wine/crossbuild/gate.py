"""Runs some of CPython's own tests on what was built, under Wine, before anybody gets it.

They are those of what an executor stands on: event loops, sockets, processes, files, threads, TLS,
and the modules that its messages go through. Not all can pass under Wine.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.progress import Progress
from harness.wine.crossbuild import gate_module
from harness.wine.crossbuild.compiler import each_in_parallel
from harness.wine.crossbuild.extensions import EXTENSIONS
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.wine import Runner


@dataclass(frozen=True)
class Gap:
    """Tests that are not run.

    :ivar pattern: of their names.
    :ivar reason: why they can't pass here, or why it does not matter.
    """

    pattern: str
    reason: str


@dataclass(frozen=True)
class Module:
    """One test module, by its name below ``test``."""

    name: str
    gaps: tuple[Gap, ...] = ()


_NO_JUNCTIONS: Final = "no junctions"
_NO_CONSOLE: Final = "the tests have no console"
_OTHER_ERROR: Final = "the C runtime says another error, or none"
_ACCESS_TIME: Final = "the time of the last access is always now"
_LISTED_FILE: Final = "listing a file gives ERROR_INVALID_NAME, not ERROR_DIRECTORY"
_SLOW: Final = "no gap: it takes seconds"
_OTHER_CASE: Final = "PATHEXT is in lower case"

MODULES: Final = (
    # The slowest first, so that no processor is idle at the end.
    Module(
        "test_socket",
        (Gap("*.testWithTimeoutTriggeredSend", "a time limit of 10 ms: fails where the machine is busy"),),
    ),
    Module("test_subprocess"),
    Module(
        "test_os",
        (
            Gap("*.test_getcwd_long_path", "SetCurrentDirectoryW writes past its buffer; later threads die"),
            Gap("*.Win32KillTests.test_CTRL_*", _NO_CONSOLE),
            Gap("*.DeviceEncodingTests.test_device_encoding", _NO_CONSOLE),
            Gap("*.test_write_windows_console", _NO_CONSOLE),
            Gap("*.Win32JunctionTests.*", _NO_JUNCTIONS),
            Gap("*.Win32ListdriveTests.*", "fsutil.exe lists no volumes"),
            Gap("*.test_win32_mkdir_700", "icacls.exe prints nothing"),
            Gap("*.test_stat_block_device", "drives can't be opened as devices"),
            Gap("*.TestInvalidFD.test_f*", _OTHER_ERROR),
            Gap("*.TestScandir.test_attributes", _ACCESS_TIME),
            Gap("*.UtimeTests.test_utime", _ACCESS_TIME),
            Gap("*.UtimeTests.test_utime_by_*", _ACCESS_TIME),
            Gap("*.test_stat_unlink_race", _SLOW),
        ),
    ),
    Module("test_asyncio.test_events"),
    Module(
        "test_ssl",
        (Gap("*.test_enum_c*", "the system's store of certificates is empty"),),
    ),
    Module(
        "test_asyncio.test_windows_events",
        (
            Gap("*.test_double_bind", "FILE_FLAG_FIRST_PIPE_INSTANCE has no effect"),
            Gap("*.test_loop_restart", _SLOW),
        ),
    ),
    Module(
        "test_pathlib.test_pathlib.WindowsPathTest",
        (Gap("*.test_absolute_windows", "a drive's current directory ends with a backslash"),),
    ),
    Module(
        "test_asyncio.test_subprocess",
        (Gap("*.test_kill_issue43884", "no CTRL_BREAK_EVENT for other groups of processes"),),
    ),
    Module(
        "test_winapi",
        (
            Gap("*.test_getshortpathname", "short names are of another form"),
            Gap("*.test_namedpipe", "a pipe does not pretend to be seekable"),
            Gap("*.test_max_events_waitany", _SLOW),
        ),
    ),
    Module(
        "test_shutil",
        (
            Gap("*junction*", _NO_JUNCTIONS),
            Gap("*.test_rmtree_dont_delete_file", _LISTED_FILE),
            Gap("*.test_rmtree_errors*", _LISTED_FILE),
            Gap("*.test_pathext_checking", _OTHER_CASE),
        ),
    ),
    Module("test_asyncio.test_server"),
    Module("test_asyncio.test_proactor_events"),
    Module(
        "test_asyncio.test_streams",
        (Gap("*_happy_eyeball_refcycles", "a future is still referred to: fails where the machine is busy"),),
    ),
    Module("test_hashlib"),
    Module(
        "test_ctypes",
        (Gap("*.test_win32_com_foreign_func.*", "ShellLink has no IPersist"),),
    ),
    Module(
        "test_ntpath",
        (
            Gap("*.TestNtpath.test_abspath", r"GetFullPathNameW keeps `//spam//eggs. . .` as it is"),
            Gap("*.TestNtpath.test_con_device", _NO_CONSOLE),
        ),
    ),
    Module("test_fileio", (Gap("*.testErrnoOnClosedTruncate", _OTHER_ERROR),)),
    Module("test_signal", (Gap("*.RaiseSignalTest.test_invalid_argument", _OTHER_ERROR),)),
    Module("test_thread"),
    Module("test_asyncio.test_windows_utils"),
    Module("test_selectors"),
    Module("test_json"),
    Module("test_base64"),
    Module("test_binascii"),
    Module("test_struct"),
    Module("test_zlib"),
)
"""With what is missing in Wine 8.0, measured; where a gap is not Wine's, its reason says so."""

_SECONDS: Final = 600.0
"""For one module: for those that hang, not for those that are slow on a busy machine."""


def run_gate(product: Path, source: Path, folder: Path, wine: Runner, progress: Progress) -> None:
    """Runs the tests of the sources in *source* on a copy of the Python in *product*.

    :param folder: for that copy, which has the tests besides: some ask for them in isolated mode.
    :raises BuildFailed: a test failed, also when its module was tried again.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(product, folder)
    (folder / "Lib/test").symlink_to(source / "Lib/test")
    python = folder / "python.exe"
    imports = ", ".join(extension.name for extension in EXTENSIONS)
    with progress.stage("testing what was built", 1 + len(MODULES)) as stage:
        wine.run([python, "-c", f"import {imports}"], "Importing all modules", _SECONDS)
        stage.advance()

        def test(module: Module) -> None:
            command: list[str | Path] = [python, gate_module.__file__, module.name]
            command += [gap.pattern for gap in module.gaps]
            what = f"CPython's own {module.name} on what was built"
            try:
                wine.run(command, what, _SECONDS)
            except BuildFailed:
                # Some depend on the time that the machine has for them.
                wine.run(command, what, _SECONDS)

        each_in_parallel(test, MODULES, stage)

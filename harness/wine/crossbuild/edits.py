"""Every edit to CPython's sources, and how they are made.

CPython's code for Windows asks for Microsoft's compiler (``_MSC_VER``) in places where it means the
system (``MS_WINDOWS``) or the C runtime (UCRT), which here are the same without that compiler. Most
edits say so; three keep the interpreter alive under Wine 8.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.wine.crossbuild.failure import BuildFailed


@dataclass(frozen=True)
class Edit:
    """One replacement in one file.

    :ivar file: below the top of the sources.
    :ivar old: the text to replace.
    :ivar new: what stands there instead.
    :ivar reason: why the sources can't stay as they are.
    :ivar count: how often *old* stands in the file; all of them are replaced.
    :ivar pattern: *old* is a regular expression, and *new* its template.
    :ivar wine_only: real Windows has no need of it.
    """

    file: str
    old: str
    new: str
    reason: str
    count: int = 1
    pattern: bool = False
    wine_only: bool = False


def apply_edits(edits: Iterable[Edit], folder: Path) -> None:
    """Makes the *edits* below *folder*.

    :raises BuildFailed: one does not apply: its text is not there, or not as often as it should be.
    """
    for edit in edits:
        path = folder / edit.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if edit.pattern:
            changed, found = re.subn(edit.old, edit.new, text)
        else:
            changed, found = text.replace(edit.old, edit.new), text.count(edit.old)
        if found != edit.count:
            raise BuildFailed(
                f"An edit does not apply to {edit.file}: its text was found {found} times and should be "
                f"there {edit.count} times. Text: {edit.old!r}. It serves this: {edit.reason}. The sources "
                "are not those that it was written for: if pins or patches were changed, change the edit too."
            )
        path.write_text(changed, encoding="utf-8")


COMPAT_HEADER: Final = r"""/* Included before anything else in every C source of CPython. */
#ifndef __ASSEMBLER__
#define _CRT_RAND_S /* rand_s, for expat; stdlib.h asks for it when it is included first */
#include <stdlib.h>
/* In the import library of ucrtbase, and not in mingw-w64's headers. */
extern _invalid_parameter_handler __cdecl
_set_thread_local_invalid_parameter_handler(_invalid_parameter_handler);
#endif
"""

_PYCONFIG: Final = (
    Edit(
        "PC/pyconfig.h.in",
        '#define COMPILER "[gcc]"',
        """#define COMPILER ("[Clang " __clang_version__ " 64 bit (AMD64) with mingw-w64 UCRT]")
#define PY_SUPPORT_TIER 0
#define PYD_PLATFORM_TAG "win_amd64"
#define Py_WINVER 0x0603
#define Py_NTDDI NTDDI_WINBLUE
typedef __int64 Py_ssize_t;
#define PY_SSIZE_T_MAX LLONG_MAX
#define HAVE_PY_SSIZE_T 1
#define HAVE_UINTPTR_T 1
#define HAVE_INTPTR_T 1""",
        "what the branch for Microsoft's compiler defines and the one for GNU C lacks",
    ),
    Edit(
        "PC/pyconfig.h.in",
        "#if defined(_MSC_VER) && _MSC_VER >= 1310\n#define HAVE_WCSFTIME 1",
        "#if 1\n#define HAVE_WCSFTIME 1",
        "UCRT has wcsftime",
    ),
    Edit(
        "PC/pyconfig.h.in",
        "#define SIZEOF_PID_T SIZEOF_INT",
        "#define SIZEOF_PID_T 8",
        "mingw-w64's pid_t has 64 bits",
    ),
)

_C_RUNTIME: Final = (
    Edit(
        "Modules/posixmodule.c",
        "#elif defined( _MSC_VER)\n  /* Microsoft compiler */",
        "#elif defined(MS_WINDOWS)",
        "spawnv, execv, pipe, fsync, getppid, getlogin and cwait are UCRT's, not the compiler's",
    ),
    Edit(
        "Modules/posixmodule.c",
        "#ifdef _MSC_VER\n#  ifdef HAVE_DIRECT_H",
        "#ifdef MS_WINDOWS\n#  ifdef HAVE_DIRECT_H",
        "direct.h, io.h, process.h and malloc.h are there",
    ),
    Edit(
        "Modules/posixmodule.c",
        "#elif !defined(_MSC_VER) && (!defined(__WATCOMC__)",
        "#elif !defined(MS_WINDOWS) && (!defined(__WATCOMC__)",
        "environ is a macro and can't be declared",
    ),
    Edit(
        "Include/internal/pycore_fileutils.h",
        "#if defined _MSC_VER && _MSC_VER >= 1900",
        "#ifdef MS_WINDOWS",
        "UCRT ends the process at a bad file descriptor unless its handler is silenced",
    ),
    Edit(
        "PC/invalid_parameter_handler.c",
        "#ifdef _MSC_VER\n",
        "#ifdef _WIN32\n",
        "that handler",
    ),
    Edit(
        "PC/invalid_parameter_handler.c",
        "#if _MSC_VER >= 1900\n",
        "#if 1\n",
        "that handler",
    ),
    Edit(
        "Modules/timemodule.c",
        "#ifdef _MSC_VER\n#  define _Py_timezone _timezone",
        "#ifdef MS_WINDOWS\n#  define _Py_timezone _timezone",
        "UCRT's names",
    ),
    Edit(
        "Modules/timemodule.c",
        "#if defined _MSC_VER && _MSC_VER >= 1400 && defined(__STDC_SECURE_LIB__)",
        "#if defined(MS_WINDOWS)",
        "UCRT's strftime tells a bad format by EINVAL",
        count=2,
    ),
    Edit(
        "Modules/timemodule.c",
        "#if defined(_MSC_VER) || (defined(__sun)",
        "#if defined(MS_WINDOWS) || (defined(__sun)",
        "UCRT's strftime takes the years 1 to 9999 only",
    ),
    Edit(
        "Modules/mathmodule.c",
        "#ifdef _MSC_VER",
        "#ifdef MS_WINDOWS",
        "two work-arounds for UCRT's ldexp and fmod",
        count=2,
    ),
    Edit(
        "Modules/mathmodule.c",
        '#include "_math.h"',
        '#include "_math.h"\nextern double (*__imp_log2)(double);\n#define log2(x) __imp_log2(x)',
        "the linker prefers the compiler's own static log2, which is wrong by 3e-7 for denormal numbers",
    ),
    Edit(
        "Python/pylifecycle.c",
        "#if defined(_MSC_VER) && _MSC_VER >= 1400\n    switch (sig)",
        "#if defined(MS_WINDOWS)\n    switch (sig)",
        "UCRT's signal() objects to numbers that it does not know",
    ),
    Edit(
        "Modules/faulthandler.c",
        "#ifdef _MSC_VER\n    /* Visual Studio: configure abort()",
        "#ifdef MS_WINDOWS\n    /* Visual Studio: configure abort()",
        "UCRT's abort() shows a box",
    ),
)

_SOCKETS: Final = (
    Edit(
        "Modules/socketmodule.c",
        "#elif defined(_MSC_VER) && _MSC_VER>1201",
        "#elif defined(MS_WINDOWS)",
        "ws2tcpip.h declares getaddrinfo; CPython's own must not",
    ),
    Edit(
        "Modules/socketmodule.c",
        r"(#define (IPPROTO_\w+) \2\b.*)",
        r"#ifndef \2\n\1\n#endif",
        "some are macros in mingw-w64, and a macro defined as itself is lost",
        count=30,
        pattern=True,
    ),
    Edit(
        "Modules/selectmodule.c",
        "#if defined(_MSC_VER)\n        max = 0; ",
        "#if defined(MS_WINDOWS)\n        max = 0; ",
        "SOCKET is unsigned and never greater than -1: each set was passed as NULL (WSAEINVAL)",
    ),
    Edit(
        "Include/internal/pycore_fileutils.h",
        "#ifdef _MSC_VER\n    /* On Windows, any socket",
        "#ifdef MS_WINDOWS\n    /* On Windows, any socket",
        "a socket's handle may be above FD_SETSIZE; those with a timeout said `unable to select on socket`",
    ),
)

_TLS: Final = tuple(
    Edit(
        file,
        old,
        "#ifdef MS_WINDOWS",
        "wincrypt.h has the system's certificates (ssl.enum_certificates, enum_crls)",
        count=count,
    )
    for file, old, count in (
        ("Modules/_ssl.c", "#ifdef _MSC_VER", 1),
        ("Modules/clinic/_ssl.c.h", "#if defined(_MSC_VER)", 2),
    )
)

_COMPILER: Final = (
    Edit(
        "Modules/_ctypes/callproc.c",
        "#if defined(_DEBUG) || defined(__MINGW32__)",
        "#if defined(_DEBUG)",
        "clang does compile __try for this target: an access violation in a foreign call is an OSError",
    ),
    Edit(
        "Lib/ctypes/util.py",
        "        if i == -1:\n            return 6\n",
        "        if i == -1:\n            return None\n",
        "without MSVC in sys.version, find_library('c') names msvcrt.dll, another C runtime",
    ),
    Edit("PC/python_exe.rc", r"icons\python.ico", "icons/python.ico", "a path for this file system"),
    Edit("PC/pythonw_exe.rc", r"icons\pythonw.ico", "icons/pythonw.ico", "a path for this file system"),
)

_WINE: Final = (
    Edit(
        "Python/fileutils.c",
        """    if (!GetFileInformationByHandle(h, &info) ||
        !GetFileInformationByHandleEx(h, FileBasicInfo, &basicInfo, sizeof(basicInfo))) {
        /* The Win32 error""",
        """    BOOL known = GetFileInformationByHandle(h, &info);
    FILE_STANDARD_INFO std;
    if (!known && GetLastError() == ERROR_INVALID_HANDLE &&
        GetFileInformationByHandleEx(h, FileStandardInfo, &std, sizeof(std))) {
        memset(&info, 0, sizeof(info));
        info.dwFileAttributes = FILE_ATTRIBUTE_NORMAL;
        info.nNumberOfLinks = std.NumberOfLinks;
        info.nFileSizeHigh = std.EndOfFile.HighPart;
        info.nFileSizeLow = std.EndOfFile.LowPart;
        known = TRUE;
    }
    if (!known ||
        !GetFileInformationByHandleEx(h, FileBasicInfo, &basicInfo, sizeof(basicInfo))) {
        /* The Win32 error""",
        "GetFileInformationByHandle says ERROR_INVALID_HANDLE of a file that was inherited from the Unix "
        "side (`wine python.exe > file`), and the interpreter would not start",
        wine_only=True,
    ),
    Edit(
        "Modules/posixmodule.c",
        "    // If failure occurs in win32_getppid_fast(), fall back to using the PSS API.\n",
        "    return PyLong_FromUnsignedLong(0);\n",
        "the first process has parent 0, and what CPython falls back to (PssCaptureSnapshot) is not "
        "implemented and ends the process",
        wine_only=True,
    ),
    Edit(
        "Modules/_winapi.c",
        "    hr = CopyFile2(existing_file_name, new_file_name, &params);",
        """    if (GetProcAddress(GetModuleHandleW(L"ntdll"), "wine_get_version"))
        hr = CopyFileExW(existing_file_name, new_file_name, NULL, NULL, NULL, flags & 0xB)
            ? S_OK : HRESULT_FROM_WIN32(GetLastError());
    else
        hr = CopyFile2(existing_file_name, new_file_name, &params);""",
        "CopyFile2 is not implemented and the call ends the process (shutil.copy2, copytree, move)",
        wine_only=True,
    ),
)

EDITS: Final = (*_PYCONFIG, *_C_RUNTIME, *_SOCKETS, *_TLS, *_COMPILER, *_WINE)

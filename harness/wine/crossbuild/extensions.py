"""Which extension modules are built, and the libraries that go into them and the interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INTERPRETER_LIBRARIES: Final = (
    *("-lversion", "-lws2_32", "-lapi-ms-win-core-path-l1-1-0", "-lbcrypt"),
    *("-ladvapi32", "-lole32", "-loleaut32"),
)
"""The system's libraries that the interpreter's DLL is linked with."""


@dataclass(frozen=True)
class Extension:
    """One extension module; its sources are what its project file in PCbuild names.

    :ivar flags: beyond those of all modules; ``{python}`` and the like are folders of sources.
    :ivar libraries: of the system, to link with.
    :ivar openssl: it is linked with OpenSSL.
    """

    name: str
    flags: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    openssl: bool = False


_EXPAT: Final = ("-I{python}/Modules/expat", "-DXML_STATIC", "-DPYEXPAT_EXPORTS")
# After the system's folders: it has an io.h too.
_LIBMPDEC: Final = ("-idirafter", "{python}/Modules/_decimal/libmpdec", "-DCONFIG_64", "-DASM")

EXTENSIONS: Final = (
    Extension("_asyncio"),
    Extension("_bz2", ("-I{bzip2}",)),
    Extension(
        "_ctypes",
        ("-I{libffi}/windows", "-DFFI_STATIC_BUILD", "-DUSING_MALLOC_CLOSURE_DOT_C=1"),
        ("ole32", "oleaut32", "uuid"),
    ),
    Extension("_decimal", _LIBMPDEC),
    Extension("_elementtree", _EXPAT),
    Extension("_hashlib", ("-I{openssl}/include",), ("ws2_32",), openssl=True),
    Extension("_multiprocessing", (), ("ws2_32",)),
    Extension("_overlapped", (), ("ws2_32",)),
    Extension("_queue"),
    Extension("_socket", (), ("ws2_32", "iphlpapi", "rpcrt4")),
    Extension("_ssl", ("-I{openssl}/include",), ("ws2_32", "crypt32"), openssl=True),
    Extension("_uuid", (), ("rpcrt4",)),
    Extension("_zoneinfo"),
    Extension("pyexpat", _EXPAT),
    Extension("select", (), ("ws2_32",)),
    Extension("unicodedata"),
    Extension("winsound", (), ("winmm",)),
)
"""Left out: _lzma, _sqlite3 and _wmi, which nothing here uses, and the test modules."""

LIBFFI_SOURCES: Final = (
    "src/prep_cif.c",
    "src/types.c",
    "src/closures.c",
    "src/tramp.c",
    "src/x86/ffiw64.c",
    "src/x86/win64.S",
)

LIBFFI_FLAGS: Final = (
    *("-I{libffi}/windows", "-I{libffi}/include", "-I{libffi}/src/x86"),
    *("-DFFI_STATIC_BUILD", "-DFFI_BUILDING", "-DHAVE_CONFIG_H"),
)

_LIBFFI_HEADER: Final[Mapping[str, str]] = {
    "VERSION": "3.4",
    "TARGET": "X86_WIN64",
    "HAVE_LONG_DOUBLE": "1",
    "FFI_EXEC_TRAMPOLINE_TABLE": "0",
    "FFI_VERSION_STRING": "3.4",
    "FFI_VERSION_NUMBER": "30400",
}

_LIBFFI_CONFIG: Final = """\
#define STDC_HEADERS 1
#define HAVE_MEMCPY 1
#define HAVE_ALLOCA 1
#define HAVE_INTTYPES_H 1
#define HAVE_STDINT_H 1
#define SIZEOF_DOUBLE 8
#define SIZEOF_LONG_DOUBLE 16
#define SIZEOF_SIZE_T 8
#define HAVE_LONG_DOUBLE 1
#define HAVE_AS_X86_PCREL 1
#define EH_FRAME_FLAGS "aw"
#ifdef LIBFFI_ASM
#define FFI_HIDDEN(name)
#else
#define FFI_HIDDEN
#endif
"""


def prepare_libffi(source: Path) -> None:
    """Writes the headers that libffi's configure would, for Windows x86-64."""
    folder = source / "windows"
    folder.mkdir()
    text = (source / "include/ffi.h.in").read_text()
    for name, value in _LIBFFI_HEADER.items():
        text = text.replace(f"@{name}@", value)
    (folder / "ffi.h").write_text(text)
    (folder / "fficonfig.h").write_text(_LIBFFI_CONFIG)
    shutil.copy(source / "src/x86/ffitarget.h", folder)

"""OpenSSL's two DLLs, which Python's ``_ssl`` and ``_hashlib`` load.

OpenSSL's own ``Configure`` decides which sources there are and with which flags; its makefile only
writes the generated ones (headers, assembly). The rest is compiled like everything else here.

They are DLLs, under the names that python.org's Windows builds use, because there are extension
modules that look for them among the process's libraries in order to share Python's TLS.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.progress import Progress
from harness.wine.crossbuild.commands import bare_environment, processors, run, tail
from harness.wine.crossbuild.compiler import Compiler, Link, Unit
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.pins import RELEASED

_LEFT_OUT: Final = (
    # Not part of a library.
    *("apps", "demos", "docs", "tests", "makedepend"),
    # Python has no interface to them.
    *("cmp", "cms", "ct", "dtls", "quic", "rfc3779", "srp", "srtp", "ts"),
    *("capieng", "dynamic-engine", "engine", "fips", "legacy", "module", "uplink", "winstore"),
    # No suite of TLS 1.2 or 1.3 that Python offers uses them.
    *("aria", "bf", "camellia", "cast", "gost", "idea", "md4", "mdc2", "ml-dsa", "rc2", "rc4", "seed"),
    *("slh-dsa", "sm2", "sm4", "whirlpool"),
    # As python.org's builds.
    *("comp", "ssl3", "ssl3-method", "weak-ssl-ciphers"),
)

_FOLDERS: Final = tuple(
    f'-D{name}="C:\\\\Program Files\\\\{folder}"'
    for name, folder in {
        "OPENSSLDIR": r"Common Files\\SSL",
        "ENGINESDIR": r"OpenSSL\\lib\\engines-3",
        "MODULESDIR": r"OpenSSL\\lib\\ossl-modules",
    }.items()
)
"""Where OpenSSL's own builds for Windows look; Configure takes no Windows path on this host."""

_LIBRARIES: Final = {
    "libcrypto": ("libcrypto-", "libdefault-", "libcommon-", "libtemplate-"),
    "libssl": ("libssl-",),
}
"""How the objects of each library are called; a library needs those before it."""

_MAKE_TARGETS: Final = ("libcrypto-3-x64.dll", "libssl-3-x64.dll")

_PLAN: Final = "plan.txt"
"""What make would do, as it said before anything was generated."""

_SYSTEM_LIBRARIES: Final = ("-lws2_32", "-lgdi32", "-lcrypt32", "-ladvapi32")


@dataclass(frozen=True)
class OpenSSL:
    """What was built.

    :ivar libraries: the DLLs, to ship.
    :ivar imports: their import libraries, to link with.
    """

    libraries: tuple[Path, ...]
    imports: tuple[Path, ...]


def prepare_openssl(source: Path) -> None:
    """Lets OpenSSL choose and generate its sources, in the folder of the unpacked ones.

    :raises BuildFailed: a tool failed.
    """
    # Configure asks the C compiler for its name only, and make is never told to compile.
    environment = {**bare_environment(), "CC": "cc", "SOURCE_DATE_EPOCH": RELEASED}
    run(
        ["perl", "Configure", "mingw64", "shared", *(f"no-{name}" for name in _LEFT_OUT)],
        "Configuring OpenSSL",
        folder=source,
        environment=environment,
    )
    plan = run(
        ["make", "-n", *_MAKE_TARGETS],
        "Asking OpenSSL's makefile for the sources",
        folder=source,
        environment=environment,
    ).replace("\\\n", " ")
    generators = [line for line in plan.splitlines() if "/perl " in line]
    written = sorted({shlex.split(line)[-1] for line in generators})
    sources = [name for name in written if name.endswith((".c", ".h", ".inc", ".s"))]
    run(
        ["make", f"-j{processors()}", "build_generated", *sources],
        "Generating OpenSSL's headers and assembly",
        folder=source,
        environment=environment,
    )
    for name in _LIBRARIES:
        # Without the line that would give the DLL another name.
        exports = run(
            [
                *("perl", "util/mkdef.pl", "--type", "lib", "--OS", "mingw"),
                *("--ordinals", f"util/{name}.num", "--name", name),
            ],
            f"Listing what {name} exports",
            folder=source,
            environment=environment,
        )
        (source / f"{name}.def").write_text(re.sub(r"^LIBRARY.*$", "", exports, flags=re.M))
    (source / _PLAN).write_text(plan)


def build_openssl(source: Path, output: Path, compiler: Compiler, progress: Progress) -> OpenSSL:
    """Builds both DLLs in *output* from the prepared sources.

    :raises BuildFailed: a tool failed.
    """
    units = list(_units(source, output))
    if not units:
        raise BuildFailed(f"OpenSSL's makefile compiles nothing:\n{tail((source / _PLAN).read_text())}")
    with progress.stage("compiling OpenSSL", len(units)) as stage:
        compiler.compile(units, stage)
    made = OpenSSL(
        tuple(output / f"{name}-3.dll" for name in _LIBRARIES),
        tuple(output / f"{name}.dll.a" for name in _LIBRARIES),
    )
    with progress.stage("linking OpenSSL", len(_LIBRARIES)) as stage:
        for index, prefixes in enumerate(_LIBRARIES.values()):
            library, imports = made.libraries[index], made.imports[index]
            objects = [unit.object for unit in units if unit.object.name.startswith(prefixes)]
            # More than some systems' command lines hold.
            arguments = library.with_suffix(".args")
            arguments.write_text("".join(f'"{path}"\n' for path in objects))
            definitions = source / f"{list(_LIBRARIES)[index]}.def"
            options = ("-shared", f"-Wl,--out-implib,{imports}", definitions, f"@{arguments}")
            compiler.link([Link(library, (*options, *made.imports[:index], *_SYSTEM_LIBRARIES))], stage)
    return made


def _units(source: Path, output: Path) -> Iterator[Unit]:
    """The compilations among the commands that make would run."""
    for line in (source / _PLAN).read_text().splitlines():
        if not line.startswith("cc "):
            continue
        words = shlex.split(line)
        if "-c" not in words:
            continue
        # The other flags are for the compiler that the makefile thinks it has.
        flags = [word for word in words if word.startswith(("-I", "-D")) and "DIR=" not in word]
        place = output / words[words.index("-o") + 1]
        yield Unit(Path(words[-1]), place, (*flags, *_FOLDERS), source)

"""What the build downloads: every version and checksum, and the patches of Debian's that it applies.

A change here is a change of the result: the cache's key covers this file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final


def is_pinned(path: Path, sha256: str) -> bool:
    """Whether the file is there and has that checksum."""
    return path.exists() and sha256_of(path) == sha256


def sha256_of(path: Path) -> str:
    """Returns the file's checksum in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Source:
    """An upstream tarball as Debian publishes it.

    :ivar package: Debian's source package.
    :ivar file: the tarball's name in that package.
    :ivar sha256: of the tarball.
    :ivar left_out: folders of its top level that the build has no use for.
    """

    package: str
    file: str
    sha256: str
    left_out: frozenset[str] = frozenset()


RELEASE: Final = "trixie"
"""The Debian release whose source packages these are."""

PYTHON_VERSION: Final = "3.13.5"

RELEASED: Final = "1749600000"
"""The build's date, in seconds since 1970: that of this Python's release."""

PYTHON: Final = Source(
    "python3.13",
    f"python3.13_{PYTHON_VERSION}.orig.tar.xz",
    "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640",
    # Doc stays: some of Debian's patches change it.
    frozenset({"Android", "Mac", "iOS"}),
)
LIBFFI: Final = Source(
    "libffi",
    "libffi_3.4.8.orig.tar.gz",
    "cbb7f0b3b095dc506387ec1e35b891bfb4891d05b90a495bc69a10f2293f80ff",
    frozenset({"testsuite"}),
)
ZLIB: Final = Source(
    "zlib",
    "zlib_1.3.dfsg+really1.3.1.orig.tar.gz",
    "60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb",
    frozenset({"contrib"}),
)
BZIP2: Final = Source(
    "bzip2",
    "bzip2_1.0.8.orig.tar.gz",
    "ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269",
)
OPENSSL: Final = Source(
    "openssl",
    "openssl_3.5.7.orig.tar.gz",
    "a8c0d28a529ca480f9f36cf5792e2cd21984552a3c8e4aa11a24aa31aeac98e8",
    frozenset(
        {
            "VMS",
            "cloudflare-quiche",
            "demos",
            "doc",
            "fuzz",
            "oqs-provider",
            "pkcs11-provider",
            "python-ecdsa",
            "test",
            "tlsfuzzer",
            "tlslite-ng",
            "wycheproof",
        }
    ),
)

SOURCES: Final = (PYTHON, LIBFFI, ZLIB, BZIP2, OPENSSL)

COMPILER: Final = "ziglang"
"""The compiler's distribution on PyPI: clang, lld, mingw-w64's headers and import libraries in one wheel."""

COMPILER_VERSION: Final = "0.17.1"

MACHINE: Final = "x86_64"
"""What the compiler's wheel and Wine run on."""

COMPILER_SHA256: Final = "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54"
"""Of the wheel for Linux on that."""

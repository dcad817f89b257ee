"""Debian's fixes, taken over where they are fixes of the upstream's own.

Debian replaces its archive of patches when it updates the package, so each patch is pinned, not the
archive: any archive will do that has these.

Of CPython's:

====================================  ==================================================================
left out                              because
====================================  ==================================================================
Add-Debian-specific-documentation...  Debian's paths
deb-locations, destshared-location    Debian's paths
distutils-install-layout              Debian's paths
sysconfig-debian-schemes, multiarch   Debian's paths
stable-abi-multiarch                  Debian's paths
langpack-gettext                      Debian's paths
ensurepip-disabled, gdbm-import       names of Debian's packages in messages
tkinter-import                        names of Debian's packages in messages
min-*                                 Debian's python3-minimal
disable-sem-check, link-opt           ``configure`` and Unix makefiles, which are not used here
makefile-bootstrap, profiled-build    ``configure`` and Unix makefiles, which are not used here
setup-modules                         ``configure`` and Unix makefiles, which are not used here
no-sphinx-8.2                         the documentation
test-freeze-strip-libdir              a test of a Unix tool
gchead-alignment                      for processors that align pointers to two bytes (m68k)
====================================  ==================================================================

Of OpenSSL's all that mend CMP, CMS, DTLS or QUIC are left out, which are not built, and:

====================================  ==================================================================
left out                              because
====================================  ==================================================================
debian-targets, man-section           Debian's paths and targets
no-symbolic, pic, c_rehash-compat     other systems, other processors, a program that is not built
Configure-allow-to-enable-ktls...     another system
conf-Serialize-allocation-free-of...  Debian's own; for programs that end while threads read settings
Handle-signature_algorithms_cert...   raw public keys, to which Python has no interface
====================================  ==================================================================
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.wine.crossbuild.commands import run
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.tools import ALTERNATIVE


@dataclass(frozen=True)
class Patch:
    """One file of ``debian/patches``."""

    name: str
    sha256: str


PYTHON_PATCHES: Final = (
    Patch("issue127330.diff", "09c985a5d83882c4c2fcb03b4e79312fdf32b1b55d2ee701975f6c975547ba72"),
    Patch("revert-logger-disable.diff", "8ea6322633daa45439715b248bab177a420216c16f035da85f02b5e7f3b252fb"),
    Patch("CVE-2025-11468.patch", "aaf7d403321a1e90a7c7c896634915675934d67b240ed422839a6df940409ba3"),
    Patch("CVE-2025-12084.patch", "16de082ade17ec54706eb84427f7ab205ef7f7b343a5ab9019147f844feeae08"),
    Patch("CVE-2025-13462.patch", "73baa0bd2e7dfb5b4bfa368f7712a513537fdc6313fa22400ec8e62448339a96"),
    Patch("CVE-2025-13836.patch", "9b61a9ea9afeb5cd329f9c066168e93877165c093ffb152ff603f63c7d865e30"),
    Patch("CVE-2025-13837.patch", "9e698f5ef72f7ef979886bca1924fe2a9bda3d907394fbad52546f9f36cabdb8"),
    Patch("CVE-2025-6069.patch", "fce5c304ab164e30ca6941849d54c59e2efb73e6f4b249e0f8fa41bc67b76e93"),
    Patch("CVE-2025-6075.patch", "26483acfec5d8e0c3d662134a158d50294eb335a33865ee7f257dcfbab7f3e57"),
    Patch("CVE-2025-8194.patch", "1bd526f6a1e0e4030c471300141a2de657d040dd03fc73baa97307f260be201f"),
    Patch("CVE-2025-8291.patch", "6aac014f14618b2d476790de95fc29f1a742acd93c1b1fe55675866212c2d329"),
    Patch("CVE-2025-15282.patch", "4b519e007dd75ec4348061e8f082b2f0015da0b98a0c6362c34b5af72f75d6fc"),
    Patch("CVE-2026-0672.patch", "724a99f1a526fa3d99bad36e7b0a61766552308e1ed06c6e0e193d79b5999148"),
    Patch("CVE-2026-0865.patch", "808fcf17c541c6edac04295a733921d73675fd15923caf26e853a34c3c7ec420"),
    Patch("CVE-2026-1299.patch", "caa88153d22b1163703d2d8902dca26980b8fc0f92eca9318ffe69068c1b046a"),
    Patch("CVE-2026-2297.patch", "765725d57ac747b6f8a083edf9c136b7eff919aa952a4f32b23ed12a35f1cfd1"),
    Patch("CVE-2026-3446.patch", "ffbe1850292590a40905a6c4965c36038955c7c9f529ede079c91bf5798ad400"),
    Patch("CVE-2026-4224.patch", "82b0d84a79f3b87aa16e38df90bd5cf1b38d1ab7290b2e22d3f4db6378e8bf37"),
    Patch("CVE-2026-3644.patch", "0283da2d312742ca568ba3b397eb316864543893373984e8797617f95ce56aae"),
    Patch("CVE-2026-4519.patch", "5d6b93deda8f1c1b55a570419050068d24830125c2bbd6d3769ee4272b99ca34"),
    Patch("CVE-2026-6019.patch", "eea0dcb6ca25aa0872b0b4fa542ae257414153b788349c18ccbc0170d3d9c4ba"),
    Patch("CVE-2026-6019-2.patch", "2e9dab1ae909ae606b34f38beb548330a8c8d576606e509ecbd7629c0486314b"),
    Patch("CVE-2026-6100.patch", "90abaceb3513ca52a0cccc50859dd2aaf87bdeb008ea7d8c12c2cb42f768fc2d"),
    Patch("ssl-sni-crash.patch", "90388637754e23e1c93254848729e9f4de8985c15c025c662465501676503901"),
    Patch("ssl-reference-leak.patch", "c798331306d4fc176c1e3a112e75d99eb41f9727cf562cf95fa37843215896e0"),
    Patch("dict-use-after-free.patch", "b569600e12ea30235f4a29413a03b60ff9e9ea197ffe767b54f88df16944d51a"),
    Patch("traverse-managed-dicts.patch", "3c62981c6646c44fb1de98f0a27c5bc5864558e88fae39f7d232fc5619554c5f"),
    Patch("CVE-2026-1502.patch", "df6616e5aea760a8cd86f4794f5bea280b196923a83b5a7c462bd4e739515d3a"),
    Patch("CVE-2026-3276.patch", "d7b909c3269497c641ef65b8f5f6e55592fc6cf19941aa63360f02bad69fde01"),
    Patch("CVE-2026-7774.patch", "fc3335d5799a546d3537345cf6bade449ba259264c1f5b5f64c2176327673264"),
    Patch("CVE-2026-8328.patch", "051503143a4ba371863e1901042cc14e17198a263f14239011173693781aebfe"),
    Patch("CVE-2026-9669.patch", "46c2f0a8a2d6534e339513d06656e22ef58ff115b69cef612d06efe4d076d7b0"),
    Patch("CVE-2026-6879.patch", "6dc192fd9daee945901aed7a1473e66aecf1621a233209daa6d90d4e6948fbd3"),
    Patch("CVE-2026-0864.patch", "c6ad5eb0b231eeb89891608630d98952218f7ec806aab3c639385d8effd902a1"),
    Patch("CVE-2026-4360.patch", "c7c4d1d861e67dc09ca990ee48d483a106cb455e865e29a51389024e82bc430f"),
    Patch("CVE-2026-11940.patch", "9fc3c82d6aea788cf503aae1b6f81b495382b3af99bcbeb3c2e2f0999b3bc57c"),
    Patch("CVE-2026-11972.patch", "43df40cab65308eeff529e2b9d6cb6b8640dd8eb1488904bd7f63e15f0871410"),
)
"""In the order in which they apply: that of Debian's ``series``."""

OPENSSL_PATCHES: Final = (
    Patch(
        "Check-the-tag-on-EVP_Cipher-finalize-Poly1305-and-OCB-AEA.patch",
        "9719ce4a6d36832f7769d3ef425c21815b13a8530f6b5c326c8ef330463a3c77",
    ),
)


def apply_patches(patches: Iterable[Patch], archive: Path, folder: Path) -> None:
    """Applies the patches in the folder of the unpacked sources.

    :param archive: Debian's, with the patches in ``debian/patches``.
    :raises BuildFailed: one is not in the archive, is not what was pinned, or does not apply.
    """
    texts = _read(archive)
    remedy = (
        "Debian has changed its package since the patches were pinned: use a version of this project that "
        f"pins the new ones. {ALTERNATIVE}"
    )
    wanted = list(patches)
    if missing := [patch.name for patch in wanted if patch.name not in texts]:
        raise BuildFailed(f"{archive} has no patch {', '.join(missing)}. {remedy}")
    changed = [patch for patch in wanted if _sha256(texts[patch.name]) != patch.sha256]
    if changed:
        listed = ", ".join(f"{patch.name} (sha256 {_sha256(texts[patch.name])})" for patch in changed)
        raise BuildFailed(f"{archive} has other patches than were pinned: {listed}. {remedy}")
    with tempfile.NamedTemporaryFile() as file:
        for patch in wanted:
            file.seek(0)
            file.truncate()
            file.write(texts[patch.name])
            file.flush()
            # No fuzz: a hunk goes where its context is, or nowhere.
            run(
                ["patch", "-p1", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--input", file.name],
                f"Applying Debian's {patch.name}",
                folder=folder,
            )


def _read(archive: Path) -> dict[str, bytes]:
    texts = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            folder, _, name = member.name.rpartition("/")
            if folder.endswith("debian/patches") and (file := opened.extractfile(member)):
                texts[name] = file.read()
    return texts


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()

"""Fetches the pinned sources through the machine's own Debian mirror, checks and unpacks them."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from harness.progress import Stage
from harness.wine.crossbuild.commands import run
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.pins import RELEASE, Source, is_pinned, sha256_of
from harness.wine.crossbuild.tools import ALTERNATIVE, KEYRING


def patches_of(package: str, downloads: Path) -> Path:
    """Where the archive of Debian's patches to *package* is kept, whichever version of it that is."""
    return downloads / f"{package}.debian.tar"


def fetch_sources(sources: Iterable[Source], patched: Collection[str], downloads: Path, stage: Stage) -> None:
    """Downloads what *downloads* does not hold yet: the tarballs, and archives of Debian's patches.

    apt asks the Debian mirror that the machine is set up with, by lists of its own: the machine's are
    neither read nor written. A tarball that somebody put into *downloads* serves as well.

    :param patched: the packages whose patches are wanted.
    :raises BuildFailed: the mirror can't be asked, or has other bytes than were pinned.
    """
    missing = [
        source
        for source in sources
        if not is_pinned(downloads / source.file, source.sha256)
        or (source.package in patched and not patches_of(source.package, downloads).exists())
    ]
    if not missing:
        return
    folder = downloads / "apt"
    apt = _apt(folder)
    run([*apt, "--quiet", "update"], "Asking the Debian mirror for its list of sources", remedy=_REMEDY)
    for source in missing:
        fetched = folder / source.package
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir()
        run(
            [*apt, "--quiet", "source", "--only-source", "--download-only", source.package],
            f"Downloading the sources of Debian's {source.package}",
            folder=fetched,
            remedy=_REMEDY,
        )
        if not is_pinned(downloads / source.file, source.sha256):
            _take(fetched, source, downloads)
        if source.package in patched:
            (patches,) = fetched.glob("*.debian.tar.*")
            os.replace(patches, patches_of(source.package, downloads))
        shutil.rmtree(fetched)
        stage.advance()


_REMEDY: Final = (
    "Check that apt-get can reach a Debian mirror (`apt-get update`) and that the disk is not full; "
    f"then try again: what was downloaded is kept. {ALTERNATIVE}"
)


def _apt(folder: Path) -> list[str | Path]:
    """The command with lists, caches and sources of its own."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    lists = folder / "sources.list"
    lists.write_text(f"deb-src [signed-by={KEYRING}] {_mirror()} {RELEASE} main\n")
    options = {
        "Dir::Etc::SourceList": lists,
        "Dir::Etc::SourceParts": "/nonexistent",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        # Where this is run by root, apt's own user can't write to root's cache folder.
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "2",
    }
    return ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]


def _mirror() -> str:
    """The Debian mirror of the machine's own lists.

    :raises BuildFailed: there is none among them.
    """
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    for uri in listed:
        if re.search(r"/debian/*$", uri):
            return uri
    raise BuildFailed(
        "The sources of the Windows Python come from a Debian mirror, and apt knows "
        f"{', '.join(dict.fromkeys(listed)) or 'none'}: on a Debian, set one up and run `apt-get update`; on "
        f"another system there is none. {ALTERNATIVE}"
    )


def _take(fetched: Path, source: Source, downloads: Path) -> None:
    """Moves the tarball among the downloads if it is the pinned one."""
    found = fetched / source.file
    remedy = (
        f"Debian replaces sources when it updates a package. Put {source.file} with that checksum into "
        f"{downloads} (Debian's snapshot archive keeps all), or use a version of this project that pins the "
        f"newer one. {ALTERNATIVE}"
    )
    if not found.exists():
        offered = ", ".join(path.name for path in fetched.glob("*.orig.tar.*")) or "no tarball"
        raise BuildFailed(
            f"Debian {RELEASE}'s {source.package} has no {source.file} (sha256 {source.sha256}): the mirror "
            f"offers {offered}. {remedy}"
        )
    if not is_pinned(found, source.sha256):
        raise BuildFailed(
            f"{source.file} from the Debian mirror has sha256 {sha256_of(found)}, and {source.sha256} was "
            f"pinned. {remedy}"
        )
    os.replace(found, downloads / source.file)


def unpack(source: Source, downloads: Path, folder: Path, prepare: Callable[[Path], None]) -> Path:
    """Unpacks a tarball into *folder* without its top folder, unless that was done, and returns it.

    Of the folders that are left out, files named ``build.info`` stay: OpenSSL reads them all.

    :param prepare: gets the unpacked sources before they have their name; what it makes of them
        must not depend on that.
    """
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        with tarfile.open(downloads / source.file) as archive:
            # Before 3.11.4 there is no such filter, and files keep the archive's owner and mode.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(unfinished, members=_wanted(archive, source.left_out))
        prepare(unfinished)
        os.replace(unfinished, folder)
    return folder


def _wanted(archive: tarfile.TarFile, left_out: frozenset[str]) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        _, _, rest = member.name.partition("/")
        if not rest or (rest.partition("/")[0] in left_out and not rest.endswith("/build.info")):
            continue
        # TarInfo.replace came with 3.11.4, too.
        wanted = copy.copy(member)
        wanted.name = rest
        yield wanted

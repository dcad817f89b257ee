"""The Wine prefix that every worker's is a copy of."""

from __future__ import annotations

import errno
import getpass
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

from harness.wine.errors import WineFailed
from harness.wine.program import BROKEN, Wine
from harness.wine.sealed import SealedTree
from harness.wine.workplace import Workplace, workplace

TEMP: Final = r"C:\windows\temp"
_MAKE_SECONDS: Final = 180.0
_SETTLE_SECONDS: Final = 60.0
_NEEDED_BYTES: Final = 900 * 2**20
_SPARE_BYTES: Final = 64 * 2**20  # no file of Wine is longer
# What Windows loads and nobody edits. The rest, the registry among it, is less than 3 MB.
_LINKED: Final = (
    *(".acm", ".ax", ".com", ".cpl", ".dll", ".drv", ".ds", ".exe"),
    *(".msstyles", ".nls", ".ocx", ".sys", ".tlb", ".ttf"),
)
_VERSION_SECTION: Final = r"[Software\\Microsoft\\Windows NT\\CurrentVersion]"
_REGISTRY_STRING: Final = re.compile(r'^"(\w+)"="(.*)"$', re.MULTILINE)
_NOT_OF_A_TEMPLATE: Final = ("wineserver",)  # names the server's socket
# The host's devices are not the target's: no game controllers, no USB, and no serial ports.
_REGISTRY: Final = rf"""Windows Registry Editor Version 5.00

[HKEY_CURRENT_USER\Environment]
"TEMP"="{TEMP}"
"TMP"="{TEMP}"

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\PlugPlay]
"Start"=dword:00000004

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\winebus]
"Start"=dword:00000004

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\winehid]
"Start"=dword:00000004

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\wineusb]
"Start"=dword:00000004
""".replace(TEMP, TEMP.replace("\\", r"\\"))


def template(wine: Wine, version: str, cache: Path) -> SealedTree:
    """Returns the template for *wine*: Windows 10, 64-bit, drive C: only.

    :param version: what ``wine.version()`` says.
    """
    # Wine refuses a prefix of another user, and makes his folder in it.
    told = [version, Path(__file__).read_text(), str(os.getuid()), getpass.getuser()]
    key = hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]

    def make(tree: Path) -> None:
        free = shutil.disk_usage(cache).free
        if free < _NEEDED_BYTES:
            raise WineFailed(
                f"a Wine prefix takes {_NEEDED_BYTES >> 20} MiB and {cache} has {free >> 20} MiB free: "
                "make room, or name another folder by the variable CROSSEXEC_CACHE"
            )
        with workplace(cache) as place:
            _make(wine, place)
            for path in place.prefix.iterdir():
                if path.name not in _NOT_OF_A_TEMPLATE:
                    path.rename(tree / path.name)

    return SealedTree(cache / f"prefix-{key}", make, _is_linked)


def _is_linked(path: str) -> bool:
    return path.startswith("drive_c/windows/") and path.lower().endswith(_LINKED)


def _make(wine: Wine, place: Workplace) -> None:
    what = "making a Wine prefix"
    try:
        wine.run(place, ["wineboot", "--init"], what, _MAKE_SECONDS)
    finally:
        # Wine says little of a full disk, and makes what it can.
        if shutil.disk_usage(place.folder).free < _SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place.prefix))
    _check_is_whole(wine, place)
    set_version = ["winecfg", "-v", "win10"]
    try:
        wine.run(place, set_version, what, _SETTLE_SECONDS)
    except WineFailed:
        # Once in some fifty times it cannot be started ("ShellExecuteEx failed: Internal error") while
        # the first programs of a new prefix are still there.
        wine.wait_for_end(place, _SETTLE_SECONDS)
        wine.run(place, set_version, what, _SETTLE_SECONDS)
    settings = place.drive_c / "settings.reg"
    settings.write_text(_REGISTRY, encoding="ascii", newline="\r\n")
    wine.run(place, ["regedit", "/S", r"C:\settings.reg"], what, _SETTLE_SECONDS)
    settings.unlink()
    wine.wait_for_end(place, _SETTLE_SECONDS)
    _cut_off_from_the_host(place.prefix)
    # Wine would bring the prefix up to date when its own files' times change.
    (place.prefix / ".update-timestamp").write_text("disable\n")


def _check_is_whole(wine: Wine, place: Workplace) -> None:
    system = place.drive_c / "windows/system32"
    for path in (system / "cmd.exe", system / "kernel32.dll", system / "ntdll.dll"):
        if not path.is_file() or path.stat().st_size == 0:
            missing = path.relative_to(place.prefix)
            raise WineFailed(f"{wine.loader} wineboot --init made a prefix without {missing}; {BROKEN}")


def _cut_off_from_the_host(prefix: Path) -> None:
    """Makes folders of the links that lead from a user's folders to those of the host's user."""
    remove_devices(prefix)
    for folder, names, files in os.walk(prefix / "drive_c"):
        for path in (Path(folder, name) for name in names + files):
            if path.is_symlink():
                path.unlink()
                path.mkdir()


def remove_devices(prefix: Path) -> None:
    r"""Removes every way out of the prefix but drive C:, for a remote machine's executor has none.

    Wine adds the host's serial and parallel ports whenever its server starts. What stays is
    ``\\?\unix\``, which is built into Wine.
    """
    for device in (prefix / "dosdevices").iterdir():
        if device.name != "c:":
            device.unlink(missing_ok=True)


def windows_version(prefix: Path) -> str:
    """Returns what the prefix says of its Windows, such as ``Microsoft Windows 10 (build 18362)``."""
    section = (prefix / "system.reg").read_text("utf-8", "replace").partition(_VERSION_SECTION)[2]
    values = dict(_REGISTRY_STRING.findall(section.partition("\n\n")[0]))
    return f"{values.get('ProductName', 'unknown')} (build {values.get('CurrentBuild', 'unknown')})"

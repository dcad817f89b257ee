"""Whether calls may be made on the event loop's thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("reads Linux's mount table", allow_module_level=True)

from executors.filesystem.mounts_linux import MountTable, local_only

LOCAL = b"""\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
30 25 0:27 / /a\\040-\\040nfs rw - tmpfs tmpfs rw
"""


def test_local_file_systems() -> None:
    assert local_only(LOCAL)


@pytest.mark.parametrize(
    "line",
    [
        b"90 27 0:50 / /mnt rw - nfs4 server:/ rw",
        b"90 27 0:50 / /mnt rw - fuse.sshfs host:/ rw",
        b"90 27 0:50 / /mnt rw shared:9 - fuse app rw",
        b"90 27 0:50 / /mnt rw - invented thing rw",
        b"90 27 0:50 / /net rw - autofs auto.net rw",
        b"cut off",
    ],
)
def test_every_other_type_may_hang(line: bytes) -> None:
    assert not local_only(LOCAL + line + b"\n")


def test_the_kernels_automount_is_local() -> None:
    assert local_only(LOCAL + b"90 22 0:50 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n")


def test_a_table_that_says_nothing() -> None:
    assert not local_only(b"")


def test_this_machine() -> None:
    table = MountTable()
    try:
        expected = local_only(Path("/proc/self/mountinfo").read_bytes())
        assert [table.all_local(), table.all_local()] == [expected, expected]
    finally:
        table.close()


def test_a_mount_that_comes_and_goes_is_noticed() -> None:
    """In a mount namespace of its own, so that nothing is changed here."""
    program = """
import subprocess
from executors.filesystem.mounts_linux import MountTable
table = MountTable()
table.all_local()
reads = 0
read = table._read
def counted():
    global reads
    reads += 1
    return read()
table._read = counted
for _ in range(3):
    table.all_local()
assert reads == 0, reads
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
for _ in range(3):
    table.all_local()
assert reads == 1, reads
print("noticed")
"""
    root = Path(__file__).parents[1]
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", program]
    try:
        ran = subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if ran.returncode:
        pytest.skip(f"no mount namespace here: {ran.stderr.decode().strip()}")
    ran = subprocess.run(command, cwd=root, capture_output=True)
    assert (ran.stdout, ran.stderr) == (b"noticed\n", b"")

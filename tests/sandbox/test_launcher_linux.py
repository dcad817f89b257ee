"""The program that becomes another one: what that gets, and what is said where it cannot be run."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import sys
from collections.abc import Mapping

import pytest

if sys.platform != "linux":
    pytest.skip("it is made for Linux", allow_module_level=True)

from executors.sandbox.launcher_linux import STARTED, STATUS_FD, Goal, is_known, make_launcher

runs_here = pytest.mark.skipif(not is_known(), reason="no launcher can be made for this architecture")


def launch(path: str, argv: list[str], env: Mapping[str, str]) -> tuple[int, str, bytes]:
    """Returns the exit code, the output and what was said of the start."""
    files = []
    for name in ("launcher", "output", "status"):
        fd = os.memfd_create(name)
        files.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100))
        os.close(fd)
    try:
        os.write(files[0], make_launcher(Goal(path, argv, env)))
        pid = os.posix_spawn(
            f"/proc/self/fd/{files[0]}",
            ["launcher"],
            {"OTHER": "kept out"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, files[1], 1),
                (os.POSIX_SPAWN_DUP2, files[2], STATUS_FD),
                (os.POSIX_SPAWN_DUP2, files[2], 50),
            ],
            setsigmask=signal.valid_signals(),
        )
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code, os.pread(files[1], 100_000, 0).decode(), os.pread(files[2], 10, 0)
    finally:
        for fd in files:
            os.close(fd)


@runs_here
def test_the_program_gets_its_arguments_and_environment() -> None:
    text = 'printf "%s|" "$0" "$@"; env | grep -v ^PWD; exit 5'
    code, output, said = launch("/bin/sh", ["sh", "-c", text, "", "ä b"], {"A": "1", "LONG": "x" * 50_000})
    assert (code, said) == (5, STARTED)
    assert output.startswith("|ä b|")
    assert "\nLONG=" + "x" * 50_000 in "\n" + output.replace("|ä b|", "")
    assert "OTHER" not in output


@runs_here
def test_the_program_can_be_called_by_another_name() -> None:
    assert launch("/bin/sh", ["other", "-c", "head -c 6 /proc/$$/cmdline"], {"PATH": os.environ["PATH"]}) == (
        0,
        "other\0",
        STARTED,
    )


@runs_here
def test_no_signal_stays_blocked_and_no_descriptor_open() -> None:
    text = "import os; print(open('/proc/self/status').read().partition('SigBlk:')[2].split()[0])"
    text += "\nfor fd in (3, 50):\n try: os.fstat(fd); print('open', fd)\n except OSError: pass"
    code, output, _ = launch(sys.executable, ["python", "-I", "-S", "-c", text], {})
    assert (code, output) == (0, "0" * 16 + "\n")


@runs_here
@pytest.mark.parametrize(("path", "number"), [("/nothing", errno.ENOENT), ("/etc/passwd", errno.EACCES)])
def test_what_cannot_be_run_is_said(path: str, number: int) -> None:
    assert launch(path, ["x"], {}) == (126, "", STARTED + bytes([number]))


@pytest.mark.parametrize(
    ("path", "argv", "env"),
    [("/a\0b", ["a"], {}), ("/a", ["a\0"], {}), ("/a", ["a"], {"A=": ""}), ("/a", ["a"], {"": ""})],
)
def test_what_no_program_can_be_given_is_refused(path: str, argv: list[str], env: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"null byte|illegal environment"):
        make_launcher(Goal(path, argv, env), machine="x86_64")


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_pointers_lead_to_the_texts(machine: str, number: int) -> None:
    image = make_launcher(Goal("/bin/p", ["zero", "one"], {"A": "1"}), machine=machine)
    assert struct.unpack_from("<H", image, 18) == (number,)
    assert image[:4] == b"\x7fELF"
    base = 0x40_0000

    def text(address: int) -> bytes:
        return image[address - base :].split(b"\0")[0]

    # The data are aligned to 8 bytes.
    words = struct.unpack(f"<{len(image) // 8}Q", image[: len(image) // 8 * 8])
    lists = [
        [text(word) for word in words[first : words.index(0, first)]]
        for first, word in enumerate(words)
        if base < word < base + len(image) and not base < words[first - 1] < base + len(image)
    ]
    assert [b"zero", b"one"] in lists
    assert [b"A=1"] in lists


def test_other_architectures_are_not_known() -> None:
    assert not is_known("sparc64")
    assert is_known("x86_64")

"""The executor's options that say who may connect: what it does not start with."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executors.command import main
from tests.support.bearer import BY_DIGEST, SHA256, TOKEN, private_file
from tests.support.launch import ROOT
from tests.support.watch import SECONDS

Refusal = Callable[..., str]


@pytest.fixture
def refusal(capfd: pytest.CaptureFixture[str]) -> Iterator[Refusal]:
    """Returns what the command says where it does not start, with the status for wrong usage."""

    def ask(*options: str) -> str:
        with pytest.raises(SystemExit) as raised:
            main(list(options))
        out, err = capfd.readouterr()
        assert (raised.value.code, out) == (2, "")
        return err.partition(" error: ")[2].strip()

    # The command sets the level of the whole process.
    logger = logging.getLogger("picows")
    level = logger.level
    yield ask
    logger.setLevel(level)


def test_the_program_ends_with_the_status_for_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "executors", "--listen", "ws://0.0.0.0:0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (2, "") and "--ws-auth" in done.stderr


@pytest.mark.parametrize(
    "listen", ["ws://0.0.0.0:0", "ws://[::]:0", "ws://192.0.2.1:80", "ws://[::ffff:1.2.3.4]:0"]
)
def test_other_addresses_than_loopback_need_authentication(refusal: Refusal, listen: str) -> None:
    said = refusal("--listen", listen)
    assert listen in said
    assert "--ws-auth capability-token --ws-token-file PATH" in said and "--allow-unauthenticated" in said


def test_options_that_are_at_odds(refusal: Refusal, tmp_path: Path) -> None:
    here = str(private_file(tmp_path, TOKEN))
    capability, signed = ("--ws-auth", "capability-token"), ("--ws-auth", "signed-bearer-token")
    for options, said in (
        (capability, "give one of --ws-token-file and --ws-token-sha256"),
        ((*BY_DIGEST, "--ws-token-file", here), "give one of"),
        ((*capability, "--ws-token-sha256", "ab"), "64 hexadecimal digits"),
        ((*capability, "--ws-token-sha256", "g" * 64), "64 hexadecimal digits"),
        ((*capability, "--ws-token-sha256", SHA256 + "\n"), "64 hexadecimal digits"),
        (signed, "give --ws-shared-secret-file"),
        (("--ws-token-sha256", SHA256), "--ws-token-sha256 goes with --ws-auth capability-token"),
        (("--ws-token-file", here), "goes with --ws-auth capability-token"),
        ((*BY_DIGEST, "--ws-issuer", "x"), "--ws-issuer goes with --ws-auth signed-bearer-token"),
        ((*BY_DIGEST, "--ws-max-clock-skew-seconds", "0"), "goes with --ws-auth signed-bearer-token"),
        ((*signed, "--ws-max-clock-skew-seconds", "nan"), "give 0 to 3600 seconds"),
        ((*signed, "--ws-max-clock-skew-seconds", "-1"), "give 0 to 3600 seconds"),
        ((*BY_DIGEST, "--allow-unauthenticated"), "at odds"),
        (("--listen", "stdio", *BY_DIGEST), "nobody connects"),
        (("--listen", "stdio", "--allow-unauthenticated"), "nobody connects"),
        (("--remote", "https://x", "--environment-id", "x", *BY_DIGEST), "nobody connects"),
    ):
        assert said in refusal(*options), options


def test_files_of_no_use(refusal: Refusal, tmp_path: Path) -> None:
    for content, said in ((" \n", "is empty"), ("x" * 70_000, "more than 65536 bytes")):
        path = str(private_file(tmp_path, content))
        assert said in refusal("--ws-auth", "capability-token", "--ws-token-file", path)
        assert said in refusal("--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", path)
    for content in ("short", "with blanks in it, though it is long enough", "é" * 40, "a" * 5000):
        path = str(private_file(tmp_path, content))
        said = refusal("--ws-auth", "capability-token", "--ws-token-file", path)
        assert "22 characters" in said and "secrets.token_urlsafe()" in said and content not in said
    path = str(private_file(tmp_path, "x" * 31))
    assert "31 bytes, and needs 32" in refusal(
        "--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", path
    )
    missing = str(tmp_path / "missing")
    assert f"{missing} cannot be read: No such file" in refusal(
        "--ws-auth", "capability-token", "--ws-token-file", missing
    )

"""What is mounted outside while programs run, or between two of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("bubblewrap is of Linux", allow_module_level=True)

from tests.sandbox.bubblewrapped_linux import needs_bubblewrap

# In a mount namespace of its own, where mounts spread as they do on most machines.
SCRIPT = """
import asyncio, subprocess, sys
from pathlib import Path
from tests.sandbox.bubblewrapped_linux import Place
def mount(place):
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True)
async def main():
    place = Place(Path(sys.argv[1]), joined=sys.argv[2] == "joined")
    later, inside = place.out / "later", place.ws / "mounted"
    later.mkdir()
    inside.mkdir()
    async with place.confined(place.policy()) as confined:
        text = f"echo ready; until [ -e go ]; do :; done; touch {later}/new; touch {later}/../new"
        running = confined.start(["/bin/sh", "-c", text], cwd=place.ws)
        await running.until_said(b"ready")
        mount(later)
        (place.ws / "go").touch()
        print((await running.outcome()).output)
        assert not list(later.iterdir()), "what was mounted later could be written"
        mount(inside)
        (inside / "file").write_text("found")
        text = f"cat {inside}/file && touch {inside}/new; touch {later}/new"
        outcome = await confined.shell(text, cwd=place.ws)
        print(outcome.output)
        assert outcome.output.startswith("found"), "what is mounted is there for the next one"
        assert (inside / "new").exists()
        assert not list(later.iterdir())
asyncio.run(main())
"""


@needs_bubblewrap
@pytest.mark.skipif(os.geteuid() != 0, reason="only a super-user mounts anything")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare")
@pytest.mark.parametrize("way", ["first", "joined"])
def test_what_is_mounted_later_cannot_be_written(tmp_path: Path, way: str) -> None:
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    command += ['mount --make-rshared / && exec "$@"', "sh", sys.executable, "-c", SCRIPT, str(tmp_path), way]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Read-only file system") == 3, done.stdout

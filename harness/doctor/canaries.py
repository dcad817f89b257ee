"""The sandboxes that an executor on this machine can offer, each put to the test by its canary."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import msgspec

from executors.sandbox.backend import Proof
from harness.doctor.model import Fact, State

_SECONDS: Final = 45.0
_REMEDY: Final = "commands and file calls with a sandbox are refused here; others are not concerned"


def facts() -> list[Fact]:
    # In a process of its own: it collects the ends of all processes.
    command = [sys.executable, "-m", "executors.sandbox", "--json"]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
        proofs = msgspec.json.decode(ended.stdout, type=list[Proof])
    except subprocess.TimeoutExpired:
        return [_fact(State.BROKEN, f"the canaries have not ended within {_SECONDS:g} s")]
    except msgspec.DecodeError:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return [_fact(State.BROKEN, f"the canaries ended with {ended.returncode}: {' '.join(said)}")]
    state = State.OK if any(proof.holds for proof in proofs) else State.MISSING
    return [_fact(state, "; ".join(map(str, proofs)) or "there is none for this operating system")]


def _fact(state: State, found: str) -> Fact:
    return Fact("sandbox", "canaries", state, found, _REMEDY if state.is_bad else "")

"""Messages of ``process/*``."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from executors.protocol.binary import Base64

Stream = Literal["stdout", "stderr", "pty"]
SandboxType = Literal["none", "macosSeatbelt", "linuxSeccomp", "windowsRestrictedToken"]
WriteStatus = Literal["accepted", "unknownProcess", "stdinClosed", "starting"]


class EnvPolicy(msgspec.Struct, rename="camel"):
    """How the executor builds an environment from its own.

    Applied in the order of the fields. Patterns match whole names without regard to case;
    ``*`` and ``?`` are the only wildcards.
    """

    inherit: Literal["all", "core", "none"] = "all"
    ignore_default_excludes: bool = False
    """False drops the names that match ``*KEY*``, ``*SECRET*`` or ``*TOKEN*``."""
    exclude: list[str] = []
    set: dict[str, str] = {}
    include_only: list[str] = []
    """Where not empty, everything else is dropped, entries of *set* too."""


class ProcessStartParams(msgspec.Struct, rename="camel", omit_defaults=True):
    process_id: str
    argv: list[str]
    cwd: str
    """File URI, absolute, of the executor's own convention."""
    env: dict[str, str]
    """The complete environment, or, with *env_policy*, what overlays the one built by it."""
    tty: bool
    pipe_stdin: bool | None = None
    arg0: str | None = None
    """What the program sees as its ``argv[0]``; the program itself is still found by ``argv[0]``."""
    env_policy: EnvPolicy | None = None
    sandbox: Any = None
    enforce_managed_network: bool | None = None
    managed_network: Any = None


class ProcessStartResult(msgspec.Struct, rename="camel"):
    process_id: str
    sandbox_type: SandboxType = "none"
    """The kind of sandbox, by names that released clients know; they take no others."""
    sandbox_backend: str | msgspec.UnsetType = msgspec.UNSET
    """The name of the backend that confines the process, such as ``landlock``; absent without a sandbox."""


class ProcessOutput(msgspec.Struct, rename="camel"):
    """Notification ``process/output``."""

    process_id: str
    seq: int
    stream: Stream
    chunk: Base64


class ProcessExited(msgspec.Struct, rename="camel"):
    """Notification ``process/exited``; output may still follow it."""

    process_id: str
    seq: int
    exit_code: int
    """128+n for a death by signal n on POSIX; signed 32-bit on Windows."""
    sandbox_denied: bool = False


class ProcessClosed(msgspec.Struct, rename="camel"):
    """Notification ``process/closed``: exited, and nobody holds its output any more."""

    process_id: str
    seq: int


class ProcessAcknowledge(msgspec.Struct, rename="camel"):
    """Notification ``process/acknowledge``, from the client: every event up to *seq* has come in."""

    process_id: str
    seq: int


class ProcessReadParams(msgspec.Struct, rename="camel", omit_defaults=True):
    process_id: str
    after_seq: int | None = None
    max_bytes: int | None = None
    wait_ms: int | None = None


class OutputChunk(msgspec.Struct):
    seq: int
    stream: Stream
    chunk: Base64


class ProcessReadResult(msgspec.Struct, rename="camel"):
    chunks: list[OutputChunk]
    next_seq: int
    exited: bool
    exit_code: int | None
    closed: bool
    failure: str | None
    sandbox_denied: bool = False


class ProcessWriteParams(msgspec.Struct, rename="camel", omit_defaults=True):
    process_id: str
    chunk: Base64
    write_id: str
    """Not empty. A repeated one is accepted and not delivered again."""


class ProcessWriteResult(msgspec.Struct):
    status: WriteStatus


class ProcessSignalParams(msgspec.Struct, rename="camel"):
    process_id: str
    signal: Literal["interrupt"]


class ProcessParams(msgspec.Struct, rename="camel"):
    """Of the calls that name only a process: terminate and closeStdin."""

    process_id: str


class ProcessTerminateResult(msgspec.Struct):
    running: bool


class ProcessResizeParams(msgspec.Struct, rename="camel"):
    process_id: str
    rows: int
    """1 to 65535."""
    cols: int
    """1 to 65535."""

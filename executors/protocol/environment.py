"""Messages of the handshake and of ``environment/*``."""

from __future__ import annotations

import msgspec


class Shell(msgspec.Struct, rename="camel", frozen=True):
    """The shell that commands for this environment should be written for."""

    name: str
    """One of ``bash``, ``zsh``, ``sh``, ``powershell``, ``cmd``."""
    path: str
    """Native path on the executor's machine, fit to be ``argv[0]``."""


class Capabilities(msgspec.Struct, rename="camel", frozen=True):
    """What this executor can do beyond the first released protocol; absent means no."""

    process_close_stdin: bool = False
    process_resize: bool = False
    process_acknowledge: bool = False
    """``process/acknowledge`` is taken: an acknowledging client loses no output with its connection."""
    session_resume: bool = False
    """A session can be resumed; ``retentionMs`` and ``acknowledges`` of ``initialize`` are heeded."""
    sandbox: tuple[str, ...] | None = None
    """The names of the sandboxes that were tried and hold on this machine; None while that is not known.
    ``environment/info`` waits for it."""


class EnvironmentInfo(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """Where commands will run. Older peers send only ``shell`` and ``cwd``."""

    shell: Shell
    cwd: str | None = None
    """File URI of the executor's working directory."""
    platform_os: str | None = None
    """``linux``, ``windows`` or ``macos``."""
    user_home_dir: str | None = None
    temp_dir: str | None = None
    executor_version: str | None = None
    console_code_page: int | None = None
    """Windows: the code page of what console programs print, such as 437 or 65001. Output is never
    recoded: it comes as these bytes."""
    speed_ups: tuple[str, ...] | None = None
    """The libraries that the executor uses for nothing but speed, by name; those that it does without are
    missing."""
    capabilities: Capabilities = Capabilities()


class InitializeParams(msgspec.Struct, rename="camel", omit_defaults=True):
    client_name: str
    resume_session_id: str | None = None
    retention_ms: int | None = None
    """How long the session may be without a connection, at most as long as the executor allows; 0 ends it
    with its connection. Absent: as long as the executor allows, or as before in a resumed session."""
    acknowledges: bool | None = None
    """Whether this client sends ``process/acknowledge``."""


class InitializeResult(msgspec.Struct, rename="camel", omit_defaults=True):
    session_id: str
    environment_info: EnvironmentInfo
    session_retention_ms: int | None = None
    """How long the session may be without a connection, as granted; released peers do not tell."""


class Empty(msgspec.Struct):
    """Parameters or result of a call that has none; also accepted when absent or null."""


class EnvironmentStatus(msgspec.Struct):
    status: str

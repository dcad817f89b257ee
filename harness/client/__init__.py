"""The client of an executor: connections, processes, files."""

from executors.protocol.environment import EnvironmentInfo
from executors.protocol.path_uri import PathUri
from executors.protocol.processes import EnvPolicy
from executors.protocol.sandbox import SandboxIntent
from harness.bearer import Bearer, BearerAuth
from harness.client.client import Client, connect, connect_stdio
from harness.client.errors import (
    BadReply,
    CallTimeout,
    ClientError,
    CommandDenied,
    CommandFailed,
    ConnectFailed,
    ConnectionLost,
    ExecutorKeyChanged,
    FileDenied,
    HandleLost,
    Interrupted,
    MessageTooLarge,
    OutcomeUnknown,
    OutputLost,
    OutputOverflow,
    RpcError,
    SandboxDenied,
    SandboxRefused,
    SessionLost,
    StdinClosed,
    StreamInterrupted,
    Unsupported,
)
from harness.client.events import ClosedEvent, Completed, Event, ExitedEvent, OutputEvent
from harness.client.files import Block, Files, ReadHandle, WriteHandle
from harness.client.flow import BufferLimits
from harness.client.links import LinkOptions
from harness.client.process import Process, StartOptions
from harness.client.recovery import RecoveryOptions, State

__all__ = [
    "BadReply",
    "Bearer",
    "BearerAuth",
    "Block",
    "BufferLimits",
    "CallTimeout",
    "Client",
    "ClientError",
    "ClosedEvent",
    "CommandDenied",
    "CommandFailed",
    "Completed",
    "ConnectFailed",
    "ConnectionLost",
    "EnvPolicy",
    "EnvironmentInfo",
    "Event",
    "ExecutorKeyChanged",
    "ExitedEvent",
    "FileDenied",
    "Files",
    "HandleLost",
    "Interrupted",
    "LinkOptions",
    "MessageTooLarge",
    "OutcomeUnknown",
    "OutputEvent",
    "OutputLost",
    "OutputOverflow",
    "PathUri",
    "Process",
    "ReadHandle",
    "RecoveryOptions",
    "RpcError",
    "SandboxDenied",
    "SandboxIntent",
    "SandboxRefused",
    "SessionLost",
    "StartOptions",
    "State",
    "StdinClosed",
    "StreamInterrupted",
    "Unsupported",
    "WriteHandle",
    "connect",
    "connect_stdio",
]

"""The client of an executor: connections, processes, files."""

from executors.protocol.environment import EnvironmentInfo
from executors.protocol.path_uri import PathUri
from executors.protocol.processes import EnvPolicy
from harness.client.client import Client, connect, connect_stdio
from harness.client.errors import (
    BadReply,
    CallTimeout,
    ClientError,
    CommandFailed,
    ConnectFailed,
    ConnectionLost,
    OutputLost,
    OutputOverflow,
    RpcError,
    StdinClosed,
    Unsupported,
)
from harness.client.events import ClosedEvent, Completed, Event, ExitedEvent, OutputEvent
from harness.client.files import Block, Files, ReadHandle, WriteHandle
from harness.client.flow import BufferLimits
from harness.client.links import LinkOptions
from harness.client.process import Process, StartOptions

__all__ = [
    "BadReply",
    "Block",
    "BufferLimits",
    "CallTimeout",
    "Client",
    "ClientError",
    "ClosedEvent",
    "CommandFailed",
    "Completed",
    "ConnectFailed",
    "ConnectionLost",
    "EnvPolicy",
    "EnvironmentInfo",
    "Event",
    "ExitedEvent",
    "Files",
    "LinkOptions",
    "OutputEvent",
    "OutputLost",
    "OutputOverflow",
    "PathUri",
    "Process",
    "ReadHandle",
    "RpcError",
    "StartOptions",
    "StdinClosed",
    "Unsupported",
    "WriteHandle",
    "connect",
    "connect_stdio",
]

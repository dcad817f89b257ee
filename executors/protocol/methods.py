"""The method table: every call and notification of the protocol with its types."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from executors.protocol import environment, files, processes

P = TypeVar("P")
R = TypeVar("R")


class Method(msgspec.Struct, Generic[P, R], frozen=True):
    """A call: its name on the wire and the structs of its ``params`` and ``result``."""

    name: str
    params: type[P]
    result: type[R]


class Notification(msgspec.Struct, Generic[P], frozen=True):
    """A message without reply: its name on the wire and the struct of its ``params``."""

    name: str
    params: type[P]


INITIALIZE = Method("initialize", environment.InitializeParams, environment.InitializeResult)
INITIALIZED = Notification("initialized", environment.Empty)
ENVIRONMENT_INFO = Method("environment/info", environment.Empty, environment.EnvironmentInfo)
ENVIRONMENT_STATUS = Method("environment/status", environment.Empty, environment.EnvironmentStatus)

PROCESS_START = Method("process/start", processes.ProcessStartParams, processes.ProcessStartResult)
PROCESS_READ = Method("process/read", processes.ProcessReadParams, processes.ProcessReadResult)
PROCESS_WRITE = Method("process/write", processes.ProcessWriteParams, processes.ProcessWriteResult)
PROCESS_CLOSE_STDIN = Method("process/closeStdin", processes.ProcessParams, processes.ProcessWriteResult)
PROCESS_SIGNAL = Method("process/signal", processes.ProcessSignalParams, environment.Empty)
PROCESS_RESIZE = Method("process/resize", processes.ProcessResizeParams, environment.Empty)
PROCESS_TERMINATE = Method("process/terminate", processes.ProcessParams, processes.ProcessTerminateResult)
PROCESS_ACKNOWLEDGE = Notification("process/acknowledge", processes.ProcessAcknowledge)
PROCESS_OUTPUT = Notification("process/output", processes.ProcessOutput)
PROCESS_EXITED = Notification("process/exited", processes.ProcessExited)
PROCESS_CLOSED = Notification("process/closed", processes.ProcessClosed)

FS_READ_FILE = Method("fs/readFile", files.PathParams, files.ReadFileResult)
FS_WRITE_FILE = Method("fs/writeFile", files.WriteFileParams, environment.Empty)
FS_CREATE_DIRECTORY = Method("fs/createDirectory", files.CreateDirectoryParams, environment.Empty)
FS_REMOVE = Method("fs/remove", files.RemoveParams, environment.Empty)
FS_COPY = Method("fs/copy", files.CopyParams, environment.Empty)
FS_CANONICALIZE = Method("fs/canonicalize", files.PathParams, files.CanonicalizeResult)
FS_GET_METADATA = Method("fs/getMetadata", files.PathParams, files.Metadata)
FS_READ_DIRECTORY = Method("fs/readDirectory", files.PathParams, files.ReadDirectoryResult)
FS_WALK = Method("fs/walk", files.WalkParams, files.WalkResult)
FS_OPEN = Method("fs/open", files.OpenParams, files.HandleParams)
FS_READ_BLOCK = Method("fs/readBlock", files.ReadBlockParams, files.ReadBlockResult)
FS_WRITE_BLOCK = Method("fs/writeBlock", files.WriteBlockParams, environment.Empty)
FS_CLOSE = Method("fs/close", files.HandleParams, environment.Empty)

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method for method in list(globals().values()) if isinstance(method, Method)
}
NOTIFICATIONS: dict[str, Notification[Any]] = {
    method.name: method for method in list(globals().values()) if isinstance(method, Notification)
}

"""Wine checks no tokens where files are written: its canary finds out, and nothing is claimed."""

from __future__ import annotations

from typing import Any

import pytest

from executors.protocol import methods
from executors.protocol.environment import Empty
from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from executors.protocol.processes import ProcessStartParams, ProcessStartResult
from harness.client.sync import SyncClient, sync_client
from harness.environments import Running


def intent(workspace: PathUri, network: str) -> dict[str, Any]:
    entries = [
        {"path": {"type": "special", "value": {"kind": "root"}}, "access": "read"},
        {"path": {"type": "path", "path": str(workspace)}, "access": "write"},
    ]
    return {
        "permissions": {
            "type": "managed",
            "file_system": {"type": "restricted", "entries": entries},
            "network": network,
        },
        "windowsSandboxLevel": "restricted-token",
    }


def start(client: SyncClient, sandbox: dict[str, Any], cwd: PathUri) -> ProcessStartResult:
    params = ProcessStartParams("p", ["cmd", "/c", "echo x>made"], str(cwd), {}, False, sandbox=sandbox)
    return client.call(methods.PROCESS_START, params)


def test_no_sandbox_is_offered(running: Running) -> None:
    with sync_client(running.connect()) as client:
        told = client.call(methods.ENVIRONMENT_INFO, Empty())
        assert told.capabilities.sandbox == ()
        workspace = running.workspace_root.join("not-offered")
        client.files.create_directory(workspace)
        # What the backend says that it can do is what the canary has tried.
        with pytest.raises(RpcError) as refused:
            start(client, intent(workspace, "enabled"), workspace)
        assert refused.value.code == ErrorCode.INVALID_PARAMS
        assert (
            "restricted-token: does not hold here: write (done, and it has changed)" in refused.value.message
        )
        with pytest.raises(RpcError, match="restricted-token: it cannot keep programs from the network"):
            start(client, intent(workspace, "restricted"), workspace)
        assert client.files.read_directory(workspace) == []
        client.files.remove(workspace)

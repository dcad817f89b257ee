from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executors.command import main, make_parser
from executors.remote.command import Prepared
from executors.remote.credentials import Bearer, Fixed
from executors.remote.executor import RemoteSettings, serve_remote
from executors.remote.registry import RegistryError
from tests.relay.harness import harness
from tests.relay.remote import ENVIRONMENT_ID, ROOT, as_process, outcome, start
from tests.support.rendezvous import Call, Reply, rendezvous
from tests.support.watch import SECONDS

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    ("arguments", "variables", "text"),
    [
        (["http://127.0.0.1:1"], {"CROSSEXEC_REGISTRY_TOKEN": TOKEN}, "--environment-id is missing"),
        (["http://127.0.0.1:1", "--environment-id", "a\nb"], {}, "cannot be shown"),
        (["http://127.0.0.1:1", "--environment-id", "e"], {}, "CROSSEXEC_REGISTRY_TOKEN is not set"),
        (
            ["http://127.0.0.1:1", "--environment-id", "e", "--credential-env", "OTHER"],
            {"CROSSEXEC_REGISTRY_TOKEN": TOKEN},
            "OTHER is not set",
        ),
        (
            ["http://127.0.0.1:1", "--environment-id", "e", "--credential-file", "/nonexistent/token"],
            {},
            "cannot read the registry's credential",
        ),
        (
            ["https://registry.invalid", "--environment-id", "e"],
            {"CROSSEXEC_REGISTRY_TOKEN": TOKEN},
            "--allow-registry registry.invalid",
        ),
        (
            ["http://registry.invalid", "--environment-id", "e", "--allow-registry", "registry.invalid"],
            {"CROSSEXEC_REGISTRY_TOKEN": TOKEN},
            "over https only",
        ),
        (["http://127.0.0.1:1", "--listen", "ws://127.0.0.1:0"], {}, "not allowed with argument"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    variables: dict[str, str],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_variables(monkeypatch, variables)
    with pytest.raises(SystemExit) as raised:
        main(["--remote", *arguments])
    out, err = capsys.readouterr()
    assert (raised.value.code, out) == (2, "")
    assert text in err
    assert TOKEN not in err


@pytest.mark.parametrize(
    ("more", "variables"),
    [
        (["--allow-registry", "registry.invalid"], {}),
        ([], {"CROSSEXEC_REGISTRY_HOSTS": "a.example, .invalid"}),
    ],
)
def test_hosts_are_allowed_by_option_or_environment(
    more: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, variables | {"CROSSEXEC_REGISTRY_TOKEN": TOKEN})
    arguments = ["--remote", "https://registry.invalid/", "--environment-id", "e", *more]
    prepared = Prepared(make_parser().parse_args(arguments))
    assert prepared.base_url == "https://registry.invalid"
    assert prepared.credential.read().header() == f"Bearer {TOKEN}"


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("CROSSEXEC_REGISTRY_TOKEN", "CROSSEXEC_REGISTRY_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def good(call: Call, **change: Any) -> Reply:
    body = {
        "environment_id": call.environment_id,
        "url": "ws://127.0.0.1:1/",
        "security_profile": "noise_hybrid_ik_v1",
        "executor_registration_id": "r",
    }
    return Reply(200, {name: value for name, value in (body | change).items() if value is not None})


def refusal(status: int) -> Reply:
    return Reply(status, {"error": {"code": "why", "message": f"so {TOKEN}\x1b"}})


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (lambda _: refusal(401), "status 401, why: so …?"),
        (lambda _: refusal(404), "status 404, why"),
        (lambda _: refusal(429), "status 429, why"),
        (lambda _: refusal(500), "status 500, why"),
        (lambda _: Reply(307, {}, {"Location": "/elsewhere"}), "status 307"),
        (lambda _: Reply(500, b"\xff"), "status 500"),
        (lambda _: Reply(200, b"{"), "another form"),
        (lambda call: good(call, environment_id="other"), "for the environment 'other'"),
        (lambda call: good(call, security_profile="none"), "security profile 'none'"),
        (lambda call: good(call, executor_registration_id=None), "another form"),
        (lambda call: good(call, executor_registration_id=""), "no usable registration id"),
        (lambda call: good(call, url="ws://relay.invalid/?sig=hidden"), "neither wss nor on this machine"),
        (lambda call: good(call, url="http://127.0.0.1/?sig=hidden"), "neither wss nor on this machine"),
        (lambda call: good(call, url="wss://127.0.0.1:x/?sig=hidden"), "neither wss nor on this machine"),
    ],
)
def test_a_first_registration_that_fails_is_the_end(reply: Callable[[Call], Reply], text: str) -> None:
    async def answer(call: Call) -> Reply:
        return reply(call)

    async def body() -> str:
        async with rendezvous() as service:
            service.answer = answer
            settings = RemoteSettings(service.base_url, ENVIRONMENT_ID, Fixed(Bearer(TOKEN)))
            with pytest.raises(RegistryError) as raised:
                await serve_remote(settings, asyncio.Event(), lambda: None)
            assert [call.action for call in service.calls] == ["register"]
            assert service.dialled == []
            return str(raised.value)

    said = asyncio.run(body())
    assert text in said
    assert TOKEN not in said
    assert "hidden" not in said


def test_the_command_that_cannot_register_says_so_and_ends() -> None:
    async def answer(call: Call) -> Reply:
        return refusal(401)

    async def body() -> None:
        async with rendezvous() as service:
            service.answer = answer
            process = await start(
                service.base_url, "--environment-id", ENVIRONMENT_ID, CROSSEXEC_REGISTRY_TOKEN=TOKEN
            )
            text = "python -m executors: the registry refused to register: status 401, why: so …?\n"
            assert await outcome(process) == (1, "", text)

    asyncio.run(body())


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from executors.command import main\n"
        "sys.exit(main(['--remote', 'http://127.0.0.1:1', '--environment-id', 'e']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT), "CROSSEXEC_REGISTRY_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'crossexec[relay]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_process_inherits_the_credential() -> None:
    async def body() -> None:
        async with rendezvous() as service, as_process(service), harness(service, ENVIRONMENT_ID) as client:
            await client.initialize()
            code = "import os; print('CROSSEXEC_REGISTRY_TOKEN' in os.environ, 'PATH' in os.environ)"
            params = {"processId": "p", "argv": [sys.executable, "-c", code], "cwd": "file:///", "env": {}}
            everything = {"inherit": "all", "ignoreDefaultExcludes": True, "exclude": [], "set": {}}
            more = {"tty": False, "envPolicy": everything | {"includeOnly": []}}
            await client.call("process/start", params | more)
            assert (await client.output()).split() == [b"False", b"True"]

    asyncio.run(body())


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_other_sources_of_the_credential(source: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with rendezvous() as service:
            arguments = [service.base_url, "--environment-id", ENVIRONMENT_ID, f"--credential-{source}"]
            if source == "file":
                (tmp_path / "token").write_text(service.token + "\n")
                arguments.append(str(tmp_path / "token"))
            # It ends with its stdin, but not before that.
            process = await start(*arguments, "--exit-with-parent")
            assert process.stdin is not None and process.stdout is not None
            if source == "stdin":
                process.stdin.write(service.token.encode() + b"\n")
            async with asyncio.timeout(SECONDS):
                assert await process.stdout.readline() == f"remote:{ENVIRONMENT_ID}\n".encode()
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
            status, _, err = await outcome(process)
            assert status == 0
            (line,) = err.splitlines()
            assert re.search("connected; this executor's key: [0-9a-f]{32}$", line)

    asyncio.run(body())


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process at once there")
def test_it_can_be_stopped_while_the_registry_is_silent() -> None:
    asked = asyncio.Event()

    async def stall(call: Call) -> Reply | None:
        asked.set()
        await asyncio.Event().wait()
        return None

    async def body() -> None:
        async with rendezvous() as service:
            service.answer = stall
            process = await start(
                service.base_url, "--environment-id", ENVIRONMENT_ID, CROSSEXEC_REGISTRY_TOKEN=TOKEN
            )
            await asked.wait()
            process.terminate()
            assert await outcome(process) == (0, "", "")

    asyncio.run(body())


def test_the_help_tells_of_it() -> None:
    text = make_parser().format_help()
    for option in ("--remote URL", "--environment-id ID", "--credential-file PATH", "--allow-registry HOST"):
        assert option in text

"""``process/start`` of what cannot be started: an error with the system's own words, and nothing else."""

from dataclasses import dataclass

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython, BoundShell
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation

# Prints what the system there says to the same attempt.
ATTEMPT = """
import os, subprocess, sys
try:
    if len(sys.argv) > 2:
        os.chdir(sys.argv[2])
    subprocess.Popen([sys.argv[1]])
except OSError as error:
    print(error.strerror)
else:
    raise SystemExit("it can be started")
"""


@dataclass(frozen=True)
class Attempt:
    """What is started where; names in the workspace, *cwd* None for the workspace itself."""

    program: str
    cwd: str | None = None


ATTEMPTS = {
    "missing program": Attempt("missing"),
    "missing program in a missing directory": Attempt("nowhere/missing"),
    "a file that is no program": Attempt("plain.exe"),
    "a directory as program": Attempt("directory"),
    "missing directory to run in": Attempt("", cwd="missing"),
    "a file as directory to run in": Attempt("", cwd="plain.exe"),
}

CASES = [
    pytest.param(
        attempt,
        id=name,
        marks=pytest.mark.known_gap(
            env="wine-exec",
            owner="wine",
            version="8.0",
            reason="CreateProcess of a directory says: no such file, instead of: access denied",
        )
        if name == "a directory as program"
        else (),
    )
    for name, attempt in ATTEMPTS.items()
]


def refused(talk: Conversation, program: str, cwd: object, tty: bool = False) -> RpcError:
    with pytest.raises(RpcError) as error:
        talk.start("p", [program], cwd=str(cwd), tty=tty)
    return error.value


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
@pytest.mark.parametrize("attempt", CASES)
def test_the_error_holds_the_systems_words(
    talk: Conversation,
    python: BoundPython,
    shell: BoundShell,
    workspace: Workspace,
    attempt: Attempt,
    tty: bool,
) -> None:
    workspace.write("plain.exe", b"not a program\n")
    workspace.mkdir("directory")
    program = workspace.native(attempt.program) if attempt.program else python.path
    expected = python.run(
        ATTEMPT, program, *([workspace.native(attempt.cwd)] if attempt.cwd else [])
    ).text.strip()
    error = refused(talk, program, workspace / attempt.cwd if attempt.cwd else workspace.uri, tty)
    assert error.code == ErrorCode.INTERNAL_ERROR
    assert expected in error.message
    # No process came of it: the id is free, and the first to tell something is the next one.
    assert talk.call("process/terminate", processId="p") == {"running": False}
    talk.start("p", shell.argv(shell.exit(3)))
    assert [told.kind for told in talk.finish("p")] == ["exited", "closed"]
    assert talk.until("exited", "p").exit_code == 3


@pytest.mark.skip_if_target_windows("there a program is named by no interpreter line")
@pytest.mark.parametrize("interpreter", [b"/no/such/interpreter", b"/"], ids=["missing", "a directory"])
def test_a_script_with_a_bad_interpreter_is_refused(
    talk: Conversation, python: BoundPython, workspace: Workspace, interpreter: bytes
) -> None:
    workspace.write("script", b"#!" + interpreter + b"\n")
    program = workspace.native("script")
    python.run("import os, sys; os.chmod(sys.argv[1], 0o755)", program)
    error = refused(talk, program, workspace.uri)
    assert error.code == ErrorCode.INTERNAL_ERROR
    assert python.run(ATTEMPT, program).text.strip() in error.message


def test_a_name_without_separator_is_looked_up_in_the_path_of_the_process(
    talk: Conversation, shell: BoundShell
) -> None:
    name = shell.language.path.replace("\\", "/").rpartition("/")[2]
    with pytest.raises(RpcError) as error:
        talk.start("p", [f"no-{name}"])
    assert error.value.code == ErrorCode.INTERNAL_ERROR
    talk.start("p", [name, *shell.argv(shell.exit(9))[1:]])
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 9


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("argv", [], id="no program"),
        pytest.param("argv", [""], id="empty program"),
        pytest.param("argv", ["a\0b"], id="NUL in the program"),
        pytest.param("arg0", "a\0b", id="NUL in arg0"),
        pytest.param("env", {"A": "b\0c"}, id="NUL in a variable"),
        pytest.param("env", {"A\0B": "c"}, id="NUL in a variable's name"),
    ],
)
def test_what_no_process_can_be_given_is_refused(
    talk: Conversation, python: BoundPython, field: str, value: object
) -> None:
    params = {"argv": python.argv("print('started')"), field: value}
    with pytest.raises(RpcError) as error:
        talk.start("p", **params)  # type: ignore[arg-type]
    assert error.value.code in (ErrorCode.INVALID_PARAMS, ErrorCode.INTERNAL_ERROR)
    talk.start("p", python.argv("print('second')"))
    talk.finish("p")
    assert talk.output("p").strip() == b"second"


INTENTS = {
    "malformed": {"permissions": "managed"},
    "of an unknown type": {"permissions": {"type": "no-such-sandbox"}, "windowsSandboxLevel": "disabled"},
}


@pytest.mark.parametrize("sandbox", INTENTS.values(), ids=INTENTS.keys())
def test_a_sandbox_that_cannot_be_enforced_is_refused_before_anything_is_started(
    talk: Conversation, python: BoundPython, workspace: Workspace, sandbox: object
) -> None:
    with pytest.raises(RpcError) as error:
        talk.start("p", python.argv("open('started', 'w').close()"), sandbox=sandbox)
    assert error.value.code == ErrorCode.INVALID_PARAMS
    talk.start("p", python.argv("print('second')"))
    talk.finish("p")
    assert talk.output("p").strip() == b"second"
    assert not workspace.exists("started")

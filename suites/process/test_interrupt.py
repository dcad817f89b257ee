"""``process/signal`` with ``interrupt``: what Ctrl-C does, on pipes too."""

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from suites.process.conversation import Conversation
from suites.process.programs import ON_INTERRUPT

# 128 + SIGINT; STATUS_CONTROL_C_EXIT, signed.
INTERRUPTED = {"linux": 130, "macos": 130, "windows": -1073741510}

BY_DEFAULT = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.write(1, b"ready\\n")
time.sleep(600)
"""

IGNORING = """
import os, signal, sys
for name in ("SIGINT", "SIGBREAK"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
os.write(1, b"ready\\n")
for line in sys.stdin.buffer:
    os.write(1, b"got " + line)
    if line == b"end\\n":
        sys.exit(5)
"""

# It has the child before either says that it is ready.
WITH_CHILD = (
    ON_INTERRUPT.replace(
        'os.write(1, b"ready',
        "child = subprocess.Popen([sys.executable, '-I', '-S', '-c', sys.argv[1]])\nos.write(1, b\"ready",
    )
    .replace("import os, signal", "import os, signal, subprocess")
    .replace("    sys.exit(7)", "    sys.exit(child.wait())")
)


def interrupt(talk: Conversation, process_id: str) -> object:
    return talk.call("process/signal", processId=process_id, signal="interrupt")


@pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="the default handler of control events exits with 0, not with STATUS_CONTROL_C_EXIT",
)
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_a_program_without_handler_dies_of_it(
    talk: Conversation, python: BoundPython, env: RunningEnvironment, tty: bool
) -> None:
    talk.start("p", python.argv(BY_DEFAULT), tty=tty)
    talk.until_output("p", b"ready", "pty" if tty else "stdout")
    assert interrupt(talk, "p") == {}
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == INTERRUPTED[env.platform]


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_a_programs_own_handler_says_what_happens(talk: Conversation, python: BoundPython, tty: bool) -> None:
    talk.start("p", python.argv(ON_INTERRUPT), tty=tty)
    stream = "pty" if tty else "stdout"
    talk.until_output("p", b"ready", stream)
    assert interrupt(talk, "p") == {}
    talk.finish("p")
    assert b"handled" in talk.output("p", stream)
    assert talk.until("exited", "p").exit_code == 7


def test_a_program_may_ignore_it(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(IGNORING), pipeStdin=True)
    talk.until_output("p", b"ready")
    assert interrupt(talk, "p") == {}
    talk.write("p", b"alive\n", "w")
    talk.until_output("p", b"got alive")
    talk.write("p", b"end\n", "end")
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 5


def test_it_reaches_the_children_too(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(WITH_CHILD, ON_INTERRUPT))
    while talk.output("p").count(b"ready") < 2:
        talk.call("process/read", processId="p", afterSeq=len(talk.told("p")), waitMs=1000)
    interrupt(talk, "p")
    talk.finish("p")
    assert talk.output("p").count(b"handled") == 2
    assert talk.until("exited", "p").exit_code == 7


def test_it_reaches_no_other_process(talk: Conversation, python: BoundPython) -> None:
    for process_id in ("p", "q"):
        talk.start(process_id, python.argv(ON_INTERRUPT))
        talk.until_output(process_id, b"ready")
    interrupt(talk, "p")
    talk.finish("p")
    assert talk.call("process/terminate", processId="q") == {"running": True}
    talk.finish("q")
    assert b"handled" not in talk.output("q")


def test_a_program_can_be_interrupted_again(talk: Conversation, python: BoundPython) -> None:
    code = ON_INTERRUPT.replace("    sys.exit(7)", "    global left; left -= 1; left or sys.exit(8)")
    talk.start("p", python.argv("left = 3\n" + code))
    talk.until_output("p", b"ready")
    for count in (1, 2, 3):
        interrupt(talk, "p")
        while talk.output("p").count(b"handled") < count:
            talk.call("process/read", processId="p", afterSeq=len(talk.told("p")), waitMs=1000)
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 8


def test_to_a_process_that_is_gone_or_unknown_it_does_nothing(
    talk: Conversation, python: BoundPython
) -> None:
    talk.start("p", python.argv("pass"))
    told = list(talk.finish("p"))
    assert interrupt(talk, "p") == {}
    assert interrupt(talk, "nobody") == {}
    assert talk.call("environment/status") == {"status": "ready"}
    assert talk.told("p") == told


@pytest.mark.parametrize("signal", ["INT", "SIGINT", "Interrupt", "terminate", "kill", "", 2, None], ids=repr)
def test_there_is_no_other_signal(talk: Conversation, python: BoundPython, signal: object) -> None:
    talk.start("p", python.argv(ON_INTERRUPT))
    talk.until_output("p", b"ready")
    with pytest.raises(RpcError) as error:
        talk.call("process/signal", processId="p", signal=signal)
    assert error.value.code == ErrorCode.INVALID_PARAMS
    assert talk.call("process/terminate", processId="p") == {"running": True}

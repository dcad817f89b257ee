"""The program that tries things inside of a sandbox, each in a process of its own.

Each of its arguments is JSON: the name of a function and that function's arguments. For each it prints a line
of JSON: ``done``, with what the function returned as ``got``, or ``error`` with the name of the errno, or
``missing`` with what the system does not have, or ``failed`` where the attempt itself is wrong.
"""

from __future__ import annotations

_HEAD = r"""
import ctypes, errno, json, os, signal, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
ARM = os.name == "posix" and os.uname().machine == "aarch64"

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result

def system(x86, arm, *arguments):
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return checked(libc.syscall(ctypes.c_long(arm if ARM else x86), *given))

def opened(path, flags, mode=0o600, **how):
    return os.open(path, flags | os.O_CLOEXEC, mode, **how)

def fill(fd, data=b"changed"):
    os.write(fd, data)
    os.close(fd)
"""


_TAIL = r"""
def tried(name, arguments):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            answer = {"done": True, "got": globals()[name](*arguments)}
        except OSError as error:
            answer = {"done": False, "error": errno.errorcode.get(error.errno, str(error))}
        except (AttributeError, ImportError, NotImplementedError) as error:
            answer = {"done": False, "missing": str(error)}
        except BaseException:
            import traceback
            answer = {"done": False, "failed": traceback.format_exc()}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(answer) if answer else {"done": False, "failed": "exit code %d" % code}

for line in sys.argv[1:]:
    os.write(1, json.dumps(tried(*json.loads(line))).encode() + b"\n")
"""


def program(functions: str) -> str:
    """The program that knows *functions*."""
    return _HEAD + functions + _TAIL


def names(functions: str) -> list[str]:
    """What can be tried with *functions*, as far as it stands for itself."""
    lines = functions.splitlines()
    return [
        line.removeprefix("def ").partition("(")[0]
        for line in lines
        if line.startswith("def ") and line.endswith(("(t, i):", "(o):"))
    ]

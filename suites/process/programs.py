"""Python programs that run in the environment; they ask their own system what it is.

What a test waits for is written by one ``os.write``, so that it arrives as one piece.
"""

COPY = """
import os
while data := os.read(0, 65536):
    os.write(1, data.removesuffix(b"\\xff"))
    if data.endswith(b"\\xff"):
        break
"""
"""Copies stdin to stdout, byte for byte, to its end or to :data:`END`."""

END = b"\xff"

COPY_COUNTED = """
import os, sys
left = int(sys.argv[1])
while left:
    data = os.read(0, min(left, 65536))
    left -= len(data)
    os.write(1, data)
"""
"""Copies as many bytes as its argument says."""

HOLD = "import os, sys; os.write(1, b'ready\\n'); sys.stdin.readline()"
"""Says ``ready`` and runs until a line comes or its input ends."""

ANSWER = """
import os, sys
os.write(1, b"ready\\n")
for line in sys.stdin.buffer:
    os.write(1, b"got " + line)
"""
"""Says ``ready`` and answers each line of its input at once."""

SLEEP = "import os, time; os.write(1, b'ready\\n'); time.sleep(600)"
"""Says ``ready`` and runs until it is killed."""

_WAIT_FOR = """
import os, subprocess, sys, time

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"""

LEAVE_CHILD = (
    _WAIT_FOR
    + """
late = "import os, sys, time\\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\\n"
held = sys.argv[3] if len(sys.argv) > 3 else "stdout stderr"
late += f"os.write({1 if 'stdout' in held else 2}, b'late')"
streams = {name: getattr(sys, name) if name in held else subprocess.DEVNULL for name in ("stdout", "stderr")}
subprocess.Popen([sys.executable, "-I", "-S", "-c", late, sys.argv[2]], stdin=subprocess.DEVNULL, **streams)
os.write(1, b"ready\\n")
wait_for(sys.argv[1])
sys.exit(3)
"""
)
"""Exits with 3 once the file at its first argument is there. A child that it leaves behind holds its
output, or only the stream that a third argument names, and says ``late`` and ends once the file at
the second argument is there."""

START_FAMILY = """
import os, subprocess, sys
sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
apart = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x208}
silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
options = {"child": {}, "apart": apart, "silent": silent, "daemon": {**apart, **silent}}
if sys.argv[1] == "grandchild":
    between = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdin=0, stdout=1).pid)"
    middle = [sys.executable, "-I", "-S", "-c", between, *sleep]
    subprocess.Popen(middle, stdin=subprocess.DEVNULL, stdout=sys.stdout).wait()
else:
    standard = {"stdin": subprocess.DEVNULL, "stdout": sys.stdout, "stderr": sys.stderr}
    child = subprocess.Popen(sleep, **{**standard, **options[sys.argv[1]]})
    print(child.pid)
os.write(1, b"ready\\n")
if sys.argv[2] == "stays":
    sys.stdin.read()
"""
"""Starts a descendant of the kind of its first argument, prints its process id and ``ready``; then
ends at the end of its input, if the second argument is ``stays``, else at once.

Kinds: ``child``; ``grandchild``, whose parent has ended; ``apart``, which has left session and
process group; ``silent``, which has none of our pipes; ``daemon``, which is both."""

UNTIL_GONE = """
import os, sys, time
pid = int(sys.argv[1])

def alive():
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat:
                return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
        except (FileNotFoundError, ProcessLookupError):
            return False
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    import ctypes
    kernel = ctypes.WinDLL("kernel32")
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(0x1000, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(code))
    kernel.CloseHandle(ctypes.c_void_p(handle))
    return code.value == 259

deadline = time.monotonic() + float(sys.argv[2])
while alive() and time.monotonic() < deadline:
    time.sleep(0.02)
print("alive" if alive() else "gone")
"""
"""Waits for the end of the process whose id is its first argument, as many seconds as its second
says, and prints ``gone`` or ``alive``."""

ON_INTERRUPT = """
import os, signal, sys, time

def handle(number, frame):
    os.write(1, b"handled\\n")
    sys.exit(7)

for name in ("SIGINT", "SIGBREAK"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), handle)
os.write(1, b"ready\\n")
while True:
    time.sleep(0.05)
"""
"""Says ``ready``; when interrupted ``handled``, and exits with 7."""

"""Python programs that run in the environment while connections come and go."""

_WAIT_FOR = """
import os, sys, time

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"""

UNTIL_FILE = _WAIT_FOR + "wait_for(sys.argv[1])"
"""Ends as soon as the file at its argument is there."""

MEANWHILE = (
    _WAIT_FOR
    + """
os.write(1, b"ready\\n")
wait_for("go")
os.write(1, b"late output")
os.write(2, b"late error")
open("done", "wb").close()
sys.exit(5)
"""
)
"""Says ``ready``; once the file ``go`` is there it writes to both streams, makes ``done``, exits with 5."""

CONVERSE = """
import os, signal, sys, threading, time

def read():
    for line in sys.stdin.buffer:
        os.write(1, b"got " + line)
        if line == b"end\\n":
            os._exit(7)

open(f"pid-{os.getpid()}", "wb").close()
for name in ("SIGINT", "SIGBREAK"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), lambda *_: os.write(1, b"handled\\n"))
threading.Thread(target=read, daemon=True).start()
os.write(1, b"ready %d\\n" % os.getpid())
while True:
    time.sleep(0.02)
"""
"""Says ``ready`` and its process id, of which it makes a file too; answers each line, and each interrupt by
``handled``; exits with 7 after the line ``end``."""

STREAM = """
import hashlib, os, random, sys
source, digest = random.Random(int(sys.argv[1])), hashlib.sha256()
for _ in range(int(sys.argv[2])):
    block = source.randbytes(65536)
    digest.update(block)
    view = memoryview(block)
    while view:
        view = view[os.write(1, view):]
os.write(2, digest.hexdigest().encode())
"""
"""Writes as many blocks of 64 KiB as its second argument says, by the seed of the first, to stdout; then
their SHA-256 to stderr."""

DIGEST = """
import hashlib, os, sys
digest = hashlib.sha256()
while data := os.read(0, 65536):
    digest.update(data)
print(digest.hexdigest())
"""
"""Prints the SHA-256 of its input."""

CHATTER = """
import os, sys, threading, time
ends = threading.Event()
threading.Thread(target=lambda: (sys.stdin.buffer.read(), ends.set()), daemon=True).start()
number = 0
while not ends.is_set():
    os.write(1, b"%d\\n" % number)
    number += 1
    time.sleep(float(sys.argv[1]))
os.write(2, b"%d" % number)
"""
"""Writes numbered lines until its input ends, as many seconds apart as its argument says; then, to stderr,
how many that were."""

"""What a program in the sandbox of bubblewrap cannot do, tried for real, and what it still can."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("bubblewrap is of Linux", allow_module_level=True)

from executors.sandbox.linux import places
from executors.sandbox.policy import Rule, make_policy
from tests.sandbox.bubblewrapped_linux import (
    NONE,
    READ,
    WRITE,
    Place,
    attempts,
    needs_bubblewrap,
    needs_super_user,
    place,
    say,
)
from tests.sandbox.confined_linux import on_loop

__all__ = ["place"]
pytestmark = needs_bubblewrap


@on_loop
async def test_nothing_outside_can_be_changed(place: Place) -> None:
    before = place.out.stat(), (place.out / "file").stat()
    found = await attempts(
        place.policy(),
        place,
        {
            "create": 'open(out + "/new", "x")',
            "write": 'open(out + "/file", "w")',
            "append": 'open(out + "/file", "a")',
            "truncate": 'os.truncate(out + "/file", 0)',
            "write through a link": 'open("to_out/file", "w")',
            "unlink": 'os.unlink(out + "/file")',
            "rename": 'os.rename(out + "/file", out + "/other")',
            "mkdir": 'os.mkdir(out + "/new")',
            "link out": 'open("mine", "w")\nos.link("mine", out + "/mine")',
            "symlink": 'os.symlink("file", out + "/other")',
            "chmod": 'os.chmod(out + "/file", 0o777)',
            "chown": 'os.chown(out + "/file", os.getuid(), os.getgid())',
            "utime": 'os.utime(out + "/file")',
            "xattr": 'os.setxattr(out + "/file", "user.mine", b"x")',
            "fchmod": 'os.fchmod(os.open(out + "/file", os.O_RDONLY), 0o777)',
            "by the root of the first process": 'open("/proc/1/root" + out + "/file", "a")',
            "rename the workspace": 'os.rename(ws, ws + ".old")',
            "write a device file": 'open("/dev/new", "x")',
        },
    )
    assert found.pop("link out") in ("EROFS", "EXDEV")
    by_ptrace_rules = found.pop("by the root of the first process")
    assert by_ptrace_rules in ("EROFS", "EACCES", "EPERM")
    renamed = found.pop("rename the workspace")
    assert renamed in ("EROFS", "EBUSY")
    assert set(found.values()) == {"EROFS"}, found
    after = place.out.stat(), (place.out / "file").stat()
    assert [one.st_ctime_ns for one in after] == [one.st_ctime_ns for one in before]


@needs_super_user
@on_loop
async def test_devices_keep_what_their_owner_has_set(place: Place) -> None:
    """They are those of the machine; nothing would be other than before, should it come through."""
    status = os.stat("/dev/null")
    mode, times = status.st_mode & 0o7777, [status.st_atime_ns, status.st_mtime_ns]
    codes = {
        f"{what} of {path}": f"os.{call}({path!r}, {arguments})"
        for path in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/stdin", 0)
        for what, call, arguments in (
            ("mode", "chmod", "os.stat(0).st_mode & 0o7777" if path in (0, "/dev/stdin") else 0o666),
            ("owner", "chown", "os.getuid(), -1"),
        )
    }
    codes["times"] = "os.utime(0, ns=tuple(times))"
    codes["attribute"] = 'os.setxattr("/dev/null", "user.x", b"x")'
    found = await attempts(place.policy(), place, codes, times=times)
    # Devices have no such attributes at all.
    assert found.pop("attribute") in ("EROFS", "EPERM")
    assert set(found.values()) == {"EROFS"}, found
    assert os.stat("/dev/null").st_mode & 0o7777 == mode


WRITABLE_OF_THE_KERNEL = """
import os
for directory, directories, files in os.walk("/proc"):
    if directory == "/proc":
        directories[:] = [name for name in directories if not name.isdigit() and "self" not in name]
    for path in (os.path.join(directory, name) for name in files):
        try:
            # Nothing is written; that of a link's target is tried where it is.
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
        except OSError:
            continue
        print(path)
print("end")
"""


@on_loop
async def test_no_setting_of_the_kernel_can_be_changed(place: Place) -> None:
    policies = [place.policy(), place.policy(network=True), make_policy([Rule(Path("/"), WRITE)])]
    for policy in policies:
        async with place.confined(policy) as confined:
            outcome = await confined.python(WRITABLE_OF_THE_KERNEL, cwd=place.ws)
        # Who writes there asks to be told when the machine is busy.
        found = [one for one in outcome.output.split() if not one.startswith("/proc/pressure/")]
        assert found == ["end"]


@on_loop
async def test_the_workspace_can_be_changed_and_the_rest_be_read(place: Place) -> None:
    outcome = await say(
        place.policy(), "echo new > new && mkdir d && mv new d && cat to_out/file d/new", place
    )
    assert (outcome.code, outcome.output) == (0, "keptnew\n")
    assert (place.ws / "d" / "new").read_text() == "new\n"


@on_loop
async def test_a_repository_is_kept(place: Place) -> None:
    found = await attempts(
        place.policy(),
        place,
        {
            "read": 'assert open(".git/config").read() == "[core]"',
            "write": 'open(".git/config", "w")',
            "create": 'open(".git/new", "w")',
            "chmod": 'os.chmod(".git/config", 0o777)',
            "hard link": 'os.link(".git/config", "config")',
            "rename": 'os.rename(".git", "git")',
            "remove": 'os.rmdir(".git")',
        },
    )
    assert found == {
        "read": "done",
        "write": "EROFS",
        "create": "EROFS",
        "chmod": "EROFS",
        "hard link": "EXDEV",
        "rename": "EBUSY",
        "remove": "EBUSY",
    }


@on_loop
async def test_what_is_denied_can_be_neither_read_nor_moved(place: Place) -> None:
    found = await attempts(
        place.policy(),
        place,
        {
            "list": 'os.listdir("keys")',
            "open up": 'os.chmod("keys", 0o777)',
            "read in it": 'open("keys/id")',
            "create in it": 'open("keys/new", "w")',
            "read a file": 'open("inner/deep/secret")',
            "link a file": 'os.link("inner/deep/secret", "mine")',
            "rename": 'os.rename("keys", "unlocked")',
            "rename its directory": 'os.rename("inner/deep", "inner/shallow")',
            "rename the one above": 'os.rename("inner", "outer")',
            "write beside it": 'open("inner/deep/new", "w")',
        },
    )
    assert found == {
        "list": "EACCES",
        "open up": "EROFS",
        "read in it": "EACCES",
        "create in it": "EACCES",
        "read a file": "EACCES",
        "link a file": "EXDEV",
        "rename": "EBUSY",
        "rename its directory": "EBUSY",
        "rename the one above": "EBUSY",
        "write beside it": "done",
    }
    assert (place.ws / "inner/deep/secret").read_text() == "hush"
    assert sorted(path.name for path in place.ws.iterdir()) == [".git", "inner", "keys", "to_out"]


@on_loop
async def test_the_innermost_rule_counts(place: Place) -> None:
    policy = place.policy(Rule(place.ws / "inner", READ), Rule(place.ws / "inner/deep", WRITE))
    outcome = await say(policy, "touch a; touch inner/b; touch inner/deep/c; touch inner/deep/secret", place)
    assert outcome.code != 0
    assert (place.ws / "a").exists()
    assert not (place.ws / "inner/b").exists()
    assert (place.ws / "inner/deep/c").exists()


@on_loop
async def test_a_place_in_a_denied_one_can_be_used(place: Place) -> None:
    (place.out / "shared" / "mine").mkdir(parents=True)
    policy = place.policy(Rule(place.out, NONE), Rule(place.out / "shared/mine", WRITE))
    found = await attempts(
        policy,
        place,
        {
            "read": 'open(out + "/file")',
            "list": "os.listdir(out)",
            "create": 'open(out + "/new", "w")',
            "use": 'open(out + "/shared/mine/new", "w")',
        },
    )
    assert found == {"read": "ENOENT", "list": "EACCES", "create": "EROFS", "use": "done"}
    assert (place.out / "shared/mine/new").exists()
    assert sorted(path.name for path in place.out.iterdir()) == ["file", "shared"]


@on_loop
async def test_without_a_root_only_what_is_allowed_is_there(place: Place) -> None:
    system = [Rule(Path(os.path.realpath(path)), READ) for path in ("/usr", "/lib64", "/lib", "/bin")]
    rules = {rule.path: rule for rule in [*system, Rule(place.ws, WRITE)]}
    policy = make_policy(rules.values())
    text = f"touch ok; cat {place.out}/file; touch /new; touch /dev/new; touch {place.ws}/../new; ls /"
    async with place.confined(policy) as confined:
        outcome = await confined.shell(text, cwd=place.ws, env={"PATH": "/usr/bin:/bin"})
    assert (place.ws / "ok").exists()
    assert outcome.output.count("Read-only file system") == 3, outcome.output
    assert "No such file" in outcome.output
    listed = set(outcome.output.rpartition("system\n")[2].split())
    assert {"usr", "proc", "dev"} <= listed
    assert not listed & {"etc", "root", "var", "home"}


@on_loop
async def test_what_most_programs_need_is_enough(place: Place) -> None:
    rules = {Path(os.path.realpath(path)): READ for path in places().minimal}
    rules |= {Path(sys.prefix).resolve(): READ, Path(sys.base_prefix).resolve(): READ}
    rules |= {place.ws: WRITE, place.ws / ".git": READ}
    policy = make_policy(Rule(path, access) for path, access in rules.items())
    async with place.confined(policy) as confined:
        plain = await confined.shell("cat /etc/hostname; ls /proc/self/fd > fds && echo made", cwd=place.ws)
        python = await confined.python("import os; print(os.path.exists('/etc/passwd'))", cwd=place.ws)
    assert "No such file" in plain.output
    assert plain.output.endswith("made\n")
    assert python.output == "True\n"


@on_loop
async def test_matches_of_patterns_are_denied(place: Place) -> None:
    for name in (".env", "inner/.env", "inner/deep/a.key", "inner/plain"):
        (place.ws / name).write_text("hush")
    (place.ws / "cache.d").mkdir()
    (place.ws / "cache.d" / "x").write_text("hush")
    (place.ws / "link.key").symlink_to("inner/plain")
    patterns = tuple(f"{place.ws}/{one}" for one in ("**/.env", "**/*.key", "*.d"))
    names = [".env", "inner/.env", "inner/deep/a.key", "cache.d/x", "inner/plain", "to_out/file"]
    codes = {name: f"open({name!r})" for name in names}
    codes["rename"] = 'os.rename("inner", "other")'
    found = await attempts(place.policy(patterns=patterns), place, codes)
    assert found.pop("to_out/file") == "done"
    assert found.pop("rename") == "EBUSY"
    assert set(found.values()) == {"EACCES"}, found


@on_loop
async def test_matches_are_looked_for_as_deep_as_is_said(place: Place) -> None:
    (place.ws / ".env").write_text("")
    (place.ws / "inner" / ".env").write_text("")
    policy = make_policy([Rule(Path("/"), READ)], denied_patterns=[f"{place.ws}/**/.env"], pattern_depth=1)
    found = await attempts(policy, place, {"first": 'open(".env")', "second": 'open("inner/.env")'})
    assert found == {"first": "EACCES", "second": "done"}


@on_loop
async def test_nothing_outside_can_be_reached(place: Place) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    listeners = _listeners(place)
    try:
        with listeners[0], listeners[1], listeners[2], open(place.out / "file") as inherited:
            os.set_inheritable(inherited.fileno(), True)
            found = await attempts(
                place.policy(),
                place,
                {
                    "kill": "os.kill(victim, 9)",
                    "ptrace": "check(libc.ptrace(16, victim, 0, 0))",
                    "memory": 'open(f"/proc/{victim}/mem")',
                    "root": 'os.listdir(f"/proc/{victim}/root")',
                    "remount": 'check(libc.mount(None, b"/", None, 0x1020, None))',
                    "remount a place": 'check(libc.mount(None, (ws + "/.git").encode(), None, 0x1020, None))',
                    "unmount": 'check(libc.umount2((ws + "/keys").encode(), 2))',
                    "namespace": "check(libc.unshare(0x10000000))",
                    "namespace of mounts": "check(libc.unshare(0x20000))",
                    "host name": 'check(libc.sethostname(b"mine", 4))',
                    "tcp": 'socket.create_connection(("127.0.0.1", port))',
                    "udp": 'socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))',
                    "abstract": "socket.socket(socket.AF_UNIX).connect(abstract)",
                    "path": "socket.socket(socket.AF_UNIX).connect(path)",
                    "descriptor": f"os.fstat({inherited.fileno()})",
                    "disk": 'os.mknod("disk", 0o60600, os.makedev(8, 0))\nopen("disk")',
                },
                victim=victim.pid,
                port=listeners[0].getsockname()[1],
                abstract=listeners[1].getsockname().decode(),
                path=listeners[2].getsockname(),
            )
        assert found.pop("descriptor") == "EBADF"
        assert found.pop("kill") == "ESRCH"
        assert {found.pop("memory"), found.pop("root")} == {"ENOENT"}
        assert set(found.values()) <= {"EPERM", "EACCES", "ENETUNREACH", "ECONNREFUSED"}, found
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def _listeners(place: Place) -> list[socket.socket]:
    """Of TCP, of an abstract Unix socket, of one with a path that can be read inside."""
    made = []
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_UNIX, f"\0crossexec-{os.getpid()}"),
        (socket.AF_UNIX, str(place.ws / "s")),
    ):
        listener = socket.socket(family)
        listener.bind(address)
        listener.listen()
        made.append(listener)
    return made


@on_loop
async def test_the_network_is_there_where_it_is_allowed(place: Place) -> None:
    tcp, abstract, path = _listeners(place)
    with tcp, abstract, path:
        found = await attempts(
            place.policy(network=True),
            place,
            {
                "tcp": 'socket.create_connection(("127.0.0.1", port))',
                "path": "socket.socket(socket.AF_UNIX).connect(path)",
            },
            port=tcp.getsockname()[1],
            path=path.getsockname(),
        )
    assert found == {"tcp": "done", "path": "done"}


@pytest.mark.parametrize("network", [False, True])
@on_loop
async def test_interfaces_are_those_of_the_network_that_is_allowed(place: Place, network: bool) -> None:
    outcome = await say(place.policy(network=network), "cat /proc/self/net/dev", place)
    inside = [line for line in outcome.output.splitlines() if ":" in line]
    assert [line.split(":")[0].strip() for line in inside] == (["lo"] if not network else _interfaces())


def _interfaces() -> list[str]:
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    return [line.split(":")[0].strip() for line in lines if ":" in line]


@on_loop
async def test_processes_inside_reach_one_another(place: Place) -> None:
    found = await attempts(
        place.policy(),
        place,
        {
            "pair": 'a, b = socket.socketpair()\na.send(b"x")\nassert b.recv(1) == b"x"',
            "signal": "child = os.fork()\nif not child: signal.pause()\nos.kill(child, 9)\nos.wait()",
            "shared memory": 'open("/dev/shm/mine", "w").write("x")',
            "null": 'open("/dev/null", "w").write("x")\nopen("/dev/urandom", "rb").read(1)',
        },
    )
    assert set(found.values()) == {"done"}, found
    assert not os.path.exists("/dev/shm/mine")

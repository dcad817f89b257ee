"""What to try with sockets, processes and the system; Python for :func:`suites.sandbox.attempts.program`."""

from __future__ import annotations

from typing import Final

SOCKETS: Final = r"""
def said(connection):
    connection.sendall(b"escaped")
    connection.close()

def tcp_connect(o):
    connection = socket.socket()
    connection.connect(("127.0.0.1", o["tcp"]))
    said(connection)

def tcp6_connect(o):
    connection = socket.socket(socket.AF_INET6)
    connection.connect(("::ffff:127.0.0.1", o["tcp"]))
    said(connection)

def tcp_fast_open(o):
    socket.socket().sendto(b"escaped", 0x20000000, ("127.0.0.1", o["tcp"]))

def multipath_connect(o):
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    connection.connect(("127.0.0.1", o["tcp"]))
    said(connection)

def tcp_listen(o):
    connection = socket.socket()
    connection.bind(("127.0.0.1", 0))
    connection.listen()

def udp_send(o):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"escaped", ("127.0.0.1", o["udp"]))

def udp_connect(o):
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.connect(("127.0.0.1", o["udp"]))
    said(connection)

def udp_bind(o):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 0))

def unix_connect(o):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(o["unix"])
    said(connection)

def unix_connect_by_link(o):
    os.symlink(o["unix"], o["inside"] + "/way")
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(o["inside"] + "/way")
    said(connection)

def unix_connect_relative(o):
    os.chdir(os.path.dirname(o["unix"]))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.path.basename(o["unix"]))
    said(connection)

def unix_datagram(o):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"escaped", o["unix_datagram"])

def unix_datagram_of_pair(o):
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"escaped", o["unix_datagram"])

def abstract_connect(o):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("\0" + o["abstract"])
    said(connection)

def abstract_datagram(o):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"escaped", "\0" + o["abstract_datagram"])

def inherited_network(o):
    # Threads are confined as well.
    import threading
    found = []
    def run():
        try:
            tcp_connect(o)
        except OSError as error:
            found.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if found:
        raise found[0]

def netlink(o):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))

def packet(o):
    socket.socket(17, socket.SOCK_RAW, 0x0300)

def raw(o):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)

def ping(o):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).sendto(b"\x08" + bytes(7), ("127.0.0.1", 0))

def vsock(o):
    socket.socket(40, socket.SOCK_STREAM).connect((2, 1))

def socket_pair(o):
    one, other = socket.socketpair()
    one.sendall(b"between")
    return other.recv(100).decode()
"""
"""Things to try with the sockets *o* of somebody outside."""

PROCESSES: Final = r"""
def signal_zero(o):
    os.kill(o["pid"], 0)

def terminate(o):
    os.kill(o["pid"], signal.SIGTERM)

def kill(o):
    os.kill(o["pid"], signal.SIGKILL)

def kill_group(o):
    os.killpg(o["pid"], signal.SIGKILL)

def kill_thread(o):
    system(200, 130, o["pid"], signal.SIGKILL)

def kill_thread_of_group(o):
    system(234, 131, o["pid"], o["pid"], signal.SIGKILL)

def kill_queued(o):
    queued = ctypes.create_string_buffer(b"\x09" + bytes(7) + b"\xff" * 4, 128)
    system(129, 138, o["pid"], signal.SIGKILL, queued)

def kill_by_descriptor(o):
    signal.pidfd_send_signal(os.pidfd_open(o["pid"]), signal.SIGKILL)

def signal_of_input(o):
    # A descriptor that becomes ready sends a signal to whom it is told.
    import fcntl
    one, other = socket.socketpair()
    fcntl.fcntl(one, fcntl.F_SETOWN, o["pid"])
    fcntl.fcntl(one, 10, signal.SIGKILL)
    fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC)
    other.send(b"x")

def trace(o):
    checked(libc.ptrace(16, o["pid"], 0, 0))

def seize(o):
    checked(libc.ptrace(0x4206, o["pid"], 0, 0))

def read_memory_by_call(o):
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_ulong * 2)(o["address"], 8)
    system(310, 270, o["pid"], local, 1, remote, 1, 0)
    return buffer.raw.hex()

def write_memory_by_call(o):
    buffer = ctypes.create_string_buffer(b"escaped!", 8)
    local = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_ulong * 2)(o["address"], 8)
    system(311, 271, o["pid"], local, 1, remote, 1, 0)

def read_memory(o):
    fd = opened("/proc/%d/mem" % o["pid"], os.O_RDONLY)
    return os.pread(fd, 8, o["address"]).hex()

def write_memory(o):
    os.pwrite(opened("/proc/%d/mem" % o["pid"], os.O_RDWR), b"escaped!", o["address"])

def read_environment(o):
    found = os.read(opened("/proc/%d/environ" % o["pid"], os.O_RDONLY), 100000).decode()
    return found or "nothing"

def list_root(o):
    return os.listdir("/proc/%d/root" % o["pid"])

def create_by_root(o):
    fill(opened("/proc/%d/root%s/new" % (o["pid"], o["outside"]), os.O_WRONLY | os.O_CREAT))

def create_by_cwd(o):
    fill(opened("/proc/%d/cwd/new" % o["pid"], os.O_WRONLY | os.O_CREAT))

def create_by_thread_root(o):
    way = "/proc/%d/task/%d/root%s/new" % (o["pid"], o["pid"], o["outside"])
    fill(opened(way, os.O_WRONLY | os.O_CREAT))

def read_descriptor(o):
    return os.readlink("/proc/%d/fd/0" % o["pid"])

def write_by_descriptor(o):
    fill(opened("/proc/%d/fd/%d" % (o["pid"], o["fd"]), os.O_WRONLY))

def take_descriptor(o):
    fill(system(438, 438, os.pidfd_open(o["pid"]), o["fd"], 0))

def read_maps(o):
    return os.read(opened("/proc/%d/maps" % o["pid"], os.O_RDONLY), 100).decode() or "nothing"

def change_priority(o):
    os.setpriority(os.PRIO_PROCESS, o["pid"], 19)

def change_limit(o):
    import resource
    resource.prlimit(o["pid"], resource.RLIMIT_CORE, (0, 0))

def change_affinity(o):
    os.sched_setaffinity(o["pid"], {min(os.sched_getaffinity(0))})

def change_scheduler(o):
    os.sched_setscheduler(o["pid"], os.SCHED_BATCH, os.sched_param(0))

def change_out_of_memory_score(o):
    fill(opened("/proc/%d/oom_score_adj" % o["pid"], os.O_WRONLY), b"1000")

def enter_namespace(o):
    checked(libc.setns(opened("/proc/%d/ns/mnt" % o["pid"], os.O_RDONLY), 0))

def enter_namespaces_by_descriptor(o):
    checked(libc.setns(os.pidfd_open(o["pid"]), 0x20000))

"""
"""Things to try with the process *o* of somebody outside."""

SYSTEM: Final = r"""
def remount(o):
    checked(libc.mount(None, b"/", None, 32 | 4096, None))

def mount_memory(o):
    checked(libc.mount(b"tmpfs", o["inside"].encode(), b"tmpfs", 0, None))

def mount_binding(o):
    checked(libc.mount(o["outside"].encode(), o["inside"].encode(), None, 4096, None))

def mount_proc(o):
    checked(libc.mount(b"proc", o["inside"].encode(), b"proc", 0, None))

def unmount(o):
    checked(libc.umount2(o["inside"].encode(), 2))

def clone_mounts(o):
    system(428, 428, -100, b"/", 1)

def open_file_system(o):
    system(430, 430, b"tmpfs", 0)

def set_mount_attributes(o):
    system(442, 442, -100, b"/", 0, (ctypes.c_uint64 * 4)(0, 1, 0, 0), 32)

def change_root(o):
    os.chroot(o["inside"])

def pivot_root(o):
    system(155, 41, o["inside"].encode(), o["inside"].encode())

def new_user_namespace(o):
    checked(libc.unshare(0x10000000))

def new_mount_namespace(o):
    checked(libc.unshare(0x20000))

def new_network_namespace(o):
    checked(libc.unshare(0x40000000))

def clone_user_namespace(o):
    child = system(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

def clone_user_namespace_anew(o):
    arguments = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = system(435, 435, arguments, 64)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

def make_device(o):
    os.mknod(o["inside"] + "/device", 0o20600, os.makedev(1, 1))

def make_disk(o):
    os.mknod(o["inside"] + "/disk", 0o60600, os.makedev(7, 0))

def open_memory(o):
    opened("/dev/mem", os.O_RDWR)

def load_module(o):
    system(313, 273, opened("/dev/null", os.O_RDONLY), b"", 0)

def load_kernel(o):
    system(320, 294, -1, -1, 0, b"", 0)

def load_program_of_packets(o):
    system(321, 280, 5, ctypes.create_string_buffer(128), 128)

def queue_requests(o):
    system(425, 425, 4, ctypes.create_string_buffer(120))

def watch_faults(o):
    system(323, 282, 0)

def measure_others(o):
    attributes = ctypes.create_string_buffer(struct.pack("=II", 1, 112), 112)
    system(298, 241, attributes, o["pid"], -1, -1, 0)

def add_key(o):
    system(248, 217, b"user", b"crossexec", b"x", 1, -4)

def name_handle(o):
    handle = ctypes.create_string_buffer(struct.pack("=I", 120), 128)
    system(303, 264, -100, (o["outside"] + "/file").encode(), handle, ctypes.byref(ctypes.c_int()), 0)

def open_handle(o):
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 8, 1) + bytes(8), 128)
    system(304, 265, opened(o["outside"], os.O_RDONLY), handle, os.O_RDONLY)

def type_into_terminal(o):
    import fcntl
    fcntl.ioctl(opened("/dev/tty", os.O_RDWR), 0x5412, b"x")

def set_clock(o):
    import time
    time.clock_settime(time.CLOCK_REALTIME, time.time())

def set_host_name(o):
    socket.sethostname(socket.gethostname())

def write_kernel_setting(o):
    with open("/proc/sys/kernel/core_pattern", "rb") as file:
        value = file.read()
    fill(opened("/proc/sys/kernel/core_pattern", os.O_WRONLY), value)

def write_device_setting(o):
    with open("/sys/kernel/mm/ksm/run", "rb") as file:
        value = file.read()
    fill(opened("/sys/kernel/mm/ksm/run", os.O_WRONLY), value)

def system_request(o):
    fill(opened("/proc/sysrq-trigger", os.O_WRONLY), b"?")

def trace_own_child(o):
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    try:
        checked(libc.ptrace(16, child, 0, 0))
    finally:
        os.kill(child, signal.SIGKILL)

def old_calls(o):
    # The numbering of another architecture, which no filter of this one knows.
    if ARM:
        raise NotImplementedError("aarch64 has none")
    path = (o["outside"] + "/file").encode()
    checked(libc.syscall(ctypes.c_long(0x40000000 | 90), path, ctypes.c_long(0o640)))
"""
"""Things to try with the system; *o* has a place outside and one inside."""

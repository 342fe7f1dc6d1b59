"""Bar system calls to this process for good: no child process, no program, no socket, no look at others.

A filter of the Linux kernel (seccomp), written out here as its few instructions. Threads stay allowed.
"""

import ctypes
import platform
import struct

__all__ = ["bar"]

# audit architecture, first number of another calling convention (0: none), and the numbers of the calls
_TABLES = {
    "x86_64": (
        0xC000003E,
        0x40000000,
        {
            "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "socket": 41, "ptrace": 101,
            "process_vm_readv": 310, "process_vm_writev": 311, "mount": 165, "umount2": 166, "unshare": 272,
            "setns": 308, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248,
            "request_key": 249, "keyctl": 250, "io_uring_setup": 425, "open_by_handle_at": 304,
            "pidfd_open": 434, "pidfd_getfd": 438, "memfd_create": 319, "shmget": 29, "msgget": 68, "semget": 64,
        },
        56,
        435,
    ),
    "aarch64": (
        0xC00000B7,
        0,
        {
            "execve": 221, "execveat": 281, "socket": 198, "ptrace": 117, "process_vm_readv": 270,
            "process_vm_writev": 271, "mount": 40, "umount2": 39, "unshare": 97, "setns": 268, "bpf": 280,
            "perf_event_open": 241, "userfaultfd": 282, "add_key": 217, "request_key": 218, "keyctl": 219,
            "io_uring_setup": 425, "open_by_handle_at": 265, "pidfd_open": 434, "pidfd_getfd": 438,
            "memfd_create": 279, "shmget": 194, "msgget": 186, "semget": 190,
        },
        220,
        435,
    ),
}  # fmt: skip

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


def _program(machine: str) -> bytes:
    """The filter for one kind of processor; every jump is written as the instructions it skips."""
    architecture, other, calls, clone, clone3 = _TABLES[machine]
    steps = [
        (_LOAD, 0, 0, 4),  # architecture
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # number of the call
    ]
    if other:
        steps += [(_AT_LEAST, 0, 1, other), (_RETURN, 0, 0, _ERROR | _EPERM)]
    for number in calls.values():
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | _EPERM)]
    steps += [
        (_EQUAL, 0, 1, clone3),  # its flags lie in memory, out of reach; the C library then takes clone
        (_RETURN, 0, 0, _ERROR | _ENOSYS),
        (_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, 16),  # flags of clone
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def bar() -> bool:
    """Bar processes, programs, sockets and the like to this process from now on.

    Returns
    -------
    bool
        False where it cannot be done: another system or processor, or a kernel without it.
    """
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    if platform.system() != "Linux" or machine not in _TABLES:
        return False
    code = _program(machine)
    held = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    library = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if library.prctl(_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
        return False
    return library.prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.c_char_p(head), zero, zero) == 0

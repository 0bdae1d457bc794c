"""What a reading process gives up before it opens a document.

On Linux, by seccomp (kernel's Documentation/userspace-api/seccomp_filter.rst): every system call but those
that a computation needs is refused, so no file can be opened, no connection made, no process started, no
signal sent; whatever a document makes a parser do, it can only compute and answer. On any system: limits on
memory, processor time, files and processes (getrlimit(2)), no environment, no descriptors but two.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Final

from antiphon.ports.document_parser import Limits

MAX_DESCRIPTORS: Final = 16

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_SECCOMP_RET_KILL_PROCESS: Final = 0x80000000
_SECCOMP_RET_ERRNO: Final = 0x00050000
_SECCOMP_RET_ALLOW: Final = 0x7FFF0000

_BPF_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_BPF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_BPF_RETURN: Final = 0x06  # BPF_RET | BPF_K
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4  # of struct seccomp_data

# Audit's number of the machine, and the numbers of the calls that are let through, from the kernel's
# arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_CALLS: Final = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10,
            "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
            "pread64": 17, "readv": 19, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28,
            "getpid": 39, "exit": 60, "getrusage": 98, "times": 100, "gettimeofday": 96,
            "sigaltstack": 131, "gettid": 186, "futex": 202, "restart_syscall": 219,
            "clock_gettime": 228, "clock_getres": 229, "exit_group": 231, "newfstatat": 262,
            "getrandom": 318,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226,
            "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
            "pread64": 67, "readv": 65, "writev": 66, "sched_yield": 124, "mremap": 216, "madvise": 233,
            "getpid": 172, "exit": 93, "getrusage": 165, "times": 153, "gettimeofday": 169,
            "sigaltstack": 132, "gettid": 178, "futex": 98, "restart_syscall": 128, "clock_gettime": 113,
            "clock_getres": 114, "exit_group": 94, "newfstatat": 79, "getrandom": 278,
        },
    ),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def missing() -> tuple[str, ...]:
    """Say which confinement this system does not offer; a process is forked to try it."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _seal() else 1)
    _, status = os.waitpid(child, 0)
    if status == 0:
        return ()
    return ("the filter of system calls (seccomp): readers could open files and connections",)


def confine(limits: Limits, parent: int) -> None:
    """Give everything up, for good. Ends the process if its parent is gone already."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(_PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:
        os._exit(1)
    os.umask(0o077)
    cpu = max(int(limits.cpu_seconds), 1)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_NOFILE", MAX_DESCRIPTORS)
    _limit("RLIMIT_NPROC", 0)
    _limit("RLIMIT_CPU", cpu, cpu + 2)
    _limit("RLIMIT_AS", _size() + limits.memory_bytes)
    _seal()


def _size() -> int:
    """Bytes of address space this process has already, mostly shared libraries; 0 if nobody tells."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _limit(name: str, soft: int, hard: int | None = None) -> None:
    """Set a limit where the system has it (macOS refuses some)."""
    number = getattr(resource, name, None)
    if number is None:
        return
    try:
        resource.setrlimit(number, (soft, soft if hard is None else hard))
    except (ValueError, OSError):
        return


def _prctl(option: int, value: int, address: int = 0) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    result: int = libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(address), zero, zero)
    return result == 0


def _seal() -> bool:
    """Install the filter of system calls; False where there is none. It cannot be taken off again."""
    known = _CALLS.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    rules = _rules(*known)
    buffer = ctypes.create_string_buffer(rules, len(rules))
    program = _Program(len(rules) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1) and _prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program)
    )


def _rules(architecture: int, calls: dict[str, int]) -> bytes:
    """The filter as instructions of struct sock_filter: code, jump if true, jump if false, operand."""
    numbers = sorted(calls.values())
    rules = [
        (_BPF_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_BPF_EQUAL, 1, 0, architecture),
        (_BPF_RETURN, 0, 0, _SECCOMP_RET_KILL_PROCESS),
        (_BPF_LOAD, 0, 0, _OFFSET_NUMBER),
        *((_BPF_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (_BPF_RETURN, 0, 0, _SECCOMP_RET_ERRNO | errno.EPERM),
        (_BPF_RETURN, 0, 0, _SECCOMP_RET_ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *rule) for rule in rules)

"""What ``/proc`` says about CPU time and memory, and the settings of a process that a measurement needs."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core is for the server under test and which for everything else; None leaves it to the kernel."""

    server: int | None
    rest: int | None


def cores() -> Cores:
    """The first two cores this process may use, or no pinning where there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


def pin(core: int | None) -> None:
    """Keep this process on ``core``; does nothing for None."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def raise_file_limit() -> int:
    """Raise the limit of open files to the hard one, for this process and its children, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def family(pid: int) -> list[int]:
    """``pid`` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            fields = _read(directory / "stat").rpartition(")")[2].split()
            if fields:
                children.setdefault(int(fields[1]), []).append(int(directory.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, []))
    return found


def named(name: str) -> list[int]:
    """Every process of a program on this machine."""
    return [
        int(directory.name)
        for directory in _PROC.iterdir()
        if directory.name.isdigit() and _read(directory / "comm").strip() == name
    ]


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all living threads of ``pids``, to the nanosecond. What ended threads used is lost."""
    nanoseconds = 0
    for pid in pids:
        tasks = _PROC / str(pid) / "task"
        for thread in tasks.iterdir() if tasks.is_dir() else ():
            fields = _read(thread / "schedstat").split()
            nanoseconds += int(fields[0]) if fields else 0
    return nanoseconds / 1e9


def busy_seconds() -> float:
    """CPU time of the whole machine, and what its host took from it, in steps of a clock tick."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
        int(field) for field in _read(_PROC / "stat").splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def resident_kib(pids: Iterable[int]) -> int:
    """Resident memory of ``pids`` in KiB; pages shared between them count for each."""
    total = 0
    for pid in pids:
        for line in _read(_PROC / str(pid) / "status").splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


def description() -> dict[str, str]:
    """What a reader must know of the machine to judge the figures."""
    models = [line for line in _read(_PROC / "cpuinfo").splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _read(path: Path) -> str:
    """The text of ``path``, empty if the process it tells of has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""

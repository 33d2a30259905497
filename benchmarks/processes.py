"""Processor time and memory, of a running process and all under it; None where there is no /proc."""

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def known() -> bool:
    return (PROC / "self" / "stat").exists()


def parents() -> dict[int, int]:
    """The parent of every process."""
    found: dict[int, int] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := stat(int(folder.name))):
            found[int(folder.name)] = int(fields[1])
    return found


def family(pid: int) -> list[int]:
    """A process and all under it."""
    parent_of = parents()
    found = [pid]
    for one in found:
        found += [child for child, parent in parent_of.items() if parent == one]
    return found


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, the state; none if the process is gone (proc(5))."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float | None:
    """What a process and all under it have used, those included that have ended and were waited for."""
    if not known():
        return None
    times = (sum(int(ticks) for ticks in stat(one)[11:15]) for one in family(pid))
    return sum(times) / os.sysconf("SC_CLK_TCK")


def largest_mb(pid: int) -> float | None:
    """The memory of the largest process of a family: a worker's, in MB of resident set."""
    if not known():
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    return max(int(fields[21]) for one in family(pid) if (fields := stat(one))) * page / 1e6


def memory_mb(pid: int) -> float:
    """The resident set of one process, in MB; 0 if it is gone."""
    fields = stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if fields else 0.0


def descriptors(pid: int) -> list[str]:
    """What the open descriptors of a process lead to: a path, or `socket:[...]` and the like (proc(5))."""
    found: list[str] = []
    with suppress(OSError):  # the process has ended
        for one in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):  # it was closed meanwhile
                found.append(str(one.readlink()))
    return found

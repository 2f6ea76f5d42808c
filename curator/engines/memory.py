"""Memory of processes, as the kernel counts it: how much one holds, and whether the kernel killed for it.

Limits of the process itself (RLIMIT_AS, RLIMIT_DATA) are no way: they count addresses, of which Numba, torch and Arrow
map many times what they use.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def private_bytes(pid: int) -> int:
    """Memory that only this process holds: resident, without mapped files; 0 where it is gone."""
    try:
        _, resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[:3])
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE


def oom_kills() -> int:
    """Processes killed for memory so far: in this process's control group, or on the whole machine where that does not tell."""
    for path in _counters():
        try:
            found = re.search(r"^oom_kill (\d+)", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


@cache
def _counters() -> list[Path]:
    """Where the kernel counts, best first: cgroup 2, cgroup 1, the machine."""
    try:
        groups = re.findall(r"^\d+:(.*):(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        groups = []
    second = [_GROUPS / path.lstrip("/") / "memory.events" for names, path in groups if not names]
    first = [_GROUPS / "memory" / path.lstrip("/") / "memory.oom_control" for names, path in groups if "memory" in names.split(",")]
    return [*second, *first, Path("/proc/vmstat")]

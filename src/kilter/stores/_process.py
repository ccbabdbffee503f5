"""Whether the process that wrote a file still runs: a number alone may have been given anew."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["born", "is_alive"]


def born(pid: int) -> int:
    """Return when a process started, in the kernel's ticks; 0 if it is gone or the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    state, *rest = stat.rpartition(b")")[2].split()
    return 0 if state in {b"Z", b"X"} else int(rest[18])


def is_alive(pid: int, since: int) -> bool:
    """Tell whether the process that started then still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return since == born(pid)

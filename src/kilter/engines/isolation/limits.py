"""What a child process takes from itself before it touches a file."""

from __future__ import annotations

import os
import resource
import site
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["child_environment", "exit_with_parent", "give_up_power"]

_ROOT: Final = Path(__file__).parents[3]
_MIB: Final = 1024 * 1024
_OPEN_FILES: Final = 256
_PARENT: Final = "KILTER_PARENT"
_WATCH_S: Final = 1.0
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def child_environment(folder: str, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: no secrets of the parent, one thread, the sandbox mark."""
    return {
        "PATH": os.defpath,
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(_ROOT),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KILTER_SANDBOX": "1",
        _PARENT: str(os.getpid()),
        **dict.fromkeys(_THREADS, "1"),
        **extra,
    }


def give_up_power(*, memory_mib: int, cpu_s: int = 0) -> None:
    """Lower this process's limits for good: memory, open files, core dumps, and CPU time if not 0."""
    _lower(resource.RLIMIT_AS, memory_mib * _MIB)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)
    if cpu_s:
        _lower(resource.RLIMIT_CPU, cpu_s)
    os.umask(0o077)


def exit_with_parent() -> None:
    """End this process when the one that made its environment is gone, even in the middle of a call."""
    parent = int(os.environ[_PARENT])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _lower(kind: int, value: int) -> None:
    """Set both limits, never above the hard one."""
    _, hard = resource.getrlimit(kind)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (limit, limit))

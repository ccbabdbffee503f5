from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.engines.isolation.limits import child_environment

if TYPE_CHECKING:
    import pytest

LIMITS = """
import resource
from kilter.engines.isolation.limits import give_up_power
give_up_power(memory_mib=512, cpu_s=5)
give_up_power(memory_mib=4096)
print(*(resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE)))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 256)
"""

ORPHAN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; from kilter.engines.isolation.limits import "
    "exit_with_parent; exit_with_parent(); time.sleep(600)"],
    env={**os.environ, "KILTER_PARENT": str(os.getpid())}, stdout=subprocess.DEVNULL)
print(child.pid)
"""


def run(code: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        env=child_environment(str(folder), {}),
    )  # fmt: skip
    return done.stdout.split()


def test_a_child_sees_none_of_its_parents_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILTER_SECRET", "s")
    found = child_environment(str(tmp_path), {"EXTRA": "1"})
    assert "KILTER_SECRET" not in found
    assert (found["KILTER_SANDBOX"], found["HOME"], found["EXTRA"]) == ("1", str(tmp_path), "1")
    assert found["OMP_NUM_THREADS"] == "1"


def test_limits_are_lowered_and_never_raised(tmp_path: Path) -> None:
    assert run(LIMITS, tmp_path) == [str(512 << 20), "5", "0", "True"]


def test_a_child_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    pid = int(run(ORPHAN, tmp_path)[0])
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the orphan lives on"
        time.sleep(0.05)

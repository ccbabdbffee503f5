"""The load, by ``wrk``: a closed loop in C that costs far less than the server it loads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.serving.wire import Call

__all__ = ["is_installed", "load"]

_SCRIPT = Path(__file__).with_name("post.lua")


def is_installed() -> bool:
    """Say whether wrk is there."""
    return shutil.which("wrk") is not None


def load(port: int, call: Call, connections: int, seconds: float) -> dict[str, float]:
    """Load for whole seconds; return what came of it.

    Raises
    ------
    RuntimeError
        If wrk fails.
    """
    whole = max(1, round(seconds))
    with tempfile.NamedTemporaryFile() as body:
        body.write(call.body)
        body.flush()
        headers = "\n".join(f"{name}: {value}" for name, value in call.headers.items())
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "30s", "-s", str(_SCRIPT)]
        done = subprocess.run(  # noqa: S603 - our own command
            [*argv, f"http://127.0.0.1:{port}{call.path}"],
            env={**os.environ, "BENCH_BODY": body.name, "BENCH_HEADERS": headers},
            capture_output=True,
            check=False,
            text=True,
        )
    line = done.stdout.rpartition("\n@")[2]
    if done.returncode or not line.startswith("{"):
        message = f"wrk failed: {(done.stderr or done.stdout)[-300:]}"
        raise RuntimeError(message)
    figures: dict[str, float] = json.loads(line)
    return {**figures, "answered": figures["requests"], "per_second": figures["requests"] / figures["seconds"]}

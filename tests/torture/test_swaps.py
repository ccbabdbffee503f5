"""A sample of the torture by swaps; ``make torture`` runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_request_fails_or_is_answered_by_a_version_that_is_not_routed() -> None:
    argv = [sys.executable, "-m", "tests.torture.swaps", "--swaps", "8", "--connections", "8"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert (told["swaps"], told["failed"], told["wrong"]) == (8, 0, 0)
    assert told["requests"] > 100
    assert told["requests_quiet"] + told["requests_swapping"] <= told["requests"]
    assert told["p99_within_twice"] is (told["p99_ratio"] <= 2.0)  # said, not asked for: cores may be busy

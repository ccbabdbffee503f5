"""A sample of the soak; ``make soak`` runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_answer_is_in_the_compacted_log_once() -> None:
    argv = [sys.executable, "-m", "tests.torture.soak", "--requests", "3000", "--connections", "8"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert (told["answered"], told["rows"], told["distinct"]) == (3_000, 3_000, 3_000)
    assert (told["failed"], told["segments_left"]) == (0, 0)
    assert told["parts"] > 0
    assert told["memory_early_mib"] > 0.0

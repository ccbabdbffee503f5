"""A sample of the torture by kills; ``make torture`` runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("durable", ["process", "disk"])
def test_every_acknowledged_prediction_is_on_record_once(durable: str) -> None:
    argv = [sys.executable, "-m", "tests.torture.kill", "--kills", "3", "--durable", durable]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert sum(told["kills"].values()) == 3
    assert (told["missing"], told["twice"], told["open_records"]) == (0, 0, 0)
    assert told["recorded"] >= told["acknowledged"] > 60

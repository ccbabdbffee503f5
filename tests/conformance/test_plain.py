"""Claims about the protocols, by plain HTTP and bare gRPC: the cells of clients that are too heavy to install."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROWS = {
    "tritonclient http: live, ready, model ready, metadata": 3,
    "repository index with empty body; config; statistics; load": 4,
    "http infer JSON to JSON; gzip and deflate": 6,
    "http binary/JSON, JSON/binary, binary/binary, defaults, raw": 9,
    "tritonclient grpc: infer raw and typed, metadata, index, config, statistics": 8,
    "malformed requests: right 4xx, {error} string, server still ready": 200,
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run the suite's own client against a real kilter, once."""
    file = tmp_path_factory.mktemp("cells") / "cells.json"
    argv = [sys.executable, "-m", "tests.conformance", "--clients", "plain", "--json", str(file)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert file.is_file(), done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(file.read_text())
    assert done.returncode == any(cell["error"] for cell in found)
    return found


@pytest.mark.parametrize(("row", "least"), ROWS.items())
def test_every_call_of_a_row_succeeds(cells: list[dict[str, Any]], row: str, least: int) -> None:
    failed = [f"{cell['call']}: {cell['error']}" for cell in cells if cell["row"] == row and cell["error"]]
    assert not failed, "\n".join(failed)
    assert Counter(cell["row"] for cell in cells)[row] >= least


def test_no_row_is_unknown(cells: list[dict[str, Any]]) -> None:
    assert {cell["row"] for cell in cells} == set(ROWS)


def test_every_difference_from_triton_has_a_reason() -> None:
    entries = tomllib.loads((HERE / "triton" / "differences.toml").read_text())["difference"]
    assert entries
    for entry in entries:
        assert set(entry) <= {"what", "request", "kilter", "triton", "reason"}
        assert entry["what"]
        assert len(entry["reason"]) > 20

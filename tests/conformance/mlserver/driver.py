"""The command ``mlserver infer``, which sends batches of stored requests, against a running kilter."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conformance.cell import Cells, close

ROW = "`mlserver infer` command"
_TIMEOUT_S = 60


def _requests(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one inference request per row."""
    made = []
    for row in deployment["rows"]:
        if deployment["name"] == "matrix":
            inputs = [{"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row}]
        else:
            inputs = [
                {"name": name, "shape": [1, 1], "datatype": datatype, "data": [row[name]]}
                for name, datatype in deployment["datatypes"].items()
            ]
        made.append({"inputs": inputs, "outputs": [{"name": "probabilities"}]})
    return made


def _infer(cells: Cells, deployment: dict[str, Any], *options: str) -> list[list[float]]:
    """Run the command and return the probabilities in the order of the requests."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        given.write_text("".join(json.dumps(one) + "\n" for one in _requests(deployment)))
        command = Path(sys.executable).with_name("mlserver")
        argv = ["infer", "-u", f"127.0.0.1:{cells.http}", "-m", deployment["name"]]
        argv += ["-i", str(given), "-o", str(taken), "-r", "1", "-w", "2", *options]
        done = subprocess.run([str(command), *argv], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode or not taken.is_file():
            message = f"exit code {done.returncode}: {done.stderr[-400:]}"
            raise ValueError(message)
        lines = [json.loads(line) for line in taken.read_text().splitlines()]
    if failed := [line for line in lines if "outputs" not in line]:
        message = f"{len(failed)} of {len(lines)} requests failed, the first: {failed[0]}"
        raise ValueError(message)
    lines.sort(key=lambda line: line["parameters"]["batch_index"])
    return [line["outputs"][0]["data"] for line in lines]


def main() -> None:
    """Run all cells."""
    cells = Cells(sys.argv[1])
    for deployment in (cells.matrix, cells.mixed):
        for options, call in (
            ((), "one request at a time"),
            (("-s", "3"), "micro-batches of 3"),
            (("-b",), "binary"),
            (("-b", "-s", "3"), "binary micro-batches"),
        ):
            with cells.cell(ROW, f"{deployment['name']}, {call}"):
                close(_infer(cells, deployment, *options), deployment["probabilities"])


if __name__ == "__main__":
    main()

"""``python -m tests.conformance``: every public client against a running kilter, each in its own process.

Each client lives in an environment of its own, made from ``<client>/requirements.txt`` (their protobuf
descriptions clash in one process); its driver prints one line of JSON per call. ``plain`` needs no
package beyond kilter's own and runs in the tests. Exit code 1 if a call failed or a client could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.serving.environment import MakeError, environment
from tests.conformance import plane

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_CLIENTS = ("plain", "tritonclient", "kserve", "mlflow", "mlserver")
_DRIVER_S = 600.0


def main() -> int:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", default=",".join(_CLIENTS), help=f"a list of {', '.join(_CLIENTS)}")
    parser.add_argument("--envs", default=".bench", help="where the clients' environments are kept (default .bench)")
    parser.add_argument("--triton", action="store_true", help="instead: replay requests to a real Triton and compare")
    parser.add_argument("--json", default="", help="write all cells to this file")
    given = parser.parse_args()
    envs = Path(given.envs).resolve()
    with tempfile.TemporaryDirectory(prefix="kilter-conformance-") as name, plane.running(Path(name)) as target:
        file = Path(name) / "target.json"
        file.write_text(json.dumps(target))
        if given.triton:
            from tests.conformance.triton import differential  # noqa: PLC0415 - it alone needs a Triton

            return differential.run(target, envs=envs, folder=Path(name))
        cells: list[dict[str, Any]] = []
        for client in given.clients.split(","):
            cells += _run(client, file, envs)
    _show(cells)
    if given.json:
        Path(given.json).write_text(json.dumps(cells, indent=1) + "\n")
    return 1 if any(cell["error"] for cell in cells) else 0


def _run(client: str, target: Path, envs: Path) -> list[dict[str, Any]]:
    """Run one client's driver; what went wrong with the driver itself is a cell as well."""
    folder = _HERE / client
    row = f"{client}: the driver runs"
    try:
        requirements = folder / "requirements.txt"
        python = environment(requirements, envs / client) if requirements.is_file() else Path(sys.executable)
        done = subprocess.run(
            [str(python), str(folder / "driver.py"), str(target)],
            capture_output=True,
            check=False,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            text=True,
            timeout=_DRIVER_S,
        )
    except (MakeError, OSError, subprocess.TimeoutExpired) as cause:
        return [{"client": client, "row": row, "call": "start", "error": str(cause)[:600]}]
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"row"')]
    cells = [{"client": client, **json.loads(line)} for line in lines]
    if done.returncode or not cells:
        cells.append({"client": client, "row": row, "call": "end", "error": done.stderr[-600:] or "it said nothing"})
    return cells


def _show(cells: list[dict[str, Any]]) -> None:
    """Print the table, then what failed."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        rows.setdefault(cell["row"], []).append(cell)
    lines = ["| call | clients | cells | kilter |", "|---|---|--:|---|"]
    for row, found in rows.items():
        failed = sum(bool(cell["error"]) for cell in found)
        clients = ", ".join(dict.fromkeys(cell["client"] for cell in found))
        lines.append(f"| {row} | {clients} | {len(found)} | {'OK' if not failed else f'**{failed} failed**'} |")
    lines += ["", *(f"- {cell['client']}: {cell['call']}: {cell['error']}" for cell in cells if cell["error"])]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

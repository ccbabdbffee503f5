"""Millions of requests in a row: memory and descriptors stay flat, and every answer is found in the log once.

``python -m tests.torture.soak --requests 10000000`` loads one node, collects its log into Parquet all
the while as the control plane does, swaps versions now and then, and prints one JSON line. Exit code 1
if a request failed, a record is missing or there twice, a segment was not compacted, or a serving process grew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from kilter.app import App, build
from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.route import Route
from kilter.settings import transfer
from kilter.testing.node import Node
from kilter.testing.plane import table

__all__ = ["Outcome", "main", "soak"]

_ROOT = Path(__file__).parents[2]
_PAUSE_S = 1.0
_COLLECT_S = 10.0
_SWAP_S = 30.0
_WARM = 0.1
_GROWTH_MIB = 8.0
_MIB = 2**20
_END_NS = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. Memory is that of the largest serving process, after warming up and at the end."""

    requests: int
    answered: int
    failed: int
    refused: int
    rows: int
    distinct: int
    swaps: int
    seconds: float
    memory_early_mib: float
    memory_late_mib: float
    memory_most_mib: float
    descriptors_early: int
    descriptors_late: int
    parts: int
    segments_left: int

    @property
    def is_clean(self) -> bool:
        """Whether every answer is on record once, nothing is left to compact and nothing grew."""
        is_whole = self.answered == self.requests == self.rows == self.distinct and not self.failed
        is_flat = self.memory_late_mib - self.memory_early_mib <= _GROWTH_MIB
        return is_whole and is_flat and self.descriptors_late <= self.descriptors_early and not self.segments_left


def soak(folder: Path, *, requests: int, workers: int = 1, connections: int = 64) -> Outcome:
    """Load a node.

    Parameters
    ----------
    folder : Path
        Empty; the node's home goes there.
    requests, workers, connections : int
        How many requests, serving processes and users.
    """
    node = Node(folder)
    versions = (node.version(1), node.version(2, factor=2.0))
    route = Route(deployment="sum", champion=versions[0], previous=versions[1])
    node.routes.propose(table(1, route))
    node.routes.settle(1)
    node.start(workers=workers)
    app = build(transfer.read(str(node.settings)))
    try:
        node.until_ready(workers=workers)
        begun, swaps = time.monotonic(), 0
        samples: list[tuple[float, int]] = []
        out = folder / "count.json"
        argv = [sys.executable, "-m", "tests.torture.users", "--port", str(node.port), "--out", str(out)]
        argv += ["--connections", str(connections), "--requests", str(requests)]
        with subprocess.Popen(argv, cwd=_ROOT) as users:
            next_collect, next_swap = begun + _COLLECT_S, begun + _SWAP_S
            while users.poll() is None:
                time.sleep(_PAUSE_S)
                samples += _sample(node)
                if time.monotonic() > next_collect:
                    app.collector.collect(app.clock.now())
                    next_collect = time.monotonic() + _COLLECT_S
                if time.monotonic() > next_swap:
                    swaps += 1
                    champion, previous = versions[::-1] if swaps % 2 else versions
                    node.routes.propose(table(swaps + 1, replace(route, champion=champion, previous=previous)))
                    next_swap = time.monotonic() + _SWAP_S
        elapsed_s = time.monotonic() - begun
        samples += _sample(node)
    finally:
        node.stop()
    told = json.loads(out.read_text())
    app.collector.collect(app.clock.now())
    rows, distinct, parts = _accounted(app)
    app.close()
    samples = samples or [(math.nan, 0)]  # never seen on the board: nobody can say that it is flat
    early, late = samples[int(len(samples) * _WARM)], samples[-1]
    return Outcome(
        requests=requests,
        answered=told["answered"],
        failed=told["failed"],
        refused=told["refused"],
        rows=rows,
        distinct=distinct,
        swaps=swaps,
        seconds=elapsed_s,
        memory_early_mib=early[0],
        memory_late_mib=late[0],
        memory_most_mib=max(sample[0] for sample in samples),
        descriptors_early=early[1],
        descriptors_late=late[1],
        parts=parts,
        segments_left=len(list((node.home / "log").glob("*.open"))),
    )


def _sample(node: Node) -> list[tuple[float, int]]:
    """Return memory and open descriptors of the largest serving process, or nothing while none is on the board."""
    found = []
    for status in node.board.statuses():
        proc = Path(f"/proc/{status.pid}")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended since it was on the board
            pages = int((proc / "statm").read_text().split()[1])
            found.append((pages * 4_096 / _MIB, sum(_is_file(link) for link in (proc / "fd").iterdir())))
    return [max(found)] if found else []


def _is_file(link: Path) -> bool:
    """Tell whether a descriptor is neither a connection nor closed since it was listed."""
    try:
        return not str(link.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False


def _accounted(app: App) -> tuple[int, int, int]:
    """Return rows and distinct ids of all committed parts, and how many parts there are."""
    parts = app.metadata.read(
        lambda tx: tx.list(LogPart, where={"deployment": "sum", "kind": "prediction"}, limit=5_000)
    )
    rows = distinct = 0
    for part in parts:  # a part holds whole requests, so an id in two parts would be one row too many
        query = RowQuery(deployment="sum", start_ns=0, end_ns=_END_NS, with_columns=False)
        joined = app.table.rows([part], query)
        rows += joined.n
        distinct += len(np.unique(np.asarray(joined.ids)))
    return rows, distinct, len(parts)


def main() -> int:
    """Soak and print; exit code 1 if it was not clean."""
    parser = argparse.ArgumentParser(prog="tests.torture.soak")
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = soak(Path(folder), requests=given.requests, workers=given.workers, connections=given.connections)
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())

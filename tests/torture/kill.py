"""Kills at random moments: every acknowledged prediction is on record, exactly once.

``python -m tests.torture.kill --kills 100 --durable process`` runs one node under load and ends, with
``SIGKILL``, one of its processes at a time: serving processes, the one that compacts the log, the
supervisor with everything below it. Then the log is recovered and compacted, and what clients were told is
compared with it. Prints one JSON line; exit code 1 if a record is missing, there twice, or miscounted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from kilter.app import App, build
from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.route import Route
from kilter.settings import transfer
from kilter.testing.node import Node
from kilter.testing.plane import table

__all__ = ["Outcome", "main", "torture"]

_REQUEST = b'{"rows": [{"a": 1.0, "b": 2.0}]}'
_BETWEEN = 20  # acknowledged predictions between two kills
_LIMIT_S = 60.0
_LATEST_S = 0.2
_PAGE = 5_000
_END_NS = 2**62
_COMPACT = """
import sys, time
from kilter.app import build
from kilter.settings import transfer
app = build(transfer.read(sys.argv[1]))
while True:
    app.collector.collect(app.clock.now())
    app.caretaker.tend(app.clock.now())
    time.sleep(0.05)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. ``open_records``: of compacted segments, but not accounted for by the parts."""

    durable: str
    kills: dict[str, int]
    acknowledged: int
    broken: int
    recorded: int
    missing: int
    twice: int
    open_records: int

    @property
    def is_clean(self) -> bool:
        """Whether every acknowledged prediction is on record once, and every record is accounted for."""
        return not (self.missing or self.twice or self.open_records)


@dataclass
class _Load:
    """Users on connections of their own, who go on after a connection breaks."""

    node: Node
    acknowledged: list[str] = field(default_factory=list)
    broken: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, users: int) -> None:
        """Begin."""
        self.threads = [threading.Thread(target=self._ask) for _ in range(users)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self.is_over.set()
        for thread in self.threads:
            thread.join(_LIMIT_S)

    def _ask(self) -> None:
        """Ask until it is over."""
        connection = None
        while not self.is_over.is_set():
            if connection is None or connection.port != self.node.port:
                connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=10)
            try:
                connection.request("POST", "/predict/sum", _REQUEST)
                answer = connection.getresponse()
                told = answer.read()
            except (OSError, http.client.HTTPException):
                self.broken += 1
                connection.close()
                self.is_over.wait(0.01)
                continue
            if answer.status == 200:
                self.acknowledged.append(json.loads(told)["prediction_id"])
        if connection is not None:
            connection.close()


def torture(folder: Path, *, kills: int, durable: str = "process", workers: int = 2, seed: int = 0) -> Outcome:
    """Kill under load, then compare what was told with what is on record.

    Parameters
    ----------
    folder : Path
        Empty; the node's home goes there.
    kills : int
        How many processes are killed.
    durable : str
        Level of the deployment's log.
    workers : int
        Serving processes.
    seed : int
        Decides who is killed when.
    """
    chance = Random(seed)  # noqa: S311 - moments, not secrets
    node = Node(folder)
    node.routes.propose(table(1, Route(deployment="sum", champion=node.version(1), durable=durable)))
    node.routes.settle(1)
    compactor = f"compactor={json.dumps([sys.executable, '-c', _COMPACT, str(node.settings)])}"
    node.start("--child", compactor, workers=workers)
    load, counts = _Load(node), Counter[str]()
    try:
        node.until_ready(workers=workers)
        load.start(users=6)
        for number in range(kills):
            whom = "supervisor" if number % 10 == 2 else "compactor" if number % 10 in {1, 6} else "serving"
            wanted = len(load.acknowledged) + _BETWEEN
            node.until(lambda wanted=wanted: len(load.acknowledged) >= wanted)  # type: ignore[misc]  # bound now
            time.sleep(chance.uniform(0.0, _LATEST_S))
            counts[whom] += _kill(node, whom, chance)
            if whom == "supervisor":
                node.until(lambda: not node.board.statuses())
                node.start("--child", compactor, workers=workers)
            node.until_ready(workers=workers)
    finally:
        load.stop()
        node.stop()
    return _compared(build(transfer.read(node.settings)), load, durable=durable, kills=dict(counts))


def _kill(node: Node, whom: str, chance: Random) -> int:
    """Kill one process of this kind; 0 if there is none at the moment."""
    if node.process is None:
        return 0
    if whom == "supervisor":
        node.process.kill()
        node.process.wait(_LIMIT_S)
        return 1
    serving = {status.pid for status in node.board.statuses()}
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    others = sorted({int(pid) for pid in children} - serving)
    found = sorted(serving) if whom == "serving" else others
    if not found:
        return 0
    victim = chance.choice(found)
    node.kill(victim)
    node.until_gone(victim)
    return 1


def _compared(app: App, load: _Load, *, durable: str, kills: dict[str, int]) -> Outcome:
    """Collect the rest, and compare."""
    try:
        app.collector.collect(app.clock.now())
        parts = _parts(app)
        rows = app.table.rows(parts, RowQuery(deployment="sum", start_ns=0, end_ns=_END_NS))
        found = Counter(str(row).partition(":")[0] for row in np.asarray(rows.ids).tolist())
        ledger = app.caretaker.ledger()
        return Outcome(
            durable=durable,
            kills=kills,
            acknowledged=len(load.acknowledged),
            broken=load.broken,
            recorded=len(found),
            missing=len(set(load.acknowledged) - found.keys()),
            twice=sum(times > 1 for times in found.values()),
            open_records=ledger.logged - ledger.kept - ledger.doubles,
        )
    finally:
        app.close()


def _parts(app: App) -> list[LogPart]:
    """Read the rows of all parts."""
    found: list[LogPart] = []
    page: tuple[LogPart, ...] = ()
    while not found or len(page) == _PAGE:
        after = found[-1].id if found else None
        page = app.metadata.read(lambda tx, after=after: tx.list(LogPart, limit=_PAGE, after=after))  # type: ignore[misc]  # bound now
        found += page
        if not page:
            break
    return found


def main() -> int:
    """Torture and print; exit code 1 if anything is missing, there twice, or miscounted."""
    parser = argparse.ArgumentParser(prog="tests.torture.kill")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--durable", choices=("process", "disk"), default="process")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = torture(
            Path(folder), kills=given.kills, durable=given.durable, workers=given.workers, seed=given.seed
        )
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())

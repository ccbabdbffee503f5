"""Swaps under load: none may fail a request, be answered by a version that is not routed, or be felt.

``python -m tests.torture.swaps --swaps 200`` prints one JSON line; its exit code is 1 if a request
failed or was answered by the wrong version; whether the slowest hundredth took at most twice as long as
without swaps is said too, but depends on the machine. When a table comes into force is read off the page that
all processes see, in a loop without pauses, so both ends of that moment are known to microseconds. A
request that began after it must not be answered by the version before; one that ended before it, not
by the version after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tests.torture.users import Answer

from kilter.contracts.route import Route
from kilter.stores.flip import FlipPage
from kilter.testing.node import Node
from kilter.testing.plane import table

__all__ = ["Outcome", "main", "torture"]

_ROOT = Path(__file__).parents[2]
_SETTLE_S = 60.0
_TWICE = 2.0
_WARM_S = 0.5
_SWAP_S = 0.05
_QUIET_SHARE = 0.75  # of the time of swapping, on each side of it: more requests without swaps than with


class Flip(NamedTuple):
    """A table came into force between two moments."""

    after_ns: int
    before_ns: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    swaps: int
    requests: int
    failed: int
    wrong: int
    requests_quiet: int
    requests_swapping: int
    p99_before_ms: float
    p99_after_ms: float
    p99_quiet_ms: float
    p99_swapping_ms: float
    p99_ratio: float | None
    longest_swap_ms: float

    @property
    def is_clean(self) -> bool:
        """Whether no request failed or was answered by a version that was not routed."""
        return not self.failed and not self.wrong

    @property
    def p99_within_twice(self) -> bool:
        """Whether swaps at most doubled the 99th percentile."""
        return self.p99_ratio is not None and self.p99_ratio <= _TWICE


class _Load:
    """Users in a process of their own, so that watching the page takes nothing from them."""

    def __init__(self, port: int, connections: int, out: Path) -> None:
        self._out = out
        argv = [sys.executable, "-m", "tests.torture.users", "--port", str(port)]
        argv += ["--connections", str(connections), "--out", str(out)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=_ROOT)

    def stop(self) -> list[Answer]:
        """Let the requests in flight end; return how all went."""
        self._process.communicate(timeout=_SETTLE_S)
        return [Answer(*row) for row in np.frombuffer(self._out.read_bytes(), np.int64).reshape(-1, 3).tolist()]


def torture(
    folder: Path,
    *,
    swaps: int,
    workers: int = 2,
    connections: int = 16,
    pause_s: float = 0.1,
    quiet_s: float = 2.0,
) -> Outcome:
    """Swap two versions back and forth under load.

    Parameters
    ----------
    folder : Path
        Empty; the node's home goes there.
    swaps, workers, connections : int
        How many swaps, serving processes and users.
    pause_s : float
        Between two swaps.
    quiet_s : float
        How long to measure at least without swaps, before and after.
    """
    node = Node(folder)
    versions = (node.version(1), node.version(2, factor=2.0))
    route = Route(deployment="sum", champion=versions[0], previous=versions[1])
    node.routes.propose(table(1, route))
    node.routes.settle(1)
    node.start(workers=workers)
    try:
        node.until_ready(workers=workers)
        load = _Load(node.port, connections, folder / "answers")
        flips = [Flip(0, 0, 1)]
        time.sleep(_WARM_S)
        quiet_ns = time.monotonic_ns()
        time.sleep(max(quiet_s, _QUIET_SHARE * swaps * (pause_s + _SWAP_S)))
        begun_ns, durations = time.monotonic_ns(), []
        for number in range(2, swaps + 2):
            champion, previous = versions[::-1] if number % 2 == 0 else versions
            asked_ns = time.monotonic_ns()
            flips.append(_swap(node, replace(route, champion=champion, previous=previous), number))
            durations.append((flips[-1].before_ns - asked_ns) / 1e6)
            time.sleep(pause_s)
        ended_ns = time.monotonic_ns()
        swapping_s, before_s = (ended_ns - begun_ns) / 1e9, (begun_ns - quiet_ns) / 1e9
        time.sleep(max(quiet_s, _QUIET_SHARE * swapping_s, 2 * _QUIET_SHARE * swapping_s - before_s))
        answers = load.stop()
    finally:
        node.stop()
    swapping = [answer for answer in answers if begun_ns <= answer.begun_ns < ended_ns]
    before = [answer for answer in answers if quiet_ns <= answer.begun_ns < begun_ns]
    after = [answer for answer in answers if ended_ns <= answer.begun_ns]
    p99_quiet_ms, p99_swapping_ms = _p99_ms(before + after), _p99_ms(swapping)
    return Outcome(
        swaps=swaps,
        requests=len(answers),
        failed=sum(answer.version == 0 for answer in answers),
        wrong=_wrong(answers, flips),
        requests_quiet=len(before) + len(after),
        requests_swapping=len(swapping),
        p99_before_ms=_p99_ms(before),
        p99_after_ms=_p99_ms(after),
        p99_quiet_ms=p99_quiet_ms,
        p99_swapping_ms=p99_swapping_ms,
        p99_ratio=p99_swapping_ms / p99_quiet_ms if before + after else None,
        longest_swap_ms=max(durations, default=0.0),
    )


def _swap(node: Node, route: Route, generation: int) -> Flip:
    """Propose a table, and watch the page until it is in force."""
    page = FlipPage(node.home / "run").marks
    before = page[0]
    deadline = time.monotonic() + _SETTLE_S
    asked_ns = after_ns = time.monotonic_ns()
    node.routes.propose(table(generation, route))
    while page[0] == before:
        after_ns = asked_ns  # when it was asked, not when the answer came: this process may rest in between
        asked_ns = time.monotonic_ns()
        if time.monotonic() > deadline:
            raise TimeoutError((node.home / "supervisor.log").read_text()[-3_000:])
    return Flip(after_ns, time.monotonic_ns(), route.champion.version)


def _wrong(answers: list[Answer], flips: list[Flip]) -> int:
    """Count answers by a version that was not in force at any moment of their request."""
    wrong, position = 0, 0
    for answer in sorted(answers):
        while position + 1 < len(flips) and flips[position + 1].before_ns <= answer.begun_ns:
            position += 1
        routed = {flips[position].version}
        for flip in flips[position + 1 :]:
            if flip.after_ns > answer.ended_ns:
                break
            routed.add(flip.version)
        wrong += answer.version > 0 and answer.version not in routed
    return wrong


def _p99_ms(answers: list[Answer]) -> float:
    """Return the 99th percentile of the durations."""
    durations = sorted(answer.ended_ns - answer.begun_ns for answer in answers)
    return durations[int(len(durations) * 0.99)] / 1e6 if durations else 0.0


def main() -> int:
    """Torture and print; exit code 1 if it was felt as an error."""
    parser = argparse.ArgumentParser(prog="tests.torture.swaps")
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pause", type=float, default=0.1, metavar="SECONDS", help="between two swaps; default 0.1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = torture(
            Path(folder),
            swaps=given.swaps,
            workers=given.workers,
            connections=given.connections,
            pause_s=given.pause,
        )
    sys.stdout.write(json.dumps({**asdict(outcome), "p99_within_twice": outcome.p99_within_twice}) + "\n")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())

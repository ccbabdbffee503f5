"""``python -m tests.fuzz``: hostile bytes against a real node, at full speed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from tests.fuzz.campaign import run
from tests.fuzz.mutation import Cases
from tests.fuzz.plane import Plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.campaign import Outcome

_GROWTH_BYTES = 8 * 2**20
_GROWTH_FILES = 8


def fuzz(
    *,
    seed: int,
    cases: Sequence[int],
    connections: int = 16,
    is_differential: bool = False,
    growth_bytes: int = _GROWTH_BYTES,
) -> tuple[Outcome, list[str]]:
    """Start one node, or two that differ in the fast path, and send cases; return what was found, and the faults.

    Parameters
    ----------
    seed, cases, connections : int, sequence of int, int
        Which cases, and how many are sent at once.
    is_differential : bool
        Whether a node without the fast path gets the same.
    growth_bytes : int
        Memory that a serving process may gain after the first fifth of the cases; a few cases warm up little.

    Returns
    -------
    tuple of Outcome and list of str
        What was found, and what of it is wrong.
    """
    with ExitStack() as stack:
        planes = []
        for fast_path in ("auto", "off")[: 2 if is_differential else 1]:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            plane = Plane(Path(folder))
            stack.callback(plane.stop)
            plane.launch(fast_path=fast_path)
            planes.append(plane)
        outcome = uvloop.run(run(planes, seed=seed, cases=cases, connections=connections))
    faults = list(outcome.faults)
    faults += [f"memory grew by {grown} bytes" for grown in outcome.memory_growth_bytes if grown > growth_bytes]
    faults += [f"{grown} more files are open" for grown in outcome.descriptor_growth if grown > _GROWTH_FILES]
    return outcome, faults


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign, print what was found; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--differential", action="store_true", help="the same to a node without the fast path")
    parser.add_argument("--case", type=int, default=None, help="only this one, printed whole")
    given = parser.parse_args(arguments)
    numbers: Sequence[int] = range(given.cases)
    if given.case is not None:
        numbers = [given.case]
        case = Cases(given.seed).case(given.case)
        sys.stdout.write(f"{case.how}\n" + "".join(f"{packet!r}\n" for packet in case.packets))
    outcome, faults = fuzz(
        seed=given.seed, cases=numbers, connections=given.connections, is_differential=given.differential
    )
    sys.stdout.write("".join(f"{count:>9}  {status}\n" for status, count in sorted(outcome.statuses.items())))
    sys.stdout.write("".join(f"FAULT {fault}\n" for fault in faults))
    sys.stdout.write(json.dumps(outcome.summary()) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

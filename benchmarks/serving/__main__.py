"""``python -m benchmarks.serving``: a Markdown report, then one line of JSON.

One run measures everything in turns, so that ratios compare like with like: kilter in its protocols,
its levels of durability and with two processes, the same HTTP server with nothing behind it, and other
servers of models with the same model and the same row, each in its own protocol and environment. All
are pinned to one thread per numeric library and checked to give the model's own probability before they
are loaded; whoever is not measured is paused. Medians of the rounds; absolute numbers belong to the
machine. People judge the verdicts: the exit code is 1 only if a request failed or was answered wrong.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving import peer as peers
from benchmarks.serving import report, wire
from benchmarks.serving.environment import MakeError
from benchmarks.serving.loader import WrongAnswerError, load, loader_name, verify
from benchmarks.serving.model import DEPLOYMENT, DURABLE
from benchmarks.serving.process import Running, StartError
from benchmarks.serving.subject import noop, start_kilter
from benchmarks.serving.target import verdicts

if TYPE_CHECKING:
    from benchmarks.serving.subject import Kilter

_FIGURES = ("per_second", "p50_ms", "p99_ms", "cpu_us", "failures")
_WORKER = "kilter.faces.serving --settings"
_BINARY_ROWS = 64


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured in every round."""

    name: str
    running: Running
    port: int
    call: wire.Call
    connections: tuple[int, ...]
    can_pause: bool = True
    is_checked: bool = True


class Bench:
    """All servers of one run, and what was measured of them."""

    def __init__(self, given: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self._given = given
        self._folder = folder
        self._stack = stack
        self.cases: list[Case] = []
        self.servers: dict[str, dict[str, float]] = {}
        self.skipped: dict[str, str] = {}
        self.wrong: list[str] = []
        self.rounds: dict[str, list[dict[str, float]]] = {}

    def start(self) -> None:
        """Start all servers; what cannot be measured is noted with its reason.

        Raises
        ------
        StartError
            If kilter or the no-op do not start.
        """
        one = self._kilter("kilter", workers=1)
        self._protocols(one)
        two = self._kilter("kilter-2", workers=2)
        self._add("kilter /predict, 2 workers", two.running, two.port, wire.own(DEPLOYMENT, two.published.row))
        for kind, name in (("asgi", "no-op, ASGI"), ("fast", "no-op, fast path")):
            running, port = noop(kind, self._folder)
            self._stack.callback(running.stop)
            call = wire.Call("/noop", wire.own(DEPLOYMENT, one.published.row).body, lambda _, __: 0.0)
            self._add(name, running, port, call, connections=(64, 1), is_checked=False)
        for peer in self._wanted():
            self._peer(peer, one)
        self._check(one.published.probability)

    def measure(self) -> None:
        """Load everything in turns, as often as asked."""
        distinct = {case.running.pid: case.running for case in self.cases if case.can_pause}
        for running in distinct.values():
            running.pause()
        for number in range(self._given.rounds):
            for case in self.cases:
                if case.can_pause:
                    case.running.resume()
                for connections in case.connections:
                    sys.stderr.write(f"round {number + 1}: {case.name}, {connections} connections\n")
                    self.rounds.setdefault(f"{case.name}@{connections}", []).append(self._load(case, connections))
                if case.can_pause:
                    case.running.pause()

    def _load(self, case: Case, connections: int) -> dict[str, float]:
        """Load one case, and note what its processes spent on it."""
        load(case.port, case.call, connections, 1.0)  # warm, and awake
        before_s = case.running.cpu_s()
        figures = load(case.port, case.call, connections, self._given.seconds)
        figures["cpu_us"] = (case.running.cpu_s() - before_s) * 1e6 / max(1.0, figures["answered"])
        return figures

    def _kilter(self, name: str, *, workers: int) -> Kilter:
        """Start a kilter."""
        kilter = start_kilter(name, self._folder, workers=workers)
        self._stack.callback(kilter.running.stop)
        self.servers[name] = {"ready_s": kilter.running.ready_s}
        return kilter

    def _protocols(self, one: Kilter) -> None:
        """Add the protocols and levels of one kilter with one serving process."""
        first = one.published.matrix[0].tolist()
        own = wire.own(DEPLOYMENT, one.published.row)
        self._add("kilter /predict", one.running, one.port, own, connections=(64, 1))
        self._add("kilter /predict, disk", one.running, one.port, wire.own(DURABLE, one.published.row))
        self._add("kilter OIP JSON", one.running, one.port, wire.open_inference(DEPLOYMENT, first))
        many = wire.binary(DEPLOYMENT, one.published.matrix[:_BINARY_ROWS])
        self._add(f"kilter binary, {_BINARY_ROWS} rows", one.running, one.port, many)
        if one.grpc_port > 0:
            self._add("kilter gRPC", one.running, one.grpc_port, wire.grpc(DEPLOYMENT, first))
        else:
            self.skipped["kilter gRPC"] = "this kilter announces no gRPC port"

    def _peer(self, peer: peers.Peer, one: Kilter) -> None:
        """Start another server."""
        try:
            started = peers.start(peer, envs=Path(self._given.envs).resolve(), folder=self._folder)
        except (MakeError, StartError) as cause:
            self.skipped[peer.name] = str(cause)
            return
        self._stack.callback(started.running.stop)
        self.servers[peer.name] = {"ready_s": started.running.ready_s}
        call = peer.call(one.published.matrix[0].tolist())
        self._add(peer.name, started.running, started.port, call, connections=(64, 1), can_pause=peer.can_pause)

    def _add(
        self,
        name: str,
        running: Running,
        port: int,
        call: wire.Call,
        *,
        connections: tuple[int, ...] = (64,),
        can_pause: bool = True,
        is_checked: bool = True,
    ) -> None:
        """Add a case."""
        self.cases.append(Case(name, running, port, call, connections, can_pause, is_checked))

    def _check(self, probability: float) -> None:
        """Keep the cases that answer right, and say why others do not."""
        right = []
        for case in self.cases:
            try:
                if case.is_checked:
                    verify(case.name, case.port, case.call, probability)
                right.append(case)
            except WrongAnswerError as cause:
                self.skipped[case.name] = str(cause)
                self.wrong.append(case.name)
        self.cases = right

    def weigh(self) -> None:
        """Note the memory of all servers after the load."""
        for running in {case.running.name: case.running for case in self.cases}.values():
            figures = self.servers.setdefault(running.name, {})
            figures["memory_mb"] = running.memory_mb()
            worker_mb = running.memory_mb(marker=_WORKER)
            if worker_mb:
                figures["worker_mb"] = worker_mb

    def _wanted(self) -> list[peers.Peer]:
        """Return the peers that were asked for."""
        every = {peer.name: peer for peer in (*peers.PEERS, *peers.OPTIONAL)}
        given = self._given.peers
        if given in {"none", "all"}:
            return [] if given == "none" else list(peers.PEERS)
        return [every[name] for name in given.split(",")]


def main() -> int:
    """Measure and print."""
    given = _arguments()
    if given.quick:
        given.rounds, given.seconds = 1, 1.0
    place = report.machine()
    with tempfile.TemporaryDirectory(prefix="kilter-bench-") as folder, ExitStack() as stack:
        bench = Bench(given, Path(folder), stack)
        bench.start()
        bench.measure()
        bench.weigh()
    medians = {
        case: {key: statistics.median(entry[key] for entry in entries) for key in _FIGURES}
        for case, entries in bench.rounds.items()
    }
    for case, entries in bench.rounds.items():
        if "loader_share" in entries[0]:
            medians[case]["loader_share"] = statistics.median(entry["loader_share"] for entry in entries)
    judged = verdicts(medians, bench.servers)
    command = shlex.join(["python", "-m", "benchmarks.serving", *sys.argv[1:]])
    text = report.markdown(
        command,
        medians,
        servers=bench.servers,
        judged=judged,
        skipped=bench.skipped,
        place=place,
        loader=loader_name(),
    )
    document = {
        "command": command,
        "medians": medians,
        "servers": bench.servers,
        "verdicts": [
            {"what": one.what, "value": one.value, "bound": one.bound, "is_met": one.is_met} for one in judged
        ],
        "skipped": bench.skipped,
        "rounds": bench.rounds,
        "machine": place,
        "loader": loader_name(),
    }
    sys.stdout.write(text + "\n\n" + json.dumps(document) + "\n")
    if given.json:
        Path(given.json).write_text(json.dumps(document, indent=1) + "\n")
    failures = sum(entry["failures"] for entries in bench.rounds.values() for entry in entries)
    return 1 if failures or bench.wrong else 0


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.serving", description="Measures kilter's data plane and its peers."
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns; medians are reported (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load per case and turn (default 4)")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second each: says that it works, not how fast"
    )
    known = ", ".join(peer.name for peer in (*peers.PEERS, *peers.OPTIONAL))
    parser.add_argument("--peers", default="none", help=f"none, all (the first four), or a list of {known}")
    parser.add_argument("--envs", default=".bench", help="where the peers' environments are kept (default .bench)")
    parser.add_argument("--json", default="", help="write the JSON to this file as well")
    given = parser.parse_args()
    names = {peer.name for peer in (*peers.PEERS, *peers.OPTIONAL)}
    if given.peers not in {"none", "all"} and (unknown := set(given.peers.split(",")) - names):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; known: {known}")
    return given


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks.serving.overload``: what is answered when more arrives than can be done; a table, then JSON.

For two kinds of models (one that the event loop runs itself, one in a process of its own) the capacity is measured
first, with as many connections as keep the server busy; then requests arrive by a Poisson process at multiples of it.
A refusal is not free: with k = load / capacity and s = its cost / that of an answer, at best min(1, (1 - k s)/(1 - s))
of capacity is answered. ``of bound`` compares with that. Both costs are processor time of the server.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import msgspec
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.serving.model import DEPLOYMENT
from benchmarks.serving.report import machine
from benchmarks.serving.subject import start_kilter
from kilter.contracts.model import Conversion, FileEntry, Manifest
from kilter.contracts.route import Route, RouteVariant
from kilter.policy.overload import best_goodput
from kilter.stores.files import FileBlobs
from kilter.stores.routes import RouteFiles

if TYPE_CHECKING:
    from benchmarks.serving.subject import Kilter

__all__ = ["main"]

_WORKER = "cancer-neighbours"
_COPIES = 200
_DEADLINE_MS = 1_000
_ROWS = 32


@dataclass(frozen=True, slots=True)
class _Case:
    """One deployment under load. ``timeout_ms`` holds under load; capacity is measured with the deployment's own."""

    name: str
    path: str
    body: bytes
    connections: int
    busy_connections: int
    timeout_ms: int


def main() -> int:
    """Measure and print; exit code 1 if anything but 200, 429, 503 and 504 was answered, or a connection was lost."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving.overload")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.7, 1.5, 3.0])
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--cases", nargs="+", default=["inline", "worker"])
    given = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = start_kilter("overload", Path(folder), workers=1)
        try:
            _add_worker(Path(folder) / "overload" / "home", server)
            row = server.published.row
            many, one = json.dumps({"rows": [row] * _ROWS}).encode(), json.dumps({"rows": [row]}).encode()
            cases = [
                _Case("inline", f"/predict/{DEPLOYMENT}", many, given.connections, 16, _DEADLINE_MS),
                _Case("worker", f"/predict/{_WORKER}", one, given.connections, 512, _DEADLINE_MS // 4),
            ]
            for case in cases:
                if case.name in given.cases:
                    results += _measured(server, case, given.loads, given.seconds)
        finally:
            server.running.stop()
    _show(results)
    return 1 if any(result["wrong"] for result in results) else 0


def _measured(server: Kilter, case: _Case, loads: list[float], seconds: float) -> list[dict[str, Any]]:
    """Measure the capacity, then each load."""
    busy, busy_cpu_s = _load(server, case, rate=0.0, seconds=seconds, connections=case.busy_connections)
    capacity = busy["accepted_per_second"]
    answer_s = busy_cpu_s / max(1, busy["accepted"])
    runs = []
    for load in loads:
        made, cpu_s = _load(server, case, rate=load * capacity, seconds=seconds, connections=case.connections)
        runs.append((load, made, cpu_s))
    refusal_s, most = 0.0, 0
    for _, made, cpu_s in runs:  # the run with the most refusals tells best what one costs
        refused = sum(count for status, count in made["statuses"].items() if status != "200")
        if refused > most:
            refusal_s, most = max(0.0, cpu_s - made["accepted"] * answer_s) / refused, refused
    return [_row(case, load, made, capacity, (answer_s, refusal_s)) for load, made, _ in ((0.0, busy, 0.0), *runs)]


def _load(
    server: Kilter, case: _Case, *, rate: float, seconds: float, connections: int
) -> tuple[dict[str, Any], float]:
    """Run the generator in a process of its own; return its report, and the processor time of the server.

    The time is scaled to the measured span: the warm-up is load as well.
    """
    warm_up = 2.0
    argv = [sys.executable, "-m", "benchmarks.serving.arrivals", "--port", str(server.port), "--path", case.path]
    argv += ["--connections", str(connections), "--rate", str(rate), "--seconds", str(seconds)]
    argv += ["--warm-up", str(warm_up), "--grace", str(2 * _DEADLINE_MS / 1e3)]
    argv += ["--timeout-ms", str(case.timeout_ms if rate else 0)]
    before_s = server.running.cpu_s()
    done = subprocess.run(argv, input=case.body, capture_output=True, check=True)  # noqa: S603 - ourselves
    spent_s = server.running.cpu_s() - before_s
    made: dict[str, Any] = json.loads(done.stdout)
    return made, spent_s * seconds / (seconds + warm_up)


def _row(
    case: _Case, load: float, made: dict[str, Any], capacity: float, costs_s: tuple[float, float]
) -> dict[str, Any]:
    """Put one line together; load 0 is the measurement of capacity."""
    answer_s, refusal_s = costs_s
    statuses = made["statuses"]
    share = min(0.95, refusal_s / answer_s) if answer_s else 0.0
    bound = best_goodput(load, share) if load > 1.0 else min(1.0, load or 1.0)
    goodput = made["accepted_per_second"] / capacity
    refused = statuses.get("429", 0)
    wrong = made["lost"] + sum(n for status, n in statuses.items() if status not in ("200", "429", "503", "504"))
    return {
        "case": case.name,
        "load": load,
        "deadline_ms": case.timeout_ms if load else _DEADLINE_MS,
        "capacity_per_second": capacity,
        "answer_us": answer_s * 1e6,
        "refusal_us": refusal_s * 1e6,
        "goodput": goodput,
        "bound": bound,
        "of_bound": goodput / bound if bound else 0.0,
        "refused_share": refused / max(1, sum(statuses.values())),
        "with_retry_after_share": made["with_retry_after"] / refused if refused else 1.0,
        "wrong": wrong,
        **made,
    }


def _add_worker(home: Path, server: Kilter) -> None:
    """Serve neighbours, too, as scikit-learn's own file: a process of its own, and each row costs as much as the last.

    Such a model gains little from batches, so it is the lane that is full, and neither the loop nor the generator.
    """
    data = load_breast_cancer()
    blobs, routes = FileBlobs(str(home)), RouteFiles(home / "route")
    live = routes.live()
    if live is None:
        return
    onnx = msgspec.json.decode(blobs.get(live.routes[0].champion.digest), type=Manifest)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.joblib"
        model = KNeighborsClassifier(algorithm="brute").fit(
            np.tile(data.data, (_COPIES, 1)), np.tile(data.target, _COPIES)
        )
        joblib.dump(model, path)
        content = path.read_bytes()
    manifest = replace(
        onnx,
        runtime="sklearn",
        runtime_file="model.joblib",
        files=(FileEntry(path="model.joblib", size_bytes=len(content), digest=blobs.put(content)),),
        golden_file="",
        conversion=Conversion(source_format="sklearn", converted=False, reason="benchmark"),
    )
    champion = RouteVariant(version=1, digest=blobs.put(msgspec.json.encode(manifest)))
    route = Route(deployment=_WORKER, champion=champion, deadline_ms=_DEADLINE_MS, max_in_flight=1_024)
    routes.propose(replace(live, generation=live.generation + 1, routes=(*live.routes, route)))
    server.running.await_ready(lambda: server.port, f"/v2/models/{_WORKER}/ready", timeout_s=60.0)


def _show(results: list[dict[str, Any]]) -> None:
    """Print the table and the JSON."""
    columns = ["case", "load", "answered/s", "goodput", "bound", "of bound", "p50 ms", "p99 ms", "deadline ms"]
    columns += ["429", "with Retry-After", "other"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in results:
        others = sum(count for status, count in row["statuses"].items() if status not in ("200", "429"))
        others += row["unsent"] + row["unanswered"] + row["lost"]
        load = f"{row['load']:g}x" if row["load"] else "capacity"
        lines.append(
            f"| {row['case']} | {load} | {row['accepted_per_second']:,.0f} | {row['goodput']:.2f} | {row['bound']:.2f} "
            f"| {row['of_bound']:.2f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['deadline_ms']} "
            f"| {row['refused_share']:.0%} | {row['with_retry_after_share']:.0%} | {others} |"
        )
    print("\n".join(lines))
    print(json.dumps({"results": results, "machine": machine()}))


if __name__ == "__main__":
    sys.exit(main())

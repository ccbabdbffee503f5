"""``python -m benchmarks.serving``: a Markdown table, then one JSON line.

One serving process, started as ``kilter up`` starts it, answers rounds of requests that alternate
between ``/predict`` (decode, route, run the model, write the record, encode) and ``/noop`` (the same
server and settings, a constant answer). Medians of the rounds; ratios matter, absolute numbers
belong to the machine, and the load shares its cores. ``cpu us`` is the processor time that the
server spent on a request, kernel included. People judge the figures: the exit code is 1 only if a
request failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving.model import DEPLOYMENT, publish
from kilter.faces.serving.processes.child import pinned_environment
from kilter.faces.serving.processes.listener import listen
from kilter.settings import transfer
from kilter.settings.tree import ProjectSettings, Settings

_PACKAGES = ("numpy", "onnxruntime", "uvicorn", "uvloop", "httptools", "msgspec", "orjson")
_START_S = 30.0
_FIGURES = ("per_second", "p50_ms", "p99_ms", "cpu_us")


def main() -> int:
    """Measure and print; exit code 1 if a request failed."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        published = publish(home)
        settings = Path(folder) / "settings.json"
        transfer.write(Settings(project=ProjectSettings(home=str(home), folder=folder)), settings)
        body = json.dumps({"rows": [published.row]}).encode()
        rounds = _measure(settings, body, given.rounds, given.seconds)
    medians = {
        name: {key: statistics.median(entry[key] for entry in entries) for key in _FIGURES}
        for name, entries in rounds.items()
    }
    _show(medians, rounds)
    failures = sum(entry["failures"] for entries in rounds.values() for entry in entries)
    return 1 if failures else 0


def _measure(settings: Path, body: bytes, rounds: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Start the server, load it in turns, end it."""
    (socket_,) = listen("127.0.0.1", 0, count=1)
    port = socket_.getsockname()[1]
    argv = [sys.executable, "-m", "benchmarks.serving.server", "--settings", str(settings)]
    argv += ["--fd", str(socket_.fileno())]
    server = subprocess.Popen(argv, pass_fds=(socket_.fileno(),), env=pinned_environment())  # noqa: S603 - ourselves
    try:
        _await_ready(port)
        taken: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for connections in (64, 1):
                for name, path in (("predict", f"/predict/{DEPLOYMENT}"), ("noop", "/noop")):
                    loaded = _load(port, path, body, connections, seconds)
                    taken.setdefault(f"{name}_{connections}", []).append(loaded)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    return taken


def _await_ready(port: int) -> None:
    """Wait until the model is loaded."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=_START_S):
                return
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _load(port: int, path: str, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Run the load in a process of its own, and note what the server spent on it."""
    argv = [sys.executable, "-m", "benchmarks.serving.load", "--port", str(port), "--path", path]
    argv += ["--connections", str(connections), "--seconds", str(seconds)]
    before_ns = _spent_ns(port)
    done = subprocess.run(argv, input=body, capture_output=True, check=True)  # noqa: S603 - ourselves
    loaded: dict[str, float] = json.loads(done.stdout)
    loaded["cpu_us"] = (_spent_ns(port) - before_ns) / 1e3 / loaded["answered"]
    return loaded


def _spent_ns(port: int) -> int:
    """Ask the server for the processor time that it has used."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/spent", timeout=_START_S) as answer:
        return int(answer.read())


def _machine() -> dict[str, str | int | None]:
    """Say where this was measured."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    versions = {name: version(name) for name in _PACKAGES}
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def _show(medians: dict[str, dict[str, float]], rounds: dict[str, list[dict[str, float]]]) -> None:
    """Print the table and the JSON."""
    machine = _machine()
    ratio = medians["predict_64"]["per_second"] / medians["noop_64"]["per_second"]
    command = shlex.join(["python", "-m", "benchmarks.serving", *sys.argv[1:]])
    lines = [
        f"`{command}`\n",
        "| connections | path | requests/s | p50 ms | p99 ms | cpu us |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in medians.items():
        name, _, connections = key.partition("_")
        figures = f"{row['per_second']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['cpu_us']:.0f}"
        lines.append(f"| {connections} | {name} | {figures} |")
    place = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
    libraries = ", ".join(f"{name} {machine[name]}" for name in _PACKAGES)
    lines.append(
        f"\npredict / noop at 64 connections: {ratio:.2f}\n\n{place}; {libraries}; load {os.getloadavg()[0]:.1f}"
    )
    document = {"command": command, "medians": medians, "ratio_64": ratio, "rounds": rounds, "machine": machine}
    sys.stdout.write("\n".join(lines) + "\n" + json.dumps(document) + "\n")


if __name__ == "__main__":
    sys.exit(main())

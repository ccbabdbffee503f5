"""Other servers of models: how each is made, started, asked and read. Their files are below ``peers/``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving.environment import MakeError, environment
from benchmarks.serving.process import Running, free_port
from benchmarks.serving.wire import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPTIONAL", "PEERS", "Peer", "Started", "start"]

_HERE = Path(__file__).with_name("peers")
_START_S = 180.0
_PREPARE_S = 300.0


@dataclass(frozen=True, slots=True)
class Peer:
    """One other server: what is asked of it, in its own protocol, for the same row."""

    name: str
    ready: str
    call: Callable[[Sequence[float]], Call]
    python: str = ""
    """An interpreter it must be made from; empty: the one that runs the benchmark."""
    can_pause: bool = True


@dataclass(frozen=True, slots=True)
class Started:
    """A peer that runs."""

    peer: Peer
    running: Running
    port: int


def _document(path: str, document: object, read: Callable[[object], object]) -> Call:
    """Return a JSON call whose probability is found by ``read``."""

    def probability(answer: bytes, _: Mapping[str, str]) -> float:
        return float(read(json.loads(answer)))  # type: ignore[arg-type]

    return Call(path, json.dumps(document).encode(), probability)


def _tensor(row: Sequence[float]) -> dict[str, object]:
    """Return a row as a tensor of the Open Inference Protocol."""
    return {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}


def _mlserver(row: Sequence[float]) -> Call:
    document = {"inputs": [_tensor(row)], "outputs": [{"name": "predict_proba"}]}
    return _document("/v2/models/cancer/infer", document, lambda answer: answer["outputs"][0]["data"][1])  # type: ignore[index]


def _triton(row: Sequence[float]) -> Call:
    document = {"inputs": [_tensor(row)]}
    return _document("/v2/models/cancer/infer", document, lambda answer: answer["outputs"][0]["data"][1])  # type: ignore[index]


def _mlflow(row: Sequence[float]) -> Call:
    return _document("/invocations", {"inputs": [list(row)]}, lambda answer: answer["predictions"][0][1])  # type: ignore[index]


def _bentoml(row: Sequence[float]) -> Call:
    return _document("/predict", {"rows": [list(row)]}, lambda answer: answer[0][1])  # type: ignore[index]


def _litserve(row: Sequence[float]) -> Call:
    return _document("/predict", {"rows": [list(row)]}, lambda answer: answer["probabilities"][0][1])  # type: ignore[index]


def _ray(row: Sequence[float]) -> Call:
    return _document("/cancer", {"rows": [list(row)]}, lambda answer: answer["probabilities"][0][1])  # type: ignore[index]


PEERS = (
    Peer("mlserver", "/v2/health/ready", _mlserver),
    Peer("litserve", "/health", _litserve),
    Peer("mlflow", "/ping", _mlflow),
    Peer("bentoml", "/readyz", _bentoml),
)
OPTIONAL = (
    Peer("ray", "/-/healthz", _ray, can_pause=False),  # its parts watch one another's heartbeats
    Peer("triton", "/v2/health/ready", _triton, python="/usr/bin/python3.11"),
)


def start(peer: Peer, *, envs: Path, folder: Path) -> Started:
    """Make the peer's environment if need be, its model, and start it.

    Raises
    ------
    MakeError
        If the environment or the model cannot be made.
    StartError
        If it does not become ready.
    """
    files = _HERE / peer.name
    chosen = {"python": peer.python} if peer.python else {}
    interpreter = environment(files / "requirements.txt", envs / peer.name, **chosen)
    place = folder / peer.name
    place.mkdir()
    script = [str(interpreter), str(files / "serve.py")]
    done = subprocess.run(  # noqa: S603 - our own script
        [*script, "prepare", str(place)], capture_output=True, check=False, text=True, cwd=place, timeout=_PREPARE_S
    )
    if done.returncode:
        message = f"{peer.name} cannot make its model: {done.stderr[-500:]}"
        raise MakeError(message)
    port = free_port()
    running = Running(peer.name, [*script, "serve", str(place), str(port)], folder=place)
    running.await_ready(lambda: port, peer.ready, timeout_s=_START_S)
    return Started(peer, running, port)

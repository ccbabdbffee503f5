"""What is replayed to both servers: right requests of every form from a fixed seed, and the malformed ones."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.conformance.malformed import wrong_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Replay", "replays"]

_INFER = "/v2/models/{}/infer"
_LENGTH = "Inference-Header-Content-Length"
_OUTPUTS = ("label", "score", "probabilities")
_MATRIX_CASES, _MIXED_CASES, _RAW_CASES = 70, 50, 8


@dataclass(frozen=True, slots=True)
class Replay:
    """One request; ``kind`` says which part of an answer must agree."""

    name: str
    kind: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def replays(target: dict[str, Any]) -> list[Replay]:
    """Return all requests."""
    rng = np.random.default_rng(20)
    found = [*_documents()]
    found += [_right(rng, number, "matrix", target) for number in range(_MATRIX_CASES)]
    found += [_right(rng, number, "mixed", target) for number in range(_MIXED_CASES)]
    for number in range(_RAW_CASES):
        values = rng.normal(size=(number + 1, 4))
        found.append(
            Replay(
                f"raw mode, {number + 1} rows",
                "infer",
                "POST",
                _INFER.format("matrix"),
                values.tobytes(),
                {_LENGTH: "0"},
            )
        )
    for wrong in wrong_requests(target["body_max_bytes"]):
        if wrong.form == "oip" and "repository" not in wrong.path:
            found.append(
                Replay(f"wrong: {wrong.name}", "wrong", wrong.method, wrong.path, wrong.body, dict(wrong.headers))
            )
    return found


def _documents() -> Iterator[Replay]:
    """Return what describes the server and its models."""
    yield Replay("live", "status", "GET", "/v2/health/live")
    yield Replay("ready", "status", "GET", "/v2/health/ready")
    yield Replay("server", "server", "GET", "/v2")
    for name in ("matrix", "mixed"):
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/1"):
            yield Replay(f"metadata {path}", "metadata", "GET", path)
            yield Replay(f"ready {path}", "status", "GET", f"{path}/ready")
            yield Replay(f"config {path}", "config", "GET", f"{path}/config")
            yield Replay(f"statistics {path}", "statistics", "GET", f"{path}/stats")
    yield Replay("statistics of all", "statistics", "GET", "/v2/models/stats")
    for body in (b"", b"{}", b'{"ready": true}', b'{"ready": false}'):
        yield Replay(f"index with {body.decode()!r}", "index", "POST", "/v2/repository/index", body)
    for path in (
        "/v2/models/nobody",
        "/v2/models/matrix/versions/9",
        "/v2/models/nobody/config",
        "/v2/models/nobody/stats",
    ):
        yield Replay(f"GET {path}", "wrong", "GET", path)
    yield Replay("ready of a stranger", "wrong", "GET", "/v2/models/nobody/ready")


def _columns(rng: np.random.Generator, name: str, rows: int, target: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return a deployment's inputs with random values."""
    if name == "matrix":
        return {"input": ("FP64", rng.normal(size=(rows, 4)))}
    levels = target["deployments"]["mixed"]["weights"]["texts"]
    made: dict[str, tuple[str, Any]] = {
        "age": ("FP64", rng.normal(45.0, 12.0, rows)),
        "visits": ("INT64", rng.integers(0, 40, rows)),
        "is member": ("BOOL", rng.random(rows) < 0.5),
    }
    for column, known in levels.items():
        made[column] = ("BYTES", rng.choice([*known, "unheard of", "ünïcödé", ""], rows).astype(np.object_))
    return made


def _raw(datatype: str, array: Any) -> bytes:  # noqa: ANN401 - an array of any kind
    """Return an array as the binary extension writes it."""
    if datatype == "BYTES":
        return b"".join(len(one.encode()).to_bytes(4, "little") + one.encode() for one in array)
    content: bytes = array.tobytes()
    return content


def _right(rng: np.random.Generator, number: int, name: str, target: dict[str, Any]) -> Replay:
    """Return one right inference request: form, outputs, id, nesting, coding are drawn."""
    rows = int(rng.choice([1, 1, 2, 3, 8, 64]))
    is_binary, is_nested = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
    inputs, tail = [], b""
    for column, (datatype, array) in _columns(rng, name, rows, target).items():
        tensor: dict[str, Any] = {"name": column, "datatype": datatype, "shape": list(array.shape)}
        if is_binary:
            raw = _raw(datatype, array)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = array.tolist() if is_nested else array.reshape(-1).tolist()
        inputs.append(tensor)
    if name == "mixed" and rng.random() < 0.5 and not is_binary:
        inputs.reverse()
    document: dict[str, Any] = {"inputs": inputs}
    if rng.random() < 0.5:
        document["id"] = f"r{number}"
    words = [name, f"{rows} rows", "binary" if is_binary else ("nested" if is_nested else "flat")]
    match int(rng.integers(0, 4)):
        case 1:
            document["parameters"] = {"binary_data_output": bool(rng.random() < 0.5)}
            words.append(f"binary_data_output {document['parameters']['binary_data_output']}")
        case 2:
            wanted = [one for one in _OUTPUTS if rng.random() < 0.6] or ["score"]
            flags = [bool(rng.random() < 0.5) for _ in wanted]
            document["outputs"] = [
                {"name": one, "parameters": {"binary_data": flag}} for one, flag in zip(wanted, flags, strict=True)
            ]
            words.append(
                "outputs "
                + ", ".join(f"{one} {'binary' if flag else 'JSON'}" for one, flag in zip(wanted, flags, strict=True))
            )
        case 3:
            document["outputs"] = [{"name": str(rng.choice(_OUTPUTS))}]
            document["parameters"] = {"binary_data_output": bool(rng.random() < 0.5)}
            is_wanted = document["parameters"]["binary_data_output"]
            words.append(f"output {document['outputs'][0]['name']}, binary_data_output {is_wanted}")
        case _:
            pass
    head = json.dumps(document).encode()
    headers = {_LENGTH: str(len(head))} if is_binary else {}
    body = head + tail
    if rng.random() < 0.2:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        words.append("gzip")
    path = _INFER.format(name) if rng.random() < 0.7 else f"/v2/models/{name}/versions/1/infer"
    return Replay(f"{number}: " + ", ".join(words), "infer", "POST", path, body, headers)

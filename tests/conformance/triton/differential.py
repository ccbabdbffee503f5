"""The same requests to kilter and to a real Triton; what differs must be on the written list.

Compared are statuses, and of right answers the names, order, shapes, datatypes, form (JSON or binary) and
values of all outputs, the id, and of documents what a client reads. ``differences.toml`` holds every
difference that is meant, with its reason. A difference that is not on it fails, and so does an entry that
explains nothing any more.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from benchmarks.serving.environment import MakeError, environment
from benchmarks.serving.process import Running, StartError, free_port
from tests.conformance.triton import repository
from tests.conformance.triton.requests import replays

if TYPE_CHECKING:
    from tests.conformance.triton.requests import Replay

__all__ = ["run"]

_HERE = Path(__file__).parent
_PEER = _HERE.parents[2] / "benchmarks" / "serving" / "peers" / "triton"
_PYTHON = "/usr/bin/python3.11"
_START_S = 120.0
_TIMEOUT_S = 60
_TOLERANCE = 1e-5
_LENGTH = "inference-header-content-length"


class Answer(NamedTuple):
    """What a server said; status 0: it ended the connection."""

    status: int
    headers: dict[str, str]
    body: bytes


class Difference(NamedTuple):
    """What is not the same: ``what`` names the part, the others say what each server gave."""

    request: str
    what: str
    kilter: str
    triton: str


def run(target: dict[str, Any], *, envs: Path, folder: Path) -> int:
    """Start Triton, replay, compare, print; return the exit code."""
    place = folder / "triton"
    place.mkdir()
    try:
        python = environment(_PEER / "requirements.txt", envs / "triton", python=_PYTHON)
        repository.write(place, target["deployments"])
        port = free_port()
        triton = Running(
            "tritonserver", [str(python), str(_PEER / "serve.py"), "serve", str(place), str(port)], folder=place
        )
        triton.await_ready(lambda: port, "/v2/health/ready", timeout_s=_START_S)
    except (MakeError, StartError) as cause:
        sys.stderr.write(f"no Triton: {cause}\n")
        return 1
    try:
        requests = replays(target)
        found = [one for request in requests for one in _compare(request, target["http"], port)]
    finally:
        triton.stop()
    return _judge(found, len(requests))


def _ask(port: int, request: Replay) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read all
            connection.request(request.method, request.path, request.body, request.headers)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    except (OSError, http.client.HTTPException):
        return Answer(0, {}, b"")
    finally:
        connection.close()


def _compare(request: Replay, kilter_port: int, triton_port: int) -> list[Difference]:
    """Return what is not the same."""
    ours, theirs = _ask(kilter_port, request), _ask(triton_port, request)
    if ours.status != theirs.status:
        return [
            Difference(request.name, "status", f"{ours.status} {_short(ours)}", f"{theirs.status} {_short(theirs)}")
        ]
    if ours.status != http.client.OK:
        sentences = [isinstance(_document(one).get("error"), str) for one in (ours, theirs)]
        return [] if sentences[0] == sentences[1] else [Difference(request.name, "error", _short(ours), _short(theirs))]
    if request.kind in {"status", "wrong"}:
        return []
    views = {"infer": _inference, "metadata": _metadata, "config": _config, "index": _index, "statistics": _statistics}
    view = views.get(request.kind, _server)
    one, other = view(ours), view(theirs)
    return [
        Difference(request.name, key, _text(one.get(key)), _text(other.get(key)))
        for key in sorted({*one, *other})
        if not _same(one.get(key), other.get(key))
    ]


def _inference(answer: Answer) -> dict[str, Any]:
    """Return what a client reads of an inference answer."""
    length = int(answer.headers.get(_LENGTH, len(answer.body)))
    document = json.loads(answer.body[:length])
    seen: dict[str, Any] = {key: document.get(key) for key in ("model_name", "model_version", "id")}
    seen["parameters"] = sorted(document.get("parameters", {}))
    seen["outputs"] = [output["name"] for output in document["outputs"]]
    position = length
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        seen[f"{output['name']} datatype"] = output["datatype"]
        seen[f"{output['name']} shape"] = output["shape"]
        seen[f"{output['name']} form"] = "JSON" if size is None else "binary"
        if size is None:
            seen[f"{output['name']} values"] = output["data"]
        else:
            raw = answer.body[position : position + size]
            seen[f"{output['name']} values"] = (
                np.frombuffer(raw, "<f8").tolist() if output["datatype"] == "FP64" else _texts(raw)
            )
            position += size
    seen["is whole"] = position == len(answer.body)
    return seen


def _texts(raw: bytes) -> list[str]:
    """Return the elements of raw BYTES."""
    found, position = [], 0
    while position < len(raw):
        length = int.from_bytes(raw[position : position + 4], "little")
        found.append(raw[position + 4 : position + 4 + length].decode())
        position += 4 + length
    return found


def _metadata(answer: Answer) -> dict[str, Any]:
    """Return what a client reads of a model's metadata."""
    document = _document(answer)
    return {key: document.get(key) for key in ("name", "versions", "platform", "inputs", "outputs")}


def _config(answer: Answer) -> dict[str, Any]:
    """Return what a client reads of a model's configuration."""
    document = _document(answer)
    tensors = {
        part: [{key: one.get(key) for key in ("name", "data_type", "dims")} for one in document.get(part, [])]
        for part in ("input", "output")
    }
    return {**{key: document.get(key) for key in ("name", "platform", "backend", "max_batch_size")}, **tensors}


def _index(answer: Answer) -> dict[str, Any]:
    """Return the models of an index, in any order."""
    rows = sorted((one["name"], one.get("version", ""), one.get("state", "")) for one in json.loads(answer.body))
    return {"models": [list(row) for row in rows]}


def _statistics(answer: Answer) -> dict[str, Any]:
    """Return the form of the statistics: counts differ by nature."""
    rows = _document(answer)["model_stats"]
    return {
        "models": sorted([one["name"], one["version"]] for one in rows),
        "fields": sorted({key for one in rows for key in one}),
        "kinds": sorted({key for one in rows for key in one["inference_stats"]}),
    }


def _server(answer: Answer) -> dict[str, Any]:
    """Return what a client reads of the server's metadata."""
    document = _document(answer)
    return {
        "keys": sorted(document),
        "name": document.get("name"),
        "extensions": sorted(document.get("extensions", [])),
    }


def _document(answer: Answer) -> dict[str, Any]:
    """Return a JSON object, or nothing of it."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - parts of documents
    """Compare; numbers as float32 does."""
    if isinstance(one, float) and isinstance(other, float | int):
        return abs(one - other) <= _TOLERANCE
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _text(value: Any) -> str:  # noqa: ANN401 - parts of documents
    """Show a part."""
    return json.dumps(value, ensure_ascii=False)[:300]


def _short(answer: Answer) -> str:
    """Show the beginning of a body."""
    return answer.body[:160].decode("utf-8", "replace")


def _judge(found: list[Difference], number: int) -> int:
    """Match differences with the list, print both ways, return the exit code."""
    entries = tomllib.loads((_HERE / "differences.toml").read_text())["difference"]
    used: dict[int, int] = {}
    unexplained = []
    for one in found:
        number_of = next((at for at, entry in enumerate(entries) if _explains(entry, one)), None)
        if number_of is None:
            unexplained.append(one)
        else:
            used[number_of] = used.get(number_of, 0) + 1
    lines = [f"{number} requests, {len(found)} differences, {len(unexplained)} of them unexplained", ""]
    lines += ["| what | times | kilter | Triton | reason |", "|---|--:|---|---|---|"]
    for at, entry in enumerate(entries):
        row = (entry["what"], used.get(at, 0), entry.get("kilter", ""), entry.get("triton", ""), entry["reason"])
        lines.append("| " + " | ".join(str(part).replace("|", "\\|") for part in row) + " |")
    stale = [entry for at, entry in enumerate(entries) if at not in used]
    lines += ["", *(f"- explains nothing any more: {entry['reason']}" for entry in stale)]
    lines += [
        f"- unexplained: {one.request}: {one.what}: kilter {one.kilter} Triton {one.triton}" for one in unexplained
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if unexplained or stale else 0


def _explains(entry: dict[str, str], one: Difference) -> bool:
    """Say whether an entry is about this difference; all its patterns must be found at the start."""
    parts = {"what": one.what, "request": one.request, "kilter": one.kilter, "triton": one.triton}
    return all(re.match(entry[key], value) is not None for key, value in parts.items() if key in entry)

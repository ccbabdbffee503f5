"""Who loads: wrk where it is installed, else Python; over gRPC always our own. The same for every server."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.serving import wrk

if TYPE_CHECKING:
    from benchmarks.serving.wire import Call

__all__ = ["WrongAnswerError", "load", "loader_name", "verify"]

_TOLERANCE = 1e-5
_TIMEOUT_S = 30.0
_TRY_S = 0.5


class WrongAnswerError(Exception):
    """A server does not give the model's probability."""


def loader_name() -> str:
    """Say who loads over HTTP."""
    return "wrk" if wrk.is_installed() else "python"


def load(port: int, call: Call, connections: int, seconds: float) -> dict[str, float]:
    """Load a server; return requests, per_second, p50_ms, p99_ms, answered, failures.

    Raises
    ------
    RuntimeError
        If the loader itself fails.
    """
    if call.is_grpc:
        found = _own("rpc", port, call, connections, seconds)
        found.pop("answer")
        return found
    if wrk.is_installed():
        return wrk.load(port, call, connections, seconds)
    return _own("load", port, call, connections, seconds)


def verify(name: str, port: int, call: Call, probability: float) -> None:
    """Ask once and compare with the model's own probability.

    Raises
    ------
    WrongAnswerError
        If there is no answer, or another one.
    """
    try:
        found = call.read(*(_once_grpc(port, call) if call.is_grpc else _once(port, call)))
    except (OSError, http.client.HTTPException, RuntimeError, LookupError, TypeError, ValueError) as cause:
        message = f"{name} gave no readable answer: {cause!r}"
        raise WrongAnswerError(message) from cause
    if abs(found - probability) > _TOLERANCE:
        message = f"{name} answers {found!r} where the model says {probability!r}"
        raise WrongAnswerError(message)


def _once(port: int, call: Call) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", call.path, call.body, dict(call.headers))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        message = f"status {answer.status}: {body[:300]!r}"
        raise ValueError(message)
    return body, {name.lower(): value for name, value in answer.getheaders()}


def _once_grpc(port: int, call: Call) -> tuple[bytes, dict[str, str]]:
    """Return the message of one answer."""
    found = _own("rpc", port, call, 1, _TRY_S)
    body = base64.b64decode(str(found["answer"]))
    if not body or found["failures"]:
        message = f"{found['failures']} of {found['requests']} calls failed"
        raise ValueError(message)
    return body, {}


def _own(module: str, port: int, call: Call, connections: int, seconds: float) -> dict[str, float]:
    """Run one of our loaders in a process of its own."""
    argv = [sys.executable, "-m", f"benchmarks.serving.{module}", "--port", str(port), "--path", call.path]
    argv += ["--connections", str(connections), "--seconds", str(seconds)]
    for name, value in call.headers.items():
        argv += ["--header", f"{name}: {value}"]
    done = subprocess.run(argv, input=call.body, capture_output=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        message = f"the loader failed: {last[-300:]}"
        raise RuntimeError(message)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures

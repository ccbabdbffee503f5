"""The load without wrk: keep-alive connections, each with one request in flight, in a process of its own.

A closed loop: it measures how much is answered, not how long a user waits under a given rate. It costs
about as much as a fast server, so figures with it are lower than with wrk.

``python -m benchmarks.serving.load --port N --path P --connections N --seconds S --header 'name: value' < body``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import cast

import uvloop

__all__ = ["main"]


class _Connection(asyncio.Protocol):
    """One user who asks again as soon as the answer is there."""

    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self._request = request
        self._latencies = latencies
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.is_open = True
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take an answer, ask again."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.lower().index(b"content-length: ") + 16
        if len(body) < int(head[start : start + 10].split(b"\r\n", 1)[0]):
            return
        self._latencies.append(time.perf_counter() - self._sent)
        self.failures += not head.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        """Count an end that was not ours."""
        self.failures += self.is_open

    def close(self) -> None:
        """End."""
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    def _ask(self) -> None:
        """Send the request."""
        if self.is_open and self._transport is not None:
            self._sent = time.perf_counter()
            self._transport.write(self._request)


async def _run(port: int, request: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Load for a while; return what came of it."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    users = []
    for _ in range(connections):
        _, user = await loop.create_connection(lambda: _Connection(request, latencies), "127.0.0.1", port)
        users.append(user)
    await asyncio.sleep(min(0.5, seconds / 4))
    warming = len(latencies)
    latencies.clear()
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - begun
    ordered = sorted(latencies) or [0.0]
    for user in users:
        user.close()
    return {
        "requests": len(latencies),
        "answered": warming + len(latencies),
        "per_second": len(latencies) / elapsed,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "failures": sum(user.failures for user in users),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--header", action="append", default=[])
    given = parser.parse_args()
    body = sys.stdin.buffer.read()
    head = "".join(f"{line}\r\n" for line in (f"POST {given.path} HTTP/1.1", "host: 127.0.0.1", *given.header))
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    result = uvloop.run(_run(given.port, request, given.connections, given.seconds))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

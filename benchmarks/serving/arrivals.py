"""An open-loop load: arrivals by a Poisson process, whatever the server does; run as a process of its own.

Latency counts from the moment at which a request should have been sent, so waiting for a free connection counts, too
(no coordinated omission). With ``--rate 0`` every connection asks again as soon as it is answered: that measures
capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import cast

import uvloop

__all__ = ["main"]

_TURN_S = 0.0005
_NEVER_S = 0.5


@dataclass(slots=True)
class _Tally:
    """What came of the requests. ``at`` is the intended time of each, from the start of the load."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    with_retry_after: int = 0
    lost: int = 0


class _Connection(asyncio.Protocol):
    """One keep-alive connection; a closed one is opened again by its pool."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._intended_s = 0.0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free."""
        self._transport = cast("asyncio.Transport", transport)
        self._pool.free(self)

    def send(self, request: bytes, intended_s: float) -> None:
        """Send a request that should have been sent at a time."""
        self._intended_s, self._is_busy = intended_s, True
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take an answer."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        start = lower.index(b"content-length: ") + 16
        if len(body) < int(lower[start : start + 10].split(b"\r\n", 1)[0]):
            return
        self._buffer, self._is_busy = b"", False
        self._pool.answered(int(head[9:12]), self._intended_s, has_retry_after=b"\r\nretry-after: " in lower)
        if b"\r\nconnection: close" not in lower:
            self._pool.free(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Count what was not answered."""
        self._pool.lost(was_busy=self._is_busy)

    def close(self) -> None:
        """End."""
        if self._transport is not None:
            self._transport.close()


class _Pool:
    """Connections, the arrivals that wait for one, and the tally of those within the measured time."""

    def __init__(self, port: int, request: bytes, *, is_closed_loop: bool) -> None:
        self._port = port
        self._request = request
        self._is_closed_loop = is_closed_loop
        self._free: deque[_Connection] = deque()
        self._backlog: deque[float] = deque()
        self._window = (0.0, 0.0)
        self._all: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.tally = _Tally()
        self.is_over = False
        self.in_flight = 0

    async def open(self, connections: int) -> None:
        """Open so many connections."""
        for _ in range(connections):
            await self._connect()

    def measure(self, seconds: float) -> None:
        """Count what should be sent from now on for so many seconds."""
        now = time.perf_counter()
        self._window = (now, now + seconds)
        self.tally = _Tally()

    def arrive(self, intended_s: float) -> None:
        """Send a request, or let it wait for a connection."""
        if self._free:
            self.in_flight += 1
            self._free.popleft().send(self._request, intended_s)
        else:
            self._backlog.append(intended_s)

    def free(self, connection: _Connection) -> None:
        """Use a connection again."""
        if self.is_over:
            return
        if self._is_closed_loop:
            self.in_flight += 1
            connection.send(self._request, time.perf_counter())
        elif self._backlog:
            self.in_flight += 1
            connection.send(self._request, self._backlog.popleft())
        else:
            self._free.append(connection)

    def answered(self, status: int, intended_s: float, *, has_retry_after: bool) -> None:
        """Count an answer."""
        self.in_flight -= 1
        start, end = self._window
        now = time.perf_counter()
        is_within = start <= now < end if self._is_closed_loop else start <= intended_s < end
        if is_within:
            self.tally.statuses[status] += 1
            self.tally.with_retry_after += has_retry_after
            if status == 200:
                self.tally.latencies.append(now - intended_s)

    def lost(self, *, was_busy: bool) -> None:
        """Count a connection that ended; open another."""
        self.in_flight -= was_busy
        self.tally.lost += was_busy
        self._free = deque(connection for connection in self._free if not _is_closing(connection))
        if not self.is_over:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def waiting(self) -> int:
        """Return the arrivals within the window that were never sent."""
        return sum(self._window[0] <= intended < self._window[1] for intended in self._backlog)

    def close(self) -> None:
        """End all connections."""
        self.is_over = True
        for connection in self._all:
            connection.close()

    async def _connect(self) -> None:
        """Open one connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        self._all.append(connection)


def _is_closing(connection: _Connection) -> bool:
    """Say whether a connection is ending."""
    transport = connection._transport  # noqa: SLF001 - of this file
    return transport is None or transport.is_closing()


async def _run(given: argparse.Namespace, request: bytes) -> dict[str, object]:
    """Load for a while; return what came of it."""
    pool = _Pool(given.port, request, is_closed_loop=not given.rate)
    await pool.open(given.connections)
    randomness = random.Random(given.seed)  # noqa: S311 - arrivals, not secrets
    begun = time.perf_counter()
    due = begun + (randomness.expovariate(given.rate) if given.rate else given.warm_up + given.seconds)
    ends = begun + given.warm_up + given.seconds
    is_measuring, scheduled, latest = False, 0, 0.0
    while (now := time.perf_counter()) < ends:
        if not is_measuring and now - begun >= given.warm_up:
            is_measuring = True
            pool.measure(ends - now)
        while due <= now and due < ends:
            latest = max(latest, now - due)
            scheduled += is_measuring
            pool.arrive(due)
            due += randomness.expovariate(given.rate) if given.rate else given.seconds * 2
        await asyncio.sleep(min(_TURN_S, max(0.0, ends - now)))
    unsent = pool.waiting()
    limit = time.perf_counter() + given.grace
    while given.rate and pool.in_flight > 0 and time.perf_counter() < limit:  # noqa: ASYNC110 - a look is enough
        await asyncio.sleep(0.01)
    tally, unanswered = pool.tally, pool.in_flight
    pool.close()
    ordered = sorted(tally.latencies)
    return {
        "seconds": given.seconds,
        "scheduled": scheduled,
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "accepted": len(ordered),
        "accepted_per_second": len(ordered) / given.seconds,
        "with_retry_after": tally.with_retry_after,
        "unsent": unsent,
        "unanswered": max(0, unanswered) if given.rate else 0,
        "lost": tally.lost,
        "generator_late_ms": latest * 1e3,
        **{f"p{name}_ms": _quantile(ordered, share) * 1e3 for name, share in (("50", 0.5), ("99", 0.99), ("100", 1.0))},
    }


def _quantile(ordered: list[float], share: float) -> float:
    """Return a quantile of sorted numbers; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving.arrivals")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="arrivals per second; 0 = as fast as answered")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, default=_NEVER_S)
    parser.add_argument("--grace", type=float, default=2.0)
    parser.add_argument("--timeout-ms", type=int, default=0, help="deadline of each request; 0 = the deployment's")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    body = sys.stdin.buffer.read()
    head = f"POST {given.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    if given.timeout_ms:
        head += f"kilter-timeout-ms: {given.timeout_ms}\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    gc.disable()
    sys.stdout.write(json.dumps(uvloop.run(_run(given, request))) + "\n")


if __name__ == "__main__":
    main()

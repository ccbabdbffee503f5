"""Users of the torture: keep-alive connections, each with one request in flight, in a process of their own.

``python -m tests.torture.users --port P --connections N --out FILE`` asks until its standard input
ends, then writes (begun_ns, ended_ns, version) of every request as int64. With ``--requests R`` it asks
R times, keeps nothing, and writes how many were answered, how many were
not, and how often it was told to come again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Answer", "main"]

_REQUEST = b'{"rows": [{"a": 1.0, "b": 2.0}]}'
_VALUES = {b'"version":"1"': b'"value":3.0', b'"version":"2"': b'"value":6.0'}
_REST_S = 0.05
_BACK_OFF_S = 0.1


class Answer(NamedTuple):
    """One request: when it began and ended on the monotonic clock, and which version answered.

    0 stands for a failure, -1 for a refusal with 429, which asks to come again.
    """

    begun_ns: int
    ended_ns: int
    version: int


class _User(asyncio.Protocol):
    """One connection that asks again as soon as the answer is there."""

    def __init__(self, note: Callable[[Answer], bool]) -> None:
        self._note = note
        self._buffer = b""
        self._begun_ns = 0
        self._transport: asyncio.Transport | None = None
        self.is_over = False

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
        self._buffer = b""
        version = _version(head, body)
        if self._note(Answer(self._begun_ns, time.monotonic_ns(), version)):
            if version < 0:
                asyncio.get_running_loop().call_later(_BACK_OFF_S, self._ask)
            else:
                self._ask()
        else:
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Count an end that was not ours as a failure."""
        if not self.is_over:
            self._note(Answer(self._begun_ns, time.monotonic_ns(), 0))

    def close(self) -> None:
        """End."""
        self.is_over = True
        if self._transport is not None:
            self._transport.close()

    def _ask(self) -> None:
        """Send the request."""
        if self._transport is not None and not self.is_over:
            self._begun_ns = time.monotonic_ns()
            head = b"POST /predict/sum HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n\r\n" % len(_REQUEST)
            self._transport.write(head + _REQUEST)


class _Count:
    """Answers by whether they came, until enough were asked for."""

    def __init__(self, requests: int, connections: int) -> None:
        self.answered = self.failed = self.refused = 0
        self._left = requests - connections
        self._open = connections
        self.is_over = asyncio.Event()

    def note(self, answer: Answer) -> bool:
        """Count; say whether to ask once more."""
        self.answered += answer.version > 0
        self.failed += answer.version == 0
        self.refused += answer.version < 0
        self._left -= answer.version >= 0
        goes_on = self._left >= 0 and answer.version != 0
        self._open -= not goes_on
        if not self._open:
            self.is_over.set()
        return goes_on


async def _keep(port: int, connections: int) -> list[Answer]:
    """Ask until the standard input ends; return every request."""
    answers: list[Answer] = []

    def note(answer: Answer) -> bool:
        answers.append(answer)
        return True

    users = await _connect(port, connections, note)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for user in users:
        user.close()
    await asyncio.sleep(_REST_S)
    return answers


async def _count(port: int, connections: int, requests: int) -> _Count:
    """Ask a number of times; return how it went."""
    count = _Count(requests, connections)
    await _connect(port, connections, count.note)
    await count.is_over.wait()
    return count


async def _connect(port: int, connections: int, note: Callable[[Answer], bool]) -> list[_User]:
    """Let the users come, who begin at once."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: _User(note), "127.0.0.1", port))[1] for _ in range(connections)]


def _version(head: bytes, body: bytes) -> int:
    """Return who answered; 0 if the answer is not whole and right, and then the log tells what it was."""
    if head.startswith(b"HTTP/1.1 200"):
        for position, (version, value) in enumerate(_VALUES.items(), 1):
            if version in body and value in body:
                return position
    if head.startswith(b"HTTP/1.1 429"):
        return -1
    sys.stderr.write(f"failed: {head.partition(bytes((13,)))[0]!r} {body[:200]!r}\n")
    return 0


def main() -> None:
    """Ask, then write down how it went."""
    parser = argparse.ArgumentParser(prog="tests.torture.users")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    if given.requests:
        count = uvloop.run(_count(given.port, given.connections, given.requests))
        Path(given.out).write_text(
            json.dumps({"answered": count.answered, "failed": count.failed, "refused": count.refused})
        )
    else:
        answers = uvloop.run(_keep(given.port, given.connections))
        Path(given.out).write_bytes(np.array(answers, dtype=np.int64).tobytes())


if __name__ == "__main__":
    main()

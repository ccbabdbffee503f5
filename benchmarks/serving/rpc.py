"""The load over gRPC: HTTP/2 frames made once, so that the client costs a fraction of a gRPC library's.

Each connection has one call in flight. A call's answer counts when its stream ends; a stream that ended
without a message was an error (gRPC sends no message with one). The header table is switched off, so
that nothing needs to be remembered of earlier headers.

``python -m benchmarks.serving.rpc --port N --path P --connections N --seconds S < message``
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import struct
import sys
import time
from typing import cast

import uvloop

__all__ = ["main"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_TABLE_SIZE, _INITIAL_WINDOW = 1, 4
_WIDE = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_TOP_UP = 2**29
_HEAD = 9


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header that no table keeps, both parts written out (RFC 7541, 6.2.2)."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    """Return the length of a literal of up to 16,000 bytes."""
    if number < 127:
        return bytes([number])
    rest = number - 127
    return bytes([127, rest]) if rest < 128 else bytes([127, rest & 127 | 128, rest >> 7])


class _Connection(asyncio.Protocol):
    """One user who calls again as soon as the answer is there."""

    def __init__(self, path: str, message: bytes, latencies: list[float]) -> None:
        self._headers = b"".join(
            literal(name, value)
            for name, value in (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", path.encode()),
                (b":authority", b"127.0.0.1"),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
            )
        )
        self._payload = b"\0" + struct.pack(">I", len(message)) + message
        self._latencies = latencies
        self._buffer = bytearray()
        self._stream = -1
        self._sent = 0.0
        self._received = 0
        self._has_message = False
        self._is_open = True
        self._transport: asyncio.Transport | None = None
        self.failures = 0
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with the settings, and begin."""
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HIHI", _TABLE_SIZE, 0, _INITIAL_WINDOW, _WIDE)
        wider = frame(_WINDOW, 0, 0, struct.pack(">I", _WIDE - _DEFAULT_WINDOW))
        self._transport.write(_PREFACE + frame(_SETTINGS, 0, 0, settings) + wider)
        self._call()

    def data_received(self, data: bytes) -> None:
        """Take whole frames."""
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= _HEAD:
            length = int.from_bytes(buffer[position : position + 3])
            end = position + _HEAD + length
            if len(buffer) < end:
                break
            kind, flags, stream = struct.unpack_from(">BBI", buffer, position + 3)
            self._frame(kind, flags, stream, bytes(buffer[position + _HEAD : end]))
            position = end
        del buffer[:position]

    def connection_lost(self, _: Exception | None) -> None:
        """Count an end that was not ours."""
        self.failures += self._is_open

    def close(self) -> None:
        """End."""
        self._is_open = False
        if self._transport is not None:
            self._transport.close()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take one frame."""
        if kind == _DATA:
            self._has_message = True
            if not self.answer:
                self.answer = payload[5:]
            self._widen(len(payload))
        elif kind == _SETTINGS and not flags & _ACK:
            self._write(frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._write(frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self.failures += self._is_open
        if stream == self._stream and (kind == _RESET or (kind in {_DATA, _HEADERS} and flags & _END_STREAM)):
            self._latencies.append(time.perf_counter() - self._sent)
            self.failures += not self._has_message or kind == _RESET
            self._call()

    def _widen(self, size: int) -> None:
        """Give back room for what was received."""
        self._received += size
        if self._received > _TOP_UP:
            self._write(frame(_WINDOW, 0, 0, struct.pack(">I", self._received)))
            self._received = 0

    def _call(self) -> None:
        """Send the call on a new stream."""
        if self._is_open:
            self._stream += 2
            self._has_message = False
            self._sent = time.perf_counter()
            self._write(
                frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
                + frame(_DATA, _END_STREAM, self._stream, self._payload)
            )

    def _write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(data)


async def _run(port: int, path: str, message: bytes, connections: int, seconds: float) -> dict[str, float | str]:
    """Load for a while; return what came of it."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    users = []
    for _ in range(connections):
        _, user = await loop.create_connection(lambda: _Connection(path, message, latencies), "127.0.0.1", port)
        users.append(user)
    await asyncio.sleep(min(0.5, seconds / 4))
    warming = len(latencies)
    latencies.clear()
    begun, spent = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    elapsed, spent = time.perf_counter() - begun, time.process_time() - spent
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
        "loader_share": spent / elapsed,
        "answer": base64.b64encode(users[0].answer).decode(),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    message = sys.stdin.buffer.read()
    result = uvloop.run(_run(given.port, given.path, message, given.connections, given.seconds))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

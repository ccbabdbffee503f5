"""A client that sends any bytes, and reads answers as HTTP/1.1 has them."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import NamedTuple

__all__ = ["Connection", "Got", "NoAnswerError"]

_TIMEOUT_S = 20.0
_LARGEST = 64 * 2**20
_BODILESS = frozenset({204, 304})


class NoAnswerError(Exception):
    """The connection ended, or nothing came, where an answer was due."""


class Got(NamedTuple):
    """One answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server ends the connection."""
        return self.headers.get(b"connection", b"").lower() == b"close"

    @property
    def plain(self) -> bytes:
        """The body without its content coding."""
        coding = self.headers.get(b"content-encoding")
        if coding is None:
            return self.body
        return gzip.decompress(self.body) if coding == b"gzip" else zlib.decompress(self.body)


class Connection:
    """One connection to a server.

    Parameters
    ----------
    port : int
        On the loopback address.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, packets: tuple[bytes, ...]) -> None:
        """Send bytes packet by packet; a server that closes meanwhile is found out by reading."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_LARGEST)
        _, writer = self._streams
        try:
            for packet in packets:
                writer.write(packet)
                await writer.drain()
                if len(packets) > 1:
                    await asyncio.sleep(0)
        except ConnectionError:
            pass

    async def receive(self, *, is_head: bool = False) -> Got:
        """Read one answer, past those that only say to go on.

        Raises
        ------
        NoAnswerError
            If none comes, or it is malformed.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while True:
                    got = await self._answer(is_head=is_head)
                    if got.status >= 200:
                        return got
        except (ConnectionError, EOFError) as error:
            message = f"the connection ended: {type(error).__name__}"
            raise NoAnswerError(message) from error
        except (ValueError, IndexError, asyncio.LimitOverrunError) as error:
            message = f"the answer is malformed: {error!r}"
            raise NoAnswerError(message) from error
        except TimeoutError as error:
            message = f"nothing came for {_TIMEOUT_S:g} s"
            raise NoAnswerError(message) from error

    async def rest(self) -> bytes:
        """Send no more, and read all that still comes.

        Raises
        ------
        NoAnswerError
            If the server does not end the connection.
        """
        if self._streams is None:
            return b""
        reader, writer = self._streams
        try:
            if writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(_TIMEOUT_S):
                return await reader.read(-1)
        except (ConnectionError, OSError) as error:
            return b"" if not isinstance(error, TimeoutError) else await self._stuck(error)

    async def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _stuck(self, error: TimeoutError) -> bytes:
        """Say that the server keeps a connection that has ended."""
        message = f"the connection was not ended within {_TIMEOUT_S:g} s"
        raise NoAnswerError(message) from error

    async def _answer(self, *, is_head: bool) -> Got:
        """Read one head and its body."""
        if self._streams is None:
            raise EOFError
        reader, _ = self._streams
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        version, status, *_ = first.split(b" ", 2)
        if version != b"HTTP/1.1":
            message = f"expected HTTP/1.1, got {first[:80]!r}"
            raise ValueError(message)
        headers: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or name.lower() in headers:
                message = f"a malformed or repeated header: {line[:80]!r}"
                raise ValueError(message)
            headers[name.lower()] = value.strip()
        number = int(status)
        if is_head or number in _BODILESS or number < 200:
            return Got(number, headers, b"")
        if b"content-length" not in headers:
            message = "an answer without content-length"
            raise ValueError(message)
        return Got(number, headers, await reader.readexactly(int(headers[b"content-length"])))

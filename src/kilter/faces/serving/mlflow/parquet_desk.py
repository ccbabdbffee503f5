"""Parquet bodies for one acceptor: each is read in a process of its own, which may die of it.

A file can be made so that Arrow ends its process; the acceptor goes on, and never loads Arrow.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from kilter.errors import Overloaded
from kilter.faces.serving.mlflow._parquet_words import Answered, Refused, asked, batch_of, unreadable

if TYPE_CHECKING:
    from kilter.contracts.batch import Batch
    from kilter.faces.serving.mlflow.frame import FrameReader

__all__ = ["ParquetDesk"]

_log = logging.getLogger(__name__)

_CHILD = (sys.executable, "-P", "-m", "kilter.faces.serving.mlflow.parquet_child")
_AT_ONCE = 2
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ANSWER = msgspec.msgpack.Decoder(Answered | Refused)


class ParquetDesk:
    """Reads Parquet bodies outside of this process.

    Guarantees: whatever is in a body, this process lives; at most two are read at once, others wait;
    a reader ends with the call that wanted it.

    Parameters
    ----------
    command : tuple of str
        Starts the process that reads one body.
    """

    def __init__(self, command: tuple[str, ...] = _CHILD) -> None:
        self._command = command
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def read(self, reader: FrameReader, body: bytes) -> Batch:
        """Return the batch of a Parquet body.

        Parameters
        ----------
        reader : FrameReader
            Reads columns for the asked deployment.
        body : bytes
            One file.

        Returns
        -------
        Batch
            Rows in signature order.

        Raises
        ------
        InputError
            If the file is refused, cannot be read, or kills its reader.
        Overloaded
            If no process can be started.
        RuntimeError
            If the reader is broken itself.
        """
        question = msgspec.msgpack.encode(asked(reader, len(body)))
        async with self._places:
            status, output, complaint = await self._run(b"%b%b%b" % (_length(question), question, body))
        if status < 0:
            _log.info("a Parquet body of %d bytes ended its reader with signal %d", len(body), -status)
            raise unreadable()
        if status:
            message = (
                f"the process that reads Parquet ended with {status}: {complaint[-2_000:].decode(errors='replace')}"
            )
            raise RuntimeError(message)
        return await asyncio.to_thread(_decoded, reader, output)

    async def _run(self, words: bytes) -> tuple[int, bytes, bytes]:
        """Return exit status, output and complaints of one reader; it is killed if nobody waits any more."""
        pipe = asyncio.subprocess.PIPE
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()
            )
        except OSError as error:
            message = "no process can be started that reads Parquet"
            raise Overloaded(message, retry_after_s=1.0, hint="send it again, or send JSON or CSV") from error
        try:
            output, complaint = await child.communicate(words)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return child.returncode or 0, output, complaint


def _length(question: bytes) -> bytes:
    """Return how long the question is, as its reader expects it."""
    return len(question).to_bytes(4, "little")


def _decoded(reader: FrameReader, output: bytes) -> Batch:
    """Return the batch of a reader's output."""
    return batch_of(reader, _ANSWER.decode(output))


def _environment() -> dict[str, str]:
    """Return what a reader needs of this process's environment: no credentials, one thread, plain memory."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **dict.fromkeys(_THREADS, "1"), "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}

"""The process that reads one Parquet body for an acceptor, and dies of it if the body is made to kill.

Arrow ends its process at some damaged files. This one holds nothing but the body, and is allowed
little: ``python -P -m kilter.faces.serving.mlflow.parquet_child``, question and body on standard input.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import sys

import msgspec

from kilter.errors import InputError
from kilter.faces.serving.mlflow._parquet_words import Answered, Asked, Refused, reader_of, refused, told, unreadable

__all__ = ["main"]

_MEMORY_BYTES = 2 * 2**30
_CPU_S = 30
_PR_SET_PDEATHSIG = 1
_HEAD = 4


def main() -> int:
    """Read the question and the body, and write the answer.

    Returns
    -------
    int
        Exit status: 1 if whoever asked is gone before the body is there.
    """
    _limit()
    head = sys.stdin.buffer.read(_HEAD)
    question = sys.stdin.buffer.read(int.from_bytes(head, "little"))
    body = sys.stdin.buffer.read()
    if len(head) < _HEAD or not question:
        return 1
    asked = msgspec.msgpack.decode(question, type=Asked)
    if len(body) != asked.size:
        return 1
    sys.stdout.buffer.write(msgspec.msgpack.encode(_answer(asked, body)))
    sys.stdout.buffer.flush()
    return 0


def _answer(asked: Asked, body: bytes) -> Answered | Refused:
    """Read the body, or say why not."""
    from kilter.faces.serving.mlflow.parquet import read_parquet  # noqa: PLC0415 - Arrow is loaded within the limits

    try:
        return told(read_parquet(reader_of(asked), body))
    except InputError as error:
        return refused(error)
    except MemoryError:
        return refused(unreadable())


def _limit() -> None:
    """Limit memory and processor time, write no core file, and end with the parent (Linux)."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

"""What parent and child say to one another: length-prefixed msgpack frames, arrays as raw bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np

from kilter import errors
from kilter.contracts.batch import Batch, Scores
from kilter.contracts.signature import Signature

if TYPE_CHECKING:
    import socket

__all__ = ["Answer", "Call", "Fault", "Hello", "fault_of", "raise_fault", "receive", "send"]

_LENGTH: Final = struct.Struct(">I")
_MAX_BYTES: Final = 1 << 31

M = TypeVar("M")


class Fault(msgspec.Struct, frozen=True):
    """An error on its way through a pipe: the class by name, and its parts."""

    kind: str
    message: str
    where: str | None = None
    why: str | None = None
    hint: str | None = None


class Hello(msgspec.Struct, frozen=True):
    """The first frame: what to load."""

    format: str
    path: str
    signature: Signature
    memory_mib: int


class Call(msgspec.Struct, frozen=True):
    """Rows to score."""

    rows: int
    width: int
    numeric: bytes
    text: list[list[str | None]]

    @classmethod
    def of(cls, batch: Batch) -> Call:
        """Pack a batch."""
        numeric = np.ascontiguousarray(batch.numeric, dtype=np.float64)
        return cls(batch.rows, numeric.shape[1], numeric.tobytes(), np.asarray(batch.text).tolist())

    def batch(self) -> Batch:
        """Unpack the batch."""
        text = np.empty((self.rows, len(self.text[0]) if self.text else 0), dtype=np.object_)
        if text.size:
            text[:, :] = self.text
        numeric = np.frombuffer(self.numeric, dtype=np.float64).reshape(self.rows, self.width)
        return Batch(rows=self.rows, numeric=numeric, text=text)


class Answer(msgspec.Struct, frozen=True):
    """Scores, or a fault; both empty means ready."""

    shape: tuple[int, ...] = ()
    values: bytes = b""
    fault: Fault | None = None

    @classmethod
    def of(cls, scores: Scores) -> Answer:
        """Pack scores."""
        values = np.ascontiguousarray(scores.values, dtype=np.float64)
        return cls(values.shape, values.tobytes())

    def scores(self) -> Scores:
        """Unpack the scores."""
        return Scores(values=np.frombuffer(self.values, dtype=np.float64).reshape(self.shape))


def send(connection: socket.socket, message: object) -> None:
    """Send one frame; raises OSError if the other side is gone."""
    body = msgspec.msgpack.encode(message)
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, kind: type[M]) -> M | None:
    """Receive one frame, None at the end; raises OSError (also TimeoutError) or msgspec's errors."""
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MAX_BYTES:
        message = f"a frame of {length} bytes"
        raise OSError(message)
    body = _exactly(connection, length)
    return None if body is None else msgspec.msgpack.decode(body, type=kind)


def fault_of(error: BaseException) -> Fault:
    """Pack an error; what is none of kilter's becomes a FormatError."""
    if isinstance(error, errors.KilterError):
        return Fault(type(error).__name__, error.message, error.where, error.why, error.hint)
    return Fault("FormatError", "reading the model failed", None, f"{type(error).__name__}: {str(error)[:300]}")


def raise_fault(fault: Fault) -> None:
    """Raise the error that a fault describes; an unknown class becomes FormatError."""
    kind = getattr(errors, fault.kind, errors.FormatError) if fault.kind in errors.__all__ else errors.FormatError
    raise kind(fault.message, where=fault.where, why=fault.why, hint=fault.hint)


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    """Read so many bytes, None if the other side closed."""
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(min(length - len(data), 1 << 20))
        if not piece:
            return None
        data += piece
    return bytes(data)

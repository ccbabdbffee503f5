"""What an acceptor and the process that reads a Parquet body for it say to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Column, Signature, Task  # msgspec resolves Column when it decodes
from kilter.errors import InputError, InvalidRequest, SchemaMismatch, TooLarge
from kilter.faces.serving.mlflow.frame import FrameReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Answered", "Asked", "Refused", "Texts", "asked", "batch_of", "reader_of", "refused", "told", "unreadable"]

_ERRORS: Mapping[str, type[InputError]] = {kind.__name__: kind for kind in (InvalidRequest, SchemaMismatch, TooLarge)}


class Asked(msgspec.Struct, frozen=True):
    """The columns to read, and the limits; ``size`` bytes of Parquet come after it."""

    columns: tuple[Column, ...]
    max_rows: int
    size: int


class Texts(msgspec.Struct, frozen=True):
    """A column of text: each value once, and as int32 each row's place among them, -1 where missing."""

    values: list[str]
    places: bytes


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """What was read; ``numeric`` is float64, row by row."""

    rows: int
    numeric: bytes
    text: list[Texts]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why nothing was read."""

    kind: str
    message: str
    where: str
    hint: str
    details: dict[str, str]


def unreadable() -> InvalidRequest:
    """Build the error of a body that is no Parquet, or is damaged."""
    message = "the body is not a Parquet file that can be read"
    return InvalidRequest(message, hint="send one whole file, not encrypted, of flat columns")


def asked(reader: FrameReader, size: int) -> Asked:
    """Return the question for a reader's columns, without what is known of their values."""
    columns = (Column(name=one.name, type=one.type, nullable=one.nullable) for one in reader.signature.columns)
    return Asked(tuple(columns), reader.max_rows, size)


def reader_of(question: Asked) -> FrameReader:
    """Return the reader that a question is about."""
    signature = Signature(task=Task.REGRESSION, target="", columns=question.columns)
    return FrameReader(signature, max_rows=question.max_rows)


def told(batch: Batch) -> Answered:
    """Return the answer that carries a batch."""
    texts = np.asarray(batch.text, dtype=np.object_)
    columns = [_texts(texts[:, place].tolist()) for place in range(texts.shape[1])]
    return Answered(batch.rows, np.ascontiguousarray(batch.numeric, dtype=np.float64).tobytes(), columns)


def refused(error: InputError) -> Refused:
    """Return the answer that carries an error."""
    details = {name: value for name, value in error.details.items() if isinstance(value, str)}
    return Refused(type(error).__name__, error.message, error.where or "", error.hint or "", details)


def batch_of(reader: FrameReader, answer: Answered | Refused) -> Batch:
    """Return the batch of an answer.

    Parameters
    ----------
    reader : FrameReader
        Whose columns were asked for.
    answer : Answered or Refused
        From the other process.

    Returns
    -------
    Batch
        Rows in signature order.

    Raises
    ------
    InputError
        The error that the answer carries.
    ValueError
        If the answer does not fit the question.
    """
    if isinstance(answer, Refused):
        raise _ERRORS[answer.kind](
            answer.message, where=answer.where or None, hint=answer.hint or None, details=answer.details
        )
    signature = reader.signature
    shape = (answer.rows, len(signature.numeric_names))
    if not 1 <= answer.rows <= reader.max_rows or len(answer.text) != len(signature.text_names):
        message = "the process that reads Parquet answered with other rows or columns than were asked for"
        raise ValueError(message)
    numeric = np.frombuffer(answer.numeric, dtype=np.float64).reshape(shape).copy()
    text = np.empty((answer.rows, len(answer.text)), dtype=np.object_)
    for place, column in enumerate(answer.text):
        known = np.array([*column.values, None], dtype=np.object_)
        text[:, place] = known[np.frombuffer(column.places, dtype=np.int32)]
    return Batch(rows=answer.rows, numeric=numeric, text=text)


def _texts(cells: Sequence[str | None]) -> Texts:
    """Return a column with each text once."""
    known: dict[str, int] = {}
    places = [-1 if cell is None else known.setdefault(cell, len(known)) for cell in cells]
    return Texts(list(known), np.array(places, dtype=np.int32).tobytes())

"""Records to canonical JSON and back, without loss."""

from __future__ import annotations

import math
from functools import cache
from typing import TypeVar

import msgspec

from kilter.contracts.metadata import Record
from kilter.errors import StoreError

__all__ = ["decode", "encode"]

R = TypeVar("R", bound=Record)

_NON_FINITE = "~nonfinite"
"""Key of the list of ``[*path, text]`` of numbers that JSON cannot hold: ``inf``, ``-inf``, ``nan``."""
_MARK = b'"~nonfinite":'


def encode(record: Record) -> bytes:
    """Return a record as canonical JSON: UTF-8, sorted keys, no insignificant space.

    Raises
    ------
    StoreError
        If the record could not be read back: a field holds something else than its type says.
    """
    kind = type(record)
    try:
        tree = msgspec.to_builtins(record)
        found = _non_finite(tree, ())
        if found:
            tree[_NON_FINITE] = found
        body = msgspec.json.encode(tree, order="sorted")
        _decode(kind, body)
    except (TypeError, ValueError, OverflowError, RecursionError) as cause:  # msgspec's errors are among these
        message = f"{kind.__name__} `{record.id}` cannot be stored"
        raise StoreError(
            message,
            why=str(cause),
            hint="give every field a value of its declared type",
        ) from cause
    return body


def decode(kind: type[R], body: bytes) -> R:
    """Return the record of a stored body.

    Raises
    ------
    StoreError
        If the body is not a record of this kind: damaged, or written by another kilter.
    """
    try:
        return _decode(kind, body)
    except (TypeError, ValueError, LookupError) as cause:
        message = f"a stored {kind.__name__} cannot be read"
        raise StoreError(
            message,
            why=str(cause),
            hint="run `kilter doctor`; restore the store from a backup if it is damaged",
        ) from cause


def _decode(kind: type[R], body: bytes) -> R:
    """Decode, putting back the numbers that JSON cannot hold."""
    if _MARK not in body:
        plain: R = _decoder(kind).decode(body)
        return plain
    tree = msgspec.json.decode(body)
    for *path, last, text in tree.pop(_NON_FINITE, ()):
        node = tree
        for step in path:
            node = node[step]
        node[last] = float(text)
    record: R = msgspec.convert(tree, kind)
    return record


@cache
def _decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    """Build the decoder of a kind once."""
    return msgspec.json.Decoder(kind)


def _non_finite(node: object, path: tuple[str | int, ...]) -> list[list[str | int]]:
    """List the places of numbers that JSON cannot hold."""
    if isinstance(node, float):
        return [] if math.isfinite(node) else [[*path, str(float(node))]]
    if isinstance(node, dict):
        return [place for key, value in node.items() for place in _non_finite(value, (*path, key))]
    if isinstance(node, list | tuple):
        return [place for index, value in enumerate(node) for place in _non_finite(value, (*path, index))]
    return []

"""The datatypes of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np

from kilter.contracts.signature import ColumnType
from kilter.faces.serving.document import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DATATYPES", "DECLARED", "Datatype", "config_type", "integer_range", "json_cell", "widens"]


class Datatype(NamedTuple):
    """One datatype: bytes per element (0 where they vary), and how numpy reads it off the wire.

    BF16, which numpy does not have, is read as ``uint16`` and widened to float32 by its reader.
    """

    name: str
    width: int
    kind: np.dtype[Any]


DATATYPES: Mapping[str, Datatype] = {
    known.name: known
    for known in (
        Datatype("BOOL", 1, np.dtype("?")),
        Datatype("INT8", 1, np.dtype("<i1")),
        Datatype("INT16", 2, np.dtype("<i2")),
        Datatype("INT32", 4, np.dtype("<i4")),
        Datatype("INT64", 8, np.dtype("<i8")),
        Datatype("UINT8", 1, np.dtype("<u1")),
        Datatype("UINT16", 2, np.dtype("<u2")),
        Datatype("UINT32", 4, np.dtype("<u4")),
        Datatype("UINT64", 8, np.dtype("<u8")),
        Datatype("FP16", 2, np.dtype("<f2")),
        Datatype("BF16", 2, np.dtype("<u2")),
        Datatype("FP32", 4, np.dtype("<f4")),
        Datatype("FP64", 8, np.dtype("<f8")),
        Datatype("BYTES", 0, np.dtype("O")),
    )
}
"""All datatypes by name."""

DECLARED: Mapping[ColumnType, str] = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.TEXT: "BYTES",
}
"""The datatype that is advertised for a column."""

_FLOATS = {"FP16", "BF16", "FP32", "FP64"}
_WHOLE = {"BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"}
_INTO: Mapping[str, set[str]] = {
    "FP64": _FLOATS | _WHOLE | {"UINT64"},
    "INT64": _WHOLE,
    "BOOL": {"BOOL"},
    "BYTES": {"BYTES"},
}


def widens(sent: str, declared: str) -> bool:
    """Say whether every value of a datatype is one of the declared one.

    Integers of 64 bits widen into FP64 up to 2**53, which whoever has the values must check.
    """
    return sent in _INTO[declared]


def integer_range(name: str) -> tuple[int, int]:
    """Return the least and the largest integer of a datatype that float64 keeps exactly."""
    limits = np.iinfo(DATATYPES[name].kind)
    return max(int(limits.min), -EXACT), min(int(limits.max), EXACT)


def json_cell(name: str) -> Any:  # noqa: ANN401 - a type for a decoder
    """Return the type of one element, or of a missing one, in JSON."""
    kind = DATATYPES[name].kind.kind
    if kind in "iu":
        low, high = integer_range(name)
        return Annotated[int, msgspec.Meta(ge=low, le=high)] | None
    return {"b": bool, "f": float, "O": str}[kind] | None


def config_type(name: str) -> str:
    """Return a datatype as model configurations spell it."""
    return "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}"

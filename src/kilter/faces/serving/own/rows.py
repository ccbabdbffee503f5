"""The body of ``POST /predict``: JSON rows to a batch.

One typed decoder is built per signature; what it refuses is looked at again by ``strict``, which
decides and words the error.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import ColumnType
from kilter.errors import InvalidRequest, KilterError
from kilter.faces.serving.document import EXACT, malformed
from kilter.faces.serving.limits import check_nesting
from kilter.faces.serving.own.strict import cells_of, kind_of, milliseconds, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.signature import Column, Signature

__all__ = ["RowCodec", "RowRequest"]

_Row = TypeVar("_Row")
_EXACT_INT = Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)]
_EXACT_FLOAT = Annotated[float, msgspec.Meta(gt=-EXACT, lt=EXACT)]
_astuple = msgspec.structs.astuple
_PATH = re.compile(r" - at `(?P<path>\$.*)`$", re.DOTALL)
_KEYS = ("rows", "routing_key", "timeout_ms")
_EXAMPLE = '`{"rows": [{"column": value}]}`'


class _Body(msgspec.Struct, Generic[_Row], forbid_unknown_fields=True, gc=False):
    """The object form of the body."""

    rows: list[_Row]
    routing_key: str | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None


class RowRequest(NamedTuple):
    """A decoded request."""

    batch: Batch
    routing_key: str | None = None
    timeout_ms: int | None = None


class RowCodec:
    """Reads the rows of one signature.

    Guarantees: never lets a wrong value through to a model; thread-safe.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._signature = signature
        self._max_rows = max_rows
        self._width = len(signature.numeric_names)
        self._pack = Struct(f"={self._width}d").pack
        names = (*signature.numeric_names, *signature.text_names)
        self._text_width = len(names) - self._width
        columns = {column.name: column for column in signature.columns}
        row: Any = msgspec.defstruct(
            "Row",
            [_field(position, columns[name]) for position, name in enumerate(names)],
            rename={f"f{position}": name for position, name in enumerate(names)},
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._object: msgspec.json.Decoder[_Body[Any]] = msgspec.json.Decoder(_Body[row])
        self._array: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[row])
        integers = [columns[name].type is ColumnType.INTEGER for name in signature.numeric_names]
        self._integers = np.flatnonzero(integers) if any(integers) else None
        self._is_plain = all(column.type is ColumnType.FLOAT and not column.nullable for column in signature.columns)
        self._text_free = np.empty((1, 0), dtype=np.object_)
        self._one = (1, self._width)

    def decode(self, body: bytes) -> RowRequest:
        """Return the batch and options of a body.

        Parameters
        ----------
        body : bytes
            ``{"rows": [...], "routing_key"?, "timeout_ms"?}`` or a bare array of row objects.

        Returns
        -------
        RowRequest
            Rows in signature order.

        Raises
        ------
        InvalidRequest
            If the JSON, a value, a type or an option is wrong; ``details["field"]`` names it.
        SchemaMismatch
            If a row has a column that the model does not take.
        """
        try:
            if body[:1] == b"{":
                document = self._object.decode(body)
                rows, key, timeout = document.rows, document.routing_key, document.timeout_ms
            else:
                rows, key, timeout = self._array.decode(body), None, None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return self._decode_strictly(body, error)
        self._check_count(len(rows))
        if self._is_plain and len(rows) == 1:  # one row of floats: cheaper without numpy
            numeric = np.ndarray(self._one, np.float64, self._pack(*_astuple(rows[0])))
            return RowRequest(Batch(1, numeric, self._text_free), key, timeout)
        batch = self._batch([_astuple(row) for row in rows])
        if self._is_fractional(np.asarray(batch.numeric)):
            return self._decode_strictly(body, None)
        return RowRequest(batch, key, timeout)

    def _is_fractional(self, numeric: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
        """Say whether an integer column holds a fraction."""
        if self._integers is None:
            return False
        integers = numeric[:, self._integers]
        return bool(((integers != np.rint(integers)) & ~np.isnan(integers)).any())

    def _decode_strictly(self, body: bytes, cause: Exception | None) -> RowRequest:
        """Decode without a schema, and find the fault or accept after all."""
        check_nesting(body)
        try:
            document = msgspec.json.decode(body)
        except msgspec.ValidationError as error:
            raise _out_of_range(cause or error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from error
        key, timeout = None, None
        if isinstance(document, dict):
            key, timeout = _options(document)
            document = document["rows"]
        if not isinstance(document, list):
            message = "rows"
            raise refusal(message, "an array of row objects", kind_of(document), f"send {_EXAMPLE}")
        self._check_count(len(document))
        return RowRequest(self._batch(cells_of(self._signature, document)), key, timeout)

    def _check_count(self, count: int) -> None:
        """Refuse no rows, and more rows than the deployment takes."""
        if count == 0:
            message = "rows"
            raise refusal(message, "at least one row", "none", f"send {_EXAMPLE}")
        if count > self._max_rows:
            hint = "split the request, or score files with `kilter predict --in FILE`"
            message = "rows"
            raise refusal(message, f"at most {self._max_rows} rows", f"{count} rows", hint)

    def _batch(self, cells: Sequence[tuple[Any, ...]]) -> Batch:
        """Put cells (numbers first) into arrays; None among numbers becomes NaN."""
        count, width = len(cells), self._width
        if not self._text_width:
            text = np.empty((count, 0), dtype=np.object_)
            return Batch(rows=count, numeric=np.array(cells, dtype=np.float64), text=text)
        text = np.empty((count, self._text_width), dtype=np.object_)
        text[:] = [row[width:] for row in cells]
        numeric = np.array([row[:width] for row in cells], dtype=np.float64).reshape(count, width)
        return Batch(rows=count, numeric=numeric, text=text)


def _field(position: int, column: Column) -> tuple[str, Any] | tuple[str, Any, Any]:
    """Return the typed decoder's field of one column."""
    kinds: dict[ColumnType, Any] = {
        ColumnType.FLOAT: _EXACT_FLOAT,  # beyond, an integer may have lost digits: the strict reader sees those
        ColumnType.INTEGER: _EXACT_FLOAT if column.nullable else _EXACT_INT,
        ColumnType.BOOLEAN: bool,
        ColumnType.TEXT: str,
    }
    kind = kinds[column.type]
    return (f"f{position}", kind | None, None) if column.nullable else (f"f{position}", kind)


def _options(document: dict[str, Any]) -> tuple[str | None, int | None]:
    """Validate the keys beside ``rows``."""
    if "rows" not in document:
        message = "rows"
        raise refusal(message, "an array of row objects", "an object without `rows`", f"wrap the row: send {_EXAMPLE}")
    for name in document:
        if name not in _KEYS:
            hint = "put columns inside `rows`; beside it are only `routing_key` and `timeout_ms`"
            raise refusal(name[:40], "no such key", "an unknown key", hint)
    key = document.get("routing_key")
    if key is not None and not isinstance(key, str):
        message = "routing_key"
        raise refusal(message, "text", kind_of(key), "put the routing key in quotes")
    return key, milliseconds("timeout_ms", document.get("timeout_ms"))


def _out_of_range(cause: Exception) -> KilterError:
    """Word the only fault that a decoder without a schema finds in well-formed JSON: a number beyond float64."""
    found = _PATH.search(str(cause))
    field = found["path"].removeprefix("$").removeprefix(".") if found else "rows"
    field = f"rows{field}" if field.startswith("[") else field[:200]
    message = f"{field}: expected a finite number, got one beyond the range of float64"
    return InvalidRequest(
        message, where=field, hint="send a smaller number, or null for missing", details={"field": field}
    )

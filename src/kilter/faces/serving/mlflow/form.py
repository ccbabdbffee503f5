"""The four JSON forms of MLflow's protocol: which one was sent, and its columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kilter.errors import InvalidRequest, UnknownName
from kilter.faces.serving.document import malformed
from kilter.faces.serving.limits import check_nesting
from kilter.faces.serving.mlflow.frame import Frame
from kilter.faces.serving.own.strict import kind_of, milliseconds, refusal, unknown_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.batch import Batch
    from kilter.faces.serving.mlflow.frame import FrameReader

__all__ = ["METHODS", "FormRequest", "read_form"]

METHODS = ("predict", "predict_proba")
"""What ``params.predict_method`` may say."""

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_EXAMPLE = 'send `{"dataframe_records": [{"column": value}]}`'
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|NaN', re.DOTALL)  # an open string goes to the end: linear
_BEYOND = re.compile(r"out of range", re.IGNORECASE)


class FormRequest(NamedTuple):
    """A decoded request; ``method`` is empty where none was asked for, ``ignored`` names what was not understood."""

    batch: Batch
    method: str = ""
    routing_key: str | None = None
    timeout_ms: int | None = None
    ignored: tuple[str, ...] = ()


def read_form(reader: FrameReader, body: bytes) -> FormRequest:
    """Return the batch and options of a JSON body.

    Parameters
    ----------
    reader : FrameReader
        Reads columns for the asked deployment.
    body : bytes
        ``{FORM: ..., "params"?: {...}}`` with exactly one of the four forms.

    Returns
    -------
    FormRequest
        Rows in signature order.

    Raises
    ------
    InvalidRequest
        If the JSON, the form, a value or a parameter is wrong.
    SchemaMismatch
        If the columns are not the model's.
    UnknownName
        If ``predict_method`` is none that there is.
    """
    check_nesting(body)
    document = _document(body)
    if not isinstance(document, dict):
        message = f"the body: expected an object, got {kind_of(document)}"
        raise InvalidRequest(message, hint=_EXAMPLE)
    found = [name for name in _FORMS if name in document]
    if len(found) != 1:
        got = " and ".join(f"`{name}`" for name in found) or "none of them"
        message = f"expected exactly one of {', '.join(f'`{name}`' for name in _FORMS)}, got {got}"
        raise InvalidRequest(message, hint=_EXAMPLE)
    for name in document:
        if name not in (*_FORMS, "params"):
            hint = "beside the rows there is only `params`"
            raise refusal(name[:40], "no such key", "an unknown key", hint)
    batch = reader.batch(_frame(reader, found[0], document[found[0]]))
    return FormRequest(batch, *_options(document.get("params")))


def _document(body: bytes) -> object:
    """Decode JSON; the token ``NaN``, which MLflow's own client writes for a missing cell, is read as null."""
    is_exact = True
    try:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError:
            if b"NaN" not in body:
                raise
        is_exact = False
        return msgspec.json.decode(_TOKEN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError) and _BEYOND.search(str(error)):
            message = "a number is beyond the range of float64"
            raise InvalidRequest(message, hint="send a smaller number, or null for missing") from error
        raise malformed(error, is_exact=is_exact) from error


def _frame(reader: FrameReader, form: str, content: object) -> Frame:
    """Return the columns of one form."""
    if form == "dataframe_split":
        return _split(reader, content)
    if isinstance(content, dict) and form == "inputs":
        return _columns(reader, content)
    if not isinstance(content, list):
        expected = "an array of rows, or an object of columns" if form == "inputs" else "an array of rows"
        raise refusal(form, expected, kind_of(content), _EXAMPLE)
    reader.check_size(form, len(content), len(reader.names))
    kinds = set(map(type, content))
    if form == "dataframe_records" or kinds == {dict}:
        return _records(reader, form, content)
    if kinds == {list}:
        return _rows(form, content, reader.names)
    if dict in kinds or list in kinds:
        raise refusal(form, "rows of one kind", "objects, arrays and values mixed", _EXAMPLE)
    if len(reader.names) != 1:
        hint = "put each row into brackets of its own: `[[1, 2], [3, 4]]`"
        raise refusal(form, f"rows of {len(reader.names)} values", "a flat array", hint)
    return Frame(form, {reader.names[0]: content}, len(content))


def _split(reader: FrameReader, content: object) -> Frame:
    """Return the columns of ``dataframe_split``; without ``columns`` they come in the model's order."""
    form, hint = "dataframe_split", 'send `{"columns": [...], "data": [[...], ...]}`'
    if not isinstance(content, dict):
        raise refusal(form, "an object with `columns` and `data`", kind_of(content), hint)
    for name in content:
        if name not in {"columns", "index", "data"}:
            field = f"{form}.{name[:40]}"
            raise refusal(field, "no such key", "an unknown key", hint)
    names, data, index = content.get("columns"), content.get("data"), content.get("index")
    if not isinstance(data, list):
        got = kind_of(data) if "data" in content else "nothing"
        field = f"{form}.data"
        raise refusal(field, "an array of rows", got, hint)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        fix = "send the names of the columns, or leave `columns` out to send them in the model's order"
        field = f"{form}.columns"
        raise refusal(field, "an array of text", "something else", fix)
    if index is not None and not (isinstance(index, list) and len(index) == len(data)):
        fix = "leave `index` out: it is not used"
        field = f"{form}.index"
        raise refusal(field, "an array as long as `data`", "something else", fix)
    known = reader.names if names is None else names
    reader.check_names(form, known)
    reader.check_size(form, len(data), len(known))
    return _rows(form, data, known)


def _rows(form: str, rows: list[Any], names: Sequence[str]) -> Frame:
    """Turn rows of values into columns."""
    width = len(names)
    for place, row in enumerate(rows):
        if not isinstance(row, list):
            field = f"{form}[{place}]"
            raise refusal(field, f"an array of {width} values", kind_of(row), _EXAMPLE)
        if len(row) != width:
            hint = f"send {width} values in every row"
            field = f"{form}[{place}]"
            raise refusal(field, f"{width} values", f"{len(row)}", hint)
    return Frame(form, dict(zip(names, zip(*rows, strict=True), strict=True)), len(rows))


def _records(reader: FrameReader, form: str, records: list[Any]) -> Frame:
    """Turn row objects into columns; what a row leaves out is missing in it."""
    known = frozenset(reader.names)
    for place, record in enumerate(records):
        if not isinstance(record, dict):
            hint = 'send rows like `{"age": 41}`'
            field = f"{form}[{place}]"
            raise refusal(field, "an object of column and value", kind_of(record), hint)
        if not record.keys() <= known:
            name = next(name for name in record if name not in known)
            columns = {column.name: column for column in reader.signature.columns}
            raise unknown_column(columns, name, f"{form}[{place}]")
    return Frame(form, {name: [record.get(name) for record in records] for name in reader.names}, len(records))


def _columns(reader: FrameReader, content: dict[str, Any]) -> Frame:
    """Read an object of columns: arrays of values or of arrays of one value, or one plain value each."""
    form = "inputs"
    reader.check_names(form, list(content))
    kinds = {isinstance(cells, list) for cells in content.values()}
    if len(kinds) == 2:
        raise refusal(form, "an array in every column", "arrays and plain values mixed", "send `{column: [value]}`")
    columns = {name: cells if kinds == {True} else [cells] for name, cells in content.items()}
    rows = len(next(iter(columns.values()), []))
    for name, cells in columns.items():
        if len(cells) != rows:
            field = f"{form}.{name[:80]}"
            raise refusal(field, f"{rows} values as in the first column", f"{len(cells)}", _EXAMPLE)
    reader.check_size(form, rows, len(reader.names))
    return Frame(form, {name: _flat(cells) for name, cells in columns.items()}, rows)


def _flat(cells: list[Any]) -> list[Any]:
    """Unwrap a column sent as a tensor of shape [rows, 1]."""
    is_nested = all(isinstance(cell, list) and len(cell) == 1 for cell in cells)
    return [cell[0] for cell in cells] if is_nested else cells


def _options(params: object) -> tuple[str, str | None, int | None, tuple[str, ...]]:
    """Read ``params``; as MLflow does, what is not understood is ignored, but here the answer says so."""
    if params is None:
        return "", None, None, ()
    if not isinstance(params, dict):
        message = "params"
        raise refusal(message, "an object", kind_of(params), 'send `"params": {"predict_method": "predict"}`')
    method, key = params.get("predict_method"), params.get("routing_key")
    if method is not None and method not in METHODS:
        message = "predict method"
        raise UnknownName.among(message, str(method)[:80], METHODS)
    if key is not None and not isinstance(key, str):
        message = "params.routing_key"
        raise refusal(message, "text", kind_of(key), "put the routing key in quotes")
    timeout = milliseconds("params.timeout_ms", params.get("timeout_ms"))
    known = {"predict_method", "routing_key", "timeout_ms"}
    return method or "", key, timeout, tuple(name for name in params if name not in known)

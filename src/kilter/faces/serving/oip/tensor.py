"""The JSON form of the Open Inference Protocol V2: tensors to a batch, predictions to tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import orjson

from kilter.contracts.batch import Batch
from kilter.contracts.signature import ColumnType, Task
from kilter.errors import InvalidRequest, SchemaMismatch, UnknownName
from kilter.faces.serving.document import EXACT, malformed
from kilter.faces.serving.limits import ELEMENTS, check_nesting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.signature import Column, Signature
    from kilter.services.predictor import Prediction, Variant

__all__ = ["MATRIX", "TensorCodec", "TensorRequest", "encode_inference", "metadata"]

MATRIX = "input"
"""Name of the one input of the matrix form."""

_DATATYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.TEXT: "BYTES",
}
_KINDS = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP32": np.float32,
    "FP64": np.float64,
}
_PLANE = 2


class _Tensor(msgspec.Struct):
    """One input."""

    name: str
    datatype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data: msgspec.Raw


class _Wanted(msgspec.Struct):
    """One output asked for."""

    name: str


class _Parameters(msgspec.Struct):
    """What is understood of the request's parameters; ``timeout`` is in microseconds."""

    routing_key: str | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _Request(msgspec.Struct):
    """The body of ``infer``."""

    inputs: list[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Wanted] | None = None


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """A decoded request."""

    batch: Batch
    id: str | None
    outputs: tuple[str, ...]
    routing_key: str | None
    timeout_ms: int | None


class TensorCodec:
    """Reads the tensors of one signature.

    Guarantees: never lets a wrong value through to a model; thread-safe.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._signature = signature
        self._max_rows = max_rows
        self._decoder = msgspec.json.Decoder(_Request)

    def decode(self, body: bytes) -> TensorRequest:
        """Return the batch and options of a body.

        Parameters
        ----------
        body : bytes
            ``{"inputs": [...], "id"?, "parameters"?, "outputs"?}``; other keys are ignored.

        Returns
        -------
        TensorRequest
            Rows in signature order.

        Raises
        ------
        InvalidRequest
            If the JSON, a shape, a datatype or a value is wrong.
        SchemaMismatch
            If inputs are missing, doubled or not the model's.
        UnknownName
            If an output is asked for that the model does not give.
        """
        check_nesting(body)
        try:
            request = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise _wrong_form(error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from error
        known = output_names(self._signature)
        wanted = known if not request.outputs else tuple(output.name for output in request.outputs)
        for name in wanted:
            if name not in known:
                message = "output"
                raise UnknownName.among(message, name[:80], known)
        options = request.parameters or _Parameters()
        return TensorRequest(
            batch=self._batch(request.inputs),
            id=request.id,
            outputs=wanted,
            routing_key=options.routing_key,
            timeout_ms=None if options.timeout is None else max(1, options.timeout // 1000),
        )

    def _batch(self, inputs: list[_Tensor]) -> Batch:
        """Read all inputs, in the matrix form or one tensor per column."""
        signature = self._signature
        if is_matrix(signature) and [tensor.name for tensor in inputs] == [MATRIX]:
            column = signature.columns[0]
            is_nullable = any(each.nullable for each in signature.columns)
            values = _values(inputs[0], column, is_nullable=is_nullable, width=len(signature.columns))
            numeric = values.reshape(-1, len(signature.columns))
            self._check_rows(len(numeric), MATRIX)
            for position, each in enumerate(signature.columns):
                _check_missing(numeric[:, position], each, MATRIX)
            return Batch(rows=len(numeric), numeric=numeric, text=np.empty((len(numeric), 0), dtype=np.object_))
        tensors = self._by_column(inputs)
        arrays = {
            column.name: _values(tensors[column.name], column, is_nullable=column.nullable, width=1)
            for column in signature.columns
        }
        rows = len(arrays[signature.columns[0].name])
        self._check_rows(rows, signature.columns[0].name)
        for name, array in arrays.items():
            if len(array) != rows:
                raise _refused(name, f"{rows} rows as in `{signature.columns[0].name}`", f"{len(array)}")
        numbers, texts = signature.numeric_names, signature.text_names
        return Batch(
            rows=rows,
            numeric=np.stack([arrays[name] for name in numbers], axis=1) if numbers else np.empty((rows, 0)),
            text=np.stack([arrays[name] for name in texts], axis=1) if texts else np.empty((rows, 0), dtype=np.object_),
        )

    def _by_column(self, inputs: list[_Tensor]) -> dict[str, _Tensor]:
        """Match inputs and columns by name, each exactly once."""
        tensors = {tensor.name: tensor for tensor in inputs}
        names = {column.name for column in self._signature.columns}
        if len(tensors) != len(inputs):
            message = "two inputs have the same name"
            raise SchemaMismatch(message, hint="send each input once")
        for name in tensors:
            if name not in names:
                message = f"unknown input `{name[:80]}`"
                raise SchemaMismatch(message, hint="see the inputs at `GET /v2/models/NAME`", details={"field": name})
        missing = sorted(names - tensors.keys())
        if missing:
            shown = ", ".join(f"`{name[:40]}`" for name in missing[:5])
            either = f", or one input `{MATRIX}` with all columns" if is_matrix(self._signature) else ""
            message = f"{len(missing)} of {len(names)} inputs are missing: {shown}{either}"
            raise SchemaMismatch(message, hint="see the inputs at `GET /v2/models/NAME`")
        return tensors

    def _check_rows(self, rows: int, name: str) -> None:
        """Refuse no rows, and more than the deployment takes."""
        if not 1 <= rows <= self._max_rows:
            raise _refused(name, f"1 to {self._max_rows} rows", f"{rows}")


def _values(tensor: _Tensor, column: Column, *, is_nullable: bool, width: int) -> np.ndarray[Any, Any]:
    """Read one tensor: flat float64, or flat text as objects."""
    count = _count(tensor, width)
    _check_datatype(tensor, column)
    kind: Any = {"BYTES": str, "BOOL": bool, "FP32": float, "FP64": float}.get(tensor.datatype, int)
    cell = kind | None if is_nullable else kind
    data = bytes(tensor.data)
    is_nested = len(tensor.shape) == _PLANE and data.lstrip()[1:].lstrip()[:1] == b"["
    try:
        decoded = msgspec.json.decode(data, type=list[list[cell]] if is_nested else list[cell])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise _wrong_value(tensor, error) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error
    cells: list[Any] = decoded
    if is_nested:
        if len(decoded) != tensor.shape[0] or any(len(row) != tensor.shape[1] for row in decoded):
            raise _refused(tensor.name, f"nested data of shape {tensor.shape}", "another nesting")
        cells = [value for row in decoded for value in row]
    if len(cells) != count:
        raise _refused(tensor.name, f"{count} elements for shape {tensor.shape}", f"{len(cells)}")
    if tensor.datatype == "BYTES":
        texts = np.empty(count, dtype=np.object_)
        texts[:] = cells
        return texts
    return _numbers(tensor, cells)


def _count(tensor: _Tensor, width: int) -> int:
    """Check rank and width, and return the number of elements; nothing is allocated before."""
    shape = tensor.shape
    is_column = width == 1 and len(shape) == 1
    if not is_column and (len(shape) != _PLANE or shape[1] != width):
        expected = "[-1] or [-1, 1]" if width == 1 else f"[-1, {width}]"
        raise _refused(tensor.name, f"shape {expected}", f"{shape[:8]}")
    count = shape[0] * width
    if count > ELEMENTS:
        raise _refused(tensor.name, f"at most {ELEMENTS} elements", f"shape {shape}")
    return count


def _check_datatype(tensor: _Tensor, column: Column) -> None:
    """Accept the declared datatype, or one that widens safely into it."""
    declared = _DATATYPES[column.type]
    sent = tensor.datatype
    if sent == declared:
        return
    is_safe = sent in _KINDS and declared in _KINDS and np.can_cast(_KINDS[sent], _KINDS[declared], "safe")
    if not is_safe:
        raise _refused(tensor.name, f"datatype {declared}", f"`{sent[:20]}`")


def _numbers(tensor: _Tensor, cells: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Narrow checked cells to float64 through the datatype that was sent."""
    if tensor.datatype.startswith(("INT", "UINT")):
        limits = np.iinfo(_KINDS[tensor.datatype])
        low, high = max(int(limits.min), -EXACT), min(int(limits.max), EXACT)
        if any(value is not None and not low <= value <= high for value in cells):
            raise _refused(tensor.name, f"integers from {low} to {high}", "one outside")
    values = np.array(cells, dtype=np.float64)
    if tensor.datatype == "FP32":
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    if np.isinf(values).any():
        raise _refused(tensor.name, f"finite {tensor.datatype} values", "one beyond its range")
    return values


def _check_missing(values: np.ndarray[Any, Any], column: Column, name: str) -> None:
    """Refuse null in a column of a matrix that never was missing."""
    if not column.nullable and np.isnan(values).any():
        raise _refused(name, f"a value in column `{column.name[:40]}`", "null")


def _refused(name: str, expected: str, got: str) -> InvalidRequest:
    """Build the error of one tensor."""
    return InvalidRequest(
        f"input `{name[:80]}`: expected {expected}, got {got}",
        hint="see the inputs at `GET /v2/models/NAME`",
        details={"field": name[:80]},
    )


def _wrong_value(tensor: _Tensor, error: msgspec.ValidationError) -> InvalidRequest:
    """Word a wrong type among a tensor's data."""
    return InvalidRequest(f"input `{tensor.name[:80]}` of {tensor.datatype}: {_plain(error)}")


def _wrong_form(error: msgspec.ValidationError) -> InvalidRequest:
    """Word a request that is not of the protocol's form."""
    return InvalidRequest(
        f"not an inference request: {_plain(error)}", hint="send `inputs` with name, datatype, shape, data"
    )


def _plain(error: msgspec.ValidationError) -> str:
    """Return the decoder's sentence, which names types and places but no values."""
    sentence = str(error).replace("$.", "").replace("`", "")
    return (sentence[:1].lower() + sentence[1:])[:400]


def is_matrix(signature: Signature) -> bool:
    """Say whether all columns can travel as one matrix: numbers of one type."""
    kinds = {column.type for column in signature.columns}
    return len(kinds) == 1 and kinds <= {ColumnType.FLOAT, ColumnType.INTEGER}


def output_names(signature: Signature) -> tuple[str, ...]:
    """Return the names of a model's outputs."""
    return ("value",) if signature.task is Task.REGRESSION else ("label", "score", "probabilities")


def metadata(name: str, variant: Variant, versions: Sequence[int]) -> dict[str, Any]:
    """Return the protocol's description of a model."""
    signature = variant.signature
    if is_matrix(signature):
        datatype = _DATATYPES[signature.columns[0].type]
        inputs = [{"name": MATRIX, "datatype": datatype, "shape": [-1, len(signature.columns)]}]
    else:
        inputs = [
            {"name": column.name, "datatype": _DATATYPES[column.type], "shape": [-1]} for column in signature.columns
        ]
    kinds = {"label": "BYTES"}
    shapes = {"probabilities": [-1, len(signature.classes)]}
    outputs = [
        {"name": output, "datatype": kinds.get(output, "FP64"), "shape": shapes.get(output, [-1])}
        for output in output_names(signature)
    ]
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": f"kilter_{variant.manifest.runtime}",
        "inputs": inputs,
        "outputs": outputs,
    }


def encode_inference(prediction: Prediction, request: TensorRequest) -> bytes:
    """Return the JSON answer of ``infer``."""
    signature = prediction.variant.signature
    values, rows = prediction.values, request.batch.rows
    outputs: list[dict[str, Any]] = []
    for name in request.outputs:
        shape = [rows, len(signature.classes)] if name == "probabilities" else [rows]
        datatype = "BYTES" if name == "label" else "FP64"
        data: Any
        if name == "label":
            data = [signature.classes[label] for label in prediction.labels]
        elif name == "score":
            chosen = signature.positive_index if signature.task is Task.BINARY else prediction.labels
            data = np.ascontiguousarray(values[np.arange(rows), chosen])
        else:
            data = np.ascontiguousarray(values).reshape(-1)
        outputs.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
    answer: dict[str, Any] = {"model_name": prediction.deployment, "model_version": prediction.variant.name}
    if request.id is not None:
        answer["id"] = request.id
    answer["parameters"] = {"prediction_id": prediction.prediction_id, "generation": prediction.generation}
    answer["outputs"] = outputs
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

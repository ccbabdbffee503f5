"""Tensors of any protocol: strictly checked arrays to a batch, predictions to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.batch import Batch
from kilter.contracts.signature import ColumnType, Task
from kilter.errors import SchemaMismatch, UnknownName
from kilter.faces.serving.limits import ELEMENTS
from kilter.faces.serving.oip.datatype import DATATYPES, DECLARED, integer_range, widens
from kilter.faces.serving.oip.refusal import NAME, refused, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kilter.contracts.signature import Column, Signature
    from kilter.errors import InvalidRequest
    from kilter.services.predictor import Prediction

__all__ = [
    "MATRIX",
    "InputTensor",
    "OutputTensor",
    "TensorCodec",
    "answer_parameters",
    "is_matrix",
    "output_names",
    "outputs",
]

AnyArray: TypeAlias = NDArray[Any]

MATRIX = "input"
"""Name of the one input of the matrix form."""

_PLANE = 2
_SHOWN_NAMES = 5
_LONG = ("INT64", "UINT64")


class InputTensor(NamedTuple):
    """One input as it was sent.

    ``array`` is flat and row-major: of the datatype's own kind or a wider one (float32 for BF16), in
    float64 with NaN for missing, or objects (``str``, or None for missing) for BYTES. Integers that come
    as float64 are whole and within their datatype's range; any other kind is checked here.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    array: AnyArray


class OutputTensor(NamedTuple):
    """One output: ``array`` is flat float64 in C order, or a list of ``str`` for BYTES."""

    name: str
    datatype: str
    shape: list[int]
    array: NDArray[np.float64] | list[str]


class _Place(NamedTuple):
    """Where a column goes in a batch."""

    column: Column
    declared: str
    position: int


class TensorCodec:
    """Reads the tensors of one signature.

    Guarantees: never lets a wrong value through to a model; thread-safe. Nothing is allocated before
    the shapes were checked; float64 of a whole matrix is not copied.

    Parameters
    ----------
    signature : Signature
        Columns in the order of the batch.
    max_rows : int
        More rows are refused.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self.signature = signature
        self.is_matrix = is_matrix(signature)
        self.outputs = output_names(signature)
        self._max_rows = max_rows
        self._width = len(signature.columns)
        numbers, texts = signature.numeric_names, signature.text_names
        self._numbers, self._texts = len(numbers), len(texts)
        self._places = {
            column.name: _Place(
                column,
                DECLARED[column.type],
                (texts if column.type is ColumnType.TEXT else numbers).index(column.name),
            )
            for column in signature.columns
        }

    def wanted(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the outputs asked for, each once; all of them if none is named.

        Raises
        ------
        UnknownName
            If the model gives no such output.
        """
        asked = tuple(dict.fromkeys(names))
        for name in asked:
            if name not in self.outputs:
                message = "output"
                raise UnknownName.among(message, name[:NAME], self.outputs)
        return asked or self.outputs

    def batch(self, inputs: Sequence[InputTensor]) -> Batch:
        """Return the rows of tensors, in the matrix form or one tensor per column.

        Parameters
        ----------
        inputs : sequence of InputTensor
            In any order: names decide.

        Returns
        -------
        Batch
            In signature order; its arrays may be read-only.

        Raises
        ------
        InvalidRequest
            If a shape, a datatype or a value is wrong.
        SchemaMismatch
            If inputs are missing, doubled or not the model's.
        """
        if self.is_matrix and len(inputs) == 1 and inputs[0].name == MATRIX:
            return self._from_matrix(inputs[0])
        return self._from_columns(inputs)

    def _from_matrix(self, tensor: InputTensor) -> Batch:
        """Read one tensor with all columns."""
        width, shape = self._width, tensor.shape
        column = self.signature.columns[0]
        _check_datatype(tensor, DECLARED[column.type])
        if not (len(shape) == _PLANE and shape[1] == width) and not (len(shape) == 1 == width):
            raise refused(tensor.name, "shape [-1] or [-1, 1]" if width == 1 else f"shape [-1, {width}]", shown(shape))
        rows = shape[0]
        self._check_rows(rows, tensor.name)
        _check_size(tensor, rows * width)
        _check_integers(tensor)
        flat = tensor.array
        if flat.dtype != np.float64 or not flat.flags.aligned:  # a view of a body may begin anywhere
            flat = flat.astype(np.float64)
        numeric = flat.reshape(rows, width)
        if not _is_finite(flat):
            self._check_gaps(numeric, [tensor] * width)
        return Batch(rows=rows, numeric=numeric, text=np.empty((rows, 0), dtype=np.object_))

    def _from_columns(self, inputs: Sequence[InputTensor]) -> Batch:
        """Read one tensor per column."""
        places = self._places
        if len(inputs) != len(places) or len({tensor.name for tensor in inputs}) != len(places):
            raise self._misfit(inputs)
        rows = inputs[0].shape[0] if inputs[0].shape else 0
        for tensor in inputs:
            place = places.get(tensor.name)
            if place is None:
                raise self._misfit(inputs)
            _check_datatype(tensor, place.declared)
            shape = tensor.shape
            if len(shape) != 1 and (len(shape) != _PLANE or shape[1] != 1):
                raise refused(tensor.name, "shape [-1] or [-1, 1]", shown(shape))
            if shape[0] != rows:
                raise refused(tensor.name, f"{rows} rows as in `{inputs[0].name[:NAME]}`", str(shape[0]))
        self._check_rows(rows, inputs[0].name)
        numeric = np.empty((rows, self._numbers))
        text = np.empty((rows, self._texts), dtype=np.object_)
        for tensor in inputs:
            _check_size(tensor, rows)
            column, declared, position = places[tensor.name]
            if declared == "BYTES":
                text[:, position] = tensor.array
                if not column.nullable and None in tensor.array.tolist():
                    raise refused(tensor.name, "a text in each row", "null")
            else:
                _check_integers(tensor)
                numeric[:, position] = tensor.array
        if not _is_finite(numeric.reshape(-1)):
            by_name = {tensor.name: tensor for tensor in inputs}
            self._check_gaps(numeric, [by_name[name] for name in self.signature.numeric_names])
        return Batch(rows=rows, numeric=numeric, text=text)

    def _check_rows(self, rows: int, name: str) -> None:
        """Refuse no rows, more than the deployment takes, and more elements than any request may have."""
        if not 1 <= rows <= self._max_rows:
            raise refused(name, f"1 to {self._max_rows} rows", shown([rows])[1:-1])
        if rows * self._width > ELEMENTS:
            raise refused(name, f"at most {ELEMENTS} elements in all", str(rows * self._width))

    def _check_gaps(self, numeric: NDArray[np.float64], tensors: Sequence[InputTensor]) -> None:
        """Refuse infinity, and NaN in a column that never was missing."""
        infinite = np.asarray(np.isinf(numeric).any(axis=0))
        missing = np.asarray(np.isnan(numeric).any(axis=0))
        columns = [column for column in self.signature.columns if column.type is not ColumnType.TEXT]
        for position, (column, tensor) in enumerate(zip(columns, tensors, strict=True)):
            place = f" in column `{column.name[:NAME]}`" if tensor.name != column.name else ""
            if infinite[position]:
                message = f"finite {tensor.datatype} values{place}"
                raise refused(tensor.name, message, "an infinite one, or one beyond its range")
            if missing[position] and not column.nullable:
                message = f"a value{place} in each row"
                raise refused(tensor.name, message, "null or NaN, and the column never was missing")

    def _misfit(self, inputs: Sequence[InputTensor]) -> SchemaMismatch:
        """Say which inputs are doubled, unknown or missing."""
        hint = "see the inputs at `GET /v2/models/NAME`"
        names: set[str] = set()
        for tensor in inputs:
            if tensor.name in names:
                message = f"input `{tensor.name[:NAME]}` is sent twice"
                return SchemaMismatch(message, hint="send each input once", details={"field": tensor.name[:NAME]})
            names.add(tensor.name)
        for tensor in inputs:
            if tensor.name == MATRIX and self.is_matrix and MATRIX not in self._places:
                message = f"input `{MATRIX}` holds all columns, and other inputs are sent beside it"
                return SchemaMismatch(message, hint=f"send `{MATRIX}` alone", details={"field": MATRIX})
            if tensor.name not in self._places:
                message = f"unknown input `{tensor.name[:NAME]}`"
                return SchemaMismatch(message, hint=hint, details={"field": tensor.name[:NAME]})
        missing = [name for name in self._places if name not in names]
        listed = ", ".join(f"`{name[:40]}`" for name in missing[:_SHOWN_NAMES])
        either = f", or one input `{MATRIX}` with all columns" if self.is_matrix else ""
        message = f"{len(missing)} of {self._width} inputs are missing: {listed}{either}"
        return SchemaMismatch(message, hint=hint)


def _check_datatype(tensor: InputTensor, declared: str) -> None:
    """Accept the declared datatype, or one that widens safely into it."""
    if tensor.datatype != declared and not widens(tensor.datatype, declared):
        raise refused(tensor.name, f"datatype {declared}", f"`{tensor.datatype[:20]}`")


def _check_size(tensor: InputTensor, count: int) -> None:
    """Refuse another number of elements than the shape says."""
    if len(tensor.array) != count:
        raise refused(tensor.name, f"{count} elements for shape {shown(tensor.shape)}", str(len(tensor.array)))


def _check_integers(tensor: InputTensor) -> None:
    """Refuse integers that their datatype cannot hold, or that float64 would change."""
    array = tensor.array
    if array.dtype.kind not in "iu":
        return
    kind = DATATYPES[tensor.datatype].kind
    if kind.kind not in "iu" or (array.dtype == kind and tensor.datatype not in _LONG):
        return
    low, high = integer_range(tensor.datatype)
    if int(array.min()) < low or int(array.max()) > high:
        raise out_of_range(tensor.name, tensor.datatype)


def _is_finite(flat: NDArray[np.float64]) -> bool:
    """Say whether all numbers are finite."""
    return bool(np.count_nonzero(np.isfinite(flat)) == flat.size)


def out_of_range(name: str, datatype: str) -> InvalidRequest:
    """Build the error of an integer outside its datatype."""
    low, high = integer_range(datatype)
    return refused(name, f"{datatype} from {low} to {high}", "one outside")


def is_matrix(signature: Signature) -> bool:
    """Say whether all columns can travel as one matrix: numbers of one type."""
    kinds = {column.type for column in signature.columns}
    return len(kinds) == 1 and kinds <= {ColumnType.FLOAT, ColumnType.INTEGER}


def output_names(signature: Signature) -> tuple[str, ...]:
    """Return the names of a model's outputs."""
    return ("value",) if signature.task is Task.REGRESSION else ("label", "score", "probabilities")


def outputs(prediction: Prediction, wanted: Sequence[str]) -> tuple[OutputTensor, ...]:
    """Return the outputs of a prediction.

    Parameters
    ----------
    prediction : Prediction
        An answer.
    wanted : sequence of str
        As ``TensorCodec.wanted`` returned them.

    Returns
    -------
    tuple of OutputTensor
        In the order asked for.
    """
    return tuple(_output(prediction, name) for name in wanted)


def _output(prediction: Prediction, name: str) -> OutputTensor:
    """Return one output."""
    values, signature = prediction.values, prediction.variant.signature
    rows = len(values)
    if name == "label":
        classes = signature.classes
        return OutputTensor(name, "BYTES", [rows], [classes[label] for label in prediction.labels])
    if name == "score":
        is_binary = signature.task is Task.BINARY
        chosen = values[:, prediction.variant.positive] if is_binary else values[np.arange(rows), prediction.labels]
        return OutputTensor(name, "FP64", [rows], np.ascontiguousarray(chosen))
    return OutputTensor(name, "FP64", list(values.shape), np.ascontiguousarray(values).reshape(-1))


def answer_parameters(prediction: Prediction) -> dict[str, str | int | bool]:
    """Return what an answer says beside its outputs, because clients hide headers."""
    told: dict[str, str | int | bool] = {
        "prediction_id": prediction.prediction_id,
        "generation": prediction.generation,
    }
    if prediction.is_fallback:
        told["fallback"] = True
    return told

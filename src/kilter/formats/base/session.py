"""A loaded ONNX graph: inputs bound to a signature, one output bound to its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import onnxruntime as ort

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import FormatError, ModelFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Feeder: TypeAlias = Callable[[Batch], dict[str, NDArray[Any]]]
    Reader: TypeAlias = Callable[[Any], NDArray[np.float64]]

__all__ = ["COLUMNS_KEY", "MISSING_TEXT", "MISSING_TEXT_KEY", "OnnxModel", "first_line", "open_session", "sample_batch"]

COLUMNS_KEY: Final = "kilter.columns"
"""Metadata of a converted graph: JSON list of the column behind each input, in order."""
MISSING_TEXT_KEY: Final = "kilter.missing_text"
"""Metadata of a converted graph: the text that stands for a missing cell."""
MISSING_TEXT: Final = "\x1a"

_NUMBERS: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_FLOATS: Final = ("tensor(float)", "tensor(double)")
_MATRIX: Final = 2


def open_session(path: str) -> ort.InferenceSession:
    """Open a graph on one thread, without spinning.

    Raises
    ------
    FormatError
        If the file is no readable ONNX graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base
        msg = f"`{Path(path).name}` is no ONNX model that can be run"
        raise FormatError(
            msg,
            where=Path(path).name,
            why=first_line(error).replace(path, Path(path).name),
            hint="export the model again, with its weights inside the one file",
        ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def sample_batch(signature: Signature) -> Batch:
    """Make one plausible row: each column's low end or first level."""
    numbers = [column.low or 0.0 for column in signature.columns if column.type is not ColumnType.TEXT]
    texts = [(*column.levels, "")[0] for column in signature.columns if column.type is ColumnType.TEXT]
    text = np.empty((1, len(texts)), dtype=np.object_)
    text[0, :] = texts
    return Batch(rows=1, numeric=np.array([numbers], dtype=np.float64).reshape(1, len(numbers)), text=text)


class OnnxModel:
    """An ONNX graph as a LoadedModel.

    Guarantees: bound and run once on one row when made, so a graph that does not fit fails then;
    ``run`` computes the one output that is read and no other.
    """

    __slots__ = ("_feed", "_names", "_read", "_row", "_session")

    def __init__(self, session: ort.InferenceSession, signature: Signature) -> None:
        """Bind a session to a signature.

        Raises
        ------
        FormatError
            If inputs or output do not fit the signature.
        """
        output = _output_name(session, signature)
        self._session = session
        self._names = [output]
        self._feed = _feeder(session, signature)
        try:
            answer = session.run(self._names, self._feed(sample_batch(signature)))[0]
        except Exception as error:  # onnxruntime's errors share no base
            msg = "the ONNX model does not run on a row of its signature"
            raise FormatError(
                msg,
                where=f"inputs {[(item.name, item.type, item.shape) for item in session.get_inputs()][:5]}",
                why=first_line(error),
                hint="check that the reference table has exactly the columns that the model takes, in its order",
            ) from error
        self._read = _reader(answer, output, signature)
        self._row = _bound_row(session, signature, output, answer)

    def run(self, batch: Batch) -> Scores:
        """Score the rows.

        Raises
        ------
        ModelFailed
            If the graph raises, or answers another number of rows.
        """
        try:
            if self._row is not None and batch.rows == 1:
                return Scores(self._read(self._row.run(batch.numeric)))
            values = self._read(self._session.run(self._names, self._feed(batch))[0])
        except Exception as error:  # onnxruntime's errors share no base
            msg = "the ONNX model failed on this input"
            raise ModelFailed(msg, why=first_line(error)) from error
        if values.shape[0] != batch.rows:
            msg = f"the ONNX model answered {values.shape[0]} rows for {batch.rows}"
            raise ModelFailed(msg)
        return Scores(values=values)

    def close(self) -> None:
        """Let the session go with its last reference."""


class _BoundRow:
    """Tensors of one row, bound to a session once: a run neither checks names nor makes tensors."""

    __slots__ = ("_input", "_output", "_run")

    def __init__(
        self,
        session: ort.InferenceSession,
        given: NDArray[Any],
        answer: NDArray[Any],
        binding: Any,  # noqa: ANN401 - onnxruntime ships no types
    ) -> None:
        self._input = given
        self._output = answer
        self._run = _runner(session, binding)

    def run(self, numeric: object) -> NDArray[Any]:
        """Return the answer to one row; the next run changes it."""
        self._input[:] = numeric
        self._run()
        return self._output


def _runner(session: ort.InferenceSession, binding: Any) -> Callable[[], object]:  # noqa: ANN401 - onnxruntime ships no types
    """Return what runs a binding: below the library's own wrapper, which costs a fifth of a small model's run."""
    below, bound = getattr(session, "_sess", None), getattr(binding, "_iobinding", None)
    if below is not None and bound is not None:
        run = partial(below.run_with_iobinding, bound, None)
        try:
            run()
        except (AttributeError, TypeError):  # another release: its wrapper knows
            pass
        else:
            return run
    return partial(session.run_with_iobinding, binding)


def _bound_row(
    session: ort.InferenceSession,
    signature: Signature,
    output: str,
    answer: object,
) -> _BoundRow | None:
    """Bind one row of a graph that takes one matrix of floats and answers one; None for others."""
    inputs = session.get_inputs()
    is_matrix = len(inputs) == 1 and inputs[0].type in _FLOATS and len(inputs[0].shape) == _MATRIX
    if not is_matrix or signature.text_names or not isinstance(answer, np.ndarray):
        return None
    given: NDArray[Any] = np.empty((1, len(signature.columns)), dtype=_NUMBERS[inputs[0].type])
    gotten: NDArray[Any] = np.empty_like(answer)
    tensors = [ort.OrtValue.ortvalue_from_numpy(given), ort.OrtValue.ortvalue_from_numpy(gotten)]
    if [tensor.data_ptr() for tensor in tensors] != [given.ctypes.data, gotten.ctypes.data]:
        return None  # this release copies
    binding = session.io_binding()
    binding.bind_ortvalue_input(inputs[0].name, tensors[0])
    binding.bind_ortvalue_output(output, tensors[1])
    return _BoundRow(session, given, gotten, binding)


def _output_name(session: ort.InferenceSession, signature: Signature) -> str:
    """Choose the output that holds probabilities, or predictions."""
    outputs = session.get_outputs()
    if signature.task is Task.REGRESSION:
        wanted = [item.name for item in outputs if item.type in _FLOATS][:1]
    else:
        usable = [item.name for item in outputs if item.type in _FLOATS or item.type.startswith("seq(map(")]
        wanted = [name for name in usable if "prob" in name.lower()] or usable[-1:]
    if not wanted:
        msg = f"the ONNX model has no output for a {signature.task} model"
        raise FormatError(
            msg,
            where=f"outputs {[(item.name, item.type) for item in outputs]}",
            why="a classifier needs an output with probabilities, a regression one with floats",
            hint="export the model with its probabilities",
        )
    return str(wanted[0])


def _feeder(session: ort.InferenceSession, signature: Signature) -> Feeder:
    """Choose how rows become inputs: one matrix, or one input per column."""
    inputs = session.get_inputs()
    columns = signature.columns
    first = inputs[0] if inputs else None
    is_column = (
        len(columns) == 1 and first is not None and (first.name == columns[0].name or not signature.numeric_names)
    )
    if len(inputs) == 1 and first is not None and not is_column:
        return _matrix(first, signature)
    metadata = session.get_modelmeta().custom_metadata_map
    names = json.loads(metadata[COLUMNS_KEY]) if COLUMNS_KEY in metadata else [item.name for item in inputs]
    known = {column.name: column for column in columns}
    if sorted(names) != sorted(known):
        msg = f"the ONNX model takes {len(inputs)} inputs, which are not the {len(columns)} columns of its signature"
        raise FormatError(
            msg,
            where=f"inputs {names[:8]}",
            why=f"expected {sorted(known)[:8]}",
            hint="name the inputs as the columns of the reference table, or use one matrix of floats",
        )
    bound = [(item, known[name]) for item, name in zip(inputs, names, strict=True)]
    return _per_column(bound, signature, metadata.get(MISSING_TEXT_KEY, ""))


def _matrix(item: Any, signature: Signature) -> Feeder:  # noqa: ANN401 - onnxruntime ships no types
    """Feed all columns as one matrix of floats."""
    name, dtype, width = item.name, _NUMBERS.get(item.type), item.shape[-1] if item.shape else None
    expected = len(signature.columns)
    if signature.text_names or dtype is None or (isinstance(width, int) and width != expected):
        msg = f"the ONNX model takes one input of {width} columns of {item.type}, expected {expected}"
        raise FormatError(
            msg,
            where=f"input `{name}`",
            why=f"text columns: {list(signature.text_names)[:5]}" if signature.text_names else None,
            hint="give a reference table with exactly the columns that the model takes, in its order",
        )
    return lambda batch: {name: batch.numeric.astype(dtype)}  # type: ignore[attr-defined]


def _per_column(bound: list[tuple[Any, Column]], signature: Signature, missing: str) -> Feeder:
    """Feed each column as an input of its own."""
    numeric = {name: i for i, name in enumerate(signature.numeric_names)}
    text = {name: i for i, name in enumerate(signature.text_names)}
    numbers: list[tuple[str, int, Any, bool]] = []
    texts: list[tuple[str, int, bool]] = []
    for item, column in bound:
        is_flat = len(item.shape) == 1
        if column.type is ColumnType.TEXT and item.type == "tensor(string)":
            texts.append((item.name, text[column.name], is_flat))
        elif column.type is not ColumnType.TEXT and item.type in _NUMBERS:
            numbers.append((item.name, numeric[column.name], _NUMBERS[item.type], is_flat))
        else:
            msg = f"column `{column.name}` is {column.type} in the reference, the ONNX model takes {item.type}"
            raise FormatError(
                msg,
                where=f"input `{item.name}`",
                hint="give a reference table with the types that the model was trained on",
            )
    has_gaps = any(column.type is ColumnType.TEXT and column.nullable for column in signature.columns)

    def feed(batch: Batch) -> dict[str, NDArray[Any]]:
        values, words = np.asarray(batch.numeric), np.asarray(batch.text)
        if has_gaps:
            words = np.where(words == None, missing, words)  # noqa: E711 - elementwise
        inputs: dict[str, NDArray[Any]] = {}
        for name, position, dtype, is_flat in numbers:
            inputs[name] = values[:, position if is_flat else slice(position, position + 1)].astype(dtype)
        for name, position, is_flat in texts:
            inputs[name] = words[:, position if is_flat else slice(position, position + 1)]
        return inputs

    return feed


def _reader(answer: Any, output: str, signature: Signature) -> Reader:  # noqa: ANN401 - onnxruntime ships no types
    """Choose how the output becomes values, from its answer to one row."""
    if isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
        return _zipmap(answer[0], output, signature)
    shape, classes = tuple(np.shape(answer)), len(signature.classes)
    if signature.task is Task.REGRESSION and shape in ((1,), (1, 1)):
        return lambda values: values.astype(np.float64).reshape(-1)
    if signature.task is not Task.REGRESSION and shape == (1, classes):
        return lambda values: values.astype(np.float64)
    if signature.task is Task.BINARY and shape in ((1,), (1, 1)):
        return _both_sides
    expected = "one number" if signature.task is Task.REGRESSION else f"{classes} probabilities"
    msg = f"the ONNX model answers one row with shape {list(shape)}, expected {expected}"
    raise FormatError(
        msg,
        where=f"output `{output}`",
        hint="check target and task: the classes of the reference must be those of the model",
    )


def _zipmap(first: Mapping[object, float], output: str, signature: Signature) -> Reader:
    """Read a list of label -> probability maps."""
    keys = {str(key): key for key in first}
    if set(keys) != set(signature.classes):
        msg = f"the ONNX model knows the classes {sorted(keys)[:8]}, expected {list(signature.classes)[:8]}"
        raise FormatError(
            msg,
            where=f"output `{output}`",
            hint="use a reference table whose target holds the labels of the model",
        )
    order = [keys[name] for name in signature.classes]
    return lambda rows: np.array([[row[key] for key in order] for row in rows], dtype=np.float64).reshape(
        -1, len(order)
    )


def _both_sides(values: NDArray[Any]) -> NDArray[np.float64]:
    """Complete the probability of the second class with that of the first."""
    second = values.astype(np.float64).reshape(-1)
    return np.stack((1.0 - second, second), axis=1)

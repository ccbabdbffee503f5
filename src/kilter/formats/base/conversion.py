"""Turns a scikit-learn estimator into ONNX that gives the same answers, or says why it cannot."""

from __future__ import annotations

import copy
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import skl2onnx
from onnx import helper, numpy_helper
from onnx.defs import onnx_opset_version
from skl2onnx.common import _container, tree_ensemble
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from skl2onnx.operator_converters import random_forest

from kilter.contracts.signature import ColumnType, Signature, Task
from kilter.errors import FormatError, ModelFailed
from kilter.formats.base.feeding import NativeModel, needs_columns, parts
from kilter.formats.base.mending import mend
from kilter.formats.base.parity import Parity, compare, require_batch_invariance
from kilter.formats.base.session import COLUMNS_KEY, MISSING_TEXT, MISSING_TEXT_KEY, OnnxModel, first_line, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kilter.contracts.batch import Batch
    from kilter.formats.base.feeding import Estimator

__all__ = ["Conversion", "convert"]

_ML_OPSET: Final = 3
_REFUSED: Final = "the converter refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What came out: the graph's bytes and its parity, or the reason why there is none."""

    reason: str
    graph: bytes = b""
    parity: Parity | None = None


def convert(estimator: Estimator, signature: Signature, batch: Batch) -> Conversion:
    """Convert, load and compare: in float32, two opsets lower if refused, in float64 if too far off.

    Raises
    ------
    Nothing
        A failure is the reason in the result.
    """
    native = NativeModel(estimator, signature)
    newest = min(int(skl2onnx.__max_supported_opset__), onnx_opset_version())
    reasons: list[str] = []
    for is_double, opset in ((False, newest), (False, newest - 2), (True, newest)):
        if not is_double and opset != newest and not reasons[0].startswith(_REFUSED):
            continue
        try:
            graph = _graph(estimator, signature, is_double=is_double, opset=opset)
        except FormatError as error:
            reasons.append(f"{_REFUSED}: {error.why}")
            continue
        try:
            model = OnnxModel(_session(graph), signature)
            parity = compare(native, model, signature, batch)
            require_batch_invariance(model, batch)
        except (FormatError, ModelFailed) as error:
            reasons.append(f"the converted graph does not run: {error.why or error.message}")
            continue
        if not parity.reason:
            return Conversion(graph=graph, parity=parity, reason="float64 inputs" if is_double else "")
        reasons.append(f"{parity.reason} (largest difference {parity.max_abs_difference:.2g})")
    return Conversion(reason="not converted: " + "; ".join(dict.fromkeys(reasons)))


def _graph(estimator: Estimator, signature: Signature, *, is_double: bool, opset: int) -> bytes:
    """Run the converter once."""
    model = _prepared(estimator)
    number = DoubleTensorType if is_double else FloatTensorType
    is_columns = needs_columns(estimator, signature)
    if is_columns:
        inputs = [
            (column.name, (StringTensorType if column.type is ColumnType.TEXT else number)([None, 1]))
            for column in signature.columns
        ]
    else:
        inputs = [("input", number([None, len(signature.columns)]))]
    options = {id(model): {"zipmap": False}} if signature.task is not Task.REGRESSION else None
    try:
        with _mended_converter():
            proto = skl2onnx.convert_sklearn(
                model,
                name="kilter",
                initial_types=inputs,
                target_opset={"": opset, "ai.onnx.ml": _ML_OPSET},
                options=options,
            )
    except Exception as error:  # a converter may raise anything
        raise FormatError(_REFUSED, why=first_line(error)) from error
    if is_columns:
        _describe(proto, signature)
    return bytes(mend(proto, MISSING_TEXT, _imputed(model)).SerializeToString())


def _imputed(estimator: Estimator) -> list[NDArray[np.float64]]:
    """Return the exact values of all imputers of numbers."""
    found = [np.asarray(getattr(part, "statistics_", ()), dtype=np.object_) for part in parts(estimator)]
    return [values.astype(np.float64) for values in found if values.size and isinstance(values[0], float)]


def _describe(proto: onnx.ModelProto, signature: Signature) -> None:
    """Note which column feeds which input, since the converter renames what is no identifier."""
    names = [column.name for column in signature.columns]
    if len(proto.graph.input) != len(names):
        raise FormatError(_REFUSED, why=f"it made {len(proto.graph.input)} inputs for {len(names)} columns")
    helper.set_model_props(proto, {COLUMNS_KEY: json.dumps(names), MISSING_TEXT_KEY: MISSING_TEXT})


def _session(graph: bytes) -> Any:  # noqa: ANN401 - onnxruntime ships no types
    """Open a session from bytes by way of a file, as a server does."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(graph)
        file.flush()
        return open_session(file.name)


def _prepared(estimator: Estimator) -> Estimator:
    """Copy what is converted: the found model of a search, with a text that stands for missing cells.

    ONNX has no missing text. Imputers and encoders that learned one are told the stand-in instead.
    """
    model = copy.deepcopy(estimator)
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    for part in parts(model):
        statistics = getattr(part, "statistics_", None)
        if statistics is not None and np.asarray(statistics).dtype == np.object_:
            part.missing_values = MISSING_TEXT
        levels = getattr(part, "categories_", None)
        if levels is not None:
            part.categories_ = [_with_stand_in(np.asarray(values)) for values in levels]
    return model


def _with_stand_in(levels: NDArray[Any]) -> NDArray[Any]:
    """Replace None or NaN among the levels of a text column; numbers stay as they are."""
    cells = levels.tolist()
    if not any(isinstance(cell, str) for cell in cells):
        return levels
    words = np.empty(len(cells), dtype=np.object_)
    words[:] = [MISSING_TEXT if cell is None or cell != cell else cell for cell in cells]  # noqa: PLR0124 - NaN
    return words


@contextmanager
def _mended_converter() -> Iterator[None]:
    """Mend skl2onnx 1.20 while it works.

    It hands numpy booleans to protobuf, which onnx 1.23 refuses; it writes thresholds of trees as float32
    where inputs are doubles; and it moves thresholds of histogram trees as if those rounded their inputs.
    """
    make_node = _container.make_node
    threshold, add_tree = (
        tree_ensemble.sklearn_threshold,
        random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting,
    )

    def make_plain_node(op_type: str, *positional: object, **named: object) -> object:
        is_tree = op_type.startswith("TreeEnsemble")
        plain = (_as_tensor(name, value) if is_tree else (name, _plain(value)) for name, value in named.items())
        return make_node(op_type, *positional, **dict(plain))

    def exact_threshold(value: float, dtype: object, mode: str) -> float:
        return value if dtype == np.float64 else float(threshold(value, dtype, mode))

    def add_histogram_tree(*positional: object, **named: object) -> None:
        tree_ensemble.sklearn_threshold = exact_threshold
        try:
            add_tree(*positional, **named)
        finally:
            tree_ensemble.sklearn_threshold = threshold

    classifier = random_forest.convert_sklearn_random_forest_classifier
    defaults = classifier.__defaults__
    classifier.__defaults__ = (*defaults[:-1], _ML_OPSET)
    _container.make_node = make_plain_node
    random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting = add_histogram_tree
    try:
        yield
    finally:
        classifier.__defaults__ = defaults
        _container.make_node = make_node
        random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting = add_tree


def _as_tensor(name: str, value: object) -> tuple[str, object]:
    """Keep doubles of a tree ensemble as a tensor, since plain attributes are float32."""
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return f"{name}_as_tensor", numpy_helper.from_array(value, name)
    return name, _plain(value)


def _plain(value: object) -> object:
    """Turn numpy booleans and integers into Python's integers."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biu":
        return np.asarray(value).astype(np.int64).tolist()
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(item, bool | np.bool_ | np.integer) for item in value)
    ):
        return [int(item) for item in value]
    return value

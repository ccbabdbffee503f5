"""What a foreign ONNX graph takes and gives, inferred from the graph and a reference table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from kilter.contracts.signature import ColumnType, Signature, Task
from kilter.errors import FormatError, SchemaMismatch
from kilter.formats.base.inference import classes_of, input_columns, make_signature
from kilter.formats.base.session import COLUMNS_KEY

if TYPE_CHECKING:
    from kilter.contracts.format import ReferenceTable
    from kilter.formats.base.reference import Reference

__all__ = ["graph_signature"]

_LABELS: Final = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_FEW: Final = 20


def graph_signature(path: str, session: Any, reference: Reference, request: ReferenceTable) -> Signature:  # noqa: ANN401 - onnxruntime ships no types
    """Infer the signature of an ONNX file.

    Raises
    ------
    FormatError
        If the graph has no inputs.
    SchemaMismatch
        If it does not fit the reference table.
    """
    inputs = session.get_inputs()
    if not inputs:
        msg = "the ONNX model takes no inputs"
        raise FormatError(msg, hint="export a model with one input for its columns")
    metadata = session.get_modelmeta().custom_metadata_map
    names: tuple[str, ...] = ()
    width = None
    if COLUMNS_KEY in metadata:
        names = tuple(json.loads(metadata[COLUMNS_KEY]))
    elif len(inputs) > 1 or inputs[0].name in reference.columns:
        names = tuple(item.name for item in inputs)
    else:
        last = inputs[0].shape[-1] if inputs[0].shape else None
        width = last if isinstance(last, int) and last > 0 else None
    columns = input_columns(reference, request, names, width)
    return make_signature(reference, request, columns, _classes(path, session, reference, request))


def _classes(path: str, session: Any, reference: Reference, request: ReferenceTable) -> tuple[str, ...]:  # noqa: ANN401 - as above
    """Return the classes in the order of the probabilities; none for regression."""
    known = _labels_in_graph(path)
    outputs = session.get_outputs()
    is_classifier = bool(known) or any(not item.type.startswith(("tensor(float", "tensor(double")) for item in outputs)
    if request.task == Task.REGRESSION or (
        request.task == "auto" and not is_classifier and _is_number(reference, request)
    ):
        return ()
    if known:
        return known
    if not request.target:
        msg = "the ONNX model does not say which classes it knows, and no target is named"
        raise SchemaMismatch(
            msg,
            hint="name the column with the labels with `--target`",
        )
    return classes_of(reference, request.target)


def _labels_in_graph(path: str) -> tuple[str, ...]:
    """Return the class labels that the graph's last classifier lists."""
    for node in reversed(onnx.load(path, load_external_data=False).graph.node):
        for attribute in node.attribute:
            values = [item.decode() for item in attribute.strings] or [str(item) for item in attribute.ints]
            if attribute.name in _LABELS and len(values) > 1:
                return tuple(values)
    return ()


def _is_number(reference: Reference, request: ReferenceTable) -> bool:
    """Say whether the target looks like a quantity: a number with fractions or many values."""
    if not request.target:
        return True
    kind, values = reference.types[request.target], reference.columns[request.target]
    if kind is ColumnType.FLOAT:
        return bool(np.any(np.mod(values[np.isfinite(values)], 1.0)))
    return kind is ColumnType.INTEGER and len(set(values.tolist())) > _FEW

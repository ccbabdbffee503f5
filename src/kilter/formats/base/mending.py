"""Changes to converted graphs that onnxruntime needs, and that leave their meaning as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["mend"]

_NAN: Final = float("nan")
_ML_OPSET: Final = 3


def mend(proto: onnx.ModelProto, missing_text: str, imputed: Sequence[NDArray[np.float64]]) -> onnx.ModelProto:
    """Mend what the converter writes and onnxruntime cannot run, or runs differently.

    Imputers of doubles become a choice by IsNaN, since onnxruntime has none; ``imputed`` holds
    their exact values, which the attribute rounds. Ordinal codes of missing
    text become NaN, as scikit-learn gives them. Tree ensembles over doubles answer floats, which are
    declared as such or cast, and need the operators that take doubles as tensors.

    Raises
    ------
    Nothing
    """
    doubles = {item.name for item in proto.graph.input if item.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE}
    nodes: list[onnx.NodeProto] = []
    has_gaps = any(missing_text.encode() in _keys(node) for node in proto.graph.node)
    for node in proto.graph.node:
        if node.op_type == "Imputer" and doubles:
            nodes += _choice_by_nan(proto, node, imputed)
        elif node.op_type == "LabelEncoder" and has_gaps:
            nodes.append(_with_float_codes(node, missing_text))
        elif node.op_type.startswith("TreeEnsemble") and doubles:
            nodes += _with_doubles(proto, node)
        else:
            nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    if doubles:
        _declare_opset(proto)
    return proto


def _attributes(node: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    """Return a node's attributes by name."""
    return {attribute.name: attribute for attribute in node.attribute}


def _choice_by_nan(
    proto: onnx.ModelProto, node: onnx.NodeProto, imputed: Sequence[NDArray[np.float64]]
) -> list[onnx.NodeProto]:
    """Write an imputer of missing numbers as IsNaN, Where."""
    found = _attributes(node)
    replaced = found["replaced_value_float"].f if "replaced_value_float" in found else _NAN
    if "imputed_value_floats" not in found or replaced == replaced:  # noqa: PLR0124 - NaN
        return [node]
    rounded, name = np.array(found["imputed_value_floats"].floats, dtype=np.float32), node.output[0]
    same = (exact for exact in imputed if np.array_equal(exact.astype(np.float32), rounded))
    values = next(same, rounded.astype(np.float64))
    proto.graph.initializer.append(numpy_helper.from_array(values.reshape(1, -1), f"{name}_imputed"))
    return [
        helper.make_node("IsNaN", [node.input[0]], [f"{name}_is_missing"]),
        helper.make_node("Where", [f"{name}_is_missing", f"{name}_imputed", node.input[0]], [name]),
    ]


def _keys(node: onnx.NodeProto) -> list[bytes]:
    """Return the text keys of a label encoder."""
    return [key for attribute in node.attribute if attribute.name == "keys_strings" for key in attribute.strings]


def _with_float_codes(node: onnx.NodeProto, missing_text: str) -> onnx.NodeProto:
    """Give text codes as floats, NaN for the stand-in of missing text."""
    found, keys = _attributes(node), [key.decode() for key in _keys(node)]
    if not keys or "values_int64s" not in found:
        return node
    codes = found["values_int64s"].ints
    return helper.make_node(
        "LabelEncoder",
        list(node.input),
        list(node.output),
        domain=node.domain,
        keys_strings=keys,
        values_floats=[_NAN if key == missing_text else float(code) for key, code in zip(keys, codes, strict=True)],
        default_float=float(found["default_int64"].i) if "default_int64" in found else -1.0,
    )


def _declare_opset(proto: onnx.ModelProto) -> None:
    """Ask for the operators that know doubles as tensors; the converter declares the oldest that it used."""
    if any(attribute.name.endswith("_as_tensor") for node in proto.graph.node for attribute in node.attribute):
        for opset in proto.opset_import:
            if opset.domain == "ai.onnx.ml":
                opset.version = max(opset.version, _ML_OPSET)


def _with_doubles(proto: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Turn the floats that a tree ensemble answers into the doubles that what follows expects.

    Where they are an answer of the graph itself they are declared as floats instead.
    """
    position = len(node.output) - 1
    name = node.output[position]
    for output in proto.graph.output:
        if output.name == name:
            output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            return [node]
    single = f"{name}_single"
    node.output[position] = single
    return [node, helper.make_node("Cast", [single], [name], to=onnx.TensorProto.DOUBLE)]

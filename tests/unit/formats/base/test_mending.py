from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kilter.formats.base.mending import mend

if TYPE_CHECKING:
    from kilter.testing.estimators import Untyped


def model(nodes: list[Untyped], kind: int, outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, kind, [None, 1]) for name in outputs]
    inputs = [helper.make_tensor_value_info("x", kind, [None, 1])]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, values))


def imputer(**attributes: Untyped) -> Untyped:
    return helper.make_node("Imputer", ["x"], ["y"], domain="ai.onnx.ml", **attributes)


def kinds(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def test_imputers_of_doubles_become_a_choice() -> None:
    node = imputer(imputed_value_floats=[2.5], replaced_value_float=math.nan)
    assert kinds(mend(model([node], TensorProto.DOUBLE), "?", [])) == ["IsNaN", "Where"]
    assert kinds(mend(model([node], TensorProto.FLOAT), "?", [])) == ["Imputer"]


def test_imputed_doubles_are_exact() -> None:
    node = imputer(imputed_value_floats=[0.1], replaced_value_float=math.nan)
    for exact, expected in (([np.array([7.0]), np.array([0.1])], 0.1), ([], float(np.float32(0.1)))):
        proto = mend(model([node], TensorProto.DOUBLE), "?", exact)
        assert numpy_helper.to_array(proto.graph.initializer[0]).tolist() == [[expected]]


def test_imputers_of_other_values_stay() -> None:
    nodes = [imputer(imputed_value_floats=[2.5], replaced_value_float=-1.0), imputer(imputed_value_int64s=[1])]
    assert kinds(mend(model(nodes, TensorProto.DOUBLE), "?", [])) == ["Imputer", "Imputer"]


def test_codes_become_floats_where_missing_text_has_one() -> None:
    ordinal = helper.make_node("LabelEncoder", ["x"], ["y"], keys_strings=["a", "?"], values_int64s=[4, 1])
    other = helper.make_node("LabelEncoder", ["x"], ["z"], keys_strings=["b"], values_int64s=[3], default_int64=-7)
    labels = helper.make_node("LabelEncoder", ["x"], ["w"], keys_int64s=[0], values_strings=["no"])
    proto = mend(model([ordinal, other, labels], TensorProto.FLOAT), "?", [])
    first, second, third = ({item.name: item for item in node.attribute} for node in proto.graph.node)
    assert first["values_floats"].floats[0] == 4.0
    assert math.isnan(first["values_floats"].floats[1])
    assert first["default_float"].f == -1.0
    assert (list(second["values_floats"].floats), second["default_float"].f) == ([3.0], -7.0)
    assert "values_strings" in third


def test_codes_stay_where_nothing_is_missing() -> None:
    node = helper.make_node("LabelEncoder", ["x"], ["y"], keys_strings=["a"], values_int64s=[4])
    proto = mend(model([node], TensorProto.FLOAT), "?", [])
    assert {item.name for item in proto.graph.node[0].attribute} == {"keys_strings", "values_int64s"}


def test_trees_of_doubles_answer_floats_declared_or_cast() -> None:
    tree = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        nodes_values_as_tensor=numpy_helper.from_array(np.array([0.1])),
    )  # fmt: skip
    made = model([tree], TensorProto.DOUBLE)
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    proto = mend(made, "?", [])
    assert (kinds(proto), proto.opset_import[-1].version) == (["TreeEnsembleRegressor"], 3)
    assert proto.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    inner = helper.make_node("TreeEnsembleRegressor", ["x"], ["z"], domain="ai.onnx.ml")
    after = helper.make_node("Identity", ["z"], ["y"])
    proto = mend(model([inner, after], TensorProto.DOUBLE), "?", [])
    assert kinds(proto) == ["TreeEnsembleRegressor", "Cast", "Identity"]
    assert proto.graph.output[0].type.tensor_type.elem_type == TensorProto.DOUBLE

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from kilter.contracts.signature import Task
from kilter.errors import FormatError, SchemaMismatch
from kilter.formats.base.graph import graph_signature
from kilter.formats.base.reference import read_reference
from kilter.formats.base.session import COLUMNS_KEY, open_session
from kilter.testing.estimators import Untyped, make_request

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
N = 60
NUMBERS = {"a": RNG.normal(size=N), "b": RNG.normal(size=N)}
TABLE = pa.table({**NUMBERS, "label": ["x", "y", "z"] * 20, "code": [0, 1] * 30, "amount": RNG.normal(size=N)})


def value(name: str, shape: tuple[Untyped, ...], kind: int = TensorProto.FLOAT) -> Untyped:
    return helper.make_tensor_value_info(name, kind, list(shape))


def saved(path: Path, nodes: list[Untyped], inputs: list[Untyped], outputs: list[Untyped], **metadata: str) -> str:
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=9,
    )
    helper.set_model_props(made, metadata)
    onnx.save(made, str(path))
    return str(path)


def softmax(path: Path, width: int | None) -> str:
    node = helper.make_node("Softmax", ["x"], ["p"])
    return saved(path, [node], [value("x", (None, width))], [value("p", (None, width))])


def signature(path: str, target: str, *keep: str, **further: Untyped) -> Untyped:
    table = TABLE.select([*NUMBERS, *keep])
    request = make_request(table, target, **further)
    return graph_signature(path, open_session(path), read_reference(request.arrow_ipc), request)


def test_a_matrix_takes_the_columns_in_order(tmp_path: Path) -> None:
    found = signature(softmax(tmp_path / "m.onnx", 2), "code", "code", task="binary")
    assert [column.name for column in found.columns] == ["a", "b"]
    assert (found.task, found.classes) == (Task.BINARY, ("0", "1"))


@pytest.mark.parametrize("width", [None, 3])
def test_ignored_columns_are_left_out(width: int | None, tmp_path: Path) -> None:
    ignored = ("amount",) if width is None else ()
    found = signature(softmax(tmp_path / "m.onnx", width), "label", "amount", "label", ignored=ignored)
    assert len(found.columns) == (2 if width is None else 3)
    assert found.classes == ("x", "y", "z")


def test_another_width_is_a_mismatch(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="takes 5 columns"):
        signature(softmax(tmp_path / "m.onnx", 5), "code", "code")


def test_named_inputs_are_columns(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["b", "a"], ["y"])]
    path = saved(tmp_path / "m.onnx", nodes, [value("b", (None, 1)), value("a", (None, 1))], [value("y", (None, 1))])
    found = signature(path, "amount", "amount")
    assert ([column.name for column in found.columns], found.task) == (["b", "a"], Task.REGRESSION)


def test_columns_in_the_metadata_win(tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["x"], ["p"])
    metadata = {COLUMNS_KEY: json.dumps(["b"])}
    path = saved(tmp_path / "m.onnx", [node], [value("x", (None, 1))], [value("p", (None, 1))], **metadata)
    assert [column.name for column in signature(path, "", "amount").columns] == ["b"]


@pytest.mark.parametrize("attribute", ["classlabels_strings", "classlabels_int64s"])
def test_classes_are_read_from_the_graph(attribute: str, tmp_path: Path) -> None:
    labels = ["n", "y"] if attribute.endswith("strings") else [0, 1]
    further: Untyped = {"classlabels_ints" if attribute.endswith("int64s") else attribute: labels}
    weights: Untyped = {"coefficients": [1.0, 2.0, 3.0, 4.0], "intercepts": [0.0, 0.0], "post_transform": "SOFTMAX"}
    node = helper.make_node("LinearClassifier", ["x"], ["l", "p"], domain="ai.onnx.ml", **weights, **further)
    kind = TensorProto.STRING if attribute.endswith("strings") else TensorProto.INT64
    outputs = [value("l", (None,), kind), value("p", (None, 2))]
    path = saved(tmp_path / "m.onnx", [node], [value("x", (None, 2))], outputs)
    assert signature(path, "").classes == tuple(str(label) for label in labels)


def test_a_classifier_without_labels_needs_a_target(tmp_path: Path) -> None:
    path = softmax(tmp_path / "m.onnx", 2)
    with pytest.raises(SchemaMismatch, match="which classes"):
        signature(path, "", task="binary")


@pytest.mark.parametrize(("target", "task"), [("amount", Task.REGRESSION), ("code", Task.BINARY)])
def test_the_target_decides_where_the_graph_does_not(target: str, task: Task, tmp_path: Path) -> None:
    assert signature(softmax(tmp_path / "m.onnx", 2), target, target).task is task


def test_a_graph_without_inputs_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Constant", [], ["y"], value=helper.make_tensor("v", 1, [1], [1.0]))
    path = saved(tmp_path / "m.onnx", [node], [], [value("y", (1,))])
    with pytest.raises(FormatError, match="no inputs"):
        signature(path, "")

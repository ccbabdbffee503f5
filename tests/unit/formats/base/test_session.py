from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import FormatError, ModelFailed
from kilter.formats.base.session import COLUMNS_KEY, MISSING_TEXT_KEY, OnnxModel, open_session, sample_batch

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.testing.estimators import Untyped

FLOAT, INTEGER, BOOLEAN, TEXT = ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.TEXT


def signature_of(task: Task, *columns: tuple[str, ColumnType], nullable: bool = False) -> Signature:
    classes = {Task.BINARY: ("0", "1"), Task.MULTICLASS: ("0", "1", "2"), Task.REGRESSION: ()}[task]
    return Signature(
        task=task,
        target="y",
        columns=tuple(Column(name=name, type=kind, nullable=nullable) for name, kind in columns),
        classes=classes,
        positive="1" if task is Task.BINARY else "",
    )


def batch_of(numeric: Untyped, text: Untyped = None) -> Batch:
    values = np.array(numeric, dtype=np.float64)
    words = np.empty((values.shape[0], 0), dtype=object) if text is None else np.array(text, dtype=object)
    return Batch(rows=values.shape[0], numeric=values, text=words)


def graph(
    path: Path,
    nodes: list[Untyped],
    inputs: list[Untyped],
    outputs: list[Untyped],
    metadata: dict[str, str] | None = None,
) -> Untyped:
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=9,
    )
    if metadata:
        helper.set_model_props(made, metadata)
    onnx.save(made, str(path))
    return open_session(str(path))


def value(name: str, kind: int = TensorProto.FLOAT, shape: tuple[Untyped, ...] = (None, 2)) -> Untyped:
    return helper.make_tensor_value_info(name, kind, list(shape))


def softmax(kind: int = TensorProto.FLOAT, shape: tuple[Untyped, ...] = (None, 2)) -> tuple[Untyped, ...]:
    node = helper.make_node("Softmax", ["x"], ["p"])
    return [node], [value("x", kind, shape)], [value("p", kind, shape)]


AB = (("a", FLOAT), ("b", FLOAT))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_a_matrix_of_floats_or_doubles_is_fed_in_order(kind: int, tmp_path: Path) -> None:
    model = OnnxModel(graph(tmp_path / "m.onnx", *softmax(kind)), signature_of(Task.BINARY, *AB))
    values = np.asarray(model.run(batch_of([[0.0, 0.0], [0.0, np.log(3.0)]])).values)
    assert values.dtype == np.float64
    assert np.allclose(values, [[0.5, 0.5], [0.25, 0.75]])


def test_a_single_row_is_answered_as_among_others_and_its_answer_stays(tmp_path: Path) -> None:
    model = OnnxModel(graph(tmp_path / "m.onnx", *softmax(TensorProto.DOUBLE)), signature_of(Task.BINARY, *AB))
    rows = [[0.0, 0.0], [0.0, np.log(3.0)]]
    alone = [np.asarray(model.run(batch_of([row])).values) for row in rows]
    assert np.array_equal(np.concatenate(alone), np.asarray(model.run(batch_of(rows)).values))


def test_inputs_of_one_per_column_are_bound_by_name(tmp_path: Path) -> None:
    casts = [helper.make_node("Cast", [name], [f"{name}f"], to=TensorProto.FLOAT) for name in "bci"]
    nodes = [*casts, helper.make_node("Sum", ["a", "bf", "cf", "if"], ["y"])]
    inputs = [
        value("i", TensorProto.INT64, (None, 1)),
        value("c", TensorProto.BOOL, (None, 1)),
        value("b", TensorProto.DOUBLE, (None, 1)),
        value("a", TensorProto.FLOAT, (None, 1)),
    ]
    session = graph(tmp_path / "m.onnx", nodes, inputs, [value("y", shape=(None, 1))])
    signature = signature_of(Task.REGRESSION, ("a", FLOAT), ("b", FLOAT), ("c", BOOLEAN), ("i", INTEGER))
    model = OnnxModel(session, signature)
    assert np.asarray(model.run(batch_of([[0.5, 10.0, 1.0, 200.0]])).values).tolist() == [211.5]
    model.close()


@pytest.mark.parametrize("shape", [(None, 1), (None,)])
def test_text_columns_take_strings_and_a_stand_in_for_missing(shape: tuple[Untyped, ...], tmp_path: Path) -> None:
    node = helper.make_node(
        "LabelEncoder", ["in"], ["y"], domain="ai.onnx.ml", keys_strings=["a", "?"], values_floats=[1.0, 7.0]
    )
    session = graph(
        tmp_path / "m.onnx",
        [node],
        [value("in", TensorProto.STRING, shape)],
        [value("y", shape=shape)],
        {COLUMNS_KEY: json.dumps(["the word"]), MISSING_TEXT_KEY: "?"},
    )
    model = OnnxModel(session, signature_of(Task.REGRESSION, ("the word", TEXT), nullable=True))
    assert np.asarray(model.run(batch_of([[], []], [["a"], [None]])).values).tolist() == [1.0, 7.0]


def test_a_single_probability_is_that_of_the_second_class(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["s"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["s"], ["p"]),
    ]
    made = helper.make_model(
        helper.make_graph(nodes, "g", [value("x")], [value("p", shape=(None, 1))]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=9,
    )
    onnx.save(made, str(tmp_path / "m.onnx"))
    model = OnnxModel(open_session(str(tmp_path / "m.onnx")), signature_of(Task.BINARY, *AB))
    assert np.allclose(np.asarray(model.run(batch_of([[0.0, 0.0]])).values), [[0.5, 0.5]])


def test_a_zipmap_is_read_in_the_order_of_the_classes(tmp_path: Path) -> None:
    nodes, inputs, _ = softmax()
    nodes.append(helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[1, 0]))
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    session = graph(tmp_path / "m.onnx", nodes, inputs, [helper.make_value_info("z", kind)])
    model = OnnxModel(session, signature_of(Task.BINARY, *AB))
    assert np.allclose(np.asarray(model.run(batch_of([[0.0, np.log(3.0)]])).values), [[0.75, 0.25]])
    with pytest.raises(FormatError, match="classes"):
        OnnxModel(session, signature_of(Task.MULTICLASS, *AB))


@pytest.mark.parametrize("data", [b"", b"noise" * 100, b"\x80\x04\x95"])
def test_what_is_no_graph_is_a_format_error_without_a_path_of_the_machine(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(FormatError, match=r"m\.onnx") as caught:
        open_session(str(tmp_path / "m.onnx"))
    assert str(tmp_path) not in f"{caught.value.message} {caught.value.why}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("signature", "what"),
    [
        (signature_of(Task.BINARY, ("a", FLOAT)), "2 columns"),
        (signature_of(Task.BINARY, ("a", FLOAT), ("b", TEXT)), "2 columns"),
        (signature_of(Task.MULTICLASS, *AB), "3 probabilities"),
        (signature_of(Task.REGRESSION, *AB), "one number"),
    ],
)
def test_a_graph_that_does_not_fit_the_signature_is_refused_when_loaded(
    signature: Signature, what: str, tmp_path: Path
) -> None:
    session = graph(tmp_path / "m.onnx", *softmax())
    with pytest.raises(FormatError, match=what):
        OnnxModel(session, signature)


def test_a_free_width_is_tried_on_one_row(tmp_path: Path) -> None:
    weights = helper.make_node("Constant", [], ["w"], value=helper.make_tensor("w", 1, [2, 1], [1.0, 2.0]))
    nodes = [weights, helper.make_node("MatMul", ["x", "w"], ["y"])]
    session = graph(tmp_path / "m.onnx", nodes, [value("x", shape=(None, None))], [value("y", shape=(None, 1))])
    assert OnnxModel(session, signature_of(Task.REGRESSION, *AB)) is not None
    with pytest.raises(FormatError, match="does not run on a row"):
        OnnxModel(session, signature_of(Task.REGRESSION, *AB, ("c", FLOAT)))


def test_inputs_that_are_no_columns_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["a", "z"], ["y"])]
    inputs = [value("a", shape=(None, 1)), value("z", shape=(None, 1))]
    session = graph(tmp_path / "m.onnx", nodes, inputs, [value("y", shape=(None, 1))])
    with pytest.raises(FormatError, match="not the 2 columns"):
        OnnxModel(session, signature_of(Task.REGRESSION, *AB))
    with pytest.raises(FormatError, match="column `z` is text"):
        OnnxModel(session, signature_of(Task.REGRESSION, ("a", FLOAT), ("z", TEXT)))


def test_a_graph_without_probabilities_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ArgMax", ["x"], ["label"], axis=1)]
    session = graph(tmp_path / "m.onnx", nodes, [value("x")], [value("label", TensorProto.INT64, (None, 1))])
    with pytest.raises(FormatError, match="no output"):
        OnnxModel(session, signature_of(Task.BINARY, *AB))


def test_a_failing_run_is_the_models_failure(tmp_path: Path) -> None:
    model = OnnxModel(graph(tmp_path / "m.onnx", *softmax()), signature_of(Task.BINARY, *AB))
    with pytest.raises(ModelFailed, match="failed on this input"):
        model.run(batch_of([[1.0, 2.0, 3.0]]))


def test_another_number_of_answers_is_the_models_failure(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["w"], ["p"])]
    nodes.insert(0, helper.make_node("Constant", [], ["w"], value=helper.make_tensor("w", 1, [1, 2], [0.5, 0.5])))
    session = graph(tmp_path / "m.onnx", nodes, [value("x")], [value("p", shape=(1, 2))])
    model = OnnxModel(session, signature_of(Task.BINARY, *AB))
    with pytest.raises(ModelFailed, match="1 rows for 2"):
        model.run(batch_of([[1.0, 2.0], [3.0, 4.0]]))


def test_a_sample_row_takes_low_ends_and_first_levels() -> None:
    columns = (
        Column(name="a", type=FLOAT, low=3.0),
        Column(name="t", type=TEXT, levels=("x", "y")),
        Column(name="u", type=TEXT),
    )
    batch = sample_batch(Signature(task=Task.REGRESSION, target="y", columns=columns))
    assert np.asarray(batch.numeric).tolist() == [[3.0]]
    assert np.asarray(batch.text).tolist() == [["x", ""]]

"""Claims about inference in JSON, in raw bytes, and in mixtures of both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilter.contracts.batch import Batch
from kilter.contracts.prediction import PredictionRecord
from kilter.faces.serving.oip.arrays import answer_parameters

if TYPE_CHECKING:
    from tests.unit.faces.serving.oip.conftest import Answer, Plane


def tensor(name: str, datatype: str, shape: list[int], **more: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, **more}


def binary(name: str, datatype: str, shape: list[int], size: int) -> dict[str, object]:
    return tensor(name, datatype, shape, parameters={"binary_data_size": size})


def texts(*cells: str) -> bytes:
    return b"".join(len(cell.encode()).to_bytes(4, "little") + cell.encode() for cell in cells)


def value_of(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.body
    values: list[float] = answer.json["outputs"][0]["data"]
    return values


ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.5, -6.5]])
KINDS: dict[str, Any] = {
    "FP64": np.float64,
    "FP32": np.float32,
    "FP16": np.float16,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
}


@pytest.mark.parametrize("datatype", KINDS)
def test_every_numeric_datatype_widens_into_a_float_column(plane: Plane, datatype: str) -> None:
    rows: np.ndarray[Any, Any] = np.array([[1, 0], [1, 1]]).astype(KINDS[datatype])
    asked = {"inputs": [binary("input", datatype, [2, 2], rows.nbytes)]}
    assert value_of(plane.infer("pair", asked, rows.tobytes())) == [0.5, 1.0]


def test_bf16_is_read_as_the_upper_half_of_a_float32(plane: Plane) -> None:
    rows = (np.array([1.5, -2.0, 0.25, 8.0], dtype=np.float32).view(np.uint32) >> 16).astype("<u2")
    asked = {"inputs": [binary("input", "BF16", [2, 2], 8)]}
    assert value_of(plane.infer("pair", asked, rows.tobytes())) == [-0.25, 4.125]


def test_binary_and_json_inputs_give_the_same_answer(plane: Plane) -> None:
    json_only = plane.infer("pair", {"inputs": [tensor("input", "FP64", [3, 2], data=ROWS.tolist())]})
    raw = plane.infer("pair", {"inputs": [binary("input", "FP64", [3, 2], 48)]}, ROWS.tobytes())
    assert value_of(json_only) == value_of(raw) == [1.5, 3.5, -0.5]


def test_inputs_can_be_mixed_and_come_in_any_order(plane: Plane) -> None:
    tail = texts("basic", "plüs") + np.array([40.0, 50.0]).tobytes() + b"\x01\x00"
    asked = {
        "inputs": [
            tensor("region", "BYTES", [2], data=["n", None]),
            binary("plan", "BYTES", [2], len(texts("basic", "plüs"))),
            binary("age", "FP64", [2, 1], 16),
            tensor("visits", "INT64", [2, 1], data=[[3], [4]]),
            binary("is member", "BOOL", [2], 2),
            tensor("income", "FP64", [2], data=[None, 2.5]),
        ]
    }
    answer = plane.infer("churn", asked, tail)
    assert answer.status == 200, answer.body
    record = [record for record in plane.log.records if isinstance(record, PredictionRecord)][-1]
    numeric = np.frombuffer(record.numeric).reshape(2, 4)
    assert numeric[:, :3].tolist() == [[40.0, 3.0, 1.0], [50.0, 4.0, 0.0]]
    assert np.isnan(numeric[0, 3])
    assert list(record.text) == ["basic", "n", "plüs", None]
    assert record.face == "oip"


@pytest.mark.parametrize(
    ("all_outputs", "per_output", "expected"),
    [
        (None, {}, set()),
        (False, {}, set()),
        (True, {}, {"label", "score", "probabilities"}),
        (None, {"score": True}, {"score"}),
        (True, {"score": False}, {"label", "probabilities"}),
        (False, {"label": True, "probabilities": True}, {"label", "probabilities"}),
        (True, {"label": None}, {"label", "score", "probabilities"}),
    ],
)
def test_an_outputs_own_wish_for_bytes_wins(
    plane: Plane,
    all_outputs: bool | None,  # noqa: FBT001 - a case
    per_output: dict[str, bool | None],
    expected: set[str],
) -> None:
    asked: dict[str, Any] = {"inputs": [tensor("input", "INT64", [2, 1], data=[3, 4])], "id": "x"}
    if all_outputs is not None:
        asked["parameters"] = {"binary_data_output": all_outputs}
    if per_output:
        asked["outputs"] = [
            {"name": name, "parameters": {"binary_data": per_output[name]}} if name in per_output else {"name": name}
            for name in ("label", "score", "probabilities")
        ]
    answer = plane.infer("counts", asked)
    if not expected:
        assert answer.headers["content-type"] == "application/json"
        assert "inference-header-content-length" not in answer.headers
        return
    head, tail = answer.parts
    assert answer.headers["content-type"] == "application/octet-stream"
    assert [name for name in answer.headers if name == "content-type"] == ["content-type"]
    assert head["id"] == "x"
    assert {output["name"] for output in head["outputs"] if "data" not in output} == expected
    for output in head["outputs"]:
        if output["name"] in expected:
            size = output["parameters"]["binary_data_size"]
            part, tail = tail[:size], tail[size:]
            assert len(part) == size
            assert output["datatype"] == ("BYTES" if output["name"] == "label" else "FP64")
    assert tail == b""


def test_binary_outputs_hold_what_json_outputs_say(plane: Plane) -> None:
    inputs = [tensor("input", "INT64", [2, 1], data=[3, 4])]
    plain = {output["name"]: output["data"] for output in plane.infer("counts", {"inputs": inputs}).json["outputs"]}
    head, tail = plane.infer("counts", {"inputs": inputs, "parameters": {"binary_data_output": True}}).parts
    found = {}
    for output in head["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]], tail = tail[:size], tail[size:]
    assert found["label"] == texts(*plain["label"])
    assert np.frombuffer(found["score"]).tolist() == plain["score"]
    assert np.frombuffer(found["probabilities"]).tolist() == plain["probabilities"]
    assert plain["score"] == [max(plain["probabilities"][:3]), max(plain["probabilities"][3:])]


def test_a_raw_body_is_the_only_input(plane: Plane) -> None:
    head, tail = plane.infer("pair", ROWS.tobytes(), length=0).parts
    assert head["outputs"] == [
        {"name": "value", "datatype": "FP64", "shape": [3], "parameters": {"binary_data_size": 24}}
    ]
    assert np.frombuffer(tail).tolist() == [1.5, 3.5, -0.5]
    head, _ = plane.infer("counts", np.arange(4, dtype="<i8").tobytes(), length=0).parts
    assert head["outputs"][0]["shape"] == [4]
    head, _ = plane.infer("flag", b"\x00\x01\x01", length=0).parts
    assert head["outputs"][0]["shape"] == [3]


def test_a_raw_text_is_one_element_without_a_length(plane: Plane) -> None:
    head, _ = plane.infer("word", "größe".encode(), length=0).parts
    assert head["outputs"][0]["shape"] == [1]
    record = [record for record in plane.log.records if isinstance(record, PredictionRecord)][-1]
    assert list(record.text) == ["größe"]


@pytest.mark.parametrize(
    ("name", "body"), [("pair", b"\0" * 47), ("pair", b""), ("churn", b"\0" * 48), ("word", b"\xff")]
)
def test_a_raw_body_that_does_not_fit_is_refused(plane: Plane, name: str, body: bytes) -> None:
    answer = plane.infer(name, body, length=0)
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_the_length_of_a_body_without_binary_inputs_may_be_told(plane: Plane) -> None:
    asked = json.dumps({"inputs": [tensor("input", "FP64", [1, 2], data=[1, 2])]}).encode()
    assert value_of(plane.infer("pair", asked, length=len(asked))) == [1.5]


def test_the_id_is_echoed_only_if_given(plane: Plane) -> None:
    asked = {"inputs": [tensor("input", "FP64", [1, 2], data=[1, 2])]}
    assert "id" not in plane.infer("pair", asked).json
    assert "id" not in plane.infer("pair", asked | {"id": None}).json
    assert plane.infer("pair", asked | {"id": ""}).json["id"] == ""


def test_content_type_decides_nothing(plane: Plane) -> None:
    asked = {"inputs": [tensor("input", "FP64", [1, 2], data=[1, 2])]}
    for media in ("text/plain", "application/octet-stream", "x"):
        assert plane.infer("pair", asked, content_type=media).status == 200


def test_unknown_parameters_and_keys_are_passed_over(plane: Plane) -> None:
    asked = {
        "inputs": [tensor("input", "FP64", [1, 2], data=[1, 2], parameters={"content_type": "np"}, more=[1])],
        "outputs": [{"name": "value", "parameters": {"x": {}}, "more": 1}, {"name": "value"}],
        "parameters": {"priority": 1, "sequence_id": "s", "timeout": 0},
        "model_name": "other",
        "more": {"deep": [[]]},
    }
    assert len(plane.infer("pair", asked).json["outputs"]) == 1


def test_key_and_deadline_come_from_parameters(plane: Plane) -> None:
    asked = {
        "inputs": [tensor("input", "FP64", [1, 2], data=[1, 2])],
        "parameters": {"routing_key": "u7", "timeout": 5_000_000},
    }
    assert plane.infer("pair", asked).status == 200
    record = [record for record in plane.log.records if isinstance(record, PredictionRecord)][-1]
    assert record.entity_id == "u7"


def test_the_message_names_tensor_expectation_and_what_was_sent(plane: Plane) -> None:
    for asked, tail, said in (
        ({"inputs": [binary("input", "FP64", [3, 2], 40)]}, b"\0" * 40, "expected 48 bytes for FP64 of shape [3, 2]"),
        ({"inputs": [binary("input", "FP64", [3, 2], 48)]}, b"\0" * 40, "expected 48 bytes behind the JSON part"),
        ({"inputs": [binary("input", "FP64", [3, 2], 48)]}, b"\0" * 49, "got 49"),
        ({"inputs": [tensor("input", "FP64", [1, 3], data=[1, 2, 3])]}, b"", "expected shape [-1, 2], got [1, 3]"),
        ({"inputs": [tensor("input", "FP16", [1, 2], data=[1, 2])]}, b"", "FP16 in JSON, which has none"),
        ({"inputs": [binary("input", "FP64", [1, 2], 16)]}, b"", "without the header"),
        ({"inputs": [binary("a", "FP64", [1], 8), binary("b", "INT64", [1], 8)]}, b"\x01" * 16, "INT64 from -9007199"),
    ):
        answer = plane.infer("pair", asked, tail)
        assert answer.status == 400
        assert said in answer.json["error"], answer.json
        assert answer.json["error"].startswith(("input `", "the body"))


def test_an_input_is_either_json_or_bytes(plane: Plane) -> None:
    both = binary("input", "FP64", [1, 2], 16) | {"data": [1, 2]}
    answer = plane.infer("pair", {"inputs": [both]}, ROWS[:1].tobytes())
    assert (answer.status, "got both" in answer.json["error"]) == (400, True)


def test_an_answer_tells_that_another_version_stood_in(plane: Plane) -> None:
    made = plane.predictor.answer("pair", Batch(1, np.ones((1, 2)), np.empty((1, 0), dtype=object)))
    assert answer_parameters(made) == {"prediction_id": made.prediction_id, "generation": 7}
    assert answer_parameters(made._replace(is_fallback=True))["fallback"] is True

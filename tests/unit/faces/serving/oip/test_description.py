"""Claims about what the server and its models say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.contracts.meters import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.faces.serving.oip.conftest import Plane


def test_the_server_names_its_extensions(plane: Plane) -> None:
    told = plane("GET", "/v2").json
    assert told["name"] == "kilter"
    assert told["extensions"] == [
        "binary_tensor_data",
        "model_repository",
        "model_configuration",
        "statistics",
        "parameters",
    ]


def test_numbers_of_one_type_are_advertised_as_a_matrix_and_others_by_column(plane: Plane) -> None:
    assert plane("GET", "/v2/models/pair").json["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}]
    assert plane("GET", "/v2/models/counts").json["inputs"] == [
        {"name": "input", "datatype": "INT64", "shape": [-1, 1]}
    ]
    told = plane("GET", "/v2/models/churn").json
    assert [(each["name"], each["datatype"], each["shape"]) for each in told["inputs"]] == [
        ("age", "FP64", [-1]),
        ("visits", "INT64", [-1]),
        ("is member", "BOOL", [-1]),
        ("plan", "BYTES", [-1]),
        ("income", "FP64", [-1]),
        ("region", "BYTES", [-1]),
    ]
    assert told["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "score", "datatype": "FP64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
    ]
    assert (told["versions"], told["platform"]) == (["1", "2"], "kilter_formula")


def test_every_model_can_be_asked_in_its_advertised_form(plane: Plane) -> None:
    examples = {"FP64": 1.5, "INT64": 3, "BOOL": True, "BYTES": "a"}
    for name in plane.predictor.deployments():
        told = plane("GET", f"/v2/models/{name}").json
        assert told["inputs"]
        inputs = []
        for each in told["inputs"]:
            shape = [2 if size == -1 else size for size in each["shape"]]
            count = 2 * (shape[1] if len(shape) == 2 else 1)
            inputs.append(each | {"shape": shape, "data": [examples[each["datatype"]]] * count})
        found = plane.infer(name, {"inputs": inputs}).json["outputs"]
        for output, expected in zip(found, told["outputs"], strict=True):
            assert (output["name"], output["datatype"]) == (expected["name"], expected["datatype"])
            assert [2 if size == -1 else size for size in expected["shape"]] == output["shape"]


def test_a_configuration_has_tritons_form(plane: Plane) -> None:
    told = plane("GET", "/v2/models/pair/config").json
    assert told == {
        "name": "pair",
        "platform": "kilter_formula",
        "backend": "formula",
        "max_batch_size": 65_536,
        "input": [{"name": "input", "data_type": "TYPE_FP64", "dims": [2]}],
        "output": [{"name": "value", "data_type": "TYPE_FP64", "dims": [1], "reshape": {"shape": []}}],
    }
    told = plane("GET", "/v2/models/churn/versions/2/config").json
    assert told["max_batch_size"] == 100
    assert [each["data_type"] for each in told["input"]] == [
        "TYPE_FP64",
        "TYPE_INT64",
        "TYPE_BOOL",
        "TYPE_STRING",
        "TYPE_FP64",
        "TYPE_STRING",
    ]
    assert told["output"][2] == {"name": "probabilities", "data_type": "TYPE_FP64", "dims": [2]}


def test_statistics_are_counts_and_nanoseconds(plane: Plane) -> None:
    plane.counted["churn", "2"] = Statistics(
        requests=3, failures=1, rows=7, total_ns=900, compute_ns=300, queue_ns=200, last_ns=1_700_000_000_123_456_789
    )
    (told,) = plane("GET", "/v2/models/churn/versions/2/stats").json["model_stats"]
    assert told == {
        "name": "churn",
        "version": "2",
        "last_inference": 1_700_000_000_123,
        "inference_count": 7,
        "execution_count": 3,
        "inference_stats": {
            "success": {"count": 3, "ns": 900},
            "fail": {"count": 1, "ns": 0},
            "queue": {"count": 3, "ns": 200},
            "compute_input": {"count": 3, "ns": 400},
            "compute_infer": {"count": 3, "ns": 300},
            "compute_output": {"count": 3, "ns": 0},
        },
        "batch_stats": [],
    }
    found = plane("GET", "/v2/models/churn/stats").json["model_stats"]
    assert [(each["version"], each["execution_count"]) for each in found] == [("1", 0), ("2", 3)]
    every = plane("GET", "/v2/models/stats").json["model_stats"]
    assert [each["name"] for each in every] == ["churn", "churn", "counts", "flag", "pair", "word"]


def test_nothing_is_ready_before_the_first_table(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane(is_empty=True)
    assert plane("GET", "/v2/health/live").status == 200
    ready = plane("GET", "/v2/health/ready")
    assert (ready.status, ready.json) == (503, {"ready": False})
    ready = plane("GET", "/v2/models/churn/ready")
    assert (ready.status, ready.json) == (503, {"name": "churn", "ready": False})
    assert plane("GET", "/v2/models/churn").status == 503
    assert plane("POST", "/v2/repository/index").json == []
    assert plane("GET", "/v2/models/stats").json == {"model_stats": []}
    assert plane.infer("churn", {"inputs": []}).status == 503


def test_the_plane_is_not_ready_while_the_log_refuses(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane()
    assert plane("GET", "/v2/health/ready").json == {"ready": True}
    plane.is_failing = True
    assert plane("GET", "/v2/health/ready").json == {"ready": False}


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_loaded_model_is_ready(plane: Plane, version: str) -> None:
    answer = plane("GET", f"/v2/models/churn{version}/ready")
    assert (answer.status, answer.json) == (200, {"name": "churn", "ready": True})

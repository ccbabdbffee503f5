"""Claims about MLflow's paths: health, whom they ask, what they answer, how they refuse."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from kilter.contracts.prediction import PredictionRecord
from kilter.contracts.route import Route
from kilter.contracts.version import VERSION
from kilter.errors import DeadlineExceeded, InvalidRequest, ModelFailed, NotFound, NotReady, Overloaded, SchemaMismatch
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.mlflow.endpoints import MlflowEndpoints
from kilter.testing.plane import publish, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.errors import KilterError

Plane = Any  # the fixture's class lives in conftest.py, which cannot be imported
Row = dict[str, object]


def test_health_is_a_line_end(plane: Plane, make_plane: Callable[..., Plane]) -> None:
    for path in ("/ping", "/health"):
        assert plane(path, method="GET")[::2] == (200, b"\n")
        assert make_plane()(path, method="GET")[::2] == (404, b"\n")


def test_health_fails_while_the_log_refuses(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane("price")
    plane.is_failing = True
    assert plane("/ping", method="GET").status == 404


def test_version_is_plain_text(plane: Plane) -> None:
    answer = plane("/version", method="GET")
    assert (answer.status, answer.body) == (200, VERSION.encode())
    assert answer.headers["content-type"].startswith("text/plain")


def test_the_only_deployment_needs_no_name(make_plane: Callable[..., Plane]) -> None:
    assert make_plane("price")("/invocations", {"inputs": [[1, 2]]}).json == {"predictions": [1.5]}


def test_the_default_deployment_needs_no_name(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane("price", "one", default="one")
    assert plane("/invocations", {"inputs": [4]}).json == {"predictions": [4.0]}
    assert plane("/invocations/price", {"inputs": [[1, 2]]}).json == {"predictions": [1.5]}


def test_without_a_default_the_candidates_are_named(plane: Plane) -> None:
    answer = plane("/invocations", {"inputs": [[1, 2]]})
    assert (answer.status, answer.json["error_code"]) == (400, "BAD_REQUEST")
    for name in ("churn", "price", "one", "kind"):
        assert f"/invocations/{name}" in answer.json["message"]


@pytest.mark.parametrize(
    ("deployments", "default", "status", "code"),
    [
        ((), "", 503, "TEMPORARILY_UNAVAILABLE"),
        (("price",), "nobody", 404, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_nobody_to_ask(
    make_plane: Callable[..., Plane], deployments: tuple[str, ...], default: str, status: int, code: str
) -> None:
    answer = make_plane(*deployments, default=default)("/invocations", {"inputs": [[1, 2]]})
    assert (answer.status, answer.json["error_code"]) == (status, code)


def test_an_empty_table_has_nobody_to_ask(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane()
    plane.predictor.prepare(table(1))
    plane.predictor.commit(1)
    answer = plane("/invocations", {"inputs": [[1, 2]]})
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "kilter apply" in answer.json["message"]


def test_an_unknown_deployment_is_said_to_be_unknown(plane: Plane) -> None:
    answer = plane("/invocations/chrun", {"inputs": [[1, 2]]})
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "`churn`" in answer.json["message"]


def test_numbers_are_answered_as_a_list(plane: Plane) -> None:
    answer = plane("/invocations/price", {"inputs": [[1, 2], [3, None]]})
    assert answer.json == {"predictions": [1.5, 1.5]}
    (record,) = [one for one in plane.log.records if isinstance(one, PredictionRecord)][-1:]
    assert answer.headers["kilter-prediction-id"] == record.prediction_id
    assert (answer.headers["kilter-model-version"], answer.headers["kilter-generation"]) == ("1", "7")
    assert record.face == "mlflow"


def test_a_classifier_answers_records(plane: Plane, row: Row) -> None:
    (told,) = plane("/invocations/churn", {"instances": [row]}).json["predictions"]
    assert list(told) == ["label", "score", "probabilities"]
    assert (told["label"], told["score"]) == ("yes", told["probabilities"]["yes"])
    (told,) = plane("/invocations/kind", {"inputs": [1.0]}).json["predictions"]
    assert told["score"] == max(told["probabilities"].values()) == told["probabilities"][told["label"]]


def test_a_parameter_chooses_what_scikit_learn_would_answer(plane: Plane, row: Row) -> None:
    def ask(method: str) -> Any:  # noqa: ANN401 - a test's document
        return plane("/invocations/churn", {"instances": [row, row], "params": {"predict_method": method}}).json

    assert ask("predict") == {"predictions": ["yes", "yes"]}
    first, second = ask("predict_proba")["predictions"]
    assert first == second
    assert first[0] + first[1] == pytest.approx(1)


def test_numbers_have_no_probabilities(plane: Plane) -> None:
    body = {"inputs": [[1, 2]], "params": {"predict_method": "predict_proba"}}
    answer = plane("/invocations/price", body)
    assert answer.status == 400
    assert "no probabilities" in answer.json["message"]
    body["params"] = {"predict_method": "predict"}
    assert plane("/invocations/price", body).json == {"predictions": [1.5]}


def test_ignored_parameters_are_named(plane: Plane) -> None:
    answer = plane("/invocations/price", {"inputs": [[1, 2]], "params": {"temperature": 0.5}})
    assert answer.json == {"predictions": [1.5], "ignored_params": ["temperature"]}


def test_key_and_deadline_come_from_params_or_headers(plane: Plane) -> None:
    body = {"inputs": [[1, 2]], "params": {"routing_key": "body", "timeout_ms": 500}}
    assert plane("/invocations/price", body).status == 200
    assert plane("/invocations/price", {"inputs": [[1, 2]]}, kilter_routing_key="head").status == 200
    keys = [record.entity_id for record in plane.log.records if isinstance(record, PredictionRecord)]
    assert keys[-2:] == ["body", "head"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("m"), 400, "BAD_REQUEST"),
        (InvalidRequest("m"), 413, "BAD_REQUEST"),
        (InvalidRequest("m"), 415, "BAD_REQUEST"),
        (NotFound("m"), 404, "RESOURCE_DOES_NOT_EXIST"),
        (Overloaded("m", retry_after_s=1), 429, "RESOURCE_EXHAUSTED"),
        (NotReady("m"), 503, "TEMPORARILY_UNAVAILABLE"),
        (DeadlineExceeded("m"), 504, "DEADLINE_EXCEEDED"),
        (ModelFailed("m"), 500, "INTERNAL_ERROR"),
    ],
)
def test_errors_have_mlflows_codes(plane: Plane, error: KilterError, status: int, code: str) -> None:
    assert json.loads(plane.endpoints.wording(error, status)) == {"error_code": code, "message": "m"}


def test_the_message_says_how_to_fix_it(plane: Plane) -> None:
    told = json.loads(plane.endpoints.wording(InvalidRequest("x" * 700, hint="turn it off"), 400))
    assert len(told["message"]) == 500
    assert json.loads(plane.endpoints.wording(InvalidRequest("what", hint="how"), 400))["message"] == "what; how"


def test_large_bodies_are_read_beside_the_loop(plane: Plane) -> None:
    rows = [[float(number), 0.5] for number in range(40_000)]
    told = plane("/invocations/price", {"inputs": rows}).json["predictions"]
    assert len(told) == 40_000
    assert told[3] == 1.75
    answer = plane("/invocations/price", {"inputs": [*rows, ["a", 1]]})
    assert (answer.status, "inputs[40000].a" in answer.json["message"]) == (400, True)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_swap_meanwhile_loses_nothing(make_plane: Callable[..., Plane], *, is_same: bool) -> None:
    plane = make_plane("one", "price")
    signature = plane.predictor.target("one" if is_same else "price").variant.signature
    other = publish(plane.blobs, number=2, signature=signature)
    plane.predictor.prepare(table(9, Route(deployment="one", champion=other)))
    body = json.dumps({"inputs": {"x": list(range(60_000))}}).encode()
    request = Request("POST", "/invocations/one", {b"content-type": b"application/json"}, body)

    async def ask() -> Reply:
        reading = asyncio.ensure_future(plane.router.answer(request))
        await asyncio.sleep(0)  # the side thread has the body now
        plane.predictor.commit(9)  # the version that was asked is let go of
        reply: Reply = await reading
        return reply

    if is_same:
        reply = asyncio.run(ask())
        assert (reply.status, dict(reply.headers)[b"kilter-model-version"]) == (200, b"2")
        assert len(json.loads(reply.body)["predictions"]) == 60_000
    else:
        with pytest.raises(SchemaMismatch, match="unknown column"):  # the new version takes `a` and `b`
            asyncio.run(ask())


def test_the_roots_cover_the_paths() -> None:
    assert {path.split("/")[1] for _, path in MlflowEndpoints.routes(object.__new__(MlflowEndpoints))} == set(
        MlflowEndpoints.roots
    )

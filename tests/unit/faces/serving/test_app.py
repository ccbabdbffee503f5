"""Claims about the data plane's HTTP answers, driven as an ASGI application."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import pytest

from kilter.contracts.prediction import FeedbackRecord, PredictionRecord
from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import JournalUnavailable, KilterError, NotFound, OnHold
from kilter.faces.serving import limits
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.errors import ERRORS, NEVER, status_of
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.router import Router
from kilter.services.feedback import FeedbackIntake
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table

_ROW = {"age": 40, "visits": 3, "is member": True, "plan": "basic", "income": 1.5, "region": "north"}
_PLAIN = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT, nullable=True)),
)


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - a test's document
        return json.loads(self.body)


class _Client:
    """Calls the application without a server."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        clock = SystemClock()
        blobs = MemoryBlobs()
        self.journal = Journal(log=self.log, clock=clock)
        self.predictor = Predictor(
            journal=self.journal,
            blobs=blobs,
            materialise=lambda _, name: name,
            formats=lambda _: FormulaFormat(),
            clock=clock,
            ids=UuidSource(clock),
        )
        routes = (
            Route(deployment="churn", champion=publish(blobs), previous=publish(blobs, number=2), max_rows=100),
            Route(deployment="price", champion=publish(blobs, signature=_PLAIN)),
            Route(deployment="sick", champion=publish(blobs, mode="nan")),
        )
        self.predictor.prepare(table(41, *routes))
        self.predictor.commit(41)
        router = assemble(
            predictor=self.predictor,
            journal=self.journal,
            feedback=FeedbackIntake(clock=clock),
            is_failing=lambda: self.journal.failing,
        )
        self.app = ServingApp(router, body_max_bytes=100_000, body_read_s=0.05)

    def __call__(
        self, method: str, path: str, body: object = b"", *, headers: dict[str, str] | None = None, split: int = 0
    ) -> _Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(self._call(method, path, data, headers or {}, split))

    async def _call(self, method: str, path: str, body: bytes, headers: dict[str, str], split: int) -> _Answer:
        parts = [body[:split], body[split:]] if split else [body]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            await asyncio.sleep(10)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.app({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
        start, content = sent
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        assert names["content-length"] == str(len(content["body"]))
        return _Answer(start["status"], names, content["body"])


@pytest.fixture(scope="module")
def call() -> _Client:
    return _Client()


def _infer(**columns: tuple[str, list[int], object]) -> dict[str, object]:
    return {
        "inputs": [
            {"name": name.replace("_", " "), "datatype": datatype, "shape": shape, "data": data}
            for name, (datatype, shape, data) in columns.items()
        ]
    }


_GOOD_TENSORS = {
    "age": ("FP64", [1], [40]),
    "visits": ("INT64", [1], [3]),
    "is_member": ("BOOL", [1, 1], [[True]]),
    "plan": ("BYTES", [1], ["basic"]),
    "income": ("FP64", [1], [None]),
    "region": ("BYTES", [1], [None]),
}


def test_a_prediction_has_the_documented_form(call: _Client) -> None:
    answer = call("POST", "/predict/churn", {"rows": [_ROW]}, headers={"x-request-id": "r"})
    told = answer.json
    assert answer.status == 200
    assert list(told) == ["prediction_id", "deployment", "version", "generation", "predictions"]
    assert (told["deployment"], told["version"], told["generation"]) == ("churn", "1", 41)
    (row,) = told["predictions"]
    assert row["id"] == f"{told['prediction_id']}:0"
    assert (row["label"], row["score"]) == ("yes", row["probabilities"]["yes"])
    assert sum(row["probabilities"].values()) == pytest.approx(1)
    assert answer.headers["kilter-prediction-id"] == told["prediction_id"]
    assert (answer.headers["kilter-model-version"], answer.headers["kilter-generation"]) == ("1", "41")


def test_regression_rows_hold_a_value(call: _Client) -> None:
    told = call("POST", "/predict/price", [{"a": 1}, {"a": 3, "b": 2.0}]).json
    assert [row["value"] for row in told["predictions"]] == [0.5, 2.5]
    assert [row["id"][-2:] for row in told["predictions"]] == [":0", ":1"]


@pytest.mark.parametrize(
    "row",
    [
        _ROW | {"visits": 3.0},
        _ROW | {"visits": 2**53},
        _ROW | {"age": 2**53},
        _ROW | {"age": 1e300},
        _ROW | {"income": None},
        {name: value for name, value in _ROW.items() if name not in {"income", "region"}},
        _ROW | {"plan": "never seen"},
        _ROW | {"plan": '[{"\\u2603' * 20},
    ],
)
def test_odd_but_right_rows_are_answered(call: _Client, row: dict[str, object]) -> None:
    assert call("POST", "/predict/churn", [row]).status == 200
    assert call("POST", "/predict/churn", {"rows": [row, _ROW]}).status == 200
    assert call("POST", "/predict/churn", b" " + json.dumps({"rows": [row]}).encode(), split=9).status == 200


def test_key_and_deadline_come_from_body_or_header(call: _Client) -> None:
    call("POST", "/predict/churn", {"rows": [_ROW], "routing_key": "body", "timeout_ms": 500})
    call("POST", "/predict/churn", [_ROW], headers={"kilter-routing-key": "head", "kilter-timeout-ms": "500"})
    keys = [record.entity_id for record in call.log.records if isinstance(record, PredictionRecord)]
    assert keys[-2:] == ["body", "head"]


_WRONG_ROWS: list[tuple[dict[str, object], str, str]] = [
    ({"age": "40"}, "rows[0].age", "expected a number, got text"),
    ({"age": True}, "rows[0].age", "expected a number, got true or false"),
    ({"age": None}, "rows[0].age", "expected a number, got null"),
    ({"age": [1]}, "rows[0].age", "expected a number, got an array"),
    ({"age": {}}, "rows[0].age", "expected a number, got an object"),
    ({"age": 2**53 + 1}, "rows[0].age", "2**53"),
    ({"age": 10**40}, "rows[0].age", "2**53"),
    ({"income": 2**60 + 1}, "rows[0].income", "2**53"),
    ({"visits": 1.5}, "rows[0].visits", "got a fraction"),
    ({"visits": 1e17}, "rows[0].visits", "got a fraction"),
    ({"visits": "1"}, "rows[0].visits", "expected an integer, got text"),
    ({"visits": 2**53 + 1}, "rows[0].visits", "2**53"),
    ({"visits": False}, "rows[0].visits", "expected an integer, got true or false"),
    ({"is member": 1}, "rows[0].is member", "expected true or false, got an integer"),
    ({"is member": "true"}, "rows[0].is member", "expected true or false, got text"),
    ({"plan": 7}, "rows[0].plan", "expected text, got an integer"),
    ({"plan": None}, "rows[0].plan", "expected text, got null"),
    ({"region": 7.5}, "rows[0].region", "expected text, got a number"),
    ({"agee": 1}, "rows[0].agee", "unknown column"),
    ({"x" * 300: 1}, "rows[0]." + "x" * 40, "unknown column"),
]


@pytest.mark.parametrize(("change", "field", "part"), _WRONG_ROWS)
def test_a_wrong_cell_is_named(call: _Client, change: dict[str, object], field: str, part: str) -> None:
    answer = call("POST", "/predict/churn", {"rows": [_ROW | change]})
    told = answer.json
    assert (answer.status, told["field"]) == (400, field)
    assert part in told["error"]
    assert told["hint"]
    assert answer.headers["kilter-error-code"] == told["code"]
    assert call("POST", "/predict/churn", [_ROW, _ROW | change]).json["field"] == field.replace("[0]", "[1]")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"3",
        b'"rows"',
        b"[]",
        b"[1]",
        b"[[1, 2]]",
        b"[null]",
        b"{}",
        b'{"rows": {}}',
        b'{"rows": []}',
        b'{"rows": null}',
        b'{"rows": [{}]}',
        b'{"row": []}',
        b'{"age": 40}',
        b"\xff\xfe",
        b'[{"plan": "\xff"}]',
        b'[{"plan": "\\ud800"}]',
        b"[" * 100,
        b"[" * 50_000,
        b"[" * 40 + b"]" * 40,
        b'[{"age": NaN}]',
        b'[{"age": Infinity}]',
        b'[{"age": -Infinity}]',
        b'[{"age": 1e999}]',
        b'{"rows": [{"age": 1e999}]}',
        b'[{"age": 01}]',
        b"[{'age': 1}]",
        b'[{"age": 1,}]',
        b'[{"age": 40}] x',
        b"age=40",
        json.dumps({"rows": [_ROW], "routing_key": 7}).encode(),
        json.dumps({"rows": [_ROW], "timeout_ms": 0}).encode(),
        json.dumps({"rows": [_ROW], "timeout_ms": 1.5}).encode(),
        json.dumps({"rows": [_ROW], "timeout_ms": True}).encode(),
        json.dumps({"rows": [_ROW], "more": 1}).encode(),
        json.dumps({"rows": [_ROW] * 101}).encode(),
        json.dumps([{**_ROW, "plan": [[[[1]]]]}]).encode(),
    ],
)
def test_a_malformed_body_is_the_clients_mistake(call: _Client, body: bytes) -> None:
    answer = call("POST", "/predict/churn", body)
    assert answer.status == 400
    assert set(answer.json) == {"error", "code", "field", "hint"}
    for path in ("/v2/models/churn/infer", "/feedback/churn"):
        answer = call("POST", path, body)
        assert answer.status == 400, path
        assert answer.json["error"]


def test_inference_in_column_form(call: _Client) -> None:
    answer = call("POST", "/v2/models/churn/infer", _infer(**_GOOD_TENSORS) | {"id": "q", "more": [1]})
    told = answer.json
    assert answer.status == 200
    assert (told["model_name"], told["model_version"], told["id"]) == ("churn", "1", "q")
    assert told["parameters"] == {"prediction_id": answer.headers["kilter-prediction-id"], "generation": 41}
    label, score, probabilities = told["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["yes"]}
    assert score["data"] == probabilities["data"][1:]
    assert probabilities["shape"] == [1, 2]


def test_inference_in_matrix_form(call: _Client) -> None:
    for shape, data in (([2, 2], [1, 2, 3, None]), ([2, 2], [[1, 2], [3, None]])):
        told = call("POST", "/v2/models/price/infer", _infer(input=("FP64", shape, data))).json
        assert told["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [2], "data": [1.5, 1.5]}]
    widened = call("POST", "/v2/models/price/infer", _infer(a=("FP32", [1], [0.1]), b=("INT8", [1], [4])))
    assert widened.json["outputs"][0]["data"][0] == pytest.approx(2.05, abs=1e-6)


def test_a_version_can_be_asked_for(call: _Client) -> None:
    told = call("POST", "/v2/models/churn/versions/2/infer", _infer(**_GOOD_TENSORS)).json
    assert told["model_version"] == "2"
    for version in ("9", "x", "1.0", "-1", "²", "9" * 50):
        assert call("POST", f"/v2/models/churn/versions/{version}/infer", _infer(**_GOOD_TENSORS)).status == 404


def test_outputs_and_parameters_can_be_chosen(call: _Client) -> None:
    wanted = {"outputs": [{"name": "score", "parameters": {"x": 1}}]}
    options = {"parameters": {"routing_key": "u9", "timeout": 500_000, "unknown": {"deep": 1}}}
    headers = {"kilter-routing-key": "u8", "kilter-timeout-ms": "400"}
    answer = call("POST", "/v2/models/churn/infer", _infer(**_GOOD_TENSORS) | wanted | options, headers=headers)
    assert [output["name"] for output in answer.json["outputs"]] == ["score"]


_BAD_TENSORS: list[dict[str, tuple[str, list[Any], object]]] = [
    {"age": ("FP64", [2], [40, 41])},
    {"age": ("FP64", [1], [40, 41])},
    {"age": ("FP64", [2], [40])},
    {"age": ("FP64", [-1], [40])},
    {"age": ("FP64", [1.0], [40])},
    {"age": ("FP64", [True], [40])},
    {"age": ("FP64", [], [40])},
    {"age": ("FP64", [1, 2], [40, 41])},
    {"age": ("FP64", [1, 1, 1], [40])},
    {"age": ("FP64", [10**12], [40])},
    {"age": ("FP64", [1, 1], [[40, 41]])},
    {"age": ("FP64", [1, 1], [[40], [41]])},
    {"age": ("FP64", [1, 1], [[[40]]])},
    {"age": ("FP64", [1], [True])},
    {"age": ("FP64", [1], ["40"])},
    {"age": ("FP64", [1], [None])},
    {"age": ("FP64", [1], 40)},
    {"age": ("FP64", [1], "40")},
    {"age": ("FP32", [1], [1e39])},
    {"age": ("FP16", [1], [1])},
    {"age": ("FP99", [1], [1])},
    {"age": ("BYTES", [1], ["40"])},
    {"age": ("INT64", [1], [2**53 + 1])},
    {"age": ("UINT8", [1], [-1])},
    {"age": ("INT8", [1], [128])},
    {"visits": ("INT64", [1], [3.0])},
    {"visits": ("FP64", [1], [3.0])},
    {"visits": ("UINT64", [1], [3])},
    {"is_member": ("BOOL", [1], [1])},
    {"is_member": ("INT8", [1], [1])},
    {"plan": ("BYTES", [1], [7])},
    {"plan": ("BYTES", [1], [None])},
    {"plan": ("FP64", [1], [7.0])},
    {"more": ("FP64", [1], [7.0])},
]


@pytest.mark.parametrize("change", _BAD_TENSORS)
def test_a_wrong_tensor_is_a_400_of_the_protocols_form(
    call: _Client, change: dict[str, tuple[str, list[Any], object]]
) -> None:
    answer = call("POST", "/v2/models/churn/infer", _infer(**(_GOOD_TENSORS | change)))
    assert answer.status == 400
    assert list(answer.json) == ["error"]
    assert len(answer.json["error"]) <= 500
    assert answer.headers["kilter-error-code"].startswith("input.")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [1]},
        {"inputs": [{"name": "age"}]},
        {"inputs": [{"name": 1, "datatype": "FP64", "shape": [1], "data": [1]}]},
        _infer(age=("FP64", [1], [1])),
        _infer(input=("FP64", [1, 6], [1] * 6)),
        _infer(**_GOOD_TENSORS) | {"outputs": [{"name": "other"}]},
        _infer(**_GOOD_TENSORS) | {"parameters": {"routing_key": 7}},
        _infer(**_GOOD_TENSORS) | {"parameters": {"timeout": -1}},
        _infer(**_GOOD_TENSORS) | {"id": 7},
        {"inputs": _infer(**_GOOD_TENSORS)["inputs"] * 2},  # type: ignore[operator]  # a list
        _infer(**{name: (kind, [0], []) for name, (kind, _, _) in _GOOD_TENSORS.items()}),
    ],
)
def test_a_wrong_inference_request_is_a_400(call: _Client, body: dict[str, object]) -> None:
    answer = call("POST", "/v2/models/churn/infer", body)
    assert answer.status == 400
    assert list(answer.json) == ["error"]


def test_null_in_a_matrix_needs_a_nullable_column(call: _Client) -> None:
    answer = call("POST", "/v2/models/price/infer", _infer(input=("FP64", [1, 2], [None, 1])))
    assert (answer.status, "column `a`" in answer.json["error"]) == (400, True)
    missing = call("POST", "/v2/models/price/infer", _infer(a=("FP64", [1], [1])))
    assert "or one input `input`" in missing.json["error"]


def test_health_and_metadata(call: _Client) -> None:
    assert call("GET", "/v2/health/live").json == {"live": True}
    assert call("GET", "/v2/health/ready").json == {"ready": True}
    assert call("GET", "/v2").json["name"] == "kilter"
    told = call("GET", "/v2/models/churn").json
    assert (told["versions"], told["platform"]) == (["1", "2"], "kilter_formula")
    assert told["inputs"][1] == {"name": "visits", "datatype": "INT64", "shape": [-1]}
    assert call("GET", "/v2/models/price/versions/1").json["inputs"] == [
        {"name": "input", "datatype": "FP64", "shape": [-1, 2]}
    ]
    assert call("GET", "/v2/models/churn/ready").json == {"name": "churn", "ready": True}
    assert call("GET", "/v2/models/churn/versions/2/ready").status == 200
    assert call("GET", "/v2/models/churn/versions/3/ready").status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/predict/churn", "POST"),
        ("PUT", "/feedback/churn", "POST"),
        ("POST", "/v2", "GET"),
        ("GET", "/v2/models/churn/infer", "POST"),
        ("DELETE", "/v2/models/churn", "GET"),
        ("POST", "/v2/health/live", "GET"),
    ],
)
def test_the_wrong_verb_names_the_right_one(call: _Client, method: str, path: str, allow: str) -> None:
    answer = call(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/predict",
        "/predict/",
        "/predict/a/b",
        "/feedback/",
        "/metrics2",
        "/v2/models",
        "/v2/models/churn/else",
        "/v2/models/churn/versions",
        "/v2/models/churn/versions/1/else",
        "/v2/health",
        "/v3",
        "*",
        "",
    ],
)
def test_an_unknown_path_is_404(call: _Client, path: str) -> None:
    for method in ("GET", "POST"):
        answer = call(method, path, b"{}")
        assert answer.status == 404
        assert set(answer.json) == ({"error"} if path.startswith("/v2") else {"error", "code", "field", "hint"})


def test_unknown_deployments_are_404_with_their_neighbours(call: _Client) -> None:
    answer = call("POST", "/predict/chrun", [_ROW])
    assert (answer.status, "`churn`" in answer.json["hint"]) == (404, True)


def test_feedback_is_accepted_when_it_is_on_record(call: _Client) -> None:
    prediction = call("POST", "/predict/churn", [_ROW]).json["prediction_id"]
    answer = call("POST", "/feedback/churn", {"feedback": [{"prediction_id": f"{prediction}:0", "label": "no"}]})
    assert (answer.status, answer.json) == (202, {"accepted": 1})
    assert [record.label for record in call.log.records if isinstance(record, FeedbackRecord)][-1] == "no"
    assert call("POST", "/feedback/churn", {"feedback": [{"label": "no"}]}).status == 400
    assert call("POST", "/feedback/none", {"prediction_id": prediction, "label": "no"}).status == 404


def test_large_bodies_are_refused_and_the_connection_ends(call: _Client) -> None:
    for headers, split in (({"content-length": "100001"}, 0), ({}, 0), ({}, 60_000)):
        answer = call("POST", "/predict/churn", b" " * 100_001, headers=headers, split=split)
        assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_slow_bodies_and_long_headers_are_refused(call: _Client) -> None:
    async def slow() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(5)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict/churn", "headers": []}
        answering = asyncio.create_task(call.app(scope, receive, send))
        while not sent:
            await asyncio.sleep(0.01)
            call.app.end_slow()
        await answering
        return int(sent[0]["status"])

    assert asyncio.run(slow()) == 408
    assert call("GET", "/v2", headers={f"x-{index}": "y" for index in range(101)}).status == 431
    assert call("GET", "/v2", headers={"x": "y" * 40_000}).status == 431


def test_a_client_that_leaves_gets_no_answer(call: _Client) -> None:
    async def leave() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        await call.app({"type": "http", "method": "POST", "path": "/predict/churn", "headers": []}, receive, send)
        await call.app({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(leave()) == []
    assert call.app.in_flight == 0


def test_what_is_not_spoken_is_said(call: _Client) -> None:
    assert call("POST", "/predict/churn", [_ROW], headers={"content-encoding": "br"}).status == 415
    assert call("POST", "/predict/churn", [_ROW], headers={"content-encoding": "identity"}).status == 200
    for length in ("10", "soon", "-1", "9" * 30):
        torn = {"inference-header-content-length": length}
        assert call("POST", "/v2/models/churn/infer", _infer(**_GOOD_TENSORS), headers=torn).status == 400
    assert call("POST", "/predict/churn", [_ROW], headers={"kilter-timeout-ms": "soon"}).status == 400


def test_too_many_requests_in_flight_are_refused_with_a_time(call: _Client) -> None:
    call.app.in_flight = limits.IN_FLIGHT
    try:
        answer = call("POST", "/predict/churn", [_ROW])
    finally:
        call.app.in_flight = 0
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")


def test_a_failing_model_is_500_and_tells_nothing(call: _Client) -> None:
    answer = call("POST", "/predict/sick", [_ROW])
    assert (answer.status, answer.json["code"]) == (500, "model.failed")
    assert call("POST", "/v2/models/sick/infer", _infer(**_GOOD_TENSORS)).status == 500


def test_a_late_answer_is_504(call: _Client) -> None:
    call.predictor.prepare(table(42, Route(deployment="churn", champion=call.predictor.route("churn").champion)))
    late = call("POST", "/predict/churn", {"rows": [_ROW] * 90, "timeout_ms": 1})
    assert late.status in {200, 504}


def test_a_full_disk_is_503_until_it_is_over(call: _Client) -> None:
    call.log.refuses = JournalUnavailable("the disk is full")
    try:
        answer = call("POST", "/predict/churn", [_ROW])
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert call("GET", "/v2/health/ready").status == 503
        told = call("POST", "/feedback/churn", {"prediction_id": "018f3a00-0000-7000-8000-000000000000", "label": "no"})
        assert told.status == 503
    finally:
        call.log.refuses = None
    assert call("POST", "/predict/churn", [_ROW]).status == 200
    assert call("GET", "/v2/health/ready").status == 200


@pytest.mark.parametrize("fault", [RuntimeError("secret"), OnHold("secret")])
def test_a_fault_of_kilter_leaks_nothing(call: _Client, fault: Exception) -> None:
    call.log.refuses = fault
    try:
        for path, body in (("/predict/churn", [_ROW]), ("/v2/models/churn/infer", _infer(**_GOOD_TENSORS))):
            answer = call("POST", path, body)
            assert answer.status == 500
            assert b"secret" not in answer.body
    finally:
        call.log.refuses = None


def test_every_error_has_a_status() -> None:
    def leaves(kind: type[KilterError]) -> set[type[KilterError]]:
        below = [one for one in kind.__subclasses__() if one.__module__ == KilterError.__module__]  # not those of tests
        return set().union(*map(leaves, below)) if below else {kind}

    for leaf in leaves(KilterError):
        covered = any(kind in ERRORS for kind in leaf.__mro__)
        assert covered or leaf in NEVER, leaf
        assert (status_of(leaf("x")) == 500) or leaf not in NEVER
    assert status_of(KilterError("x")) == 500


@pytest.mark.parametrize(
    ("body", "is_deep"),
    [
        (b"[" * 32 + b"]" * 32, False),
        (b"[" * 33 + b"]" * 33, True),
        (b'{"a":' * 33 + b"1" + b"}" * 33, True),
        (b"[[],{}]" * 50, False),
        (b'["[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]', False),
        (b'["\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]', False),
        (b'["["' + b"[" * 33 + b"]" * 33 + b"]", True),
    ],
)
def test_nesting_is_counted_outside_of_strings(body: bytes, is_deep: bool) -> None:  # noqa: FBT001 - a case
    if is_deep:
        with pytest.raises(KilterError):
            limits.check_nesting(body)
    else:
        limits.check_nesting(body)


def test_a_model_may_be_named_like_a_path(call: _Client) -> None:
    router = Router([_Named()])
    assert [router.find("GET", path).names for path in ("/m/stats", "/m/stats/ready", "/m/a/ready")] == [  # type: ignore[union-attr]
        (),
        ("stats",),
        ("a",),
    ]
    with pytest.raises(NotFound):
        router.find("GET", "/m/stats/" + "/".join("x" * 40))
    assert call("GET", "/" + "/".join("v2" * 5_000)).status == 404


class _Named:
    roots: tuple[str, ...] = ("m",)

    def routes(self) -> dict[tuple[str, str], Any]:
        return {("GET", path): _nobody for path in ("/m/stats", "/m/{}", "/m/{}/ready")}

    def wording(self, error: KilterError, status: int) -> bytes:
        return f"{status} {error.message}".encode()


def _nobody(_: object, *names: str) -> None:
    del names


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/predict/churn", _ROW, "rows: expected an array of row objects, got an object without `rows`"),
        ("/predict/churn", {"rows": [_ROW], "timeout_ms": 0}, "timeout_ms: expected an integer of at least 1, got 0"),
        (
            "/predict/churn",
            {"rows": [_ROW], "timeout_ms": -7},
            "timeout_ms: expected an integer of at least 1, got a negative one",
        ),
        ("/predict/churn", b'[{"secret": x}]', "the body is not valid JSON: invalid character at byte 12"),
        ("/predict/churn", b'[{"secret": 1', "the body is not valid JSON: it ends too early"),
        ("/feedback/churn", b"[1,]", "the body is not valid JSON: trailing comma in array at byte 3"),
        (
            "/v2/models/price/infer",
            {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}] * 2},
            "input `input` is sent twice",
        ),
        (
            "/v2/models/price/infer",
            {"inputs": [{"name": name, "datatype": "FP64", "shape": [1], "data": [1]} for name in ("a", "input")]},
            "input `input` holds all columns, and other inputs are sent beside it",
        ),
        (
            "/v2/models/price/infer",
            {"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1], "data": [1]}]},
            "input `a`: shape[0]: expected int >= 0",
        ),
        (
            "/v2/models/price/infer",
            {"inputs": [{"name": "a", "datatype": "FP64", "data": [1]}]},
            "input `a`: object missing required field shape",
        ),
        (
            "/v2/models/price/infer",
            {"inputs": [{"datatype": "FP64", "shape": [1], "data": [1]}]},
            "not an inference request: object missing required field name - at inputs[0]",
        ),
        (
            "/v2/models/price/infer",
            b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1], "data": [1]} oh',
            "not an inference request: expected int >= 0 - at inputs[0].shape[0]",
        ),
        (
            "/v2/models/price/infer",
            {"inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": ["1"]}]},
            "input `a` of FP64: expected float | null, got str - at data[0]",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_where(call: _Client, path: str, body: object, said: str) -> None:
    answer = call("POST", path, body)
    assert (answer.status, answer.json["error"]) == (400, said)


def test_a_deadline_of_nothing_is_no_deadline(call: _Client) -> None:
    answer = call("POST", "/predict/churn", [_ROW], headers={"kilter-timeout-ms": "0"})
    assert answer.json["error"].endswith("expected a whole number of milliseconds of at least 1, got 0")

"""Claims about what requests leave in the metrics, and in their traces."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families

from kilter.contracts.prediction import PredictionRecord
from kilter.contracts.route import Route
from kilter.errors import JournalUnavailable
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.metrics.observation import Observation
from kilter.faces.serving.metrics.spans import Spans
from kilter.services.feedback import FeedbackIntake
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.stores.meters import MeterFiles
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROW = {"age": 40, "visits": 3, "is member": True, "plan": "basic", "income": 1.5, "region": "north"}
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = f"00-{_TRACE}-00f067aa0ba902b7-01"


class _Plane:
    """One serving process without a server."""

    def __init__(self, folder: Path, spans: Spans | None = None) -> None:
        self.log, clock, blobs = MemoryLog(), SystemClock(), MemoryBlobs()
        self.meters = MeterFiles(folder, clock_ns=clock.time_ns)
        self.journal = Journal(log=self.log, clock=clock, meters=self.meters)
        self.predictor = Predictor(
            journal=self.journal,
            blobs=blobs,
            materialise=lambda _, name: name,
            formats=lambda _: FormulaFormat(),
            clock=clock,
            ids=UuidSource(clock),
            meters=self.meters,
        )
        routes = (
            Route(deployment="churn", champion=publish(blobs), previous=publish(blobs, number=2), max_rows=100),
            Route(deployment="sick", champion=publish(blobs, mode="nan"), deadline_ms=60_000),
        )
        self.predictor.prepare(table(41, *routes))
        self.predictor.commit(41)
        self.observation = Observation(meters=self.meters, reader=self.meters, predictor=self.predictor)
        self.observation.spans = spans
        router = assemble(
            predictor=self.predictor,
            journal=self.journal,
            feedback=FeedbackIntake(clock=clock),
            is_failing=lambda: False,
            observation=self.observation,
        )
        self.app = ServingApp(router)

    def __call__(self, method: str, path: str, body: object = b"", **headers: str) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return asyncio.run(self._answer(Request(method, path, named, data)))

    async def _answer(self, request: Request) -> Reply:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        scope = {"type": "http", "method": request.method, "path": request.path, "headers": [*request.headers.items()]}
        await self.app(scope, receive, send)
        start, content = sent
        return Reply(start["status"], start["headers"], content["body"])

    def shown(self, **labels: str) -> dict[str, float]:
        """Return the samples with these labels by their names."""
        text = self("GET", "/metrics").body.decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {sample.name: sample.value for sample in samples if labels.items() <= sample.labels.items()}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[_Plane]:
    one = _Plane(tmp_path)
    yield one
    one.meters.close()


def test_predictions_count_under_their_version_arm_and_face(plane: _Plane) -> None:
    for _ in range(3):
        assert plane("POST", "/predict/churn", {"rows": [_ROW, _ROW]}).status == 200
    assert plane("POST", "/predict/churn", {"rows": [_ROW | {"plan": "gold"}]}).status == 200
    shown = plane.shown(deployment="churn", version="1", arm="champion", face="http")
    assert shown["kilter_requests_total"] == 4
    assert shown["kilter_rows_total"] == 7
    assert shown["kilter_request_seconds_count"] == shown["kilter_compute_seconds_count"] == 4
    assert shown["kilter_queue_seconds_count"] == 4
    assert 0 < shown["kilter_compute_seconds_sum"] < shown["kilter_request_seconds_sum"]
    assert plane.shown(deployment="churn", version="1")["kilter_unseen_category_total"] == 1


def test_every_face_and_pinned_version_has_its_own_series(plane: _Plane) -> None:
    tensors = {"inputs": [{"name": name, "shape": [1], **rest} for name, rest in _TENSORS.items()]}
    assert plane("POST", "/v2/models/churn/versions/2/infer", tensors).status == 200
    assert plane.shown(deployment="churn", version="2", arm="pinned", face="oip")["kilter_requests_total"] == 1
    assert plane.shown(deployment="churn", arm="champion") == {}


_TENSORS: dict[str, dict[str, object]] = {
    "age": {"datatype": "FP64", "data": [40]},
    "visits": {"datatype": "INT64", "data": [3]},
    "is member": {"datatype": "BOOL", "data": [True]},
    "plan": {"datatype": "BYTES", "data": ["basic"]},
    "income": {"datatype": "FP64", "data": [None]},
    "region": {"datatype": "BYTES", "data": [None]},
}


def test_a_failing_model_counts_once_under_its_version(plane: _Plane) -> None:
    assert plane("POST", "/predict/sick", {"rows": [_ROW]}).status == 500
    assert plane.shown(deployment="sick", version="1", code="model.failed") == {"kilter_requests_total": 1}
    assert plane.shown(deployment="sick", code="model.failed", version="") == {}


def test_refusals_count_under_a_deployment_only_if_it_is_loaded(plane: _Plane) -> None:
    assert plane("POST", "/predict/churn", b"no json").status == 400
    assert plane("GET", "/predict/churn").status == 405
    assert plane("POST", "/v2/models/churn/infer", b"{}").status == 400
    assert plane("GET", "/v2/models/nobody").status == 404
    for number in range(50):
        assert plane("POST", f"/predict/made-up-{number}", {"rows": []}).status == 404
        assert plane("GET", f"/made/up/{number}").status == 404
    assert plane.shown(deployment="churn", code="input.invalid", face="http") == {"kilter_requests_total": 2}
    assert plane.shown(deployment="churn", face="oip")["kilter_requests_total"] == 1
    assert plane.shown(deployment="", face="http", code="state.not_found") == {"kilter_requests_total": 100}
    assert plane.shown(deployment="", face="oip", code="state.not_found") == {"kilter_requests_total": 1}
    deployments = {total.labels[0] for total in plane.meters.totals() if total.name == "kilter_requests_total"}
    assert deployments == {"churn", ""}


def test_feedback_is_a_face_of_its_own(plane: _Plane) -> None:
    told = json.loads(plane("POST", "/predict/churn", {"rows": [_ROW]}).body)
    label = {"prediction_id": told["prediction_id"], "label": "yes"}
    assert plane("POST", "/feedback/churn", label).status == 202
    assert plane("POST", "/feedback/churn", {"feedback": [label, {}]}).status == 400
    assert plane.shown(deployment="churn", face="feedback", code="ok") == {"kilter_requests_total": 1}
    assert plane.shown(deployment="churn", face="feedback", code="input.invalid") == {"kilter_requests_total": 1}


def test_a_log_that_refuses_counts_as_an_error_of_the_deployment(plane: _Plane) -> None:
    plane.log.refuses = JournalUnavailable("the disk is full")
    assert plane("POST", "/predict/churn", {"rows": [_ROW]}).status == 503
    assert plane.shown(deployment="churn", code="backend.journal") == {"kilter_requests_total": 1}


def test_the_gauges_say_which_table_and_version_of_kilter_serve(plane: _Plane) -> None:
    shown = plane.shown()
    assert shown["kilter_route_generation"] == 41
    assert shown["kilter_build_info"] == 1
    assert shown["kilter_log_dropped_total"] == 0


def test_the_format_follows_accept(plane: _Plane) -> None:
    plain, opened = plane("GET", "/metrics"), plane("GET", "/metrics", accept="application/openmetrics-text")
    assert dict(plain.headers)[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"
    assert dict(opened.headers)[b"content-type"] == b"application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert {family.name for family in read_open(opened.body.decode())}  # type: ignore[no-untyped-call]  # ships half of its types >= {"kilter_requests", "kilter_build"}
    wrong = plane("POST", "/metrics", {})
    assert (wrong.status, dict(wrong.headers)[b"allow"]) == (405, b"GET")


def test_meters_that_cannot_be_read_are_an_error_of_the_server(plane: _Plane, tmp_path: Path) -> None:
    (tmp_path / "retired.json").mkdir()
    answer = plane("GET", "/metrics")
    assert answer.status == 503
    assert json.loads(answer.body)["code"] == "backend.store"


def test_the_trace_is_echoed_and_written_into_the_record(plane: _Plane) -> None:
    answer = plane("POST", "/predict/churn", {"rows": [_ROW]}, traceparent=_PARENT)
    assert dict(answer.headers)[b"traceparent"] == _PARENT.encode()
    assert plane("GET", "/v2", traceparent=_PARENT).headers[-2][0] == b"traceparent"
    refused = plane("POST", "/predict/churn", b"no json", traceparent=_PARENT)
    assert (refused.status, dict(refused.headers)[b"traceparent"]) == (400, _PARENT.encode())
    records = [record for record in plane.log.records if isinstance(record, PredictionRecord)]
    assert [record.trace_id for record in records] == [_TRACE]


@pytest.mark.parametrize("traceparent", ["", "nonsense", _PARENT.upper()])
def test_what_is_no_trace_is_left_out(plane: _Plane, traceparent: str) -> None:
    answer = plane("POST", "/predict/churn", {"rows": [_ROW]}, traceparent=traceparent)
    assert answer.status == 200
    assert b"traceparent" not in dict(answer.headers)
    assert plane.log.records[-1].trace_id == ""  # type: ignore[union-attr]  # the last is a prediction


def test_a_span_covers_each_request_and_its_trace_is_on_record(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    plane = _Plane(tmp_path, Spans(provider))
    answer = plane("POST", "/predict/churn", {"rows": [_ROW]})
    plane("POST", "/predict/sick", {"rows": [_ROW]}, traceparent=_PARENT)
    plane("GET", "/metrics")
    good, failed, later = exporter.get_finished_spans()
    assert [span.name for span in (good, failed, later)] == ["POST /predict/{}", "POST /predict/{}", "GET /metrics"]
    attributes = dict(good.attributes or {})
    assert attributes["kilter.prediction_id"] == json.loads(answer.body)["prediction_id"]
    assert attributes["kilter.model_version"] == "1"
    assert dict(failed.attributes or {})["http.response.status_code"] == 500
    assert dict(failed.attributes or {})["kilter.error_code"] == "model.failed"
    first, second = (record for record in plane.log.records if isinstance(record, PredictionRecord))
    assert dict(answer.headers)[b"traceparent"].decode().split("-")[1] == first.trace_id
    assert (first.trace_id, second.trace_id) == (f"{good.context.trace_id:032x}", _TRACE)


def test_metrics_may_have_a_port_of_their_own(plane: _Plane) -> None:
    router = assemble(
        predictor=plane.predictor,
        journal=plane.journal,
        feedback=FeedbackIntake(clock=SystemClock()),
        is_failing=lambda: False,
        observation=plane.observation,
        is_metrics_apart=True,
    )
    assert ("GET", "/metrics") not in router.paths

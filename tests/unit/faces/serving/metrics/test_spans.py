"""Claims about spans, seen by an exporter in memory."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from kilter.faces.serving.metrics.spans import Spans, spans_of
from kilter.faces.serving.metrics.trace import valid

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = f"00-{_TRACE}-00f067aa0ba902b7-01".encode()


def _spans() -> tuple[Spans, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider), exporter


def test_a_span_is_a_child_of_the_callers() -> None:
    spans, exporter = _spans()
    headers = {b"traceparent": _PARENT, b"tracestate": b"vendor=1"}
    span = spans.begin("POST /predict/{}", headers, {"http.route": "/predict/{}"})
    told = [("content-type", "x"), ("kilter-prediction-id", "p"), ("kilter-model-version", "7")]
    span.end({"http.response.status_code": 200}, told, is_fault=False)
    (seen,) = exporter.get_finished_spans()
    assert (seen.name, seen.kind, seen.status.status_code) == ("POST /predict/{}", SpanKind.SERVER, StatusCode.UNSET)
    assert f"{seen.context.trace_id:032x}" == _TRACE
    assert seen.parent is not None
    assert f"{seen.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert seen.context.trace_state.get("vendor") == "1"
    assert dict(seen.attributes or {}) == {
        "http.route": "/predict/{}",
        "http.response.status_code": 200,
        "kilter.prediction_id": "p",
        "kilter.model_version": "7",
    }
    assert span.header == f"00-{_TRACE}-{seen.context.span_id:016x}-01".encode()


@pytest.mark.parametrize("headers", [{}, {b"traceparent": b"nonsense"}, {b"traceparent": b"\xff"}])
def test_a_span_without_a_caller_begins_a_trace(headers: dict[bytes, bytes]) -> None:
    spans, exporter = _spans()
    span = spans.begin("GET /v2", headers, {})
    span.end({}, [], is_fault=True)
    (seen,) = exporter.get_finished_spans()
    assert seen.parent is None
    assert seen.status.status_code is StatusCode.ERROR
    assert valid(span.header) == span.header


def test_closing_sends_what_waits() -> None:
    spans, exporter = _spans()
    spans.begin("GET /v2", {}, {}).end({}, [], is_fault=False)
    spans.close()
    assert len(exporter.get_finished_spans()) == 1
    spans.begin("GET /v2", {}, {}).end({}, [], is_fault=False)
    assert len(exporter.get_finished_spans()) == 1


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "True"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_made_unless_the_environment_asks(environment: Mapping[str, str]) -> None:
    assert spans_of(environment) is None


def test_an_exporter_that_is_not_spoken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert spans_of({"OTEL_TRACES_EXPORTER": "zipkin"}) is None
    assert "zipkin" in caplog.text


def test_a_missing_extra_is_said_and_serving_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with caplog.at_level(logging.WARNING):
        assert spans_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "pip install 'kilter[otel]'" in caplog.text


def test_spans_go_to_the_console_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    spans = spans_of({"OTEL_TRACES_EXPORTER": "console", "OTEL_SERVICE_NAME": "churn-serving"})
    assert spans is not None
    spans.begin("GET /v2", {}, {}).end({}, [], is_fault=False)
    spans.close()
    assert '"name": "GET /v2"' in capsys.readouterr().out

"""Spans of requests for OpenTelemetry, where the extra is installed and the environment asks for it."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from kilter.contracts.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

__all__ = ["RequestSpan", "Spans", "spans_of"]

_log = logging.getLogger(__name__)

_ASKING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
_CLOSE_S = 2.0


class RequestSpan:
    """The span of one request; ``header`` is the ``traceparent`` of whatever happens within it."""

    __slots__ = ("_failed", "_span", "header")

    def __init__(self, span: Span, header: bytes, failed: Callable[[Span], None]) -> None:
        self._span = span
        self._failed = failed
        self.header = header

    def end(self, attributes: Mapping[str, int], told: Iterable[tuple[str, str]], *, is_fault: bool) -> None:
        """End it; kilter's own among the headers that the caller is told become attributes."""
        for key, status in attributes.items():
            self._span.set_attribute(key, status)
        for name, value in told:
            if name.startswith("kilter-"):
                self._span.set_attribute("kilter." + name.removeprefix("kilter-").replace("-", "_"), value)
        if is_fault:
            self._failed(self._span)
        self._span.end()


class Spans:
    """Makes one span for each request, as a child of the caller's.

    Parameters
    ----------
    provider : TracerProvider
        Of the OpenTelemetry SDK; ``close`` shuts it down.

    Raises
    ------
    ImportError
        If the extra ``otel`` is not installed.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer("kilter", VERSION)
        self._context = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._failed: Callable[[Span], None] = lambda span: span.set_status(Status(StatusCode.ERROR))

    def begin(self, name: str, headers: Mapping[bytes, bytes], attributes: Mapping[str, str]) -> RequestSpan:
        """Begin the span of a request; ``name`` and ``attributes`` hold nothing that a client makes up."""
        carried = {
            key: headers[key.encode()].decode("latin-1")
            for key in ("traceparent", "tracestate")
            if key.encode() in headers
        }
        parent: Context = self._context.extract(carried)
        span = self._tracer.start_span(name, context=parent, kind=self._kind, attributes=dict(attributes))
        context = span.get_span_context()
        header = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return RequestSpan(span, header.encode(), self._failed)

    def close(self) -> None:
        """Send what waits, for two seconds at most: a collector that is down holds nobody up."""
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(_CLOSE_S)


def spans_of(environment: Mapping[str, str]) -> Spans | None:
    """Return what makes spans, or None where the standard ``OTEL_*`` variables do not ask for any.

    Parameters
    ----------
    environment : mapping
        ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or
        ``OTEL_TRACES_EXPORTER`` (``otlp``, ``console``) ask; ``OTEL_TRACES_EXPORTER=none`` and
        ``OTEL_SDK_DISABLED=true`` win. All else is read by the SDK itself.
    """
    wanted = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or wanted == "none"
    if is_off or not any(environment.get(name) for name in _ASKING):
        return None
    if wanted not in {"otlp", "console"}:
        _log.warning("no traces: OTEL_TRACES_EXPORTER is %r, expected otlp, console or none", wanted[:40])
        return None
    try:
        return Spans(_provider(wanted, environment))
    except ImportError:
        _log.warning(
            "no traces: %s asks for them; install them with `pip install 'kilter[otel]'`", " or ".join(_ASKING)
        )
        return None


def _provider(wanted: str, environment: Mapping[str, str]) -> TracerProvider:
    """Build the SDK's provider: batches, sent from a thread of its own."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter  # noqa: PLC0415

    name = environment.get("OTEL_SERVICE_NAME") or "kilter"
    resource = Resource.create({"service.name": name, "service.version": VERSION})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if wanted == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stdout)))
        return provider
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider

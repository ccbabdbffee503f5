"""What the path of the metrics answers."""

from __future__ import annotations

from kilter.faces.serving.operation import Operation, Operations

__all__ = ["OPERATIONS"]

_TEXT = {"type": "string"}

OPERATIONS: Operations = {
    ("GET", "/metrics"): Operation(
        "metrics",
        "Metrics of all serving processes, as Prometheus text or as OpenMetrics",
        {
            200: {
                "text/plain; version=0.0.4; charset=utf-8": _TEXT,
                "application/openmetrics-text; version=1.0.0; charset=utf-8": _TEXT,
            }
        },
    )
}

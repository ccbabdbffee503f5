"""Valid requests of every protocol, which the fuzzer starts from."""

from __future__ import annotations

import gzip
import io
import json
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Draft", "seeds"]

_JSON = (b"content-type", b"application/json")
_CSV = (b"content-type", b"text/csv; charset=utf-8")
_PARQUET = (b"content-type", b"application/vnd.apache.parquet")
_ROW: dict[str, Any] = {"age": 40.5, "visits": 3, "is member": True, "plan": "basic", "income": 1.5, "région": "nord"}
_ID = "0190163d-8694-739b-aea5-966c26f8ad91"


class Draft(NamedTuple):
    """One request before it becomes bytes."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, as the server sees it in most cases."""
        return self.target.partition(b"?")[0].decode("latin-1")


def seeds() -> tuple[Draft, ...]:
    """Return all seeds, in a fixed order; each is answered with 2xx by the fuzzer's own node."""
    return (*_own(), *_tensors(), *_mlflow(), *_reads())


def _post(path: str, body: object, *headers: tuple[bytes, bytes]) -> Draft:
    """Return a request with a body: bytes, or what becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Draft(b"POST", path.encode(), headers, data)


def _own() -> Iterator[Draft]:
    """Yield requests of kilter's own protocol."""
    row = {"a": 1.5, "b": -2}
    yield _post("/predict/sum", {"rows": [row]})
    yield _post("/predict/sum", [row] * 3, _JSON)
    yield _post("/predict/mixed", {"rows": [_ROW, {**_ROW, "income": None}], "routing_key": "u-1", "timeout_ms": 900})
    yield _post("/predict/mixed", [_ROW], (b"kilter-routing-key", b"u-2"), (b"x-request-id", b"r-1"))
    yield _post("/predict/sum", gzip.compress(b'{"rows": [{"a": 1, "b": 2}]}', mtime=0), (b"content-encoding", b"gzip"))
    yield _post("/feedback/sum", {"prediction_id": _ID, "label": 2.5, "observed_at": "2026-01-02T03:04:05Z"})
    yield _post("/feedback/mixed", {"feedback": [{"prediction_id": f"{_ID}:0", "label": "yes", "weight": 2.0}]})
    yield _post("/feedback/mixed", {"entity_id": "u-1", "label": "no", "source": "fuzz", "feedback_id": "f-1"})


def _tensors() -> Iterator[Draft]:
    """Yield requests of the Open Inference Protocol."""
    matrix = {"name": "input", "datatype": "FP64", "shape": [2, 2], "data": [[1.0, 2.0], [3.0, 4.0]]}
    yield _post("/v2/models/sum/infer", {"id": "q", "inputs": [matrix], "outputs": [{"name": "value"}]})
    yield _post("/v2/models/sum/versions/1/infer", {"inputs": [{**matrix, "data": [1, 2, 3, 4]}]})
    columns = [
        {"name": "age", "datatype": "FP32", "shape": [1], "data": [40.5]},
        {"name": "visits", "datatype": "INT32", "shape": [1, 1], "data": [[3]]},
        {"name": "is member", "datatype": "BOOL", "shape": [1], "data": [True]},
        {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["basic"]},
        {"name": "income", "datatype": "FP64", "shape": [1], "data": [None]},
        {"name": "région", "datatype": "BYTES", "shape": [1], "data": ["sud"]},
    ]
    parameters = {"routing_key": "u-3", "timeout": 900_000}
    yield _post("/v2/models/mixed/infer", {"inputs": columns, "parameters": parameters})
    raw = [
        {"name": name, "datatype": kind, "shape": [1], "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in _BINARY
    ]
    head = json.dumps({"inputs": raw, "parameters": {"binary_data_output": True}}, ensure_ascii=False).encode()
    length = (b"inference-header-content-length", str(len(head)).encode())
    yield _post("/v2/models/mixed/infer", head + b"".join(data for _, _, data in _BINARY), length)
    single = struct.pack("<4d", 1.0, 2.0, 3.0, 4.0)
    yield _post("/v2/models/sum/infer", single, (b"inference-header-content-length", b"0"))
    yield _post("/v2/repository/index", {"ready": True})
    yield _post("/v2/repository/models/sum/load", {})


_BINARY = (
    ("age", "FP64", struct.pack("<d", 40.5)),
    ("visits", "INT64", struct.pack("<q", 3)),
    ("is member", "BOOL", b"\x01"),
    ("plan", "BYTES", struct.pack("<I", 5) + b"basic"),
    ("income", "FP64", struct.pack("<d", float("nan"))),
    ("région", "BYTES", struct.pack("<I", 4) + b"nord"),
)


def _mlflow() -> Iterator[Draft]:
    """Yield requests of MLflow's scoring protocol."""
    path, rows = "/invocations/mixed", [list(_ROW.values())]
    yield _post("/invocations", {"inputs": [[1, 2], [3, 4]], "params": {"routing_key": "u-4"}}, _JSON)
    yield _post(path, {"dataframe_split": {"columns": list(_ROW), "index": [0], "data": rows}}, _JSON)
    yield _post(path, {"dataframe_records": [_ROW, _ROW], "params": {"predict_method": "predict"}}, _JSON)
    yield _post(path, {"instances": [_ROW]}, _JSON)
    yield _post(path, {"inputs": {name: [value] for name, value in _ROW.items()}}, _JSON)
    text = ",".join(_ROW) + '\r\n40.5,3,true,"ba""s,ic",,nord\r\n1,2,false,plus,3e1,\r\n'
    yield _post(path, text.encode(), _CSV)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([_ROW, {**_ROW, "région": None}]), sink, compression="zstd")
    yield _post(path, sink.getvalue(), _PARQUET)


def _reads() -> Iterator[Draft]:
    """Yield what is read without a body."""
    for path in (
        *("/ping", "/health", "/version", "/openapi.json", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready"),
        *("/v2/models/sum", "/v2/models/mixed/versions/1", "/v2/models/sum/ready", "/v2/models/mixed/config"),
        *("/v2/models/stats", "/v2/models/sum/stats", "/v2/models/sum/versions/1/ready"),
    ):
        yield Draft(b"GET", path.encode())

"""About two hundred requests that are wrong in one way each, with the status that each deserves."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Wrong", "wrong_requests"]

_INFER = "/v2/models/matrix/infer"
_MIXED = "/v2/models/mixed/infer"
_LENGTH = "Inference-Header-Content-Length"
_ROW = [0.1, -0.2, 0.3, -0.4]
_CUTS = 24


@dataclass(frozen=True, slots=True)
class Wrong:
    """One request. ``form`` says whose error document is due: oip, own or mlflow."""

    name: str
    path: str
    body: bytes
    statuses: tuple[int, ...] = (400,)
    method: str = "POST"
    form: str = "oip"
    headers: Mapping[str, str] = field(default_factory=dict)


def wrong_requests(body_max_bytes: int) -> list[Wrong]:
    """Return all of them, in a fixed order; names are distinct."""
    found = [
        *_cut(),
        *_documents(),
        *_tensors(),
        *_values(),
        *_columns(),
        *_binary(),
        *_codings(body_max_bytes),
        *_paths(),
        *_own(),
        *_mlflow(),
    ]
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        message = "two wrong requests have the same name"
        raise ValueError(message)
    return found


def _matrix(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any wrong value
    """Return a right tensor of the matrix deployment, with something changed; None removes a key."""
    tensor = {"name": "input", "shape": [1, 4], "datatype": "FP64", "data": list(_ROW), **changes}
    return {key: value for key, value in tensor.items() if value is not ...}


def _infer(*tensors: object, **further: object) -> bytes:
    """Return a body of ``infer``."""
    return json.dumps({"inputs": list(tensors), **further}).encode()


def _cut() -> Iterator[Wrong]:
    """Cut a right body at many places, and add to it."""
    whole = _infer(_matrix(), id="x", outputs=[{"name": "score"}])
    for number in range(_CUTS):
        cut = number * (len(whole) - 1) // _CUTS
        yield Wrong(f"JSON cut after {cut} bytes", _INFER, whole[:cut])
    yield Wrong("JSON with something behind it", _INFER, whole + b"}")
    yield Wrong("two JSON documents", _INFER, whole + whole)
    yield Wrong("JSON with a byte order mark", _INFER, b"\xef\xbb\xbf" + whole)
    yield Wrong("JSON in UTF-16", _INFER, whole.decode().encode("utf-16"))
    yield Wrong("invalid UTF-8 in a name", _INFER, whole.replace(b"input", b"inp\xff\xfe", 1))
    yield Wrong("a hundred thousand brackets", _INFER, b"[" * 100_000)
    yield Wrong("data nested forty deep", _INFER, _infer(_matrix(data=json.loads("[" * 40 + "1" + "]" * 40))))


def _documents() -> Iterator[Wrong]:
    """Send other documents."""
    for text in ("null", "true", "1", '"x"', "[]", "{}", "[1]", "NaN"):
        yield Wrong(f"the document {text}", _INFER, text.encode())
    value: Any
    for value in (None, {}, 1, "x", [], [1], [None], [[]], ["input"], [{}]):
        yield Wrong(f"inputs = {json.dumps(value)}", _INFER, json.dumps({"inputs": value}).encode())
    for value in ({}, 1, "x", [1], ["score"], [{}], [{"name": 1}], [{"name": "nobody"}]):
        yield Wrong(f"outputs = {json.dumps(value)}", _INFER, _infer(_matrix(), outputs=value))
    for value in (1, [], "x", {"timeout": "soon"}, {"timeout": -1}, {"timeout": 1.5}, {"routing_key": 5}):
        yield Wrong(f"parameters = {json.dumps(value)}", _INFER, _infer(_matrix(), parameters=value))
    for value in (1, [], {}, True):
        yield Wrong(f"id = {json.dumps(value)}", _INFER, _infer(_matrix(), id=value))


def _tensors() -> Iterator[Wrong]:
    """Send wrong tensors."""
    for key in ("name", "shape", "datatype", "data"):
        yield Wrong(f"no {key}", _INFER, _infer(_matrix(**{key: ...})))
        yield Wrong(f"{key} = null", _INFER, _infer(_matrix(**{key: None})))
    shape: Any
    for shape in (
        *([], [4], [4, 1], [1, 3], [1, 5], [2, 4], [1, 4, 1], [-1, 4], [1, -4], [0, 4], [0, 0]),
        *([1.0, 4.0], ["1", "4"], [[1, 4]], "1,4", 4, {}, [2**63, 4], [2**62, 2**62], [10**30, 4], [True, 4]),
    ):
        yield Wrong(f"shape = {json.dumps(shape)}", _INFER, _infer(_matrix(shape=shape)))
    for datatype in ("FP65", "fp64", "", "DOUBLE", 64, "INT64", "BYTES", "BOOL", "FP16", "BF16", "UINT8", "STRING"):
        yield Wrong(f"datatype = {json.dumps(datatype)}", _INFER, _infer(_matrix(datatype=datatype)))
    for name in ("", "INPUT", "input ", 1, "x" * 100_000):
        yield Wrong(f"name = {json.dumps(name)[:20]}", _INFER, _infer(_matrix(name=name)))
    yield Wrong("an input twice", _INFER, _infer(_matrix(), _matrix()))
    yield Wrong("an input too many", _INFER, _infer(_matrix(), _matrix(name="other")))
    yield Wrong("one column of four", _INFER, _infer({"name": "x0", "shape": [1], "datatype": "FP64", "data": [1.0]}))


def _values() -> Iterator[Wrong]:
    """Send wrong values in a right tensor."""
    data: Any
    for data in (
        *([], _ROW[:3], [*_ROW, 0.5], [_ROW[:2], _ROW[2:]], [[*_ROW, 0.5]], [_ROW[:3]], [[_ROW]], "x", 1, {}),
        *([0.1, -0.2, 0.3, None], [0.1, -0.2, 0.3, "1"], [0.1, -0.2, 0.3, True], [0.1, -0.2, 0.3, {}]),
        *([0.1, -0.2, 0.3, []],),
    ):
        yield Wrong(f"data = {json.dumps(data)}", _INFER, _infer(_matrix(data=data)))
    for token in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"01", b"1.", b".5", b"+1", b"0x1", b"1_0"):
        body = _infer(_matrix()).replace(b"0.1", token, 1)
        yield Wrong(f"a number written {token.decode()}", _INFER, body)
    yield Wrong("FP32 beyond its range", _INFER, _infer(_matrix(datatype="FP32", data=[1e39, 0.0, 0.0, 0.0])))
    yield Wrong("a fraction as INT32", _INFER, _infer(_matrix(datatype="INT32", data=[1.5, 1, 1, 1])))
    yield Wrong("INT8 beyond its range", _INFER, _infer(_matrix(datatype="INT8", data=[128, 1, 1, 1])))


def _columns() -> Iterator[Wrong]:
    """Send wrong columns of mixed types."""
    right: dict[str, tuple[str, Any]] = {
        "age": ("FP64", 40.5),
        "visits": ("INT64", 3),
        "is member": ("BOOL", True),
        "plan": ("BYTES", "plus"),
        "région": ("BYTES", "north"),
    }

    def body(**changes: tuple[str, Any]) -> bytes:
        columns = {**right, **{name.replace("_", " "): value for name, value in changes.items()}}
        return _infer(
            *({"name": name, "shape": [1], "datatype": kind, "data": [cell]} for name, (kind, cell) in columns.items())
        )

    cell: Any
    yield Wrong("mixed: null in a number", _MIXED, body(age=("FP64", None)))
    yield Wrong("mixed: null in a text", _MIXED, body(plan=("BYTES", None)))
    yield Wrong("mixed: null in a boolean", _MIXED, body(is_member=("BOOL", None)))
    for cell in (3.0, 3.5, "3", True, 2**53 + 1, 2**70):
        yield Wrong(f"mixed: an integer that is {json.dumps(cell)}", _MIXED, body(visits=("INT64", cell)))
    for cell in (1, 0, "true"):
        yield Wrong(f"mixed: a boolean that is {json.dumps(cell)}", _MIXED, body(is_member=("BOOL", cell)))
    for cell in (1, 1.5, True, ["plus"]):
        yield Wrong(f"mixed: a text that is {json.dumps(cell)}", _MIXED, body(plan=("BYTES", cell)))
    for name, kind in (("age", "BYTES"), ("visits", "FP64"), ("is_member", "INT64"), ("plan", "FP64")):
        yield Wrong(f"mixed: {name} as {kind}", _MIXED, body(**{name: (kind, right[name.replace("_", " ")][1])}))
    yield Wrong("mixed: a column too many", _MIXED, body(other=("FP64", 1.0)))
    yield Wrong("mixed: as a matrix", _MIXED, _infer(_matrix()))
    uneven = json.loads(body())
    uneven["inputs"][0] |= {"shape": [2], "data": [1.0, 2.0]}
    yield Wrong("mixed: columns of different length", _MIXED, json.dumps(uneven).encode())


def _binary() -> Iterator[Wrong]:
    """Send wrong raw tensors."""
    raw = struct.pack("<4d", *_ROW)

    def framed(tensor: dict[str, Any], content: bytes, *, length: object = None, path: str = _INFER) -> dict[str, Any]:
        head = json.dumps({"inputs": [tensor]}).encode()
        shown = str(len(head) if length is None else length)
        return {"path": path, "body": head + content, "headers": {_LENGTH: shown}}

    right = _matrix(data=..., parameters={"binary_data_size": 32})
    for cut in (0, 1, 7, 8, 16, 31):
        yield Wrong(f"binary cut after {cut} bytes", **framed(right, raw[:cut]))
    yield Wrong("binary with a byte too many", **framed(right, raw + b"\0"))
    for length in (-1, 1, 10**6, 10**30, "x", "", "1.5", "0x20", "+10"):
        yield Wrong(f"binary: header length {length!r}", **framed(right, raw, length=length))
    for size in (0, 8, 31, 33, 2**40, -32, "32", 32.0, None, True):
        tensor = _matrix(data=..., parameters={"binary_data_size": size})
        yield Wrong(f"binary_data_size = {json.dumps(size)}", **framed(tensor, raw))
    yield Wrong("binary: data and bytes", **framed(_matrix(parameters={"binary_data_size": 32}), raw))
    yield Wrong("binary: no size", **framed(_matrix(data=...), raw))
    yield Wrong("binary: shape asks for more", **framed({**right, "shape": [2, 4]}, raw))
    yield Wrong("binary: shape overflows", **framed({**right, "shape": [2**62, 4]}, raw))
    for name, value in (("NaN", float("nan")), ("infinity", float("inf"))):
        yield Wrong(f"binary: {name}", **framed(right, struct.pack("<4d", 0.1, value, 0.2, 0.3)))
    yield Wrong("binary: size without a header length", _INFER, json.dumps({"inputs": [right]}).encode() + raw)
    for size in (0, 1, 31, 33, 40):
        yield Wrong(f"raw mode with {size} bytes", _INFER, b"\0" * size, headers={_LENGTH: "0"})
    yield Wrong("raw mode for columns of many types", _MIXED, raw, headers={_LENGTH: "0"})
    text = {"name": "plan", "shape": [1], "datatype": "BYTES"}
    for name, content in (
        ("a length beyond the end", struct.pack("<I", 99) + b"plus"),
        ("a length cut short", b"\4\0"),
        ("two elements for one", struct.pack("<I", 1) + b"a" + struct.pack("<I", 1) + b"b"),
        ("invalid UTF-8", struct.pack("<I", 2) + b"\xff\xfe"),
    ):
        tensor = {**text, "parameters": {"binary_data_size": len(content)}}
        yield Wrong(f"binary text: {name}", **framed(tensor, content, path=_MIXED))


def _codings(body_max_bytes: int) -> Iterator[Wrong]:
    """Send bodies in wrong codings, and too large ones."""
    whole = _infer(_matrix())
    packed = gzip.compress(whole)
    for coding, body in (("gzip", whole), ("gzip", packed[:-9]), ("gzip", packed[:5]), ("deflate", b"\xff" + whole)):
        name = f"{coding}, {len(body)} bytes of which are not"
        yield Wrong(name, _INFER, body, headers={"content-encoding": coding})
    yield Wrong(
        "gzip with a wrong checksum", _INFER, packed[:-6] + b"\0\0" + packed[-4:], headers={"content-encoding": "gzip"}
    )
    for coding in ("br", "zstd", "x", "gzip, gzip"):
        yield Wrong(f"the coding {coding}", _INFER, whole, (400, 415), headers={"content-encoding": coding})
    bomb = zlib.compress(b" " * (body_max_bytes + 1024), 9)
    yield Wrong("a small body that unpacks too large", _INFER, bomb, (413,), headers={"content-encoding": "deflate"})
    yield Wrong("a body that is too large", _INFER, b" " * (body_max_bytes + 1), (413,))


def _paths() -> Iterator[Wrong]:
    """Ask for what is not there."""
    whole = _infer(_matrix())
    for path in (
        *("/v2/models/nobody/infer", "/v2/models/matrix/versions/9/infer", "/v2/models/matrix/versions/x/infer"),
        *("/v2/models/matrix/versions//infer", "/v2/models//infer", "/v2/models/matrix/infer/", "/v2/nothing"),
        *("/v2/models/matrix/versions/1.0/infer", "/v2/models/%00/infer", "/v2/models/..%2f..%2fetc/infer"),
        "/v2/models/matrix/generate",
    ):
        yield Wrong(f"POST {path}", path, whole, (404,))
    for path in ("/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/nobody/config", "/v2/models/nobody/stats"):
        yield Wrong(f"GET {path}", path, b"", (404,), method="GET")
    for method, path in (
        *(("GET", _INFER), ("PUT", _INFER), ("DELETE", _INFER), ("PATCH", _INFER), ("POST", "/v2/models/matrix")),
        *(("POST", "/v2/health/ready"), ("GET", "/v2/repository/index"), ("DELETE", "/v2/models/matrix")),
    ):
        yield Wrong(f"{method} {path}", path, b"", (405,), method=method)
    for body in (b"[]", b"{", b'{"ready": "yes"}', b"null"):
        yield Wrong(f"repository index with {body.decode()}", "/v2/repository/index", body)
    yield Wrong("load of a stranger", "/v2/repository/models/nobody/load", b"", (403, 404))
    yield Wrong("unload while the control plane owns it", "/v2/repository/models/matrix/unload", b"", (403,))


def _own() -> Iterator[Wrong]:
    """Send wrong rows to kilter's own path."""
    row = dict(zip(("x0", "x1", "x2", "x3"), _ROW, strict=True))
    for name, document in (
        ("an object without rows", {}),
        ("a bare row", row),
        ("no rows", {"rows": []}),
        ("rows that are no list", {"rows": row}),
        ("a row that is a list", {"rows": [_ROW]}),
        ("an unknown key", {"rows": [row], "other": 1}),
        ("an unknown column", {"rows": [{**row, "x9": 1.0}]}),
        ("a missing column", {"rows": [{"x0": 1.0}]}),
        ("a text for a number", {"rows": [{**row, "x0": "1"}]}),
        ("a boolean for a number", {"rows": [{**row, "x0": True}]}),
        ("null for a number", {"rows": [{**row, "x0": None}]}),
        ("a deadline in words", {"rows": [row], "timeout_ms": "soon"}),
        ("a deadline of 0", {"rows": [row], "timeout_ms": 0}),
    ):
        yield Wrong(f"/predict: {name}", "/predict/matrix", json.dumps(document).encode(), form="own")
    yield Wrong("/predict: half a document", "/predict/matrix", b'{"rows": [{"x0": 1.0', form="own")
    yield Wrong("/predict: nothing", "/predict/matrix", b"", form="own")
    yield Wrong("/predict: a stranger", "/predict/nobody", json.dumps({"rows": [row]}).encode(), (404,), form="own")


def _mlflow() -> Iterator[Wrong]:
    """Send wrong tables to MLflow's path."""
    split = {"columns": ["x0", "x1", "x2", "x3"], "data": [_ROW]}
    kind = {"content-type": "application/json"}
    for name, document in (
        ("none of the four forms", {}),
        ("two of the four forms", {"dataframe_split": split, "instances": [_ROW]}),
        ("an unknown key", {"dataframe_split": split, "other": 1}),
        ("ragged rows", {"dataframe_split": {**split, "data": [_ROW, _ROW[:2]]}}),
        ("an unknown column", {"dataframe_records": [{"x9": 1.0}]}),
        ("three of four columns", {"instances": [_ROW[:3]]}),
        ("texts for numbers", {"inputs": [["a", "b", "c", "d"]]}),
        ("no rows", {"dataframe_split": {**split, "data": []}}),
    ):
        body = json.dumps(document).encode()
        yield Wrong(f"/invocations: {name}", "/invocations", body, form="mlflow", headers=kind)
    yield Wrong("/invocations: half a document", "/invocations", b'{"instances": [', form="mlflow", headers=kind)
    body = json.dumps({"dataframe_split": split}).encode()
    for media in ("text/plain", "application/xml", "application/json; charset=utf-16", "application/json; x=1"):
        yield Wrong(
            f"/invocations: {media}", "/invocations", body, (415,), form="mlflow", headers={"content-type": media}
        )
    yield Wrong("/invocations: a stranger", "/invocations/nobody", body, (404,), form="mlflow", headers=kind)
    for name, content in (
        ("a header alone", b"x0,x1,x2,x3\n"),
        ("an unknown column", b"x9\n1\n"),
        ("a text", b"x0,x1,x2,x3\na,1,1,1\n"),
    ):
        headers = {"content-type": "text/csv"}
        yield Wrong(f"/invocations: CSV with {name}", "/invocations", content, form="mlflow", headers=headers)
    parquet = {"content-type": "application/vnd.apache.parquet"}
    yield Wrong("/invocations: broken parquet", "/invocations", b"PAR1PAR1", form="mlflow", headers=parquet)

"""The same calls by the standard library's HTTP and bare grpcio, and every malformed request: no client's package."""

from __future__ import annotations

import gzip
import http.client
import json
import sys
import zlib
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
from tests.conformance.cell import Cells, close
from tests.conformance.malformed import Wrong, wrong_requests

from kilter.faces.serving.grpc.messages import INFERENCE, Messages

META = "tritonclient http: live, ready, model ready, metadata"
JSON = "http infer JSON to JSON; gzip and deflate"
BINARY = "http binary/JSON, JSON/binary, binary/binary, defaults, raw"
REPOSITORY = "repository index with empty body; config; statistics; load"
GRPC = "tritonclient grpc: infer raw and typed, metadata, index, config, statistics"
MALFORMED = "malformed requests: right 4xx, {error} string, server still ready"
_LENGTH = "inference-header-content-length"
_KEYS = {"oip": "error", "own": "error", "mlflow": "message"}
_TIMEOUT_S = 30


class Http:
    """A connection that is kept as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of one answer, unpacked."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer is there
            self._connection.request(method, path, body, named)
        answer = self._connection.getresponse()
        content = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close:
            self._connection.close()
        if found.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        elif found.get("content-encoding") == "deflate":
            content = zlib.decompress(content)
        return answer.status, found, content

    def right(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body, and insist on 200."""
        status, found, content = self.ask(method, path, body, **headers)
        if status != http.client.OK:
            message = f"{method} {path}: {status} {content[:300]!r}"
            raise ValueError(message)
        return found, content

    def json(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:  # noqa: ANN401 - a document
        """Return the document of an answer."""
        return json.loads(self.right(method, path, body, **headers)[1])


def _columns(deployment: dict[str, Any]) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Return name, datatype, shape and flat data of a deployment's inputs."""
    rows = deployment["rows"]
    if deployment["name"] == "matrix":
        return {"input": ("FP64", [len(rows), len(rows[0])], [value for row in rows for value in row])}
    datatypes = deployment["datatypes"]
    return {name: (datatypes[name], [len(rows)], [row[name] for row in rows]) for name in datatypes}


def _raw(datatype: str, data: list[Any]) -> bytes:
    """Return data as the binary extension writes them."""
    if datatype == "BYTES":
        return b"".join(len(one.encode()).to_bytes(4, "little") + one.encode() for one in data)
    kind = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]
    return np.array(data, dtype=kind).tobytes()


def _body(deployment: dict[str, Any], *, is_binary: bool, wants_binary: bool | None) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of ``infer``."""
    inputs, tail = [], b""
    for name, (datatype, shape, data) in _columns(deployment).items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if is_binary:
            raw = _raw(datatype, data)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = data
        inputs.append(tensor)
    document: dict[str, Any] = {"inputs": inputs, "id": "p1"}
    if wants_binary is not None:
        document["parameters"] = {"binary_data_output": wants_binary}
    head = json.dumps(document).encode()
    return head + tail, {_LENGTH: str(len(head))} if is_binary else {}


def _check(deployment: dict[str, Any], headers: dict[str, str], content: bytes, *, number: str = "p1") -> None:
    """Compare the probabilities of an answer in whichever form."""
    length = int(headers.get(_LENGTH, len(content)))
    document = json.loads(content[:length])
    position, found = length, {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = output["data"]
        else:
            raw = content[position : position + size]
            found[output["name"]] = np.frombuffer(raw, "<f8").tolist() if output["datatype"] == "FP64" else raw
            position += size
    if position != len(content) or document["model_name"] != deployment["name"] or document.get("id", "") != number:
        message = f"the answer is not whole or not ours: {document}"
        raise ValueError(message)
    close(found["probabilities"], deployment["probabilities"])


def _http(cells: Cells) -> None:
    """Call every path of the protocol."""
    client = Http(cells.http)
    with cells.cell(META, "plain: live, ready, server"):
        client.right("GET", "/v2/health/live")
        client.right("GET", "/v2/health/ready")
        extensions = client.json("GET", "/v2")["extensions"]
        missing = {"binary_tensor_data", "model_repository", "model_configuration", "statistics"} - set(extensions)
        if missing:
            message = f"not advertised: {missing}"
            raise ValueError(message)
    with cells.cell(REPOSITORY, "plain: index"):
        for body in (b"", b"{}", b'{"ready": true}'):
            if {one["name"] for one in client.json("POST", "/v2/repository/index", body)} != {"matrix", "mixed"}:
                message = "the index names others"
                raise ValueError(message)
    with cells.cell(REPOSITORY, "plain: load of what is ready, all statistics"):
        client.right("POST", "/v2/repository/models/matrix/load")
        client.json("GET", "/v2/models/stats")["model_stats"][0]["inference_stats"]["success"]["count"] += 0
    for deployment in (cells.matrix, cells.mixed):
        name = deployment["name"]
        path = f"/v2/models/{name}/infer"
        with cells.cell(META, f"plain: {name} ready, metadata"):
            for version in ("", "/versions/1"):
                client.right("GET", f"/v2/models/{name}{version}/ready")
                document = client.json("GET", f"/v2/models/{name}{version}")
                if [one["name"] for one in document["inputs"]] != list(_columns(deployment)):
                    message = f"metadata say {document}"
                    raise ValueError(message)
        with cells.cell(REPOSITORY, f"plain: {name} config, statistics"):
            if not client.json("GET", f"/v2/models/{name}/config")["input"]:
                message = "the configuration has no inputs"
                raise ValueError(message)
            client.json("GET", f"/v2/models/{name}/stats")["model_stats"][0]["inference_stats"]["success"]["count"] += 0
        for is_binary, wants, call in (
            (False, None, "JSON to JSON"),
            (False, True, "JSON to binary"),
            (True, None, "binary, default answer"),
            (True, False, "binary to JSON"),
            (True, True, "binary to binary"),
        ):
            with cells.cell(JSON if call == "JSON to JSON" else BINARY, f"plain: {name}, {call}"):
                body, headers = _body(deployment, is_binary=is_binary, wants_binary=wants)
                _check(deployment, *client.right("POST", path, body, **headers))
        for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
            with cells.cell(JSON, f"plain: {name}, {coding} both ways"):
                body, headers = _body(deployment, is_binary=False, wants_binary=None)
                headers |= {"content-encoding": coding, "accept-encoding": coding}
                _check(deployment, *client.right("POST", path, pack(body), **headers))
    with cells.cell(BINARY, "plain: raw mode"):
        raw = _raw("FP64", _columns(cells.matrix)["input"][2])
        headers, content = client.right("POST", "/v2/models/matrix/infer", raw, **{_LENGTH: "0"})
        _check(cells.matrix, headers, content, number="")


def _grpc(cells: Cells) -> None:
    """Call every method of the service."""
    messages = Messages()

    def call(channel: grpc.Channel, method: str, **fields: object) -> Any:  # noqa: ANN401 - a message
        request = messages.of(f"inference.{method}Request")(**fields)
        decode = messages.of(f"inference.{method}Response").FromString
        send = channel.unary_unary(f"/{INFERENCE}/{method}", type(request).SerializeToString, decode)
        return send(request, timeout=_TIMEOUT_S)

    with grpc.insecure_channel(f"127.0.0.1:{cells.grpc}") as channel:
        with cells.cell(GRPC, "plain: live, ready, metadata, index"):
            if not (call(channel, "ServerLive").live and call(channel, "ServerReady").ready):
                message = "not live or not ready"
                raise ValueError(message)
            if len(call(channel, "RepositoryIndex").models) != 2:
                message = "the index names others"
                raise ValueError(message)
            call(channel, "ServerMetadata")
        for deployment in (cells.matrix, cells.mixed):
            name = deployment["name"]
            with cells.cell(GRPC, f"plain: {name} ready, metadata, config, statistics"):
                if (
                    not call(channel, "ModelReady", name=name).ready
                    or not call(channel, "ModelMetadata", name=name).inputs
                ):
                    message = "not ready, or without inputs"
                    raise ValueError(message)
                call(channel, "ModelConfig", name=name)
                call(channel, "ModelStatistics", name=name)
            for is_raw, form in ((True, "raw"), (False, "typed")):
                with cells.cell(GRPC, f"plain: {name}, {form} contents"):
                    answer = call(channel, "ModelInfer", **_message(deployment, is_raw=is_raw))
                    _check_message(deployment, answer, is_raw=is_raw)
        with cells.cell(GRPC, "plain: an unknown model is NOT_FOUND"):
            try:
                call(channel, "ModelInfer", **{**_message(cells.matrix, is_raw=True), "model_name": "nobody"})
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise


def _message(deployment: dict[str, Any], *, is_raw: bool) -> dict[str, Any]:
    """Return the fields of a ModelInfer request."""
    inputs, raws = [], []
    kinds = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}
    for name, (datatype, shape, data) in _columns(deployment).items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if is_raw:
            raws.append(_raw(datatype, data))
        else:
            tensor["contents"] = {kinds[datatype]: [one.encode() for one in data] if datatype == "BYTES" else data}
        inputs.append(tensor)
    return {"model_name": deployment["name"], "inputs": inputs, "raw_input_contents": raws}


def _check_message(deployment: dict[str, Any], answer: Any, *, is_raw: bool) -> None:  # noqa: ANN401 - a message
    """Compare the probabilities; raw in gives raw out."""
    position = [one.name for one in answer.outputs].index("probabilities")
    if is_raw:
        values = np.frombuffer(answer.raw_output_contents[position], "<f8").tolist()
    else:
        values = list(answer.outputs[position].contents.fp64_contents)
    close(values, deployment["probabilities"])


def _malformed(cells: Cells) -> None:
    """Send every wrong request, then ask whether all is well."""
    wrongs = wrong_requests(cells.target["body_max_bytes"])
    for wrong in wrongs:
        with cells.cell(MALFORMED, wrong.name):
            _refused(cells, wrong)
    with cells.cell(MALFORMED, f"ready after all {len(wrongs)}, on one connection with right requests between"):
        client = Http(cells.http)
        body, headers = _body(cells.matrix, is_binary=False, wants_binary=None)
        for wrong in wrongs:
            if len(wrong.body) < 100_000:
                client.ask(wrong.method, wrong.path, wrong.body, **wrong.headers)
                _check(cells.matrix, *client.right("POST", "/v2/models/matrix/infer", body, **headers))
        client.right("GET", "/v2/health/ready")


def _refused(cells: Cells, wrong: Wrong) -> None:
    """Insist on the right status and on an error document of the right form."""
    status, _, content = Http(cells.http).ask(wrong.method, wrong.path, wrong.body, **wrong.headers)
    if status not in wrong.statuses:
        message = f"{status} instead of {wrong.statuses}: {content[:200]!r}"
        raise ValueError(message)
    document = json.loads(content)
    sentence = document[_KEYS[wrong.form]]
    if not isinstance(sentence, str) or not sentence or (wrong.form == "oip" and set(document) != {"error"}):
        message = f"the error document is {document}"
        raise ValueError(message)
    if "Traceback" in sentence or 'File "' in sentence:
        message = f"the error shows a trace: {sentence}"
        raise ValueError(message)


def main() -> None:
    """Run all cells."""
    cells = Cells(sys.argv[1])
    _http(cells)
    if cells.grpc > 0:
        _grpc(cells)
    _malformed(cells)


if __name__ == "__main__":
    main()

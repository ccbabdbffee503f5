"""Triton's clients, HTTP and gRPC, blocking and asyncio, against a running kilter."""

from __future__ import annotations

import asyncio
import http.client
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from tests.conformance.cell import Cells, close
from tritonclient.grpc import service_pb2, service_pb2_grpc

META = "tritonclient http: live, ready, model ready, metadata"
JSON = "http infer JSON to JSON; gzip and deflate"
BINARY = "http binary/JSON, JSON/binary, binary/binary, defaults, raw"
REPOSITORY = "repository index with empty body; config; statistics; load"
GRPC = "tritonclient grpc: infer raw and typed, metadata, index, config, statistics"
_KINDS = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}
_ADDRESS = "127.0.0.1"


def _arrays(cells: Cells, deployment: dict[str, Any]) -> dict[str, tuple[str, np.ndarray[Any, Any]]]:
    """Return the inputs of a deployment as arrays."""
    if deployment["name"] == "matrix":
        return {"input": ("FP64", np.array(deployment["rows"]))}
    mixed = cells.mixed
    return {
        name: (datatype, np.array([row[name] for row in mixed["rows"]], dtype=_KINDS[datatype]))
        for name, datatype in mixed["datatypes"].items()
    }


def _inputs(module: Any, deployment: dict[str, Any], cells: Cells, **further: Any) -> list[Any]:  # noqa: ANN401
    """Return a deployment's rows as a client's inputs."""
    columns = _arrays(cells, deployment)
    made = []
    for name, (datatype, array) in columns.items():
        given = module.InferInput(name, list(array.shape), datatype)
        given.set_data_from_numpy(array, **further)
        made.append(given)
    return made


def _check(result: Any, deployment: dict[str, Any]) -> None:  # noqa: ANN401 - of four clients
    """Compare probabilities and labels."""
    close(result.as_numpy("probabilities"), deployment["probabilities"])
    labels = result.as_numpy("label").tolist()
    expected = [deployment["classes"][int(row[1] >= row[0])] for row in deployment["probabilities"]]
    if [one.decode() if isinstance(one, bytes) else one for one in labels] != expected:
        message = f"labels {labels}, expected {expected}"
        raise ValueError(message)


def _described(found: Any, deployment: dict[str, Any]) -> None:  # noqa: ANN401 - a document
    """Check that metadata name the deployment and its inputs."""
    names = [one["name"] for one in found["inputs"]]
    expected = ["input"] if deployment["name"] == "matrix" else deployment["columns"]
    if found["name"] != deployment["name"] or names != expected or not found["outputs"]:
        message = f"metadata say {found}"
        raise ValueError(message)


def _true(value: object) -> None:
    """Insist."""
    if not value:
        message = f"{value!r} came back"
        raise ValueError(message)


def _http_sync(cells: Cells) -> None:
    """Call through the blocking HTTP client."""
    client = http_client.InferenceServerClient(f"{_ADDRESS}:{cells.http}")
    with cells.cell(META, "sync: server live"):
        _true(client.is_server_live())
    with cells.cell(META, "sync: server ready"):
        _true(client.is_server_ready())
    with cells.cell(META, "sync: server metadata"):
        _true("binary_tensor_data" in client.get_server_metadata()["extensions"])
    for deployment in (cells.matrix, cells.mixed):
        name = deployment["name"]
        with cells.cell(META, f"sync: {name} ready"):
            _true(client.is_model_ready(name) and client.is_model_ready(name, "1"))
        with cells.cell(META, f"sync: {name} metadata"):
            _described(client.get_model_metadata(name), deployment)
            _described(client.get_model_metadata(name, "1"), deployment)
        with cells.cell(REPOSITORY, f"sync: {name} config"):
            _true(client.get_model_config(name)["input"][0]["data_type"].startswith("TYPE_"))
        with cells.cell(REPOSITORY, f"sync: {name} statistics"):
            _true(client.get_inference_statistics(name)["model_stats"][0]["inference_stats"])
        _http_infer(cells, client, deployment)
    with cells.cell(META, "sync: an unknown model is not ready"):
        _true(not client.is_model_ready("nobody"))
    with cells.cell(REPOSITORY, "sync: index"):
        index = client.get_model_repository_index()
        _true({(one["name"], one["state"]) for one in index} == {("matrix", "READY"), ("mixed", "READY")})
    with cells.cell(REPOSITORY, "sync: all statistics"):
        _true(len(client.get_inference_statistics()["model_stats"]) >= 2)
    with cells.cell(REPOSITORY, "sync: load of what is ready"):
        client.load_model("matrix")
    with cells.cell(REPOSITORY, "sync: unload is refused"):
        _refused(lambda: client.unload_model("matrix"), http_client.InferenceServerException, "403")
    with cells.cell(JSON, "sync: the server's error is the client's"):
        wrong = http_client.InferInput("nobody", [1, 4], "FP64")
        wrong.set_data_from_numpy(np.zeros((1, 4)), binary_data=False)
        _refused(lambda: client.infer("matrix", [wrong]), http_client.InferenceServerException, "400")
    with cells.cell(BINARY, "sync: async_infer"):
        pending = [client.async_infer("matrix", _inputs(http_client, cells.matrix, cells)) for _ in range(4)]
        for one in pending:
            _check(one.get_result(), cells.matrix)
    client.close()


def _http_infer(cells: Cells, client: Any, deployment: dict[str, Any]) -> None:  # noqa: ANN401 - no types ship
    """Infer in every form of tensors and of compression."""
    name = deployment["name"]
    outputs = {
        is_binary: [
            http_client.InferRequestedOutput(each, binary_data=is_binary) for each in ("probabilities", "label")
        ]
        for is_binary in (False, True)
    }
    plain = _inputs(http_client, deployment, cells, binary_data=False)
    raw = _inputs(http_client, deployment, cells, binary_data=True)
    with cells.cell(JSON, f"sync: {name}, JSON to JSON"):
        _check(client.infer(name, plain, outputs=outputs[False], request_id="a1"), deployment)
    with cells.cell(JSON, f"sync: {name}, the id comes back"):
        _true(client.infer(name, plain, outputs=outputs[False], request_id="a2").get_response()["id"] == "a2")
    for coding in ("gzip", "deflate"):
        with cells.cell(JSON, f"sync: {name}, {coding} both ways"):
            options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            _check(client.infer(name, plain, outputs=outputs[False], **options), deployment)
        with cells.cell(BINARY, f"sync: {name}, binary with {coding} both ways"):
            options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            _check(client.infer(name, raw, outputs=outputs[True], **options), deployment)
    for given, form in ((plain, "JSON"), (raw, "binary")):
        for is_binary, back in ((False, "JSON"), (True, "binary")):
            if (form, back) != ("JSON", "JSON"):
                with cells.cell(BINARY, f"sync: {name}, {form} to {back}"):
                    _check(client.infer(name, given, outputs=outputs[is_binary]), deployment)
    with cells.cell(BINARY, f"sync: {name}, the client's defaults"):
        _check(client.infer(name, raw), deployment)
        _check(client.infer(name, raw, model_version="1", timeout=5_000_000), deployment)
    if name == "matrix":
        _raw_mode(cells, deployment)
        for coding in ("gzip", "deflate"):
            with cells.cell(JSON, f"sync: a large answer, {coding}"):
                rows = np.tile(np.array(deployment["rows"]), (200, 1))
                many = http_client.InferInput("input", list(rows.shape), "FP64")
                many.set_data_from_numpy(rows, binary_data=True)
                found = client.infer(name, [many], outputs=outputs[False], response_compression_algorithm=coding)
                close(found.as_numpy("probabilities"), deployment["probabilities"] * 200)
        with cells.cell(BINARY, "sync: FP32 and INT32 widen"):
            for kind, datatype in ((np.float32, "FP32"), (np.int32, "INT32")):
                rows = np.array(deployment["rows"]).round().astype(kind)
                given = http_client.InferInput("input", list(rows.shape), datatype)
                given.set_data_from_numpy(rows)
                _true(client.infer(name, [given]).as_numpy("score").shape == (len(rows),))


def _raw_mode(cells: Cells, deployment: dict[str, Any]) -> None:
    """Send one tensor's bytes and nothing else, which no client offers."""
    with cells.cell(BINARY, "raw mode: header length 0"):
        connection = http.client.HTTPConnection(_ADDRESS, cells.http, timeout=30)
        body = np.array(deployment["rows"]).tobytes()
        connection.request("POST", "/v2/models/matrix/infer", body, {"Inference-Header-Content-Length": "0"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != http.client.OK:
            raise ValueError(f"{answer.status}: {content[:200]!r}")  # noqa: EM102, TRY003 - the finding
        length = answer.headers.get("Inference-Header-Content-Length")
        parse = http_client.InferenceServerClient.parse_response_body
        found = parse(content, header_length=None if length is None else int(length))
        close(found.as_numpy("probabilities"), deployment["probabilities"])


async def _http_aio(cells: Cells) -> None:
    """Call through the asyncio HTTP client."""
    async with http_aio.InferenceServerClient(f"{_ADDRESS}:{cells.http}") as client:
        with cells.cell(META, "aio: live, ready"):
            _true(await client.is_server_live() and await client.is_server_ready())
        with cells.cell(REPOSITORY, "aio: index"):
            _true(len(await client.get_model_repository_index()) == 2)
        for deployment in (cells.matrix, cells.mixed):
            name = deployment["name"]
            with cells.cell(META, f"aio: {name} ready, metadata"):
                _true(await client.is_model_ready(name))
                _described(await client.get_model_metadata(name), deployment)
            with cells.cell(REPOSITORY, f"aio: {name} config, statistics"):
                _true((await client.get_model_config(name))["name"] == name)
                _true((await client.get_inference_statistics(name))["model_stats"])
            plain = _inputs(http_aio, deployment, cells, binary_data=False)
            wanted = [http_aio.InferRequestedOutput(one, binary_data=False) for one in ("probabilities", "label")]
            with cells.cell(JSON, f"aio: {name}, JSON to JSON"):
                _check(await client.infer(name, plain, outputs=wanted), deployment)
            for coding in ("gzip", "deflate"):
                with cells.cell(JSON, f"aio: {name}, {coding} both ways"):
                    options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
                    _check(await client.infer(name, plain, outputs=wanted, **options), deployment)
            with cells.cell(BINARY, f"aio: {name}, the client's defaults"):
                _check(await client.infer(name, _inputs(http_aio, deployment, cells)), deployment)


def _grpc_sync(cells: Cells) -> None:
    """Call through the blocking gRPC client."""
    client = grpc_client.InferenceServerClient(f"{_ADDRESS}:{cells.grpc}")
    with cells.cell(GRPC, "sync: live, ready"):
        _true(client.is_server_live() and client.is_server_ready())
    with cells.cell(GRPC, "sync: server metadata"):
        _true(client.get_server_metadata().name == "kilter")
    with cells.cell(GRPC, "sync: index"):
        _true({one.name for one in client.get_model_repository_index().models} == {"matrix", "mixed"})
    with cells.cell(GRPC, "sync: load of what is ready"):
        client.load_model("matrix")
    with cells.cell(GRPC, "sync: unload is refused"):
        _refused(lambda: client.unload_model("matrix"), grpc_client.InferenceServerException, "PERMISSION_DENIED")
    with cells.cell(GRPC, "sync: an unknown model is NOT_FOUND"):
        given = _inputs(grpc_client, cells.matrix, cells)
        _refused(lambda: client.infer("nobody", given), grpc_client.InferenceServerException, "NOT_FOUND")
    with cells.cell(GRPC, "sync: a wrong input is INVALID_ARGUMENT"):
        wrong = grpc_client.InferInput("input", [1, 3], "FP64")
        wrong.set_data_from_numpy(np.zeros((1, 3)))
        _refused(lambda: client.infer("matrix", [wrong]), grpc_client.InferenceServerException, "INVALID_ARGUMENT")
    for deployment in (cells.matrix, cells.mixed):
        name = deployment["name"]
        with cells.cell(GRPC, f"sync: {name} ready, metadata, config, statistics"):
            _true(client.is_model_ready(name))
            _described(client.get_model_metadata(name, as_json=True), deployment)
            _true(client.get_model_config(name).config.name == name)
            _true(client.get_inference_statistics(name).model_stats)
        with cells.cell(GRPC, f"sync: {name}, raw contents"):
            found = client.infer(name, _inputs(grpc_client, deployment, cells), request_id="a3")
            _check(found, deployment)
            _true(found.get_response().id == "a3")
        for coding in ("gzip", "deflate"):
            with cells.cell(GRPC, f"sync: {name}, {coding}"):
                given = _inputs(grpc_client, deployment, cells)
                _check(client.infer(name, given, compression_algorithm=coding), deployment)
        with cells.cell(GRPC, f"sync: {name}, typed contents"):
            _typed(cells, deployment)
    client.close()


def _typed(cells: Cells, deployment: dict[str, Any]) -> None:
    """Send and receive typed contents, which the clients themselves never send."""
    import grpc  # noqa: PLC0415 - the client's own

    request = service_pb2.ModelInferRequest(model_name=deployment["name"])
    columns = _arrays(cells, deployment)
    fields = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}
    for name, (datatype, array) in columns.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        values = [one.encode() for one in array] if datatype == "BYTES" else array.reshape(-1).tolist()
        getattr(tensor.contents, fields[datatype]).extend(values)
    with grpc.insecure_channel(f"{_ADDRESS}:{cells.grpc}") as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
    _true(not answer.raw_output_contents)
    outputs = {one.name: one.contents for one in answer.outputs}
    close(list(outputs["probabilities"].fp64_contents), deployment["probabilities"])
    _true(all(one.decode() in deployment["classes"] for one in outputs["label"].bytes_contents))


async def _grpc_aio(cells: Cells) -> None:
    """Call through the asyncio gRPC client."""
    async with grpc_aio.InferenceServerClient(f"{_ADDRESS}:{cells.grpc}") as client:
        with cells.cell(GRPC, "aio: live, ready, index"):
            _true(await client.is_server_live() and await client.is_server_ready())
            _true(len((await client.get_model_repository_index()).models) == 2)
        for deployment in (cells.matrix, cells.mixed):
            name = deployment["name"]
            with cells.cell(GRPC, f"aio: {name} metadata, config, statistics"):
                _described(await client.get_model_metadata(name, as_json=True), deployment)
                _true((await client.get_model_config(name)).config.name == name)
                _true((await client.get_inference_statistics(name)).model_stats)
            with cells.cell(GRPC, f"aio: {name}, raw contents"):
                _check(await client.infer(name, _inputs(grpc_aio, deployment, cells)), deployment)


def _refused(call: Any, kind: type[Exception], status: str) -> None:  # noqa: ANN401 - any call
    """Insist that a call is refused with this status and a reason."""
    try:
        call()
    except kind as error:
        if status not in str(error.status()) or not error.message():  # type: ignore[attr-defined]
            raise
        return
    message = "the call was not refused"
    raise ValueError(message)


def main() -> None:
    """Run all cells."""
    cells = Cells(sys.argv[1])
    _http_sync(cells)
    asyncio.run(_http_aio(cells))
    _grpc_sync(cells)
    asyncio.run(_grpc_aio(cells))


if __name__ == "__main__":
    main()

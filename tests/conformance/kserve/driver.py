"""KServe's clients, REST and gRPC, against a running kilter."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tests.conformance.cell import Cells, close

REST = "KServe REST client: live, ready, infer JSON and binary"
GRPC = "KServe gRPC client: live, ready, infer"
_KINDS = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


def _request(deployment: dict[str, Any], *, is_binary: bool, asks_binary: bool | None = None) -> InferRequest:
    """Return a deployment's rows as the client's request."""
    inputs = []
    if deployment["name"] == "matrix":
        columns = {"input": ("FP64", np.array(deployment["rows"]))}
    else:
        columns = {
            name: (datatype, np.array([row[name] for row in deployment["rows"]], dtype=_KINDS[datatype]))
            for name, datatype in deployment["datatypes"].items()
        }
    for name, (datatype, array) in columns.items():
        given = InferInput(name, list(array.shape), datatype)
        given.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(given)
    parameters = None if asks_binary is None else {"binary_data_output": asks_binary}
    return InferRequest(deployment["name"], inputs, request_id="k1", parameters=parameters)


def _check(response: Any, deployment: dict[str, Any]) -> None:  # noqa: ANN401 - no types ship
    """Compare the probabilities."""
    output = response.get_output_by_name("probabilities")
    close(output.as_numpy(), deployment["probabilities"])


def _true(value: object) -> None:
    """Insist."""
    if not value:
        message = f"{value!r} came back"
        raise ValueError(message)


async def _rest(cells: Cells) -> None:
    """Call through REST."""
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=1)) as client:
        with cells.cell(REST, "live"):
            _true(await client.is_server_live(cells.url))
        with cells.cell(REST, "ready"):
            _true(await client.is_server_ready(cells.url))
        for deployment in (cells.matrix, cells.mixed):
            name = deployment["name"]
            with cells.cell(REST, f"{name} ready"):
                _true(await client.is_model_ready(cells.url, name))
            for is_binary, asks, call in (
                (False, None, "JSON to JSON"),
                (True, None, "binary, default answer"),
                (True, True, "binary to binary"),
                (False, True, "JSON to binary"),
                (True, False, "binary to JSON"),
            ):
                with cells.cell(REST, f"{name}, {call}"):
                    request = _request(deployment, is_binary=is_binary, asks_binary=asks)
                    _check(await client.infer(cells.url, request, model_name=name), deployment)
        with cells.cell(REST, "an unknown model is not ready"):
            _true(not await client.is_model_ready(cells.url, "nobody"))


async def _grpc(cells: Cells) -> None:
    """Call through gRPC."""
    async with InferenceGRPCClient(f"127.0.0.1:{cells.grpc}") as client:
        with cells.cell(GRPC, "live"):
            _true(await client.is_server_live())
        with cells.cell(GRPC, "ready"):
            _true(await client.is_server_ready())
        for deployment in (cells.matrix, cells.mixed):
            with cells.cell(GRPC, f"{deployment['name']} ready"):
                _true(await client.is_model_ready(deployment["name"]))
            for is_binary, form in ((True, "raw"), (False, "typed")):
                with cells.cell(GRPC, f"{deployment['name']}, {form} contents"):
                    _check(await client.infer(_request(deployment, is_binary=is_binary)), deployment)


async def _main() -> None:
    """Run all cells."""
    cells = Cells(sys.argv[1])
    await _rest(cells)
    await _grpc(cells)


if __name__ == "__main__":
    asyncio.run(_main())

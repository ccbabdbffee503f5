"""Hostile messages over gRPC: damaged at the level of their bytes."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING, Any

import grpc
from tests.fuzz.mutation import damage

from kilter.faces.serving.grpc.messages import Messages

if TYPE_CHECKING:
    from collections import Counter

__all__ = ["send"]

_SERVICE = "/inference.GRPCInferenceService/"
_WRONG = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})
_TIMEOUT_S = 20.0
_METADATA = (
    (),
    (("kilter-routing-key", "u-1"),),
    (("kilter-timeout-ms", "x"),),
    (("kilter-timeout-ms", "1000"), ("x-request-id", "r" * 200)),
    (("traceparent", "00-0-0-0"),),
    (("kilter-bin", b"\xff\x00"),),
)


def _messages() -> list[tuple[str, bytes]]:
    """Return valid calls: path and message."""
    of = Messages().of
    tensor = {"name": "input", "datatype": "FP64", "shape": [2, 2]}
    typed = {**tensor, "contents": {"fp64_contents": [1.0, 2.0, 3.0, 4.0]}}
    request = of("inference.ModelInferRequest")
    texts = [
        {"name": "age", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [40.5]}},
        {"name": "visits", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [3]}},
        {"name": "is member", "datatype": "BOOL", "shape": [1], "contents": {"bool_contents": [True]}},
        {"name": "plan", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"basic"]}},
        {"name": "income", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [float("nan")]}},
        {"name": "région", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"nord"]}},
    ]
    made: list[tuple[str, Any]] = [
        ("ModelInfer", request(model_name="sum", inputs=[typed], id="q")),
        (
            "ModelInfer",
            request(model_name="sum", inputs=[tensor], raw_input_contents=[struct.pack("<4d", 1, 2, 3, 4)]),
        ),
        ("ModelInfer", request(model_name="mixed", model_version="1", inputs=texts, outputs=[{"name": "label"}])),
        ("ModelMetadata", of("inference.ModelMetadataRequest")(name="mixed")),
        ("ModelReady", of("inference.ModelReadyRequest")(name="sum", version="1")),
        ("ModelConfig", of("inference.ModelConfigRequest")(name="sum")),
        ("ModelStatistics", of("inference.ModelStatisticsRequest")()),
        ("RepositoryIndex", of("inference.RepositoryIndexRequest")(ready=True)),
        ("RepositoryModelLoad", of("inference.RepositoryModelLoadRequest")(model_name="sum")),
        ("ServerLive", of("inference.ServerLiveRequest")()),
        ("ServerReady", of("inference.ServerReadyRequest")()),
        ("ServerMetadata", of("inference.ServerMetadataRequest")()),
    ]
    return [(f"{_SERVICE}{name}", message.SerializeToString()) for name, message in made]


async def send(port: int, *, seed: int, calls: int, connections: int, statuses: Counter[str]) -> list[str]:
    """Make calls and count how they end.

    Parameters
    ----------
    port : int
        Of gRPC, on the loopback address.
    seed : int
        Makes the calls.
    calls : int
        How many.
    connections : int
        How many at once.
    statuses : Counter
        Counts codes.

    Returns
    -------
    list of str
        What must not be, with the call that led to it.
    """
    seeds, faults, numbers = _messages(), list[str](), iter(range(calls))

    async def client() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for number in numbers:
                path, message, metadata = _call(seeds, seed, number)
                call = channel.unary_unary(path)(message, metadata=metadata, timeout=_TIMEOUT_S)
                code = await call.code()
                statuses[f"grpc {code.name}"] += 1
                if code in _WRONG:
                    faults.append(f"{code.name}: {await call.details()} | call {number} {path} {metadata} {message!r}")

    await asyncio.gather(*(client() for _ in range(connections)))
    return faults


def _call(seeds: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes, Any]:
    """Return one call; the first ones are unchanged."""
    if number < len(seeds):
        return (*seeds[number], ())
    rng = random.Random(seed * 1_000_003 + number)  # noqa: S311 - to be made again
    path, message = rng.choice(seeds)
    if rng.random() < 0.9:
        message = damage(message, rng, rng.choice(seeds)[1] or b"\x0a")
    if rng.random() < 0.05:
        path = (
            rng.choice(seeds)[0]
            if rng.random() < 0.7
            else f"{_SERVICE}{rng.choice(('', 'Nothing', 'ModelStreamInfer'))}"
        )
    return path, message, rng.choice(_METADATA)

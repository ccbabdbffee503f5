"""The same row in every protocol: bodies to send, probabilities to read back."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["GRPC_METHOD", "Call", "binary", "grpc", "open_inference", "own"]

_JSON = {"content-type": "application/json"}
GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_MATRIX = "input"
_VARINT, _BYTES = 0, 2
_MORE = 0x80


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and how its answer is read: the probability of the second class of the first row."""

    path: str
    body: bytes
    read: Callable[[bytes, Mapping[str, str]], float]
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    rows: int = 1
    is_grpc: bool = False


def own(deployment: str, row: Mapping[str, float]) -> Call:
    """Return a call of ``/predict`` with one row."""
    body = json.dumps({"rows": [row]}).encode()
    return Call(f"/predict/{deployment}", body, lambda answer, _: json.loads(answer)["predictions"][0]["score"])


def open_inference(deployment: str, values: Sequence[float]) -> Call:
    """Return a call of ``infer`` with one row as JSON."""
    tensor = {"name": _MATRIX, "shape": [1, len(values)], "datatype": "FP64", "data": list(values)}

    def read(answer: bytes, _: Mapping[str, str]) -> float:
        outputs = {output["name"]: output["data"] for output in json.loads(answer)["outputs"]}
        return float(outputs["score"][0])

    return Call(f"/v2/models/{deployment}/infer", json.dumps({"inputs": [tensor]}).encode(), read)


def binary(deployment: str, matrix: np.ndarray[Any, Any]) -> Call:
    """Return a call of ``infer`` with raw tensors both ways."""
    raw = np.ascontiguousarray(matrix, dtype="<f8").tobytes()
    tensor = {"name": _MATRIX, "shape": list(matrix.shape), "datatype": "FP64"}
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
            "outputs": [{"name": "score", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}

    def read(answer: bytes, found: Mapping[str, str]) -> float:
        length = int(found["inference-header-content-length"])
        document = json.loads(answer[:length])
        if document["outputs"][0]["shape"][0] != len(matrix):
            message = f"{len(matrix)} rows were sent, {document['outputs'][0]['shape']} came back"
            raise ValueError(message)
        return float(np.frombuffer(answer[length:], dtype="<f8")[0])

    return Call(f"/v2/models/{deployment}/infer", head + raw, read, headers, rows=len(matrix))


def grpc(deployment: str, values: Sequence[float]) -> Call:
    """Return a ``ModelInfer`` message with one row of raw contents."""
    tensor = _text(1, _MATRIX) + _text(2, "FP64")
    tensor += _chunk(3, b"".join(_varint(size) for size in (1, len(values))))
    message = _text(1, deployment) + _chunk(5, tensor) + _chunk(7, struct.pack(f"<{len(values)}d", *values))

    def read(answer: bytes, _: Mapping[str, str]) -> float:
        names = [
            next(bytes(part) for number, part in _fields(value) if number == 1)
            for tag, value in _fields(answer)
            if tag == 5
        ]
        raws = [value for tag, value in _fields(answer) if tag == 6]
        score: float = struct.unpack_from("<d", raws[names.index(b"score")])[0]
        return score

    return Call(GRPC_METHOD, message, read, {}, is_grpc=True)


def _varint(number: int) -> bytes:
    """Encode a number as protobuf does."""
    encoded = bytearray()
    while number >= _MORE:
        encoded.append(number & 0x7F | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _chunk(number: int, content: bytes) -> bytes:
    """Encode a field of bytes."""
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    """Encode a field of text."""
    return _chunk(number, text.encode())


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that hold bytes."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        if tag & 7 == _VARINT:
            _, position = _read_varint(message, position)
        elif tag & 7 == _BYTES:
            length, position = _read_varint(message, position)
            yield tag >> 3, message[position : position + length]
            position += length
        else:
            position += 8 if tag & 7 == 1 else 4


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and where it ends."""
    number = shift = 0
    while True:
        byte = message[position]
        number |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < _MORE:
            return number, position

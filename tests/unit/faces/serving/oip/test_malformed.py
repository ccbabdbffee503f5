"""A table of malformed requests: each the client's mistake, each said in the protocol's form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.faces.serving.oip.conftest import Plane

_GOOD: dict[str, dict[str, Any]] = {
    name: {"name": name, "datatype": datatype, "shape": [2], "data": data}
    for name, datatype, data in (
        ("age", "FP64", [40, 50]),
        ("visits", "INT64", [3, 4]),
        ("is member", "BOOL", [True, False]),
        ("plan", "BYTES", ["basic", "plus"]),
        ("income", "FP64", [1.5, None]),
        ("region", "BYTES", ["n", None]),
    )
}


def changed(which: str, **change: object) -> bytes:
    """Return a good request but for one input; a change to Ellipsis takes the key away."""
    inputs = _GOOD | {which: {key: value for key, value in (_GOOD[which] | change).items() if value is not ...}}
    return json.dumps({"inputs": list(inputs.values())}).encode()


def request(**change: object) -> bytes:
    """Return a good request but for something beside its inputs."""
    return json.dumps({"inputs": list(_GOOD.values())} | change).encode()


_SHAPES: tuple[Any, ...] = (
    *([3], [1], [0], [], [2, 2], [1, 2], [2, 1, 1], [-2], [-1], [2.0], ["2"], [True], [None], [[2]], 2, "2", None, {}),
    *(..., [10**9], [2**63], [10**40], [2**31, 2**31, 0], [1] * 100, [2] * 5_000),
)
_DATATYPES: tuple[Any, ...] = ("", "FP", "fp64", "FP65", "COMPLEX", "x" * 500, 7, None, ..., [], "FP16", "BF16")
_DATA: tuple[Any, ...] = ("x", 7, {}, [], None, ..., [1], [[1, 2]], [[1], [2]], [{}, {}], [[[1]], [[2]]], [1, 2, 3])
_PARAMETERS: tuple[Any, ...] = ({"binary_data_size": 16}, {"binary_data_size": -1}, {"binary_data_size": "16"}, 7, [])
_VALUES: tuple[tuple[str, str, list[Any]], ...] = (
    *(("age", "FP64", [True, 1]), ("age", "FP64", ["40", "50"]), ("age", "FP64", [None, 1])),
    *(("age", "BYTES", ["1", "2"]), ("age", "BYTES", [1, 2]), ("age", "BOOL", [1, 0])),
    *(("age", "INT64", [1.5, 2]), ("age", "INT64", [1.0, 2]), ("age", "INT64", [2**53 + 1, 0])),
    *(("age", "INT64", [-(2**53) - 1, 0]), ("age", "INT64", [2**63, 0]), ("age", "INT64", [10**400, 0])),
    *(("age", "UINT64", [2**64 - 1, 0]), ("age", "UINT64", [-1, 0]), ("age", "BOOL", ["true", "false"])),
    *(("age", "INT8", [128, 0]), ("age", "INT8", [-129, 0]), ("age", "UINT8", [256, 0]), ("age", "UINT8", [-1, 0])),
    *(("age", "INT16", [2**15, 0]), ("age", "UINT16", [2**16, 0]), ("age", "INT32", [2**31, 0])),
    *(("age", "UINT32", [2**32, 0]), ("age", "FP32", [1e39, 0])),
    *(("visits", "FP64", [3, 4]), ("visits", "FP32", [3, 4]), ("visits", "UINT64", [3, 4])),
    *(("visits", "INT64", [3.0, 4]), ("visits", "INT64", [None, 4]), ("visits", "BYTES", ["3", "4"])),
    *(("is member", "INT8", [1, 0]), ("is member", "UINT8", [1, 0]), ("is member", "FP64", [1, 0])),
    *(("is member", "BOOL", [None, True]), ("plan", "BYTES", [None, "a"]), ("plan", "FP64", [1, 2])),
)
_TORN_NUMBERS = (b"[NaN, 1]", b"[Infinity, 1]", b"[-Infinity, 1]", b"[1e999, 1]", b"[01, 1]", b"[1, 2", b"[1,, 2]")
_TORN_TEXTS = (b'["\\ud800", "a"]', b'["\xff", "a"]', b"['a', 'b']", b'["a", "b]')


def tensors() -> Iterator[bytes]:
    """Yield requests with one wrong tensor."""
    for name in _GOOD:
        others = ("", "other", name.upper(), "x" * 500, 7, None, ..., "age" if name != "age" else "plan")
        for key, values in (
            ("shape", _SHAPES),
            ("datatype", _DATATYPES),
            ("data", _DATA),
            ("parameters", _PARAMETERS),
            ("name", others),
        ):
            yield from (changed(name, **{key: value}) for value in values)
    yield from (changed(name, datatype=datatype, data=data) for name, datatype, data in _VALUES)
    yield from (changed("age", data=["?"]).replace(b'["?"]', torn) for torn in _TORN_NUMBERS)
    yield from (changed("plan", data=["?"]).replace(b'["?"]', torn) for torn in _TORN_TEXTS)


_INPUTS: tuple[Any, ...] = (
    *(None, {}, "x", 7, [], [7], [None], [[]], [{}], list(_GOOD.values()) * 2, list(_GOOD.values())[:-1]),
    [*_GOOD.values(), {"name": "more", "datatype": "FP64", "shape": [2], "data": [1, 2]}],
)
_OUTPUTS: tuple[Any, ...] = (
    *({}, "x", 7, [7], ["score"], [{}], [{"name": 7}], [{"name": "other"}], [{"name": ""}]),
    *([{"name": "score", "parameters": 7}], [{"name": "score", "parameters": []}]),
    *([{"name": "score", "parameters": {"binary_data": value}}] for value in ("true", "1")),
    *([{"name": "score", "parameters": {"classification": value}}] for value in (2, "2")),
    [{"name": "score", "parameters": {"shared_memory_region": "r"}}],
)
_OPTIONS: tuple[Any, ...] = (
    *(7, [], "x", {"routing_key": 7}, {"routing_key": ["u"]}, {"timeout": -1}, {"timeout": 1.5}),
    *({"timeout": "5"}, {"timeout": True}, {"binary_data_output": 1}, {"binary_data_output": "yes"}),
)
_BODIES = (
    *(b"", b" ", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b"\xff", b"\xef\xbb\xbf{}", b"{'inputs': []}"),
    *(b"[" * 100_000, b'{"a":' * 33 + b"1" + b"}" * 33, b'{"inputs":' + b"[" * 40 + b"]" * 40 + b"}"),
)


def documents() -> Iterator[bytes]:
    """Yield bodies that are wrong beside their tensors."""
    yield from _BODIES
    good = request()
    yield from (good + b"x", good + good, good[:-1], good[1:], good.replace(b":", b"=", 1), b"\0" + good)
    yield from (request(inputs=inputs) for inputs in _INPUTS)
    yield from (request(outputs=outputs) for outputs in _OUTPUTS)
    yield from (request(parameters=options) for options in _OPTIONS)
    yield from (request(id=[7]), request(id=7), request(id={}), request(id=True))


_MALFORMED = [pytest.param(body, id=f"{number}") for number, body in enumerate((*tensors(), *documents()))]


@pytest.mark.parametrize("body", _MALFORMED)
def test_a_malformed_request_is_a_400_with_one_sentence(plane: Plane, body: bytes) -> None:
    answer = plane("POST", "/v2/models/churn/infer", body)
    assert answer.status == 400, answer.body
    assert list(answer.json) == ["error"]
    assert 0 < len(answer.json["error"]) <= 500
    assert answer.headers["kilter-error-code"].startswith("input.")


def test_the_request_that_is_changed_is_right(plane: Plane) -> None:
    assert plane("POST", "/v2/models/churn/infer", request()).status == 200


def _texts(*cells: bytes) -> bytes:
    return b"".join(len(cell).to_bytes(4, "little") + cell for cell in cells)


_NUMBERS = np.array([40.0, 50.0])
_BINARY: list[tuple[str, str, list[int], int, bytes]] = [
    ("age", "FP64", [2], 15, _NUMBERS.tobytes()[:15]),
    ("age", "FP64", [2], 17, _NUMBERS.tobytes() + b"\0"),
    ("age", "FP64", [2], 16, _NUMBERS.tobytes()[:15]),
    ("age", "FP64", [2], 16, _NUMBERS.tobytes() + b"\0"),
    ("age", "FP64", [2], 0, b""),
    ("age", "FP64", [2], 10**18, _NUMBERS.tobytes()),
    ("age", "FP64", [3], 24, _NUMBERS.tobytes() + b"\0" * 8),
    ("age", "FP64", [2**60], 16, _NUMBERS.tobytes()),
    ("age", "FP64", [0, 2**60], 0, b""),
    ("age", "FP32", [2], 16, _NUMBERS.tobytes()),
    ("age", "FP99", [2], 16, _NUMBERS.tobytes()),
    ("age", "FP64", [2], 16, np.array([np.inf, 1]).tobytes()),
    ("age", "FP64", [2], 16, np.array([1, -np.inf]).tobytes()),
    ("age", "FP64", [2], 16, np.array([np.nan, 1]).tobytes()),
    ("age", "FP32", [2], 8, np.array([np.nan, 1], dtype="<f4").tobytes()),
    ("age", "FP16", [2], 4, np.array([np.inf, 1], dtype="<f2").tobytes()),
    ("age", "BF16", [2], 4, b"\x80\x7f\x80\x3f"),
    ("age", "INT64", [2], 16, np.array([2**53 + 1, 1]).tobytes()),
    ("age", "INT64", [2], 16, np.array([-(2**63), 1]).tobytes()),
    ("age", "UINT64", [2], 16, np.array([2**64 - 1, 1], dtype="<u8").tobytes()),
    ("age", "BOOL", [2], 2, b"\x02\x01"),
    ("age", "BYTES", [2], 10, _texts(b"a", b"b")),
    ("visits", "INT64", [2], 16, np.array([2**60, 1]).tobytes()),
    ("visits", "FP64", [2], 16, _NUMBERS.tobytes()),
    ("visits", "UINT64", [2], 16, np.array([1, 1], dtype="<u8").tobytes()),
    ("is member", "BOOL", [2], 2, b"\x00\xff"),
    ("is member", "INT8", [2], 2, b"\x00\x01"),
    ("plan", "BYTES", [2], 9, _texts(b"a", b"b")[:9]),
    ("plan", "BYTES", [2], 5, _texts(b"a")),
    ("plan", "BYTES", [2], 15, _texts(b"a", b"b", b"c")),
    ("plan", "BYTES", [2], 11, _texts(b"a", b"b") + b"\0"),
    ("plan", "BYTES", [2], 7, _texts(b"a") + b"\0\0"),
    ("plan", "BYTES", [2], 10, _texts(b"\xff", b"b")),
    ("plan", "BYTES", [2], 10, _texts(b"a", b"\xc3")),
    ("plan", "BYTES", [2], 8, b"\xff" * 8),
    ("plan", "BYTES", [2], 10, (2**32 - 1).to_bytes(4, "little") + b"abcdef"),
    ("plan", "BYTES", [2**24], 10, _texts(b"a", b"b")),
    ("plan", "FP64", [2], 16, _NUMBERS.tobytes()),
]


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{number}") for number, case in enumerate(_BINARY)])
def test_a_malformed_binary_request_is_a_400_with_one_sentence(
    plane: Plane, case: tuple[str, str, list[int], int, bytes]
) -> None:
    name, datatype, shape, size, tail = case
    body = changed(name, datatype=datatype, shape=shape, data=..., parameters={"binary_data_size": size})
    answer = plane.infer("churn", body, tail, length=len(body))
    assert answer.status == 400, answer.body
    assert list(answer.json) == ["error"]
    assert f"`{name}`" in answer.json["error"] or "the body" in answer.json["error"]
    assert len(answer.json["error"]) <= 500


@pytest.mark.parametrize("length", ["", " ", "x", "-1", "1.5", "0x10", "1e3", "9" * 40, "²", "+5", 10**6, 1, 50])
def test_a_wrong_length_of_the_json_part_is_a_400(plane: Plane, length: object) -> None:
    answer = plane.infer("churn", request(), length=length)
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_no_input_value_is_repeated(plane: Plane) -> None:
    for body in (
        changed("age", data=["secret", 1]),
        changed("plan", data=["secret", 1]),
        changed("visits", data=["secret", 1]),
        changed("age", data={"secret": "secret"}),
        request(parameters={"routing_key": ["secret"]}),
    ):
        answer = plane("POST", "/v2/models/churn/infer", body)
        assert answer.status == 400
        assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "/v2/models/nope/infer", 404),
        ("POST", "/v2/models/churn/versions/9/infer", 404),
        ("POST", "/v2/models/churn/versions/x/infer", 404),
        ("GET", "/v2/models/nope", 404),
        ("GET", "/v2/models/nope/ready", 404),
        ("GET", "/v2/models/nope/config", 404),
        ("GET", "/v2/models/nope/stats", 404),
        ("GET", "/v2/models/churn/versions/9", 404),
        ("GET", "/v2/models/churn/versions/9/ready", 404),
        ("GET", "/v2/models/churn/versions/9/config", 404),
        ("GET", "/v2/models/churn/versions/9/stats", 404),
        ("GET", "/v2/models/churn/versions/-1/stats", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models//ready", 404),
        ("GET", "/v2/models/churn/infer", 405),
        ("POST", "/v2/models/churn/config", 405),
        ("POST", "/v2/models/stats", 405),
        ("GET", "/v2/repository/index", 405),
        ("GET", "/v2/repository/models/churn/load", 405),
        ("POST", "/v2/repository/models/churn", 404),
        ("POST", "/v2/repository", 404),
        ("POST", "/v2/systemsharedmemory/status", 404),
        ("PUT", "/v2", 405),
    ],
)
def test_an_unknown_path_or_verb_is_worded_as_the_protocol_has_it(
    plane: Plane, verb: str, path: str, status: int
) -> None:
    answer = plane(verb, path, b"{}")
    assert (answer.status, list(answer.json)) == (status, ["error"])

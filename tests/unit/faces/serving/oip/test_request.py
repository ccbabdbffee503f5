"""Claims that hold for any signature and any tensors."""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import InputError
from kilter.faces.serving.oip.arrays import MATRIX, InputTensor, TensorCodec
from kilter.faces.serving.oip.binary import read_tensor
from kilter.faces.serving.oip.datatype import DATATYPES, DECLARED, widens
from kilter.faces.serving.oip.request import RequestCodec

if TYPE_CHECKING:
    from kilter.contracts.batch import Batch

_EXACT = 2**53
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


class Sent(NamedTuple):
    """One input in every form, and what a batch must hold of it."""

    name: str
    datatype: str
    shape: list[int]
    cells: list[Any]
    raw: bytes | None


class Case(NamedTuple):
    """A signature, the inputs of a request for it, and the cells by column."""

    signature: Signature
    inputs: list[Sent]
    numbers: list[list[float]]
    texts: list[list[str | None]]
    rows: int


def _bf16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


@st.composite
def _numbers(draw: st.DrawFn, datatype: str, count: int) -> tuple[list[Any], bytes]:
    """Draw cells of a numeric datatype, as JSON has them and as bytes."""
    kind = DATATYPES[datatype].kind
    if datatype == "BOOL":
        flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        return flags, np.array(flags, dtype=bool).tobytes()
    if datatype in {"FP16", "FP32", "FP64", "BF16"}:
        width = {"FP16": 16, "FP32": 32, "BF16": 16, "FP64": 64}[datatype]
        cell = st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
        floats = draw(st.lists(cell, min_size=count, max_size=count))
        if datatype == "BF16":
            raw = _bf16(np.array(floats))
            return (raw.astype("<u4") << 16).view("<f4").tolist(), raw.tobytes()
        array = np.array(floats, dtype=kind)
        return array.tolist(), array.tobytes()
    limits = np.iinfo(kind)
    whole = st.integers(max(int(limits.min), -_EXACT), min(int(limits.max), _EXACT))
    integers = draw(st.lists(whole, min_size=count, max_size=count))
    return integers, np.array(integers, dtype=kind).tobytes()


@st.composite
def _sent(draw: st.DrawFn, name: str, column: Column, shape: list[int]) -> Sent:
    """Draw one input that a column takes."""
    count = math.prod(shape)
    declared = DECLARED[column.type]
    if declared == "BYTES":
        cell = st.none() | _TEXTS if column.nullable else _TEXTS
        cells = draw(st.lists(cell, min_size=count, max_size=count))
        encoded = [each.encode() for each in cells if each is not None]
        raw = b"".join(len(each).to_bytes(4, "little") + each for each in encoded)
        return Sent(name, declared, shape, cells, raw if len(encoded) == count else None)
    datatype = draw(st.sampled_from([each for each in DATATYPES if widens(each, declared)]))
    numbers, raw = draw(_numbers(datatype, count))
    if column.nullable and draw(st.booleans()):
        gaps = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        numbers = [None if gap else each for each, gap in zip(numbers, gaps, strict=True)]
        kind = DATATYPES[datatype].kind
        if kind.kind == "f":
            raw = np.array([math.nan if each is None else each for each in numbers], dtype=kind).tobytes()
        elif any(gaps):
            return Sent(name, datatype, shape, numbers, None)
    return Sent(name, datatype, shape, numbers, raw)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a signature with a request for it."""
    rows = draw(st.integers(1, 4))
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    kinds = draw(st.sampled_from([list(ColumnType), [ColumnType.FLOAT], [ColumnType.INTEGER]]))
    columns = tuple(
        Column(name=name, type=draw(st.sampled_from(kinds)), nullable=draw(st.booleans())) for name in names
    )
    signature = Signature(task=Task.REGRESSION, target="y", columns=columns)
    if len(kinds) == 1 and MATRIX not in names and draw(st.booleans()):
        strict = Column(name=MATRIX, type=kinds[0], nullable=all(column.nullable for column in columns))
        one = draw(_sent(MATRIX, strict, [rows, len(columns)]))
        flat = [math.nan if cell is None else float(cell) for cell in one.cells]
        by_row = [flat[begin : begin + len(columns)] for begin in range(0, len(flat), len(columns))]
        return Case(signature, [one], [list(each) for each in zip(*by_row, strict=True)], [], rows)
    shapes = st.sampled_from([[rows], [rows, 1]])
    found = [draw(_sent(column.name, column, draw(shapes))) for column in columns]
    numbers = [
        [math.nan if cell is None else float(cell) for cell in each.cells] for each in found if each.datatype != "BYTES"
    ]
    texts = [each.cells for each in found if each.datatype == "BYTES"]
    return Case(signature, draw(st.permutations(found)), numbers, texts, rows)


def _is_json(sent: Sent) -> bool:
    return sent.datatype not in {"FP16", "BF16"}


def _body(inputs: list[Sent], binary: list[bool], nested: list[bool]) -> tuple[bytes, int]:
    """Return a body with some inputs as bytes, and the length of its JSON part."""
    told, tail = [], b""
    for sent, is_binary, is_nested in zip(inputs, binary, nested, strict=True):
        one: dict[str, object] = {"name": sent.name, "datatype": sent.datatype, "shape": sent.shape}
        if is_binary and sent.raw is not None:
            one["parameters"] = {"binary_data_size": len(sent.raw)}
            tail += sent.raw
        elif is_nested and len(sent.shape) == 2:
            width = sent.shape[1]
            one["data"] = [sent.cells[begin : begin + width] for begin in range(0, len(sent.cells), width)]
        else:
            one["data"] = sent.cells
        told.append(one)
    head = json.dumps({"inputs": told}).encode()
    return head + tail, len(head)


def _check(batch: Batch, case: Case) -> None:
    numeric, text = np.asarray(batch.numeric), np.asarray(batch.text)
    assert batch.rows == case.rows
    assert numeric.dtype == np.float64
    assert numeric.flags.c_contiguous
    assert numeric.flags.aligned
    assert numeric.shape == (case.rows, len(case.numbers))
    assert text.shape == (case.rows, len(case.texts))
    np.testing.assert_array_equal(numeric.T, np.array(case.numbers).reshape(numeric.T.shape))
    assert text.T.tolist() == case.texts


@given(case=cases(), data=st.data())
def test_every_form_of_a_request_gives_the_same_batch(case: Case, data: st.DataObject) -> None:
    codec = RequestCodec(case.signature, max_rows=10)
    count = len(case.inputs)
    binary = [
        not _is_json(sent) or data.draw(st.booleans(), label="binary") if sent.raw is not None else False
        for sent in case.inputs
    ]
    nested = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    body, length = _body(case.inputs, binary, nested)
    if all(_is_json(sent) or sent.raw is not None for sent in case.inputs):
        _check(codec.decode(body, length).batch, case)
    if not any(binary) and all(_is_json(sent) for sent in case.inputs):
        _check(codec.decode(body).batch, case)
    if all(sent.raw is not None for sent in case.inputs):
        tensors = [read_tensor(sent.name, sent.datatype, sent.shape, sent.raw or b"") for sent in case.inputs]
        _check(TensorCodec(case.signature, max_rows=10).batch(tensors), case)


@given(case=cases())
def test_a_truncated_body_is_the_clients_mistake(case: Case) -> None:
    codec = RequestCodec(case.signature, max_rows=10)
    if not all(_is_json(sent) or sent.raw is not None for sent in case.inputs):
        return
    binary = [sent.raw is not None for sent in case.inputs]
    body, length = _body(case.inputs, binary, binary)
    codec.decode(body, length)
    for end in range(len(body)):
        with pytest.raises(InputError):
            codec.decode(body[:end], length)
        with pytest.raises(InputError):
            codec.decode(body[:end])


@given(case=cases(), garbage=st.binary(max_size=40), at=st.integers(0, 400), length=st.none() | st.integers(0, 500))
def test_any_damage_is_read_or_the_clients_mistake(case: Case, garbage: bytes, at: int, length: int | None) -> None:
    codec = RequestCodec(case.signature, max_rows=10)
    body, _ = _body(case.inputs, [True] * len(case.inputs), [False] * len(case.inputs))
    damaged = body[:at] + garbage + body[at + len(garbage) :]
    with contextlib.suppress(InputError):
        numeric = np.asarray(codec.decode(damaged, length).batch.numeric)
        assert not np.isinf(numeric).any()


def _codec(*columns: Column) -> TensorCodec:
    return TensorCodec(Signature(task=Task.REGRESSION, target="y", columns=columns), max_rows=3)


_ONE = Column(name="n", type=ColumnType.INTEGER)


@pytest.mark.parametrize(
    ("datatype", "kind", "value"),
    [("INT8", np.int32, 128), ("UINT8", np.uint32, 256), ("UINT16", np.int64, -1), ("INT64", np.int64, -(2**63))],
)
def test_integers_in_a_wider_array_are_held_to_their_datatype(datatype: str, kind: Any, value: int) -> None:  # noqa: ANN401 - a numpy type
    codec = _codec(_ONE)
    good = InputTensor("n", datatype, [2], np.array([1, 2], dtype=kind))
    assert np.asarray(codec.batch([good]).numeric).tolist() == [[1.0], [2.0]]
    with pytest.raises(InputError, match="one outside"):
        codec.batch([InputTensor("n", datatype, [2], np.array([1, value], dtype=kind))])


@pytest.mark.parametrize("shape", [[2], [-1], [-1, 1], [4], [0], [0, 1], [], [1, 1, 1], [2**62]])
def test_a_shape_that_the_array_does_not_have_is_refused(shape: list[int]) -> None:
    array = np.array([1], dtype=np.int64)
    for codec, name in ((_codec(_ONE), "n"), (_codec(_ONE), MATRIX)):
        with pytest.raises(InputError):
            codec.batch([InputTensor(name, "INT64", shape, array)])


def test_more_elements_than_any_request_may_have_are_refused_before_they_are_allocated() -> None:
    columns = tuple(Column(name=f"c{number}", type=ColumnType.FLOAT) for number in range(300))
    codec = TensorCodec(Signature(task=Task.REGRESSION, target="y", columns=columns), max_rows=65_536)
    with pytest.raises(InputError, match="elements in all"):
        codec.batch([InputTensor(MATRIX, "FP64", [65_536, 300], np.zeros(1))])


def test_a_matrix_of_float64_is_not_copied() -> None:
    codec = _codec(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT))
    raw = np.arange(4.0).tobytes()
    aligned = next(at for at in range(8) if np.frombuffer(b"\0" * at + raw, np.float64, offset=at).flags.aligned)
    body = b"\0" * aligned + raw
    tensor = read_tensor(MATRIX, "FP64", [2, 2], memoryview(body)[aligned:])
    numeric = np.asarray(codec.batch([tensor]).numeric)
    assert not numeric.flags.writeable
    assert np.shares_memory(numeric, np.frombuffer(body, np.uint8))


def test_huge_numbers_are_finite() -> None:
    codec = _codec(Column(name="a", type=ColumnType.FLOAT))
    assert np.asarray(codec.batch([InputTensor("a", "FP64", [1], np.array([1e308]))]).numeric)[0, 0] == 1e308


def test_outputs_are_asked_for_once_each() -> None:
    signature = Signature(task=Task.BINARY, target="y", columns=(_ONE,), classes=("a", "b"), positive="b")
    codec = TensorCodec(signature, max_rows=3)
    assert codec.wanted([]) == ("label", "score", "probabilities")
    assert codec.wanted(["score", "label", "score"]) == ("score", "label")
    with pytest.raises(InputError, match="scores"):
        codec.wanted(["scores"])


@pytest.mark.parametrize("shape", [[-1], [2, -1], [0, -5], [1] * 9, [2**40]])
def test_raw_bytes_of_an_impossible_shape_are_refused(shape: list[int]) -> None:
    with pytest.raises(InputError):
        read_tensor("a", "FP64", shape, b"\0" * 8)

"""Claims about tensors in messages: both forms mean the same as REST's, and nothing wrong gets through."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import InvalidRequest, KilterError
from kilter.faces.serving.grpc.messages import Messages
from kilter.faces.serving.grpc.tensors import TYPED, inputs_of, put_outputs
from kilter.faces.serving.oip.arrays import OutputTensor, TensorCodec
from kilter.faces.serving.oip.datatype import DATATYPES
from kilter.faces.serving.oip.request import RequestCodec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.batch import Batch

_ALL = Messages()
_Request, _Response = _ALL.of("inference.ModelInferRequest"), _ALL.of("inference.ModelInferResponse")
_TYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.TEXT: "BYTES",
}


def _signature(*kinds: ColumnType) -> Signature:
    columns = tuple(
        Column(name=f"c{number}", type=kind, nullable=kind is ColumnType.FLOAT) for number, kind in enumerate(kinds)
    )
    return Signature(task=Task.REGRESSION, target="y", columns=columns)


def _raw(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(len(cell.encode()).to_bytes(4, "little") + cell.encode() for cell in values)
    return np.array(values, dtype=DATATYPES[datatype].kind).tobytes()


def _request(tensors: Sequence[tuple[str, str, Sequence[int], Sequence[Any]]], *, is_raw: bool) -> Any:  # noqa: ANN401 - a message
    request = _Request(model_name="m")
    for name, datatype, shape, values in tensors:
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if is_raw:
            request.raw_input_contents.append(_raw(datatype, values))
        else:
            cells = [cell.encode() for cell in values] if datatype == "BYTES" else values
            getattr(tensor.contents, TYPED[datatype]).extend(cells)
    return _Request.FromString(request.SerializeToString())


def _same(one: Batch, other: Batch) -> None:
    assert one.rows == other.rows
    np.testing.assert_array_equal(one.numeric, other.numeric)
    np.testing.assert_array_equal(one.text, other.text)


_CELLS: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.FLOAT: st.floats(allow_infinity=False),
    ColumnType.INTEGER: st.integers(-(2**53), 2**53),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TEXT: st.text(st.characters(codec="utf-8"), max_size=12),
}


@st.composite
def _rows(draw: st.DrawFn) -> tuple[Signature, list[tuple[str, str, list[int], list[Any]]]]:
    """Draw a signature and its columns, with the forms that a client may choose."""
    kinds = draw(st.lists(st.sampled_from(ColumnType), min_size=1, max_size=5))
    count = draw(st.integers(1, 4))
    tensors = []
    for number, kind in enumerate(kinds):
        shape = [count, 1] if draw(st.booleans()) else [count]
        values = draw(st.lists(_CELLS[kind], min_size=count, max_size=count))
        tensors.append((f"c{number}", _TYPES[kind], shape, values))
    return _signature(*kinds), draw(st.permutations(tensors))


@given(_rows())
def test_raw_and_typed_and_rest_binary_mean_the_same_rows(
    drawn: tuple[Signature, list[tuple[str, str, list[int], list[Any]]]],
) -> None:
    signature, tensors = drawn
    codec = TensorCodec(signature, max_rows=100)
    raw, typed = (codec.batch(inputs_of(_request(tensors, is_raw=is_raw))) for is_raw in (True, False))
    parts = [_raw(datatype, values) for _, datatype, _, values in tensors]
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(part)}}
        for (name, datatype, shape, _), part in zip(tensors, parts, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    rest = RequestCodec(signature, max_rows=100).decode(head + b"".join(parts), len(head)).batch
    _same(raw, rest)
    _same(typed, rest)


_VALUES: dict[str, list[Any]] = {
    **{name: [0, 1, 100] for name in DATATYPES if name.startswith(("INT", "UINT"))},
    "FP16": [0.5, -2.0, 1.25],
    "FP32": [0.5, -2.0, 1.25],
    "FP64": [0.1, -2.0, 1.25],
    "BOOL": [True, False, True],
}


@pytest.mark.parametrize(
    ("datatype", "form"),
    [*((name, "raw") for name in sorted(_VALUES)), *((name, "typed") for name in sorted(_VALUES) if name in TYPED)],
)
def test_every_datatype_that_widens_is_read(datatype: str, form: str) -> None:
    codec = TensorCodec(_signature(ColumnType.FLOAT), max_rows=10)
    batch = codec.batch(inputs_of(_request([("c0", datatype, [3], _VALUES[datatype])], is_raw=form == "raw")))
    np.testing.assert_array_equal(np.asarray(batch.numeric)[:, 0], np.array(_VALUES[datatype], dtype=float))


def test_bfloat16_is_read_raw() -> None:
    request = _Request(raw_input_contents=[np.array([1.5], dtype="<f4").tobytes()[2:]])
    request.inputs.add(name="c0", datatype="BF16", shape=[1])
    batch = TensorCodec(_signature(ColumnType.FLOAT), max_rows=10).batch(inputs_of(request))
    assert np.asarray(batch.numeric).tolist() == [[1.5]]


def _tensor(
    datatype: str = "FP64", shape: Sequence[int] = (1,), parameters: dict[str, Any] | None = None, **contents: list[Any]
) -> Any:  # noqa: ANN401 - a message
    filled = {"contents": contents} if contents else {}
    return _Request(
        inputs=[{"name": "c0", "datatype": datatype, "shape": shape, "parameters": parameters or {}, **filled}]
    )


_WRONG: dict[str, tuple[Any, str]] = {
    "another field": (
        _tensor(fp32_contents=[1.0]),
        "input `c0`: expected fp64_contents alone for FP64, got fp32_contents",
    ),
    "two fields": (
        _tensor(fp64_contents=[1.0], bool_contents=[True]),
        "expected fp64_contents alone for FP64, got bool_contents",
    ),
    "empty": (_tensor(), "input `c0`: expected 1 elements for shape [1] in fp64_contents, got 0"),
    "too many": (_tensor(fp64_contents=[1.0, 2.0]), "expected 1 elements for shape [1] in fp64_contents, got 2"),
    "negative": (_tensor(shape=[-1], fp64_contents=[1.0]), "expected dimensions of 0 or more, got [-1]"),
    "huge": (_tensor(shape=[2**62, 2**62], fp64_contents=[1.0]), "elements, got shape"),
    "FP16": (_tensor("FP16", fp32_contents=[1.0]), "expected raw_input_contents"),
    "BF16": (_tensor("BF16", fp32_contents=[1.0]), "expected raw_input_contents"),
    "FP8": (_tensor("FP8", fp32_contents=[1.0]), "expected a datatype of the protocol, got `FP8`"),
    "no datatype": (_tensor("", fp32_contents=[1.0]), "expected a datatype of the protocol, got ``"),
    "INT8": (_tensor("INT8", int_contents=[128]), "input `c0`: expected INT8 from -128 to 127, got one outside"),
    "UINT8": (_tensor("UINT8", uint_contents=[256]), "expected UINT8 from 0 to 255, got one outside"),
    "INT64": (_tensor("INT64", int64_contents=[2**53 + 1]), "got one outside"),
    "UINT64": (_tensor("UINT64", uint64_contents=[2**64 - 1]), "got one outside"),
    "infinite": (_tensor(fp64_contents=[float("inf")]), "expected finite FP64 values"),
    "text for number": (_tensor("BYTES", bytes_contents=[b"a"]), "expected datatype FP64, got `BYTES`"),
    "no UTF-8": (_tensor("BYTES", bytes_contents=[b"\xff"]), "expected UTF-8 in BYTES, got an element that is none"),
    "shared memory": (
        _tensor(parameters={"shared_memory_region": {"string_param": "x"}}),
        "shared memory, which is not offered",
    ),
    "no inputs": (_Request(), "1 of 1 inputs are missing"),
}


@pytest.mark.parametrize("name", _WRONG)
def test_what_the_typed_form_cannot_mean_is_refused(name: str) -> None:
    request, sentence = _WRONG[name]
    codec = TensorCodec(_signature(ColumnType.FLOAT), max_rows=10)
    with pytest.raises(KilterError) as caught:
        codec.batch(inputs_of(_Request.FromString(request.SerializeToString())))
    assert sentence in caught.value.message
    assert len(caught.value.message) <= 500


def test_raw_is_for_all_inputs_or_for_none() -> None:
    request = _request([("a", "FP64", [1], [1.0]), ("b", "FP64", [1], [1.0])], is_raw=True)
    del request.raw_input_contents[1]
    with pytest.raises(InvalidRequest, match="expected one entry for each of 2 inputs, got 1"):
        inputs_of(request)
    request = _request([("a", "FP64", [1], [1.0])], is_raw=True)
    request.inputs[0].contents.fp64_contents.append(1.0)
    with pytest.raises(InvalidRequest, match="expected no contents beside raw_input_contents, got both"):
        inputs_of(request)
    extra = _Request(raw_input_contents=[b""])
    with pytest.raises(InvalidRequest, match="each of 0 inputs, got 1"):
        inputs_of(extra)


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_raw_bytes_must_fill_the_shape_exactly(size: int) -> None:
    request = _Request(raw_input_contents=[bytes(size)])
    request.inputs.add(name="c0", datatype="FP64", shape=[1])
    with pytest.raises(InvalidRequest, match=rf"8 bytes for FP64 of shape \[1\], got {size} bytes"):
        inputs_of(request)


@pytest.mark.parametrize("form", ["raw", "typed"])
def test_outputs_come_back_as_they_were(form: str) -> None:
    outputs = (
        OutputTensor("label", "BYTES", [2], ["yes", "né"]),
        OutputTensor("probabilities", "FP64", [2, 2], np.array([0.1, 0.9, 0.25, 0.75])),
    )
    response = _Response()
    put_outputs(response, outputs, is_raw=form == "raw")
    read = _Response.FromString(response.SerializeToString())
    assert [(one.name, one.datatype, list(one.shape)) for one in read.outputs] == [each[:3] for each in outputs]
    if form == "raw":
        label, probabilities = read.raw_output_contents
        assert label == _raw("BYTES", ["yes", "né"])
        assert np.frombuffer(probabilities, "<f8").tolist() == [0.1, 0.9, 0.25, 0.75]
        assert not any(one.HasField("contents") for one in read.outputs)
    else:
        assert [cell.decode() for cell in read.outputs[0].contents.bytes_contents] == ["yes", "né"]
        assert list(read.outputs[1].contents.fp64_contents) == [0.1, 0.9, 0.25, 0.75]
        assert not read.raw_output_contents

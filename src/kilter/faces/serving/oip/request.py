"""The body of ``infer``: JSON, or JSON with raw tensors behind it, to a batch."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np

from kilter.errors import InvalidRequest
from kilter.faces.serving.document import malformed
from kilter.faces.serving.limits import check_nesting
from kilter.faces.serving.oip.arrays import MATRIX, InputTensor, TensorCodec
from kilter.faces.serving.oip.binary import count_of, read_tensor
from kilter.faces.serving.oip.datatype import DATATYPES, DECLARED, json_cell
from kilter.faces.serving.oip.refusal import NAME, refused, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.batch import Batch
    from kilter.contracts.signature import Signature

__all__ = ["InferRequest", "RequestCodec", "header_length"]

_Size = Annotated[int, msgspec.Meta(ge=0)]


class _TensorParameters(msgspec.Struct, gc=False):
    """What is understood of an input's parameters."""

    binary_data_size: _Size | None = None


class _Tensor(msgspec.Struct):
    """One input."""

    name: str
    datatype: str
    shape: list[_Size]
    data: msgspec.Raw = msgspec.Raw()
    parameters: _TensorParameters | None = None


class _WantedParameters(msgspec.Struct, gc=False):
    """What is understood of an output's parameters; the last two only to be refused."""

    binary_data: bool | None = None
    classification: _Size | None = None
    shared_memory_region: str | None = None


class _Wanted(msgspec.Struct):
    """One output asked for."""

    name: str
    parameters: _WantedParameters | None = None


class _Parameters(msgspec.Struct, gc=False):
    """What is understood of the request's parameters; ``timeout`` is in microseconds, 0 = none."""

    routing_key: str | None = None
    timeout: _Size | None = None
    binary_data_output: bool | None = None


class _Request(msgspec.Struct):
    """The JSON part."""

    inputs: list[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Wanted] | None = None


class _Names(msgspec.Struct):
    """The JSON part again, to find out which input is wrong."""

    inputs: list[dict[str, msgspec.Raw]]


class InferRequest(NamedTuple):
    """A decoded request; ``binary`` holds the outputs that are to be raw bytes."""

    batch: Batch
    outputs: tuple[str, ...]
    binary: frozenset[str] = frozenset()
    id: str | None = None
    routing_key: str | None = None
    timeout_ms: int | None = None


_DECODERS: Mapping[str, tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]] = {
    name: (msgspec.json.Decoder(list[json_cell(name)]), msgspec.json.Decoder(list[list[json_cell(name)]]))  # type: ignore[misc]  # made at run time
    for name in DATATYPES
    if name not in {"FP16", "BF16"}
}
"""Readers of flat and of nested data."""

_decode_request = msgspec.json.Decoder(_Request).decode
_NO_DATA = _Parameters()
_PLANE = 2
_decode_names = msgspec.json.Decoder(_Names).decode
_PATH = re.compile(r" - at `\$\.inputs\[(?P<place>\d+)\]\.?(?P<rest>[^`]*)`\Z")
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class RequestCodec:
    """Reads the requests of one signature.

    Guarantees: never lets a wrong value through to a model; thread-safe.

    Parameters
    ----------
    signature : Signature
        What the model takes.
    max_rows : int
        More rows are refused.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._tensors = TensorCodec(signature, max_rows=max_rows)
        self._only = signature.columns[0] if len(signature.columns) == 1 else None
        self._all = self._tensors.outputs

    def decode(self, body: bytes, header_bytes: int | None = None) -> InferRequest:
        """Return the batch and options of a body.

        Parameters
        ----------
        body : bytes
            ``{"inputs": [...], "id"?, "parameters"?, "outputs"?}`` and raw tensors behind it; other
            keys are ignored.
        header_bytes : int or None
            Length of the JSON part; None is all of it, 0 means that the body is one raw tensor.

        Returns
        -------
        InferRequest
            Rows in signature order.

        Raises
        ------
        InvalidRequest
            If the JSON, a length, a shape, a datatype or a value is wrong.
        SchemaMismatch
            If inputs are missing, doubled or not the model's.
        UnknownName
            If an output is asked for that the model does not give.
        """
        if header_bytes == 0:
            return self._decode_raw(body)
        if header_bytes is not None and header_bytes > len(body):
            message = f"inference-header-content-length: expected at most the {len(body)} bytes of the body, got more"
            raise InvalidRequest(message, hint="send the length of the JSON part, before any compression")
        head = body if header_bytes is None else body[:header_bytes]
        check_nesting(head)
        try:
            request = _decode_request(head)
        except msgspec.ValidationError as error:
            raise _wrong_form(head, error) from error
        except _NOT_JSON as error:
            raise malformed(error) from error
        options = request.parameters or _NO_DATA
        outputs, binary = self._wanted(request.outputs, is_binary=options.binary_data_output is True)
        if header_bytes is None:
            inputs = [_from_json(tensor) for tensor in request.inputs]
        else:
            inputs = _from_both(request.inputs, memoryview(body)[header_bytes:])
        return InferRequest(
            self._tensors.batch(inputs),
            outputs,
            binary,
            request.id,
            options.routing_key,
            max(1, options.timeout // 1_000) if options.timeout else None,
        )

    def _wanted(self, asked: list[_Wanted] | None, *, is_binary: bool) -> tuple[tuple[str, ...], frozenset[str]]:
        """Return the outputs, and which of them as raw bytes; an output's own wish wins."""
        if not asked:
            return self._all, frozenset(self._all if is_binary else ())
        binary: set[str] = set()
        for output in asked:
            own = output.parameters
            wish = None if own is None else own.binary_data
            if is_binary if wish is None else wish:
                binary.add(output.name)
            if own is not None and (own.classification or own.shared_memory_region is not None):
                message = f"output `{output.name[:NAME]}`: classification and shared memory are not offered"
                raise InvalidRequest(message, hint="leave out `classification` and `shared_memory_region`")
        return self._tensors.wanted(output.name for output in asked), frozenset(binary)

    def _decode_raw(self, body: bytes) -> InferRequest:
        """Read a body that is one tensor: all columns of one kind, or the only one; all outputs come back raw."""
        tensors = self._tensors
        signature = tensors.signature
        if not tensors.is_matrix and self._only is None:
            message = f"a raw body is one tensor, and this model has {len(signature.columns)} inputs"
            raise InvalidRequest(message, hint="send a JSON part that names the inputs, and its length")
        column, width = signature.columns[0], len(signature.columns)
        name = MATRIX if tensors.is_matrix else column.name
        datatype = DECLARED[column.type]
        if datatype == "BYTES":  # as Triton has it: the whole body is the one element, without a length
            body, rows = len(body).to_bytes(4, "little") + body, 1
        else:
            row = width * DATATYPES[datatype].width
            rows, rest = divmod(len(body), row)
            if rest:
                raise refused(name, f"a multiple of {row} bytes ({width} x {datatype})", f"{len(body)} bytes")
        shape = [rows, width] if tensors.is_matrix else [rows]
        batch = tensors.batch([read_tensor(name, datatype, shape, body)])
        return InferRequest(batch, self._all, frozenset(self._all))


def header_length(value: bytes | None) -> int | None:
    """Return the length of the JSON part that a header states; None without the header.

    Raises
    ------
    InvalidRequest
        If it is no whole number.
    """
    if value is None:
        return None
    if not value.isdigit():
        message = "inference-header-content-length: expected a whole number of bytes, got something else"
        raise InvalidRequest(message, hint="send the length of the JSON part, or leave the header out")
    return int(value[:18])


def _from_both(tensors: list[_Tensor], tail: memoryview) -> list[InputTensor]:
    """Read inputs of which some are raw bytes, in their order, behind the JSON part."""
    found, offset = [], 0
    for tensor in tensors:
        size = None if tensor.parameters is None else tensor.parameters.binary_data_size
        if size is None:
            found.append(_from_json(tensor))
            continue
        if tensor.data:
            raise refused(tensor.name, "either `data` or `binary_data_size`", "both")
        if offset + size > len(tail):
            raise refused(tensor.name, f"{size} bytes behind the JSON part", f"{len(tail) - offset} bytes")
        found.append(read_tensor(tensor.name, tensor.datatype, tensor.shape, tail[offset : offset + size]))
        offset += size
    if offset != len(tail):
        message = f"the body: expected {offset} bytes behind the JSON part by all `binary_data_size`, got {len(tail)}"
        raise InvalidRequest(message, hint="state the exact size of each binary input, and of the JSON part")
    return found


def _from_json(tensor: _Tensor) -> InputTensor:
    """Read one tensor's ``data``: numbers as float64 with NaN for null, texts as objects."""
    name, datatype, shape = tensor.name, tensor.datatype, tensor.shape
    decoders = _DECODERS.get(datatype)
    if decoders is None:
        is_known = datatype in DATATYPES
        got = f"{datatype} in JSON, which has none" if is_known else f"`{datatype[:20]}`"
        expected = "binary data" if is_known else "a datatype of the protocol"
        raise refused(name, expected, got)
    cells = _cells(tensor, decoders)
    count = count_of(name, shape)
    if len(cells) != count:
        raise refused(name, f"{count} elements for shape {shown(shape)}", str(len(cells)))
    if datatype == "BYTES":
        texts = np.empty(count, dtype=np.object_)
        texts[:] = cells
        return InputTensor(name, datatype, shape, texts)
    values = np.array(cells, dtype=np.float64)
    if datatype == "FP32":
        with np.errstate(over="ignore"):  # what is beyond its range becomes infinite, and is refused
            values = values.astype(np.float32)
    return InputTensor(name, datatype, shape, values)


def _cells(tensor: _Tensor, decoders: tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]) -> list[Any]:
    """Return the elements of ``data``, flat or nested, in one list."""
    name, shape = tensor.name, tensor.shape
    if tensor.parameters is not None and tensor.parameters.binary_data_size is not None:
        got = "binary data without the header `inference-header-content-length`"
        raise refused(name, "`data`", got, "send the header, or `data` without `binary_data_size`")
    data = bytes(tensor.data)
    if not data or data == b"null":
        raise refused(name, "`data`", "none", "send `data`, or `binary_data_size` and the bytes")
    is_nested = len(shape) == _PLANE and (data[1:2] == b"[" or data[1:].lstrip()[:1] == b"[")
    try:
        cells: list[Any] = decoders[is_nested].decode(data)
    except msgspec.ValidationError as error:
        raise _wrong_value(tensor, error) from error
    except _NOT_JSON as error:
        what = f"`data` of input `{name[:NAME]}`"
        raise malformed(error, what=what) from error
    if not is_nested:
        return cells
    if len(cells) != shape[0] or any(len(row) != shape[1] for row in cells):
        raise refused(name, f"nested data of shape {shown(shape)}", "another nesting")
    return list(chain.from_iterable(cells))


def _wrong_value(tensor: _Tensor, error: msgspec.ValidationError) -> InvalidRequest:
    """Word a wrong type among a tensor's data."""
    return InvalidRequest(
        f"input `{tensor.name[:NAME]}` of {tensor.datatype}: {_plain(error)}",
        hint="send elements of the datatype, or null for a missing one",
        details={"field": tensor.name[:NAME]},
    )


def _wrong_form(head: bytes, error: msgspec.ValidationError) -> InvalidRequest:
    """Word a request that is not of the protocol's form, by the name of the input that is not."""
    hint = "send `inputs` with name, datatype, shape, data"
    found = _PATH.search(str(error))
    name = _name_of(head, int(found["place"])) if found else None
    if found is None or name is None:
        return InvalidRequest(f"not an inference request: {_plain(error)}", hint=hint)
    sentence = str(error)[: found.start()].replace("`", "")
    place = f"{found['rest']}: " if found["rest"] else ""
    message = f"input `{name[:NAME]}`: {place}{sentence[:1].lower()}{sentence[1:]}"[:300]
    return InvalidRequest(message, hint=hint, details={"field": name[:NAME]})


def _name_of(head: bytes, place: int) -> str | None:
    """Return the name of an input, None if it has none or what follows it is no JSON."""
    try:
        name = msgspec.json.decode(_decode_names(head).inputs[place]["name"])
    except (*_NOT_JSON, LookupError):
        return None
    return name if isinstance(name, str) else None


def _plain(error: msgspec.ValidationError) -> str:
    """Return the decoder's sentence, which names types and places but no values."""
    sentence = str(error).replace("$.", "").replace("$[", "data[").replace("`", "")
    return (sentence[:1].lower() + sentence[1:])[:300]

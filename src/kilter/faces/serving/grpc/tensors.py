"""Tensors in the two forms that gRPC knows: raw bytes beside the message, or typed values inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.errors import InvalidRequest
from kilter.faces.serving.oip.arrays import InputTensor
from kilter.faces.serving.oip.binary import count_of, read_tensor, write_tensor
from kilter.faces.serving.oip.datatype import DATATYPES
from kilter.faces.serving.oip.refusal import refused, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.faces.serving.grpc.messages import Message
    from kilter.faces.serving.oip.arrays import OutputTensor

__all__ = ["TYPED", "inputs_of", "put_outputs"]

TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field of each datatype that has one; FP16 and BF16 travel raw only."""

_ALL_OR_NONE = "send all inputs in raw_input_contents, or all in contents"

_KINDS = {
    "bool_contents": np.bool_,
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "uint_contents": np.uint32,
    "uint64_contents": np.uint64,
    "fp32_contents": np.float32,
    "fp64_contents": np.float64,
}


def inputs_of(request: Message) -> list[InputTensor]:
    """Read the inputs of a ``ModelInferRequest``.

    Parameters
    ----------
    request : inference.ModelInferRequest
        With ``raw_input_contents`` for all inputs, or for none.

    Returns
    -------
    list of InputTensor
        Raw numbers are views of the message, not copies.

    Raises
    ------
    InvalidRequest
        If the two forms are mixed, a tensor's values do not fit its shape and datatype, or it is said
        to lie in shared memory.
    """
    raw = request.raw_input_contents
    if not raw:
        return [_typed(tensor) for tensor in request.inputs]
    if len(raw) != len(request.inputs):
        message = f"raw_input_contents: expected one entry for each of {len(request.inputs)} inputs, got {len(raw)}"
        raise InvalidRequest(message, hint=_ALL_OR_NONE, details={"field": "raw_input_contents"})
    inputs = []
    for tensor, data in zip(request.inputs, raw, strict=True):
        if tensor.HasField("contents"):
            raise refused(tensor.name, "no contents beside raw_input_contents", "both", _ALL_OR_NONE)
        inputs.append(read_tensor(tensor.name, tensor.datatype, list(tensor.shape), data))
    return inputs


def put_outputs(response: Message, outputs: Sequence[OutputTensor], *, is_raw: bool) -> None:
    """Write outputs into a ``ModelInferResponse``, in one form or the other."""
    for output in outputs:
        name, datatype, shape, array = output
        tensor = response.outputs.add(name=name, datatype=datatype, shape=shape)
        if is_raw:
            response.raw_output_contents.append(write_tensor(output))
        elif isinstance(array, list):
            tensor.contents.bytes_contents.extend([cell.encode() for cell in array])
        else:
            getattr(tensor.contents, TYPED[datatype]).extend(array.tolist())


def _typed(tensor: Message) -> InputTensor:
    """Read one tensor in the typed form."""
    name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
    field = TYPED.get(datatype)
    if field is None and datatype in DATATYPES:
        raise refused(name, "raw_input_contents, because the typed form has none of its values", datatype, _ALL_OR_NONE)
    if field is None:
        raise refused(name, "a datatype of the protocol", f"`{datatype[:20]}`")
    others = [each.name for each, _ in tensor.contents.ListFields() if each.name != field]
    if others:
        raise refused(name, f"{field} alone for {datatype}", ", ".join(others))
    values = getattr(tensor.contents, field)
    count = count_of(name, shape)
    if len(values) != count:
        expected = f"{count} elements for shape {shown(shape)} in {field}"
        if "shared_memory_region" in tensor.parameters:
            raise refused(name, expected, "shared memory, which is not offered", "send the values in the request")
        raise refused(name, expected, str(len(values)))
    if field != "bytes_contents":
        return InputTensor(name, datatype, shape, np.array(list(values), dtype=_KINDS[field]))
    texts = np.empty(count, dtype=np.object_)
    try:
        texts[:] = [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise refused(name, "UTF-8 in BYTES", "an element that is none", "encode texts as UTF-8") from error
    return InputTensor(name, datatype, shape, texts)

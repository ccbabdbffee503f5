"""Tensors as raw bytes: little-endian, row-major, without padding."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

from kilter.faces.serving.limits import ELEMENTS
from kilter.faces.serving.oip.arrays import InputTensor
from kilter.faces.serving.oip.datatype import DATATYPES
from kilter.faces.serving.oip.refusal import refused, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilter.faces.serving.oip.arrays import OutputTensor

__all__ = ["count_of", "read_tensor", "write_tensor"]

_LENGTH = Struct("<I")
_RANK = 8


def read_tensor(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> InputTensor:
    """Return a tensor of raw bytes; numbers are a view of them, not a copy.

    Parameters
    ----------
    name, datatype : str
        As the caller said.
    shape : sequence of int
        As the caller said; its product must fit the bytes exactly.
    data : bytes or memoryview
        The tensor and nothing else.

    Returns
    -------
    InputTensor
        Flat; its relation to a model is not checked yet.

    Raises
    ------
    InvalidRequest
        If the datatype is unknown, the size differs, a BOOL is neither 0 nor 1, or BYTES are torn or
        no UTF-8.
    """
    known = DATATYPES.get(datatype)
    if known is None:
        raise refused(name, "a datatype of the protocol", f"`{datatype[:20]}`")
    count = count_of(name, shape)
    if not known.width:
        return InputTensor(name, datatype, shape, _texts(name, shape, count, data))
    if len(data) != count * known.width:
        expected = f"{count * known.width} bytes for {datatype} of shape {shown(shape)}"
        raise refused(name, expected, f"{len(data)} bytes")
    array: NDArray[Any] = np.frombuffer(data, known.kind)
    if datatype == "BOOL" and count and int(array.view(np.uint8).max()) > 1:
        raise refused(name, "bytes 0 or 1 for BOOL", "another byte")
    if datatype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return InputTensor(name, datatype, shape, array)


def count_of(name: str, shape: Sequence[int]) -> int:
    """Return the number of elements of a shape; nothing is allocated before.

    Raises
    ------
    InvalidRequest
        If a dimension is negative, or there are more dimensions or elements than any request may have.
    """
    if len(shape) > _RANK:
        raise refused(name, f"at most {_RANK} dimensions", str(len(shape)))
    count = 1
    for size in shape:
        if size < 0:
            raise refused(name, "dimensions of 0 or more", shown(shape))
        count *= size
    if count > ELEMENTS:
        raise refused(name, f"at most {ELEMENTS} elements", f"shape {shown(shape)}")
    return count


def _texts(name: str, shape: Sequence[int], count: int, data: bytes | memoryview) -> NDArray[np.object_]:
    """Read elements of (u32 length, bytes)."""
    size, offset = len(data), 0
    if count * _LENGTH.size > size:
        raise refused(name, f"at least {count * _LENGTH.size} bytes for BYTES of shape {shown(shape)}", f"{size} bytes")
    cells: list[str] = []
    raw, length_at = bytes(data), _LENGTH.unpack_from
    try:
        for _ in range(count):
            begin = offset + 4
            offset = begin + length_at(raw, offset)[0] if begin <= size else size + 1
            if offset > size:
                message = "elements of a length and that many bytes"
                raise refused(name, message, f"an end after {len(cells)} of {count} elements")
            cells.append(raw[begin:offset].decode())
    except UnicodeDecodeError as error:
        message = "UTF-8 in BYTES"
        raise refused(name, message, f"element {len(cells)} that is none", "encode texts as UTF-8") from error
    if offset != size:
        raise refused(name, f"{count} elements for shape {shown(shape)}", f"{size - offset} bytes more")
    texts = np.empty(count, dtype=np.object_)
    texts[:] = cells
    return texts


def _element(cell: bytes) -> bytes:
    """Return one element of BYTES."""
    return _LENGTH.pack(len(cell)) + cell


def write_tensor(tensor: OutputTensor) -> bytes:
    """Return an output's raw bytes."""
    array = tensor.array
    if isinstance(array, list):
        written = {cell: _element(cell.encode()) for cell in set(array)}  # labels: few, and often the same
        return b"".join([written[cell] for cell in array])
    return array.astype(DATATYPES[tensor.datatype].kind, copy=False).tobytes()

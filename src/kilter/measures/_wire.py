"""The byte form of named arrays: one canonical encoding, checked on the way back."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

import numpy as np

from kilter.errors import ChecksumMismatch, FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

    Section: TypeAlias = "NDArray[np.int64] | NDArray[np.uint64] | FloatArray"
    Fact: TypeAlias = "str | int | float | list[Fact] | dict[str, Fact] | None"

_DIGEST_BYTES = 32
_ALIGN = 8


def pack(magic: bytes, facts: Mapping[str, Fact], sections: Mapping[str, Section]) -> bytes:
    """Encode facts and arrays: magic, header length, JSON header, aligned sections, SHA-256 of all before."""
    table: list[Fact] = []
    body = bytearray()
    for name in sorted(sections):
        array = _smallest(sections[name])
        body += b"\0" * (-len(body) % _ALIGN)
        table.append([name, array.dtype.str, [*array.shape], len(body)])
        body += array.tobytes()
    header = json.dumps({**facts, "sections": table}, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-(len(magic) + 4 + len(header)) % _ALIGN)
    data = magic + struct.pack("<I", len(header)) + header + bytes(body)
    return data + hashlib.sha256(data).digest()


def unpack(magic: bytes, data: bytes, *, what: str) -> tuple[dict[str, Fact], dict[str, Section]]:
    """Decode what ``pack`` made; arrays come back as int64, uint64 or float64."""
    if data[:3] == magic[:3] and data[3:4] > magic[3:4]:
        msg = f"this {what} was written by a newer kilter: form {data[:4].decode('latin-1')}, known is {magic.decode()}"
        raise FormatError(
            msg,
            hint="use at least the kilter that wrote it",
        )
    if data[:4] != magic or len(data) < len(magic) + 4 + _DIGEST_BYTES:
        msg = f"these bytes are no {what}: they do not start with {magic.decode()}"
        raise ChecksumMismatch(msg, hint="register the version again")
    content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        msg = f"this {what} is damaged: its checksum does not fit"
        raise ChecksumMismatch(msg, hint="restore it from a backup")
    (length,) = struct.unpack("<I", content[4:8])
    header = json.loads(content[8 : 8 + length])
    start = 8 + length
    sections: dict[str, Section] = {}
    for name, kind, shape, offset in header.pop("sections"):
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(content, dtype=dtype, count=count, offset=start + offset)
        wide = {"f": np.float64, "u": np.uint64, "i": np.int64}[dtype.kind]
        sections[name] = flat.astype(wide).reshape(shape)
    return header, sections


def _smallest(array: Section) -> Section:
    """Return the array little-endian, integers in the fewest bytes that hold them."""
    if array.dtype.kind == "f":
        return array.astype("<f8")
    if array.dtype.kind == "u":
        return array.astype("<u8")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in ("<i1", "<i2", "<i4"):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return array.astype(kind)
    return array.astype("<i8")

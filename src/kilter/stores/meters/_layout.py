"""The bytes of a meter file: a header of 64 bytes, then rows that only ever get added.

::

    header   0 magic "KMET" | 4 u32 version | 8 u64 layout | 16 u64 pid | 24 u64 born | 32 u64 end | 40 zeros
    row      0 u32 size | 4 u16 kind | 6 u16 length of key | 8 u32 CRC-32 of size, kind, slots, key | 12 u32 slots
             16 key: JSON array of name and labels, filled up to a multiple of 8 | u64 slots

All numbers are little-endian. A row lies within one slab of 64 KiB and never moves. It is there once
``end`` is behind it *and* its checksum is right: whatever order another core sees the writes in, a
row is seen whole or not at all. Its slots change afterwards, one aligned 8-byte store at a time.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from kilter.contracts.meters import BOUNDS_NS, METRICS, MeterKind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "COMPUTE",
    "END_AT",
    "HEADER_BYTES",
    "LAST",
    "OTHER",
    "QUEUE",
    "ROWS",
    "ROW_HEAD_BYTES",
    "SERIES",
    "SERIES_SLOTS",
    "SLAB_BYTES",
    "TOTAL",
    "WIDTH",
    "FileHead",
    "Key",
    "Row",
    "RowKind",
    "gauge_kinds",
    "kind_of",
    "layout",
    "pack_head",
    "pack_row",
    "read_head",
    "read_rows",
    "row_bytes",
]

Key = tuple[str, ...]
"""Name and labels of a row."""

HEADER_BYTES: Final = 64
SLAB_BYTES: Final = 65_536
ROW_HEAD_BYTES: Final = 16
END_AT: Final = 32

SERIES: Final = "series"
"""Name of a row that holds all counts of one deployment, version, arm and face."""

OTHER: Final = "other"
"""Every label of a row that counts what found no room."""

WIDTH: Final = len(BOUNDS_NS) + 2
"""Slots of one histogram: its buckets, one more for the rest, and the sum."""

TOTAL, COMPUTE, QUEUE = 0, WIDTH, 2 * WIDTH
ROWS, LAST = 3 * WIDTH, 3 * WIDTH + 1
SERIES_SLOTS: Final = 3 * WIDTH + 2

_MAGIC, _VERSION = b"KMET", 1
_HEAD = struct.Struct("<4sIQQQQ24x")
_ROW = struct.Struct("<IHHII")
_CHECKED = struct.Struct("<IHI")
_NOTHING = (0, 0, 0, 0, 0)
_MAX_KEY_BYTES: Final = 4_096


class RowKind(IntEnum):
    """What a row's slots are, and so how those of several processes become one."""

    SERIES = 1
    COUNTER = 2
    GAUGE_SUM = 3
    GAUGE_MAX = 4


class FileHead(NamedTuple):
    """Whose file it is, and up to where it is written."""

    layout: int
    pid: int
    born: int
    end: int


class Row(NamedTuple):
    """One row: ``at`` is the offset of its slots."""

    kind: RowKind
    key: Key
    at: int
    slots: int


@cache
def layout() -> int:
    """Return what two versions of kilter must share to add up their slots."""
    shape = [_VERSION, list(BOUNDS_NS), SERIES_SLOTS]
    digest = hashlib.blake2b(json.dumps(shape).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def kind_of(name: str) -> RowKind | None:
    """Return the kind of row of a counter or gauge; None for other names."""
    kinds = {
        MeterKind.COUNTER: RowKind.COUNTER,
        MeterKind.GAUGE_SUM: RowKind.GAUGE_SUM,
        MeterKind.GAUGE_MAX: RowKind.GAUGE_MAX,
    }
    return next((kinds.get(spec.kind) for spec in METRICS if spec.name == name), None)


def gauge_kinds() -> tuple[RowKind, ...]:
    """Return the kinds that die with their process."""
    return RowKind.GAUGE_SUM, RowKind.GAUGE_MAX


def pack_head(pid: int, born: int) -> bytes:
    """Return the header of an empty file."""
    return _HEAD.pack(_MAGIC, _VERSION, layout(), pid, born, HEADER_BYTES)


def read_head(data: bytes | memoryview) -> FileHead | None:
    """Return a file's header; None if it is no meter file or one of another format."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, *facts = _HEAD.unpack_from(data)
    return FileHead(*facts) if (magic, version) == (_MAGIC, _VERSION) else None


def row_bytes(key: Key, slots: int) -> int:
    """Return the size of a row; 0 if its key is too long to be one."""
    size = len(_text(key))
    return 0 if size > _MAX_KEY_BYTES else ROW_HEAD_BYTES + _filled(size) + 8 * slots


def pack_row(kind: RowKind, key: Key, slots: int) -> bytes:
    """Return a row of zeros."""
    text = _text(key)
    size = ROW_HEAD_BYTES + _filled(len(text)) + 8 * slots
    head = _ROW.pack(size, kind, len(text), _checksum(size, kind, slots, text), slots)
    return (head + text).ljust(size, b"\0")


def read_rows(data: bytes | memoryview, end: int) -> Iterator[Row]:
    """Yield the rows that are there; stop before one that is only half there."""
    at, end = HEADER_BYTES, min(end, len(data))
    while at < end:
        left = SLAB_BYTES - at % SLAB_BYTES
        size, kind, length, checksum, slots = _ROW.unpack_from(data, at) if left >= ROW_HEAD_BYTES else _NOTHING
        if not size:  # the rest of the slab was too short for a row
            at += left
            continue
        text = bytes(data[at + ROW_HEAD_BYTES : at + ROW_HEAD_BYTES + length])
        if size < ROW_HEAD_BYTES or size > left or checksum != _checksum(size, kind, slots, text):
            return
        yield Row(RowKind(kind), tuple(json.loads(text)), at + size - 8 * slots, slots)
        at += size


def _text(key: Key) -> bytes:
    """Return a key as it is stored."""
    return json.dumps(key, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _filled(size: int) -> int:
    """Round up to a multiple of 8."""
    return -size % 8 + size


def _checksum(size: int, kind: int, slots: int, text: bytes) -> int:
    """Return the checksum of what never changes in a row."""
    return zlib.crc32(text, zlib.crc32(_CHECKED.pack(size, kind, slots)))

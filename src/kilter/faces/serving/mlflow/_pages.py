"""What the pages of a Parquet column claim to hold, read from their headers before anything is unpacked.

The footer may say anything; a reader allocates what the page headers say. They are structures of
Thrift's compact protocol, one before each page.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Claims", "claims"]

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = frozenset({4, 5, 6})
_MAX_DEPTH = 8
_MAX_SHIFT = 63
_LONG = 15
_UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_V2 = 2, 3, 5, 7, 8
_COUNT = 1
_ENCODING = {_DATA: 2, _DATA_V2: 4}
_BY_DICTIONARY = frozenset({2, 8})
_PREFIXED = 7  # DELTA_BYTE_ARRAY: each value may repeat all of the one before


class Claims(NamedTuple):
    """What a column's pages say: bytes once unpacked, and a bound on them once every value stands alone.

    ``is_prefixed``: values are written as what differs from the one before.
    """

    unpacked: int
    alone: int
    is_prefixed: bool


def claims(body: bytes, start: int, end: int) -> Claims:
    """Return what the pages between two offsets claim.

    Raises
    ------
    ValueError
        If the offsets or a header are malformed.
    """
    if not 0 <= start <= end <= len(body):
        message = "a column lies outside of the file"
        raise ValueError(message)
    scan = _Scan(body, start, end)
    total, alone, dictionary, is_prefixed = 0, 0, 0, False
    while scan.place < end:
        header = scan.struct(0)
        unpacked, packed = header.get(_UNPACKED), header.get(_PACKED)
        if not (isinstance(unpacked, int) and isinstance(packed, int)) or unpacked < 0 or packed < 0:
            message = "a page has no size"
            raise ValueError(message)
        if _DICTIONARY in header:
            dictionary = max(dictionary, unpacked)
        encoding, count = _coding(header)
        is_prefixed = is_prefixed or encoding == _PREFIXED
        total += unpacked
        alone += {_PREFIXED: unpacked}.get(encoding, dictionary if encoding in _BY_DICTIONARY else 0) * count + unpacked
        scan.place += packed
    if scan.place > end:
        message = "a page is longer than its column"
        raise ValueError(message)
    return Claims(total, alone, is_prefixed)


def _coding(header: dict[int, object]) -> tuple[int, int]:
    """Return how a page's values are written, and how many there are; nought where it holds none."""
    for kind, place in _ENCODING.items():
        data = header.get(kind)
        if isinstance(data, dict):
            return data.get(place, 0), max(0, data.get(_COUNT, 0))
    return 0, 0


class _Scan:
    """A place in bytes of the compact protocol."""

    def __init__(self, body: bytes, place: int, end: int) -> None:
        self._body = body
        self._end = end
        self.place = place

    def struct(self, depth: int) -> dict[int, object]:
        """Read a structure: integers and inner structures by field number, the rest skipped."""
        if depth > _MAX_DEPTH:
            message = "a page header is nested too deeply"
            raise ValueError(message)
        fields: dict[int, object] = {}
        number = 0
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 0x0F
            if kind in _INTEGERS:
                fields[number] = self._zigzag()
            elif kind == _STRUCT:
                fields[number] = self.struct(depth + 1)
            elif kind not in {_TRUE, _FALSE}:
                self._skip(kind, depth)
        return fields

    def _skip(self, kind: int, depth: int) -> None:
        """Pass over one value."""
        if kind in {_TRUE, _FALSE, _BYTE}:
            self._byte()
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _DOUBLE:
            self.place += 8
        elif kind == _BINARY:
            length = self._varint()
            self.place += length
        elif kind == _STRUCT:
            self.struct(depth + 1)
        elif kind in {_LIST, _SET}:
            head = self._byte()
            for _ in range(self._length(head >> 4)):
                self._skip(head & 0x0F, depth + 1)
        else:  # a map has no place in a page header
            message = "a page header holds an unknown type"
            raise ValueError(message)

    def _length(self, short: int) -> int:
        """Return the length of a list, which cannot be longer than what is left."""
        length = self._varint() if short == _LONG else short
        if length > self._end - self.place:
            message = "a page header is cut off"
            raise ValueError(message)
        return length

    def _byte(self) -> int:
        """Read one byte."""
        if self.place >= self._end:
            message = "a page header is cut off"
            raise ValueError(message)
        self.place += 1
        return self._body[self.place - 1]

    def _varint(self) -> int:
        """Read a number of variable length."""
        number = shift = 0
        while shift <= _MAX_SHIFT:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        message = "a page header holds an endless number"
        raise ValueError(message)

    def _zigzag(self) -> int:
        """Read a signed number of variable length."""
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

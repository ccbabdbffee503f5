"""Bytes of a segment: its header, its frames, and the walk that tells whole frames from damage."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

import msgspec
import numpy as np

from kilter.contracts.prediction import (
    Arm,
    EventRecord,
    FeedbackRecord,
    LogRecord,
    PredictionRecord,
    RecordKind,
    SchemaRecord,
)
from kilter.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CARRIED",
    "FRAME_HEAD",
    "HEADER_BYTES",
    "MAX_FRAME_BYTES",
    "Codec",
    "Header",
    "Span",
    "Walk",
    "decode_header",
    "encode_header",
    "frame",
    "frame_at",
    "seal_frame",
    "walk",
]

HEADER_BYTES = 64
FRAME_HEAD = struct.Struct("<II")  # length of the payload, crc32 of the length and the payload
MAX_FRAME_BYTES = 64 * 1024 * 1024
FORMAT_VERSION = 1

_HEADER = struct.Struct("<8sHHI16sQII8sI")  # without the last four bytes, its crc32
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_SEAL = struct.Struct("<BQQQQ")  # kind, records, bytes before, least and greatest ts_ns
_MAGIC = b"KILTSEG1"
_RECORD_SCHEMA = 1
CARRIED = "log.carried"
"""Name of the event before records that a writer wrote again, because a sync of their first place failed."""

_MAX_SEEDS = 4_096
_KINDS = tuple(int(kind) for kind in RecordKind)

Span: TypeAlias = tuple[int, int]
"""Start and end of a frame's payload in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first 64 bytes. ``version`` and ``flags`` are judged by the reader, not here."""

    segment_id: bytes
    created_ns: int
    slot: int
    pid: int
    node: bytes
    version: int = FORMAT_VERSION
    flags: int = 0


def encode_header(header: Header) -> bytes:
    """Return the 64 bytes of a header."""
    body = _HEADER.pack(
        *(_MAGIC, header.version, header.flags, _RECORD_SCHEMA, header.segment_id),
        *(header.created_ns, header.slot, header.pid, header.node, 0),
    )
    return body + _CRC.pack(crc32(body))


def decode_header(data: bytes) -> Header | None:
    """Return the header, or None if it is short, foreign or damaged."""
    if len(data) < HEADER_BYTES:
        return None
    body = data[: _HEADER.size]
    magic, version, flags, _, segment_id, created_ns, slot, pid, node, _ = _HEADER.unpack(body)
    if magic != _MAGIC or _CRC.unpack_from(data, _HEADER.size)[0] != crc32(body):
        return None
    return Header(
        segment_id=segment_id,
        created_ns=created_ns,
        slot=slot,
        pid=pid,
        node=node,
        version=version,
        flags=flags,
    )


def frame(payload: bytes) -> bytes:
    """Return the bytes of one frame."""
    length = len(payload)
    return FRAME_HEAD.pack(length, crc32(payload, crc32(_LENGTH.pack(length)))) + payload


def seal_frame(*, records: int, offset: int, min_ts_ns: int, max_ts_ns: int) -> bytes:
    """Return the frame that ends a segment."""
    return frame(_SEAL.pack(RecordKind.SEAL, records, offset, min_ts_ns, max_ts_ns))


# ── Walk ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What a segment file holds: whole frames, gaps between them, and what is left at the end.

    ``end`` is the first byte after the last whole frame; ``gap_bytes`` counts damage before it.
    """

    spans: tuple[Span, ...]
    end: int
    size: int
    gap_bytes: int
    is_sealed: bool
    records: int
    min_ts_ns: int
    max_ts_ns: int
    is_carried: bool

    @property
    def tail_bytes(self) -> int:
        """Bytes after the last whole frame."""
        return self.size - self.end


def walk(data: bytes) -> Walk:
    """Find the whole frames of a segment, over any damage."""
    spans: list[Span] = []
    times: list[int] = []
    position, end, gap_bytes, is_sealed, is_carried = HEADER_BYTES, HEADER_BYTES, 0, False, False
    view = memoryview(data)
    codec = Codec()
    while position < len(data) and not is_sealed:
        span = frame_at(view, position)
        stamps = () if span is None else codec.stamps(view[span[0] : span[1]])
        if span is None or stamps is None:
            position = _next_frame(view, position + 1)
            continue
        gap_bytes += position - end
        position = end = span[1]
        spans.append(span)
        times += stamps
        is_sealed = data[span[0]] == RecordKind.SEAL
        is_carried |= data[span[0]] == RecordKind.EVENT and CARRIED.encode() in data[span[0] : span[1]]
    if is_sealed:  # whole frames cut out or put in leave no gap, but move the seal
        start = spans[-1][0]
        gap_bytes = max(gap_bytes, abs(_SEAL.unpack_from(data, start)[2] - (start - FRAME_HEAD.size)))
    return Walk(
        spans=tuple(spans),
        end=end,
        size=len(data),
        gap_bytes=gap_bytes,
        is_sealed=is_sealed,
        records=len(times),
        min_ts_ns=min(times, default=0),
        max_ts_ns=max(times, default=0),
        is_carried=is_carried,
    )


def frame_at(view: memoryview, position: int) -> Span | None:
    """Return the payload's span if a whole frame stands here."""
    start = position + FRAME_HEAD.size
    if start >= len(view):
        return None
    length, crc = FRAME_HEAD.unpack_from(view, position)
    end = start + length
    if not 1 <= length <= MAX_FRAME_BYTES or end > len(view):
        return None
    if crc32(view[start:end], crc32(view[position : position + 4])) != crc:
        return None
    return start, end


def _next_frame(view: memoryview, position: int) -> int:
    """Return the first offset from here where a whole frame stands, or the end.

    Every offset is tried; those whose length or kind cannot be are sorted out by columns first.
    """
    step = 1 << 20
    while position < len(view) - FRAME_HEAD.size:
        last = min(position + step, len(view) - FRAME_HEAD.size)
        byte = np.frombuffer(view[position : last + FRAME_HEAD.size], dtype=np.uint8).astype(np.int64)
        n = last - position
        length = byte[:n] | byte[1 : n + 1] << 8 | byte[2 : n + 2] << 16 | byte[3 : n + 3] << 24
        kind = byte[FRAME_HEAD.size : FRAME_HEAD.size + n]
        room = len(view) - FRAME_HEAD.size - np.arange(position, last)
        fits = (length >= 1) & (length <= np.minimum(room, MAX_FRAME_BYTES)) & np.isin(kind, _KINDS)
        for offset in np.flatnonzero(fits):
            if frame_at(view, position + int(offset)) is not None:
                return position + int(offset)
        position = last
    return len(view)


# ── Records ──────────────────────────────────────────────────────────────────────────────────────
# Arrays in the order of the contracts' fields. Fields are only ever appended; a reader ignores what it does
# not know at the end and takes the default of what is not there yet.


class _Prediction(msgspec.Struct, array_like=True, frozen=True):
    prediction_id: str
    ts_ns: int
    deployment: str
    version: int
    digest: str
    generation: int
    arm: Arm
    propensity: float
    face: str
    rows: int
    numeric: bytes
    text: tuple[str | None, ...]
    raw: bytes
    outputs: bytes
    threshold: float
    key: int
    entity_id: str | None = None
    compute_us: int = 0
    total_us: int = 0
    flags: int = 0
    request_id: str = ""
    parent_id: str = ""
    rollout_id: str = ""
    error_code: str = ""
    queue_us: int = 0
    trace_id: str = ""


class _Feedback(msgspec.Struct, array_like=True, frozen=True):
    feedback_id: str
    ts_ns: int
    deployment: str
    label: str
    observed_ns: int
    prediction_id: str = ""
    entity_id: str = ""
    name: str = ""
    source: str = ""
    weight: float = 1.0


class _Event(msgspec.Struct, array_like=True, frozen=True):
    ts_ns: int
    name: str
    detail: str
    deployment: str = ""


class _Schema(msgspec.Struct, array_like=True, frozen=True):
    digest: str
    numeric: tuple[str, ...]
    text: tuple[str, ...]
    classes: tuple[str, ...]
    target: str


_SHAPES: dict[RecordKind, tuple[type[LogRecord], type[msgspec.Struct]]] = {
    RecordKind.PREDICTION: (PredictionRecord, _Prediction),
    RecordKind.SHADOW: (PredictionRecord, _Prediction),
    RecordKind.FAILURE: (PredictionRecord, _Prediction),
    RecordKind.FEEDBACK: (FeedbackRecord, _Feedback),
    RecordKind.EVENT: (EventRecord, _Event),
    RecordKind.SCHEMA: (SchemaRecord, _Schema),
}


class Codec:
    """Turns records into payloads and frames, and back."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders = {int(kind): msgspec.msgpack.Decoder(shape) for kind, (_, shape) in _SHAPES.items()}
        self._prefix = {kind: bytes((kind,)) for kind in _SHAPES}
        self._values: dict[type, tuple[bytes, Callable[[LogRecord], tuple[object, ...]]]] = {
            made: (self._prefix[kind], attrgetter(*shape.__struct_fields__))
            for kind, (made, shape) in _SHAPES.items()
            if made is not PredictionRecord
        }
        self._seeds: dict[int, int] = {}  # checksums of lengths: a deployment's records have few

    def encode(self, record: LogRecord) -> bytes:
        """Return a record's payload: its kind, then its fields.

        Raises TypeError, ValueError or OverflowError if a field cannot be encoded.
        """
        if isinstance(record, PredictionRecord):
            return self._prefix[record[0]] + self._encode(record[1:])
        prefix, values = self._values[type(record)]
        return prefix + self._encode(values(record))

    def frame(self, record: LogRecord) -> bytes:
        """Return the frame of a record: length, checksum, payload.

        Raises
        ------
        InvalidRequest
            If the record holds what cannot be encoded, such as half a character.
        TooLarge
            If it has more than 64 MiB.
        """
        try:
            payload = self.encode(record)
        except (TypeError, ValueError, OverflowError) as cause:
            message = "a record does not fit the prediction log"
            hint = "send text that is valid Unicode, and whole numbers below 2^64"
            raise InvalidRequest(message, why=str(cause), hint=hint) from cause
        length = len(payload)
        seed = self._seeds.get(length)
        if seed is None:
            if length > MAX_FRAME_BYTES:
                message = f"a log record is limited to {MAX_FRAME_BYTES} bytes, got {length}"
                raise TooLarge(message, hint="send fewer rows in one request")
            if len(self._seeds) >= _MAX_SEEDS:
                self._seeds.clear()
            seed = self._seeds[length] = crc32(_LENGTH.pack(length))
        return FRAME_HEAD.pack(length, crc32(payload, seed)) + payload

    def decode(self, payload: memoryview) -> LogRecord | None:
        """Return a payload's record, None for a seal or a kind of a later release.

        Raises ValueError (msgspec's) if the fields are not those of the kind.
        """
        kind = payload[0]
        decoder = self._decoders.get(kind)
        if decoder is None:
            return None
        values = msgspec.structs.astuple(decoder.decode(payload[1:]))
        made, shape = _SHAPES[RecordKind(kind)]
        if made is PredictionRecord:
            return PredictionRecord(RecordKind(kind), *values)
        return made(**dict(zip(shape.__struct_fields__, values, strict=True)))

    def stamps(self, payload: memoryview) -> tuple[int, ...] | None:
        """Return a record's time, nothing for a frame that is no record, None for one that cannot be read."""
        decoder = self._decoders.get(payload[0])
        if decoder is None:
            is_seal = payload[0] == RecordKind.SEAL
            return None if is_seal and len(payload) != _SEAL.size else ()
        try:
            body = decoder.decode(payload[1:])
        except ValueError:
            return None
        return (body.ts_ns,) if isinstance(body, (_Prediction, _Feedback, _Event)) else ()

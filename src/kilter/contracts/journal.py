"""The ports through which a serving process writes down what it answered and was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kilter.contracts.prediction import Arm, FeedbackRecord, RecordKind, SchemaRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.arrays import Array
    from kilter.contracts.batch import Batch
    from kilter.contracts.log import SegmentInfo
    from kilter.contracts.route import Route

__all__ = ["Journal", "JournalUpkeep"]


class Journal(Protocol):
    """Takes the records of one serving process, each before its answer leaves.

    Guarantees: what was acknowledged (True) survives ``kill -9`` of this process, at level ``disk``
    also loss of power, at level ``memory`` after the next ``flush``; records keep their order;
    columns named in ``route.redact`` never reach the log. One writing thread.
    """

    def describe(self, schema: SchemaRecord) -> None:
        """Name the columns of a version; written before its first record in every segment.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept anything.
        """
        ...

    def predicted(
        self,
        route: Route,
        *,
        kind: RecordKind = RecordKind.PREDICTION,
        prediction_id: str,
        version: int,
        digest: str,
        generation: int,
        arm: Arm,
        propensity: float,
        face: str,
        batch: Batch | None,
        raw: Array | None,
        outputs: Array | None,
        threshold: float,
        key: int,
        rows: int | None = None,
        entity_id: str | None = None,
        compute_us: int = 0,
        total_us: int = 0,
        flags: int = 0,
        request_id: str = "",
        parent_id: str = "",
        error_code: str = "",
    ) -> bool:
        """Write one request and its answer at the route's level; False if dropped and counted.

        ``outputs`` None means the same as ``raw``; ``batch`` and ``raw`` None stand for a failure.

        Raises
        ------
        JournalUnavailable
            If the record cannot be written and the route says ``fail``.
        """
        ...

    def feedback(self, route: Route, records: Sequence[FeedbackRecord]) -> bool:
        """Write labels in one piece, at the route's level; False if dropped and counted.

        Raises
        ------
        JournalUnavailable
            If they cannot be written and the route says ``fail``; none of them stays.
        """
        ...

    def event(self, name: str, detail: str, *, deployment: str = "") -> None:
        """Write something that happened to this process.

        Raises
        ------
        JournalUnavailable
            If it cannot be written.
        """
        ...


class JournalUpkeep(Protocol):
    """What the serving process does for its journal from time to time.

    Guarantees: same thread as the writes, but for ``sync``, which may run beside them; each call may
    be repeated. ``failing`` says whether the last write was refused.
    """

    failing: bool

    def flush(self) -> None:
        """Write the records of level ``memory`` that wait in a buffer.

        Raises
        ------
        JournalUnavailable
            If the log refuses.
        """
        ...

    def sync(self) -> None:
        """Force what was written to the device.

        Raises
        ------
        JournalUnavailable
            If the device refuses.
        """
        ...

    def seal(self) -> SegmentInfo | None:
        """Close the open segment, so that it can be compacted; None if it is empty.

        Raises
        ------
        JournalUnavailable
            If the seal cannot be written; the segment stays recoverable.
        """
        ...

    def close(self) -> None:
        """Seal and let go of the file.

        Raises
        ------
        JournalUnavailable
            As ``seal``.
        """
        ...

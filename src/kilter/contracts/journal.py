"""The ports through which a serving process writes down what it answered and was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.log import SegmentInfo
    from kilter.contracts.prediction import FeedbackRecord, PredictionRecord, SchemaRecord
    from kilter.contracts.route import Route

__all__ = ["Journal", "JournalUpkeep"]


class Journal(Protocol):
    """Takes the records of one serving process, each before its answer leaves.

    Guarantees: what was acknowledged (True) survives ``kill -9`` of this process, at level ``disk``
    also loss of power once ``durable`` has said so, at level ``memory`` after the next ``flush``;
    records keep their order; columns named in ``route.redact`` never reach the log. One writing thread.
    """

    def describe(self, schema: SchemaRecord) -> None:
        """Name the columns of a version; written before its first record in every segment.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept anything.
        """
        ...

    def predicted(self, route: Route, record: PredictionRecord) -> bool:
        """Write one request and its answer at the route's level; False if dropped and counted.

        Raises
        ------
        JournalUnavailable
            If the record cannot be written and the route says ``fail``.
        """
        ...

    def sync(self) -> None:
        """Force everything written so far to the device, waiting for it.

        Raises
        ------
        JournalUnavailable
            If the device refuses.
        """
        ...

    async def durable(self, route: Route | None = None, *, count: int = 1) -> bool:
        """Wait until everything written so far is on the device: what level ``disk`` promises.

        False if the device refused and the route says ``count``: then ``count`` records are lost.

        Raises
        ------
        JournalUnavailable
            If the device refuses, and the route does not say ``count``.
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

    Guarantees: same thread as the writes; each call may be repeated.
    """

    @property
    def failing(self) -> bool:
        """Say whether the log refuses; ``tend`` ends it as soon as it works again.

        Raises
        ------
        Nothing
        """
        ...

    def flush(self) -> None:
        """Write the records of level ``memory`` that wait in a buffer.

        Raises
        ------
        JournalUnavailable
            If the log refuses.
        """
        ...

    async def tend(self) -> None:
        """Sync in the background, end old segments, watch the room on the disk, try a log that refused.

        Raises
        ------
        JournalUnavailable
            If the log still refuses.
        """
        ...

    async def sealed(self) -> SegmentInfo | None:
        """Close the open segment, so that it can be compacted, while other requests are answered.

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
            If the seal cannot be written; the segment stays recoverable.
        """
        ...

"""The port through which serving processes write down what they answered and were told."""

from __future__ import annotations

from typing import Protocol

from kilter.contracts.prediction import EventRecord, FeedbackRecord, PredictionRecord, SchemaRecord

__all__ = ["Journal"]


class Journal(Protocol):
    """Takes the records of one serving process, each before its answer leaves.

    Guarantees: a record whose ``write`` returned True survives ``kill -9`` of this process, at
    level ``disk`` also loss of power; records keep their order. One writing thread.
    """

    def describe(self, schema: SchemaRecord) -> None:
        """Name the columns of a version; written before its first record in every segment.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept anything.
        """
        ...

    def write(
        self,
        record: PredictionRecord | FeedbackRecord | EventRecord,
        *,
        durable: str = "process",
        on_full: str = "fail",
    ) -> bool:
        """Write one record at a level of durability; False if it was counted as dropped (``on_full="count"``).

        Raises
        ------
        JournalUnavailable
            If the record cannot be written and ``on_full`` is ``fail``.
        """
        ...

    def seal(self) -> None:
        """Close the open segment, so that it can be compacted.

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

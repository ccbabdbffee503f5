"""Meters for tests: one that counts nothing, one that counts in a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["MemoryMeters", "MemorySeries", "MemorySlot", "NullMeters"]


class _Nothing:
    """A counter that does not count."""

    def answered(self, rows: int, total_ns: int, compute_ns: int, queue_ns: int = 0) -> None:
        """Do nothing."""

    def failed(self, code: str) -> None:
        """Do nothing."""

    def add(self, count: int = 1) -> None:
        """Do nothing."""

    def set(self, value: int) -> None:
        """Do nothing."""


class NullMeters:
    """Counts nothing."""

    def series(self, deployment: str, version: str, arm: str, face: str) -> _Nothing:
        """Return what does not count."""
        del deployment, version, arm, face
        return _Nothing()

    def slot(self, name: str, *labels: str) -> _Nothing:
        """Return what does not count."""
        del name, labels
        return _Nothing()


@dataclass(slots=True)
class MemorySeries:
    """What was counted of one deployment, version, arm and face."""

    answers: list[tuple[int, int, int, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def answered(self, rows: int, total_ns: int, compute_ns: int, queue_ns: int = 0) -> None:
        """Keep the answer's numbers."""
        self.answers.append((rows, total_ns, compute_ns, queue_ns))

    def failed(self, code: str) -> None:
        """Keep the code."""
        self.failures.append(code)


@dataclass(slots=True)
class MemorySlot:
    """One counter or gauge."""

    value: int = 0

    def add(self, count: int = 1) -> None:
        """Add to it."""
        self.value += count

    def set(self, value: int) -> None:
        """Replace it."""
        self.value = value


class MemoryMeters:
    """Keeps everything by its labels."""

    def __init__(self) -> None:
        self.by_series: dict[tuple[str, str, str, str], MemorySeries] = {}
        self.by_slot: dict[tuple[str, ...], MemorySlot] = {}

    def series(self, deployment: str, version: str, arm: str, face: str) -> MemorySeries:
        """Return the series of these labels."""
        return self.by_series.setdefault((deployment, version, arm, face), MemorySeries())

    def slot(self, name: str, *labels: str) -> MemorySlot:
        """Return the counter or gauge of this name with these labels."""
        return self.by_slot.setdefault((name, *labels), MemorySlot())

    def value(self, name: str, *labels: str) -> int:
        """Return what a counter or gauge shows; 0 if nobody asked for it."""
        found = self.by_slot.get((name, *labels))
        return 0 if found is None else found.value

"""Parts of the log as a set: which are read, which small ones become a larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kilter.contracts.log import LogPart

__all__ = ["live", "merges"]

_MIB = 1024**2
_SMALL_BYTES = 64 * _MIB
_MOST_BYTES = 256 * _MIB
_MOST_ROWS = 524_288
_TIERS = (_MIB, 8 * _MIB)
_FEW = 16


def live(parts: Iterable[LogPart]) -> tuple[LogPart, ...]:
    """Return the parts that are read, in the order given.

    In plain words: what was merged counts once, even if the list was made while it was merged.

    Parameters
    ----------
    parts : iterable of LogPart
        Superseded ones among them, and perhaps both a part and those that it replaces.

    Returns
    -------
    tuple of LogPart
        Without the superseded, and without those that another one of the list replaces.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from kilter.contracts.log import LogPart
    >>> def part(name, **more):
    ...     return LogPart(
    ...         id=name,
    ...         deployment="d",
    ...         kind="prediction",
    ...         date="2026-01-01",
    ...         path=name,
    ...         rows=1,
    ...         size_bytes=1,
    ...         min_ts_ns=0,
    ...         max_ts_ns=0,
    ...         created_at=datetime(2026, 1, 1, tzinfo=UTC),
    ...         **more,
    ...     )
    >>> [found.id for found in live([part("a"), part("b"), part("ab", replaces=("a", "b"))])]
    ['ab']
    """
    found = [part for part in parts if part.superseded_at is None]
    replaced = {name for part in found for name in part.replaces}
    return tuple(part for part in found if part.id not in replaced)


def merges(parts: Iterable[LogPart], *, today: str) -> tuple[tuple[LogPart, ...], ...]:
    """Choose the groups of parts that become one each.

    In plain words: a day that is over has few large files; the running day is tidied as it grows.

    Parameters
    ----------
    parts : iterable of LogPart
        All live ones.
    today : str
        The UTC day that still grows; days after it count as growing, too.

    Returns
    -------
    tuple of tuple of LogPart
        Groups of at least two parts of one deployment, kind and day, in order of time, together at most
        256 MiB and 524,288 rows. Of a day that is over, all parts below 64 MiB are merged; of the
        running day those of about one size (below 1, 8, 64 MiB), once there are 16 of them, so that no
        row is rewritten often.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from kilter.contracts.log import LogPart
    >>> def part(name, date):
    ...     return LogPart(
    ...         id=name,
    ...         deployment="d",
    ...         kind="prediction",
    ...         date=date,
    ...         path=name,
    ...         rows=1,
    ...         size_bytes=1,
    ...         min_ts_ns=0,
    ...         max_ts_ns=0,
    ...         created_at=datetime(2026, 1, 1, tzinfo=UTC),
    ...     )
    >>> few = [part("a", "2026-01-01"), part("b", "2026-01-01"), part("c", "2026-01-02"), part("d", "2026-01-02")]
    >>> [[found.id for found in group] for group in merges(few, today="2026-01-02")]
    [['a', 'b']]
    """
    shelves: dict[tuple[str, str, str, int], list[LogPart]] = {}
    for part in parts:
        if part.size_bytes < _SMALL_BYTES:
            tier = 0 if part.date < today else 1 + sum(part.size_bytes >= bound for bound in _TIERS)
            shelves.setdefault((part.deployment, part.kind, part.date, tier), []).append(part)
    groups: list[tuple[LogPart, ...]] = []
    for (*_, tier), shelf in sorted(shelves.items()):
        if tier == 0 or len(shelf) >= _FEW:
            groups += _cut(sorted(shelf, key=lambda part: (part.min_ts_ns, part.id)))
    return tuple(groups)


def _cut(shelf: Sequence[LogPart]) -> list[tuple[LogPart, ...]]:
    """Cut parts in order of time into groups that fit into memory; single ones stay as they are."""
    groups: list[list[LogPart]] = []
    size = rows = 0
    for part in shelf:
        size, rows = size + part.size_bytes, rows + part.rows
        if not groups or size > _MOST_BYTES or rows > _MOST_ROWS:
            groups.append([])
            size, rows = part.size_bytes, part.rows
        groups[-1].append(part)
    return [tuple(group) for group in groups if len(group) > 1]

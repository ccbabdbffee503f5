"""What processes that are gone had counted: one file that is replaced whole."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from kilter.stores._file import replace_file
from kilter.stores.meters._layout import LAST, RowKind, layout

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.stores.meters._layout import Key

__all__ = ["Counts", "Retired", "add_up", "read_retired", "write_retired"]

_log = logging.getLogger(__name__)

Counts = dict[tuple[RowKind, "Key"], list[int]]
"""Slots by kind and key."""


class Retired(msgspec.Struct, frozen=True):
    """``folded`` names the processes whose counts are in ``rows`` already: their files count no more."""

    layout: int
    folded: tuple[str, ...] = ()
    rows: tuple[tuple[int, tuple[str, ...], tuple[int, ...]], ...] = ()

    def counts(self) -> Counts:
        """Return the slots by kind and key."""
        return {(RowKind(kind), key): list(slots) for kind, key, slots in self.rows}


def add_up(total: Counts, kind: RowKind, key: Key, slots: list[int]) -> None:
    """Add one row to a sum of rows."""
    known = total.get((kind, key))
    if known is None:
        total[kind, key] = slots
    elif kind is RowKind.GAUGE_MAX:
        known[0] = max(known[0], slots[0])
    else:
        last = max(known[LAST], slots[LAST]) if kind is RowKind.SERIES else 0
        known[:] = map(int.__add__, known, slots)
        if kind is RowKind.SERIES:
            known[LAST] = last


def read_retired(path: Path) -> Retired:
    """Return what is retired; empty if there is nothing, or nothing that this version can add to.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    try:
        retired = msgspec.json.decode(path.read_bytes(), type=Retired)
    except FileNotFoundError:
        return Retired(layout())
    except msgspec.MsgspecError:
        return Retired(layout=0)
    return retired


def write_retired(path: Path, folded: tuple[str, ...], counts: Counts) -> None:
    """Replace what is retired; after loss of power there is the old file or the new one.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    rows = tuple((int(kind), key, tuple(slots)) for (kind, key), slots in sorted(counts.items()))
    replace_file(path, msgspec.json.encode(Retired(layout(), folded, rows)))

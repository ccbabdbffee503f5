"""What answered in a window: versions with their references, rows counted by version."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.model import ModelVersion
from kilter.measures.profile import ReferenceProfile, codec
from kilter.measures.profile import window as counting
from kilter.services.monitor import _log

if TYPE_CHECKING:
    from collections.abc import Collection

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.deployment import Deployment
    from kilter.contracts.scoring import VersionBook
    from kilter.measures.profile import WindowProfile

_BLOCK_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Watched:
    """One version under watch, and its reference (None: it was registered without one)."""

    version: ModelVersion
    reference: ReferenceProfile | None


class Census:
    """Counts the rows of a window by the version that answered.

    Guarantees: at most about 200,000 rows are in memory at once; the counts do not depend on the blocks.
    """

    def __init__(self, log: _log.LogReader, blobs: BlobStore, versions: VersionBook) -> None:
        self._log = log
        self._blobs = blobs
        self._versions = versions
        self._watched: dict[tuple[str, int], Watched] = {}

    def watch(self, deployment: str, number: int) -> Watched:
        """Return a version with its reference; versions never change, so they are kept."""
        key = (deployment, number)
        if key not in self._watched:
            version = self._versions.resolve(f"{deployment}@{number}")
            path = version.manifest.profile_file
            reference = None
            if path:
                reference = codec.decode_reference(self._blobs.get(version.manifest.entry(path).digest))
            self._watched[key] = Watched(version, reference)
        return self._watched[key]

    def profiles(
        self, live: Deployment, start_ns: int, end_ns: int, rows: int, *, asked: Collection[int] = ()
    ) -> dict[int, WindowProfile | int]:
        """Count rows by version, block by block (mere numbers of rows without a reference).

        Versions that were ``asked`` are there even if all their requests failed, the champion even if nothing came.
        """
        blocks = 1 + rows // _BLOCK_ROWS
        edges = [start_ns + (end_ns - start_ns) * block // blocks for block in range(blocks + 1)]
        found: dict[int, WindowProfile | int] = {}
        silent = () if rows or live.champion is None else (live.champion,)
        for number in {*asked, *silent}:
            reference = self.watch(live.id, number).reference
            found[number] = counting.empty(reference) if reference is not None else 0
        for low, high in pairwise(edges):
            joined = self._log.rows(_log.query(live.id, low, high, with_columns=True))
            for number, chosen in _log.by_version(joined):
                watched = self.watch(live.id, number)
                known = found.get(number)
                if watched.reference is None:
                    found[number] = int(chosen.size) + (known if isinstance(known, int) else 0)
                    continue
                columns = {name: np.asarray(column)[chosen] for name, column in joined.columns.items()}
                scores, called = _log.answers(watched.version, joined, chosen)
                profile = counting.profile(columns, watched.reference, scores, called)
                found[number] = profile if known is None or isinstance(known, int) else counting.merge(known, profile)
        return found

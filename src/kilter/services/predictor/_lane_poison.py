"""Inputs that end the process of their model: who is suspected, and who is kept out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.quarantine import Quarantined
from kilter.errors import ModelFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.batch import Batch
    from kilter.contracts.quarantine import QuarantineShelf
    from kilter.services.predictor._call import Call

__all__ = ["Poison", "fingerprint"]

_KEPT_NS = 24 * 3_600 * 1_000_000_000
_MOST = 10_000
_FATAL = 2


def fingerprint(digest: str, batch: Batch) -> str:
    """Return what names exactly these rows for exactly this version: BLAKE2b-128 in hex.

    All kinds of NaN are one, and so are 0 and -0.
    """
    numeric = np.array(batch.numeric, dtype=np.float64, order="C")
    numeric[np.isnan(numeric)] = np.nan
    numeric += 0.0
    sum_ = hashlib.blake2b(digest.encode(), digest_size=16)
    sum_.update(np.array(numeric.shape, dtype=np.int64).tobytes())
    sum_.update(numeric.tobytes())
    for cell in np.asarray(batch.text).flat:
        data = b"" if cell is None else str(cell).encode("utf-8", "surrogatepass")
        sum_.update(b"%d:" % (-1 if cell is None else len(data)))
        sum_.update(data)
    return sum_.hexdigest()


class Poison:
    """What is known about the deadly inputs of one version.

    Guarantees: an input is kept out for 24 h after its process died twice with it, the second time with nothing
    else in flight; at most 10,000 are remembered, the latest used. The event loop asks, the lane's thread tells.

    Parameters
    ----------
    digest : str
        Of the version.
    time_ns : callable
        Nanoseconds since the epoch.
    shelf : QuarantineShelf or None
        Keeps inputs for inspection and beyond the life of this process.
    """

    def __init__(self, digest: str, *, time_ns: Callable[[], int], shelf: QuarantineShelf | None = None) -> None:
        self._digest = digest
        self._time_ns = time_ns
        self._shelf = shelf
        self._deaths: OrderedDict[str, tuple[int, int]] = OrderedDict()  # fingerprint: deaths, since when
        for known, since_ns in ({} if shelf is None else shelf.known(digest)).items():
            self._deaths[known] = (_FATAL, since_ns)

    def is_suspect(self, batch: Batch) -> bool:
        """Say whether rows were in flight when their process died; such rows run alone.

        Raises
        ------
        ModelFailed
            If they are kept out.
        """
        if not self._deaths:
            return False
        name = fingerprint(self._digest, batch)
        deaths, since_ns = self._deaths.get(name, (0, 0))
        if deaths and self._time_ns() - since_ns > _KEPT_NS:
            self._deaths.pop(name, None)
            return False
        if deaths >= _FATAL:
            raise poisonous()
        return deaths > 0

    def survived(self, batch: Batch) -> None:
        """Note that rows ran alone and nothing died."""
        self._deaths.pop(fingerprint(self._digest, batch), None)

    def died(self, call: Call, *, is_alone: bool) -> bool:
        """Note that the process died with these rows in flight; return whether they are kept out from now on."""
        name = fingerprint(self._digest, call.batch)
        before = self._deaths.pop(name, (0, 0))[0]
        deaths = before + 1 if is_alone else max(before, 1)
        self._deaths[name] = (deaths, self._time_ns())
        while len(self._deaths) > _MOST:
            self._deaths.popitem(last=False)
        if deaths < _FATAL:
            return False
        if self._shelf is not None:
            self._shelf.keep(self._entry(name, call))
        return True

    def _entry(self, name: str, call: Call) -> Quarantined:
        """Return the rows for inspection, without personal columns."""
        signature = call.variant.signature
        numeric = np.asarray(call.batch.numeric).tolist()
        text = np.asarray(call.batch.text).tolist()
        rows = tuple(
            {**_cells(signature.numeric_names, numbers, call), **_cells(signature.text_names, texts, call)}
            for numbers, texts in zip(numeric, text, strict=True)
        )
        return Quarantined(
            digest=self._digest,
            fingerprint=name,
            deployment=call.route.deployment,
            version=call.variant.number,
            since_ns=self._time_ns(),
            columns=tuple(column.name for column in signature.columns),
            rows=rows,
        )


def poisonous() -> ModelFailed:
    """Build the error of rows that are kept out."""
    return ModelFailed(
        "this input ended the model's process twice and is kept out for 24 h",
        hint="look at it in the folder `quarantine` of the home folder, then correct the model or the input",
    )


def _cells(names: tuple[str, ...], values: list[float | str | None], call: Call) -> dict[str, float | str | None]:
    """Return one row's cells by name; None where missing or personal."""
    hidden = call.route.redact
    return {
        name: None if name in hidden or value != value else value  # noqa: PLR0124 - NaN
        for name, value in zip(names, values, strict=True)
    }

"""Blanks the columns that must not reach the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.prediction import Flag

if TYPE_CHECKING:
    from kilter.contracts.prediction import PredictionRecord, SchemaRecord
    from kilter.contracts.route import Route

__all__ = ["Redaction"]


class Redaction:
    """Knows where the named columns of each version are.

    Where nothing tells which columns a record has, none of its inputs is let through.
    """

    def __init__(self) -> None:
        self._schemas: dict[str, SchemaRecord] = {}
        self._places: dict[tuple[str, tuple[str, ...]], tuple[list[bool], list[bool]]] = {}

    def describe(self, schema: SchemaRecord) -> None:
        """Remember the names of a version's columns."""
        self._schemas[schema.digest] = schema

    def of(self, route: Route, record: PredictionRecord) -> PredictionRecord:
        """Return the record with the route's columns blanked: NaN for numbers, None for text."""
        if not (record.numeric or record.text):
            return record
        flags = int(record.flags | Flag.INPUTS_REDACTED)
        places = self._places.get((record.digest, route.redact))
        if places is None:
            schema = self._schemas.get(record.digest)
            if schema is None:
                return record._replace(numeric=b"", text=(), flags=flags)
            named = set(route.redact)
            places = ([name in named for name in schema.numeric], [name in named for name in schema.text])
            self._places[record.digest, route.redact] = places
        hidden, veiled = np.array(places[0], dtype=bool), np.array(places[1], dtype=bool)
        numeric = np.frombuffer(record.numeric).reshape(record.rows, len(hidden)).copy()
        text = np.array(record.text, dtype=object).reshape(record.rows, len(veiled))
        numeric[:, hidden] = np.nan
        text[:, veiled] = None
        return record._replace(numeric=numeric.tobytes(), text=tuple(text.ravel().tolist()), flags=flags)

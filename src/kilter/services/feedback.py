"""Labels as they arrive: validated, made into records, nothing stored here."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from kilter.contracts.prediction import FeedbackRecord
from kilter.contracts.signature import Task
from kilter.errors import InvalidRequest, SchemaMismatch
from kilter.measures.rows import label_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.clock import Clock
    from kilter.contracts.signature import Signature

__all__ = ["FeedbackIntake"]

_KEYS = ("prediction_id", "entity_id", "label", "observed_at", "name", "source", "weight", "feedback_id")
_ROW_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(:(0|[1-9][0-9]{0,6}))?", re.ASCII
)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2262, 1, 1, tzinfo=UTC)  # nanoseconds since 1970 end soon after
_MAX_TEXT = 256


class FeedbackIntake:
    """Turns the body of a feedback request into records.

    Guarantees: all or nothing; the same content gives the same ``feedback_id``, so a replay is
    harmless. Whether the prediction exists is not known here: the join finds out. Safe from threads.

    Parameters
    ----------
    clock : Clock
        Says when the labels arrived.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    def records(self, deployment: str, signature: Signature, body: object) -> tuple[FeedbackRecord, ...]:
        """Validate labels and return them as records to append.

        Parameters
        ----------
        deployment : str
            Whose predictions are meant.
        signature : Signature
            Names the target; labels of a regression are numbers.
        body : object
            Decoded JSON: one object, or ``{"feedback": [...]}``.

        Returns
        -------
        tuple of FeedbackRecord
            In the order given, at least one.

        Raises
        ------
        InvalidRequest
            If any item is malformed; ``details["field"]`` names it.
        """
        arrived_ns = self._clock.time_ns()
        return tuple(
            self._record(deployment, signature, item, where, arrived_ns=arrived_ns) for where, item in _items(body)
        )

    def _record(
        self, deployment: str, signature: Signature, item: object, where: str, *, arrived_ns: int
    ) -> FeedbackRecord:
        """Return one item's record."""
        if not isinstance(item, dict):
            _refuse(where, "an object", item)
        for key in item:
            if key not in _KEYS:
                _refuse(_at(where, str(key)), f"no other field than {', '.join(_KEYS)}", key)
        prediction_id, entity_id = _text(item, "prediction_id", where).lower(), _text(item, "entity_id", where)
        if bool(prediction_id) == bool(entity_id):
            _refuse(
                _at(where, "prediction_id"), "either prediction_id or entity_id", "both" if entity_id else "neither"
            )
        if prediction_id and not _ROW_ID.fullmatch(prediction_id):
            _refuse(_at(where, "prediction_id"), "a prediction's id, perhaps with `:row`", prediction_id)
        name = _text(item, "name", where)
        if name and name != signature.target:
            _refuse(_at(where, "name"), f"the target `{signature.target}`", name)
        observed_ns = _time_ns(item, where)
        facts = {
            "deployment": deployment,
            "label": _label(item, signature, where),
            "prediction_id": prediction_id,
            "entity_id": entity_id,
            "name": signature.target,
            "source": _text(item, "source", where),
            "weight": _weight(item, where),
            "observed_ns": observed_ns,
        }
        content = json.dumps(facts, sort_keys=True).encode()  # without a default for the time: a replay comes later
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return FeedbackRecord(
            feedback_id=_text(item, "feedback_id", where) or digest,
            ts_ns=arrived_ns,
            deployment=deployment,
            label=str(facts["label"]),
            observed_ns=arrived_ns if observed_ns is None else observed_ns,
            prediction_id=prediction_id,
            entity_id=entity_id,
            name=signature.target,
            source=str(facts["source"]),
            weight=_weight(item, where),
        )


def _items(body: object) -> list[tuple[str, object]]:
    """Return the items of a body, with the path of each."""
    if isinstance(body, dict) and "feedback" in body:
        items = body["feedback"]
        if len(body) > 1:
            _refuse("feedback", "no field beside it", ", ".join(str(key) for key in body if key != "feedback"))
        if not isinstance(items, list) or not items:
            _refuse("feedback", "a list of one or more objects", items)
        return [(f"feedback[{i}]", item) for i, item in enumerate(items)]
    return [("", body)]


def _text(item: Mapping[str, object], key: str, where: str) -> str:
    """Return an optional text; empty if it is left out."""
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value or len(value) > _MAX_TEXT or not value.isprintable():
        _refuse(_at(where, key), f"a text of 1 to {_MAX_TEXT} printable characters", value)
    return value


def _label(item: Mapping[str, object], signature: Signature, where: str) -> str:
    """Return the label's text; for a regression it is a number."""
    value = item.get("label")
    field = _at(where, "label")
    if isinstance(value, str) and not 1 <= len(value) <= _MAX_TEXT:
        _refuse(field, f"a label of 1 to {_MAX_TEXT} characters", value)
    try:
        text = label_text(value)
        if signature.task is Task.REGRESSION and (isinstance(value, bool) or not math.isfinite(float(text))):
            _refuse(field, "a number", value)
    except (SchemaMismatch, ValueError, OverflowError) as cause:
        if isinstance(cause, InvalidRequest):
            raise
        expected = "a number" if signature.task is Task.REGRESSION else "a text, a number, true or false"
        _refuse(field, expected, value)
    return text


def _weight(item: Mapping[str, object], where: str) -> float:
    """Return the weight, 1 if it is left out."""
    value = item.get("weight", 1.0)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1e12:  # type: ignore[operator]  # is_number narrows it
        _refuse(_at(where, "weight"), "a number above 0", value)
    return float(value)  # type: ignore[arg-type]  # is_number narrows it


def _time_ns(item: Mapping[str, object], where: str) -> int | None:
    """Return when the truth was observed, None if it is left out."""
    value = item.get("observed_at")
    if value is None:
        return None
    field, expected = _at(where, "observed_at"), "a time as RFC 3339 has it, like 2026-01-31T12:00:00Z"
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        _refuse(field, expected, value)
    try:
        at = datetime.fromisoformat(value.upper())
        is_in_range = _EPOCH <= at < _LAST
    except (ValueError, OverflowError):
        _refuse(field, expected, value)
    if not is_in_range:
        _refuse(field, "a time from 1970 to 2261", value)
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _at(where: str, key: str) -> str:
    """Return the path of a field."""
    return f"{where}.{key}" if where else key


def _refuse(field: str, expected: str, got: object) -> NoReturn:
    """Raise the error of one field; at most 40 characters of what was sent are shown."""
    shown = "nothing" if got is None else json.dumps(got, default=str)[:40]
    message = f"{field or 'feedback'}: expected {expected}, got {shown}"
    raise InvalidRequest(message, hint="correct this item; nothing was stored", details={"field": field or "feedback"})

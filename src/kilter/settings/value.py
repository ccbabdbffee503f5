"""Readers of single values: each takes what TOML gives and returns what the tree holds.

A reader raises ``ValueError`` with "expected ..., got ..." and nothing else.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kilter.errors import InvalidRequest
from kilter.policy.fallback import parsed

__all__ = [
    "Json",
    "Reader",
    "boolean",
    "choice",
    "duration",
    "fallback",
    "host",
    "integer",
    "margins",
    "model_name",
    "number",
    "optional_duration",
    "period",
    "size",
    "steps",
    "text",
    "texts",
]

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | list[str]"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one kind of value; ``schema`` is the same rule as JSON Schema, for editors."""

    read: Callable[[object], object]
    schema: Mapping[str, Json]

    def __call__(self, value: object) -> object:
        """Return the value as the tree holds it, or raise ``ValueError``."""
        return self.read(value)


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_MODEL_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def _expected(what: str, value: object) -> ValueError:
    """Build the one kind of complaint."""
    shown = repr(value)
    return ValueError(f"expected {what}, got {shown if len(shown) <= 40 else shown[:37] + '...'}")


def _text(value: object) -> str:
    """Read any text."""
    if not isinstance(value, str):
        msg = "text in quotes"
        raise _expected(msg, value)
    return value


def _texts(value: object) -> tuple[str, ...]:
    """Read a list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        msg = 'a list of texts such as ["a", "b"]'
        raise _expected(msg, value)
    return tuple(value)


def _boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        msg = "true or false"
        raise _expected(msg, value)
    return value


def choice(*names: str) -> Reader:
    """Return a reader of one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise _expected("one of " + ", ".join(f'"{name}"' for name in names), value)
        return value

    return Reader(read, {"enum": list(names)})


def integer(low: int, high: int) -> Reader:
    """Return a reader of whole numbers from low to high, both included."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            msg = f"a whole number from {low} to {high}"
            raise _expected(msg, value)
        return value

    return Reader(read, {"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float) -> Reader:
    """Return a reader of numbers from low to high, both included."""

    def read(value: object) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            msg = f"a number from {low:g} to {high:g}"
            raise _expected(msg, value)
        return float(value)

    return Reader(read, {"type": "number", "minimum": low, "maximum": high})


def _duration(value: object) -> float:
    """Read a duration such as ``30m`` or ``7d`` as seconds."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _SECONDS or float(match[1]) <= 0:
        msg = 'a duration such as "30m", "12h" or "7d"'
        raise _expected(msg, value)
    return float(match[1]) * _SECONDS[match[2]]


def _optional_duration(value: object) -> float | None:
    """Read a duration, or ``auto`` as None."""
    return None if value == "auto" else _duration(value)


def _period(value: object) -> float:
    """Read a budget such as ``1/90d`` as the seconds between two false alarms."""
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(.+)", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        msg = 'a budget such as "1/90d"'
        raise _expected(msg, value)
    try:
        return _duration(match[2]) / int(match[1])
    except ValueError as error:
        msg = 'a budget such as "1/90d"'
        raise _expected(msg, value) from error


def _size(value: object) -> int:
    """Read a size such as ``16MiB`` as bytes."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _BYTES:
        msg = 'a size such as "16MiB"'
        raise _expected(msg, value)
    return int(float(match[1]) * _BYTES[match[2]])


def _steps(value: object) -> tuple[float, ...]:
    """Read the per cent of traffic of each step of a rollout, rising to 100."""
    is_list = isinstance(value, list) and all(
        isinstance(item, (int, float)) and not isinstance(item, bool) for item in value
    )
    percents = tuple(float(item) for item in value) if is_list and isinstance(value, list) else ()
    is_rising = all(low < high for low, high in itertools.pairwise(percents))
    if not percents or not is_rising or percents[0] <= 0 or percents[-1] != 100:
        msg = "a rising list of per cent that ends in 100, such as [5, 25, 100]"
        raise _expected(msg, value)
    return percents


def _margins(value: object) -> tuple[tuple[str, float], ...]:
    """Read a table of metric to margin."""
    if not isinstance(value, dict):
        msg = "a table such as { loss = 0.02 }"
        raise _expected(msg, value)
    read = number(0.0, 1.0)
    return tuple((choice("error", "loss")(key), read(item)) for key, item in value.items())  # type: ignore[misc]


def _host(value: object) -> str:
    """Read an address to listen on: loopback only, since there is no sign-in yet."""
    if value not in ("127.0.0.1", "localhost", "::1"):
        msg = (
            'a loopback address ("127.0.0.1", "localhost" or "::1"; serving other machines needs a proxy '
            "with sign-in and TLS in front)"
        )
        raise _expected(
            msg,
            value,
        )
    return str(value)


def _model_name(value: object) -> str:
    """Read the name of a model: also its deployment's, and a part of addresses and file names."""
    if not isinstance(value, str) or _MODEL_NAME.fullmatch(value) is None:
        msg = "a name of a to z, 0 to 9 and -, starting with a letter, at most 63 long"
        raise _expected(msg, value)
    return value


def _fallback(value: object) -> str:
    """Read who answers instead: nobody, the previous champion, a constant, or a version by name."""
    expected = '"last_good", "constant:VALUE", "NAME@VERSION" or an empty text'
    if not isinstance(value, str):
        raise _expected(expected, value)
    try:
        parsed(value)
    except InvalidRequest as error:
        raise _expected(expected, value) from error
    return value


text = Reader(_text, {"type": "string"})
texts = Reader(_texts, {"type": "array", "items": {"type": "string"}})
boolean = Reader(_boolean, {"type": "boolean"})
duration = Reader(_duration, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*$"})
optional_duration = Reader(
    _optional_duration, {"type": "string", "pattern": r"^(auto|\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)$"}
)
period = Reader(_period, {"type": "string", "pattern": r"^\s*\d+\s*/\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*$"})
size = Reader(_size, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(B|KiB|MiB|GiB|kB|MB|GB)\s*$"})
steps = Reader(_steps, {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 100}})
fallback = Reader(_fallback, {"type": "string", "pattern": r"^(|last_good|constant:.+|[^@\s]+@[1-9][0-9]{0,8})$"})
margins = Reader(_margins, {"type": "object", "additionalProperties": {"type": "number"}})
host = Reader(_host, {"enum": ["127.0.0.1", "localhost", "::1"]})
model_name = Reader(_model_name, {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"})

"""Who answers instead of a refusal or an error, where a deployment wants an answer in any case."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.signature import Task
from kilter.errors import InvalidRequest, SchemaMismatch

if TYPE_CHECKING:
    from kilter.contracts.signature import Signature

__all__ = ["LAST_GOOD", "Fallback", "constant_row", "parsed"]

LAST_GOOD = "last_good"
"""The previous champion, kept loaded."""

_CONSTANT = "constant:"
_VERSION = re.compile(r"(?P<name>[^@\s]+)@(?P<number>[1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Fallback:
    """Where the answer comes from: the previous champion (all empty), a constant, or a version of a deployment."""

    constant: str = ""
    deployment: str = ""
    version: int = 0


def parsed(text: str) -> Fallback | None:
    """Read the key ``fallback``.

    Parameters
    ----------
    text : str
        Empty, ``last_good``, ``constant:VALUE`` or ``NAME@VERSION``.

    Returns
    -------
    Fallback or None
        None for an empty text.

    Raises
    ------
    InvalidRequest
        If it is none of these.

    Examples
    --------
    >>> parsed("last_good"), parsed("")
    (Fallback(constant='', deployment='', version=0), None)
    >>> parsed("constant:0.5").constant, parsed("churn@3").version
    ('0.5', 3)
    """
    if not text:
        return None
    if text == LAST_GOOD:
        return Fallback()
    if text.startswith(_CONSTANT) and text != _CONSTANT:
        return Fallback(constant=text.removeprefix(_CONSTANT))
    match = _VERSION.fullmatch(text)
    if match is None:
        message = f"`{text[:80]}` names no fallback"
        raise InvalidRequest(message, hint='write "last_good", "constant:VALUE" or "NAME@VERSION"')
    return Fallback(deployment=match["name"], version=int(match["number"]))


def constant_row(signature: Signature, value: str) -> tuple[float, ...]:
    """Return the answer of one row that a constant stands for.

    Parameters
    ----------
    signature : Signature
        Of the champion.
    value : str
        A number for regression; for classes the name of one, or for two classes the score of the positive one.

    Returns
    -------
    tuple of float
        Probabilities in the order of the classes, or the one value of a regression.

    Raises
    ------
    SchemaMismatch
        If the model cannot answer that.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature, Task
    >>> constant_row(Signature(task=Task.REGRESSION, target="y", columns=()), "12.5")
    (12.5,)
    """
    if value in signature.classes:
        return tuple(float(name == value) for name in signature.classes)
    number = _number(value)
    if signature.task is Task.REGRESSION and number is not None:
        return (number,)
    if signature.task is Task.BINARY and number is not None and 0.0 <= number <= 1.0:
        return (1.0 - number, number) if signature.positive_index else (number, 1.0 - number)
    expected = "a number" if signature.task is Task.REGRESSION else f"one of {', '.join(signature.classes[:8])}"
    message = f"`constant:{value[:40]}` is no answer of this model, expected {expected}"
    raise SchemaMismatch(message, hint="change `fallback` under [deployment] in kilter.toml")


def _number(text: str) -> float | None:
    """Read a finite number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

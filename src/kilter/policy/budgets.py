"""How much evidence raises an alarm: the stated number of false alarms, shared among the families."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from kilter.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kilter.contracts.spec import MonitorSpec

__all__ = ["FAMILIES", "LABELLED", "PAGES", "log_threshold"]

PAGES: Mapping[str, float] = MappingProxyType({"performance": 0.40, "calibration": 0.20, "operational": 0.10})
"""Shares of the page ledger, renormalised over the families that exist."""

NOTICES: Mapping[str, float] = MappingProxyType({"score_drift": 0.40, "feature_drift": 0.40, "input_health": 0.20})
"""Shares of the notice ledger, renormalised over the families that exist."""

FAMILIES = (*PAGES, *NOTICES)

LABELLED = ("performance", "calibration")
"""Families that are judged on mature windows."""

_LEAST = 20.0


def log_threshold(family: str, present: Collection[str], spec: MonitorSpec) -> float:
    """Return log A: a family alarms when the log of its weighted statistic reaches it.

    Parameters
    ----------
    family : str
        Which family.
    present : collection of str
        All families that can be tested for this version; the budget is shared among them.
    spec : MonitorSpec
        Periods between false alarms and the length of a window.

    Returns
    -------
    float
        Logarithm of (period / window) / share, at least that of 20 windows.

    Raises
    ------
    UnknownName
        If there is no such family.

    Notes
    -----
    The mean time between false alarms of a family is at least A windows, so the rates of all families of a ledger
    add up to at most one per period. Merged windows are longer, which only lowers the rate.

    Examples
    --------
    >>> from kilter.contracts.spec import MonitorSpec
    >>> round(math.exp(log_threshold("performance", ["performance", "calibration", "operational"], MonitorSpec())))
    3780
    """
    ledger, period_s = (PAGES, spec.pages_period_s) if family in PAGES else (NOTICES, spec.notices_period_s)
    if family not in ledger:
        msg = "alert family"
        raise UnknownName.among(msg, family, FAMILIES)
    total = sum(share for name, share in ledger.items() if name in present or name == family)
    return math.log(max(_LEAST, period_s / spec.window_s * total / ledger[family]))

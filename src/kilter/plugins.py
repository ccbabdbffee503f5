"""Finds extensions by room and name: the only place that imports by string.

A room is a package below ``kilter`` (``formats``, ``stores``, ``measures.drift`` ...); every public
module in its folder is a member, and so is every entry point of the group ``kilter.<room>``.
"""

from __future__ import annotations

import pkgutil
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from kilter.errors import Conflict, MissingExtra, UnknownName

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["find", "load", "members"]


def find(room: str) -> tuple[str, ...]:
    """Return the names of a room's members, sorted.

    Raises
    ------
    Conflict
        If a third-party name hides a built-in one, or two packages offer the same; both are named.
    """
    return tuple(sorted(_origins(room)))


def load(room: str, name: str) -> ModuleType:
    """Import one member.

    Raises
    ------
    UnknownName
        If the room has no such member; the nearest names are in the hint.
    MissingExtra
        If a library that the member needs is not installed.
    """
    origins = _origins(room)
    if name not in origins:
        raise UnknownName.among(room.rsplit(".", maxsplit=1)[-1].removesuffix("s"), name, origins)
    target = origins[name]
    try:
        return import_module(target)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kilter"):
            raise
        msg = f"`{name}` needs the library `{error.name}`, which is not installed"
        raise MissingExtra(
            msg,
            hint=f"run `pip install {error.name}`",
            details={"library": error.name},
        ) from error


def members(room: str, constant: str) -> tuple[ModuleType, ...]:
    """Import every member of a room that holds the constant, in order of name.

    Raises
    ------
    MissingExtra
        If a library that a member needs is not installed.
    """
    modules = (load(room, name) for name in find(room))
    return tuple(module for module in modules if hasattr(module, constant))


@lru_cache(maxsize=32)
def _origins(room: str) -> dict[str, str]:
    """Map each member's name to the module that holds it."""
    package = import_module(f"kilter.{room}")
    found = {
        module.name: f"{package.__name__}.{module.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg and not module.name.startswith("_")
    }
    for point in _entry_points(room):
        if point.name in found:
            msg = f"two extensions are named `{point.name}` in `{room}`: {found[point.name]} and {point.value}"
            raise Conflict(
                msg,
                hint="uninstall one of the two packages",
            )
        found[point.name] = point.value
    return found


def _entry_points(room: str) -> tuple[EntryPoint, ...]:
    """Return the installed third-party members of a room."""
    return tuple(entry_points(group=f"kilter.{room}"))

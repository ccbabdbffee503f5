"""How a kit says which promise was broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["raises", "require"]


def require(holds: bool, promise: str) -> None:  # noqa: FBT001 - reads like assert
    """Fail with the promise that was broken."""
    if not holds:
        message = f"promise broken: {promise}"
        raise AssertionError(message)


def raises(kind: type[BaseException], call: Callable[[], object], what: str) -> BaseException:
    """Call, and return the error that it must raise."""
    try:
        call()
    except kind as error:
        return error
    message = f"promise broken: {what} raises {kind.__name__}"
    raise AssertionError(message)

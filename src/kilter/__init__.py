"""kilter keeps deployed machine-learning models in good working order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.contracts.version import VERSION

if TYPE_CHECKING:
    from kilter.faces.sdk import Project, open  # noqa: A004 - `kilter.open` is the word that users look for

__all__ = ["Project", "__version__", "open"]

__version__ = VERSION


def __getattr__(name: str) -> object:
    """Find the SDK's names on first use, so that ``import kilter`` loads nothing."""
    if name in __all__:
        from kilter.faces import sdk  # noqa: PLC0415 - loaded when asked for

        return getattr(sdk, name)
    message = f"module 'kilter' has no attribute {name!r}"
    raise AttributeError(message)
